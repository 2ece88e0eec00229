/** Parts of profiles in which nothing goes wrong by itself. */
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
