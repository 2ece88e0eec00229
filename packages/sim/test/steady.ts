/** Parts of profiles in which nothing goes wrong by itself. */
import { replicationLimits } from '@homing/replication';
import type { Profile } from '../src/profile.ts';

/** Nothing is late or lost, and no link is full. */
export const steadyNetwork: Profile['network'] = {
  delayMs: [1, 5],
  slowShare: 0,
  keepaliveMs: 6000,
  reconnectMs: [5, 50],
  bufferBytesMax: 1_000_000,
};

/** It answers, at once. */
export const steadyCoordinator: Profile['coordinator'] = {
  delayMs: [0, 4],
  lostShare: 0,
  unknownShare: 0,
};

/** Replica sets are changed as soon as anything calls for it. */
export const hastyController: Profile['controller'] = {
  settleMs: 200,
  assignDelayMs: 500,
  rebuildDelayMs: 500,
  balanceDelayMs: 500,
  balancePercent: 100,
  changesMax: 16,
  vacateTimeoutMs: 60_000,
  lookMs: 200,
};

/** Objects in two regions, appended to and read, whose callers are patient; leftovers are soon erased. */
export const twoRegions: Partial<Profile> = {
  regions: ['eu', 'us'],
  zones: 0,
  factor: 3,
  shards: 1,
  objects: 2,
  spares: 0,
  callTimeoutMs: [20_000, 20_000],
  readShare: 0.5,
  casShare: 0,
  alarmShare: 0,
  clearShare: 0,
  asleepMax: 10_000,
  sessionTtlMs: 5000,
  overloadedShare: 0,
  coordinator: steadyCoordinator,
  network: steadyNetwork,
  controller: hastyController,
  limits: {
    ...replicationLimits,
    scrubBytesPerSecond: 0,
    leftoverSweepMs: 1000,
    leftoverDelayMs: 500,
  },
  isDamaging: false,
  isRemote: false,
  isRegionLost: false,
};
