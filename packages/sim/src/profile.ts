/**
 * What one run is like, drawn from its seed: its size, how fast things are, and which faults there
 * are at all. A run with a few kinds of fault reaches states that one with all of them hardly does.
 */

import type { MigrationRules } from '@homing/protocol';
import {
  type ControllerLimits,
  type ReplicationLimits,
  replicationLimits,
} from '@homing/replication';
import type { CoordinatorFaults } from './flaky-coordinator.ts';
import type { NetworkFaults } from './network.ts';
import type { PlotKind } from './plot-kinds.ts';
import type { Pull } from './pull.ts';
import type { SeededRandom } from './random.ts';

export const faultKinds = [
  'cut-one-way',
  'cut-both-ways',
  'isolate',
  'cut-off',
  'crash',
  'crash-all',
  'wipe',
  'join',
  'pause',
  'slow-disk',
  'coordinator-away',
  'coordinator-cut',
  'session-expires',
  'move',
  'move-home',
  'drain',
  'executor-crash',
] as const;

/** `move-broken`: a move to another region, in the midst of which a node dies or etcd goes away. */
export type FaultKind = (typeof faultKinds)[number] | 'move-broken' | PlotKind;

/** Longer than any run. */
export const neverMs = 1e12;

/** Objects move toward their callers. */
export interface MigrationProfile {
  readonly rules: MigrationRules;
  readonly pingMs: number;
  /** Moves at a time, of a node. */
  readonly movesMax: number;
  /** What a message takes longer between regions. */
  readonly apartMs: number;
  readonly pull: Pull;
  /** How long one region calls, where they take turns. */
  readonly spellMs: number;
}

export interface Profile {
  readonly nodes: number;
  /** Nodes that come later, by the fault `join`. */
  readonly spares: number;
  /** Nodes that are there from the beginning. */
  readonly firstNodes: number;
  /** Zones of a region: its first two nodes share one, those after them are given to all in turn; 0: each node is one of its own. */
  readonly zones: number;
  /** Given to nodes in turn. */
  readonly regions: readonly string[];
  readonly factor: number;
  readonly shards: number;
  readonly objects: number;
  readonly clients: number;
  /** Clients with a socket, how often they say something, and what is kept for one whose object is away. */
  readonly talkers: number;
  readonly talkMs: readonly [number, number];
  readonly socketBytesMax: number;
  /** Until when faults and load go on. */
  readonly loadMs: number;
  readonly thinkMs: readonly [number, number];
  readonly callTimeoutMs: readonly [number, number];
  readonly readShare: number;
  readonly casShare: number;
  readonly alarmShare: number;
  readonly requestShare: number;
  /** Of what is no read: clears the object, which is then left alone for a while. */
  readonly clearShare: number;
  readonly restMs: readonly [number, number];
  readonly idleMs: readonly [number, number];
  /** Objects out of memory that a node goes on owning. */
  readonly asleepMax: number;
  readonly network: NetworkFaults;
  readonly fsyncMs: readonly [number, number];
  readonly overloadedShare: number;
  readonly sessionTtlMs: number;
  readonly coordinator: CoordinatorFaults;
  readonly limits: ReplicationLimits;
  readonly controller: ControllerLimits;
  /** Largest difference of a clock's rate from the world's, as a share. */
  readonly drift: number;
  /** Between one fault and the next, and how long each lasts. */
  readonly faultEveryMs: readonly [number, number];
  readonly faultMs: readonly [number, number];
  readonly kinds: readonly FaultKind[];
  /** Undefined where objects stay. */
  readonly migration: MigrationProfile | undefined;
  /** Objects have a copy in another region than their home. */
  readonly isRemote: boolean;
  /** In the end a region is lost, its objects are promoted, and it comes back. */
  readonly isRegionLost: boolean;
  /** Beside them, disks lose what they held of an object. */
  readonly isDamaging: boolean;
}

export function drawProfile(random: SeededRandom): Profile {
  const isDamaging = random.child('damages').chance(0.3);
  const calm = drawAny(random);
  // What is damaged is to be found within the run.
  const scrub = isDamaging ? { scrubBytesPerSecond: 1_000_000, scrubPauseMs: 2000 } : {};
  const isRemote = random.child('remote').chance(0.4);
  const zones = random.child('zones').pick([0, 0, 2, 3]);
  const isRegionLost = isRemote && calm.regions.length > 1 && random.child('lost').chance(0.5);
  // An object that is released keeps no copy elsewhere up to date.
  const asleepMax = isRemote ? 10_000 : random.child('asleep').pick([0, 1, 10_000, 10_000]);
  const isMoveBroken = calm.regions.length > 1 && random.child('broken').chance(0.4);
  const kinds: readonly FaultKind[] = isMoveBroken ? [...calm.kinds, 'move-broken'] : calm.kinds;
  const any = {
    ...calm,
    kinds,
    isDamaging,
    asleepMax,
    migration: undefined,
    talkers: 0,
    talkMs: [0, 0] as const,
    socketBytesMax: 1_000_000,
    zones,
    isRemote,
    isRegionLost,
    limits: { ...calm.limits, ...scrub, noticeMs: random.child('notices').pick([500, 5000]) },
  };
  const drawn = random.chance(0.5) ? any : { ...any, ...drawTakeovers(random.child('takeovers')) };
  const cleared = { ...drawn, ...drawClears(random.child('clears')) };
  const changes = random.child('changes');
  const changed = changes.chance(0.5) ? cleared : { ...cleared, ...drawChanges(changes, cleared) };
  const migration = random.child('migration');
  const mayMigrate = changed.regions.length > 1 && migration.chance(0.4);
  if (mayMigrate) return { ...changed, ...drawMigration(migration, changed) };
  return { ...changed, ...drawTalk(random.child('talkers')) };
}

/** Clients that hold sockets, beside those that call. */
function drawTalk(random: SeededRandom): Partial<Profile> {
  if (random.chance(0.7)) return {};
  return {
    talkers: random.between(1, 3),
    talkMs: random.pick([
      [10, 150],
      [50, 1500],
    ]),
    socketBytesMax: random.pick([500, 1_000_000, 1_000_000]),
  };
}

/** Objects that move toward their callers, and for no other reason. */
function drawMigration(random: SeededRandom, { kinds, network }: Profile): Partial<Profile> {
  const windowMs = random.pick([1200, 3000, 6000]);
  return {
    kinds: kinds.filter((kind) => !kind.startsWith('move')),
    loadMs: random.between(30_000, 60_000),
    thinkMs: [20, 300],
    // Regions are farther apart than the nodes of one.
    network: { ...network, delayMs: [1, 5] },
    // What is forgotten, or given up for want of room, begins anew with its counts.
    clearShare: 0,
    asleepMax: 10_000,
    migration: {
      rules: {
        windowMs,
        minimumStayMs: random.pick([1000, 3000, 8000]),
        hysteresis: 0.25,
        tripsMin: 5,
      },
      pingMs: random.pick([200, 1000]),
      movesMax: random.pick([0, 1, 4, 4]),
      apartMs: random.pick([10, 40]),
      pull: random.pick(['alike', 'turns', 'turns', 'any']),
      spellMs: windowMs * random.pick([1, 2, 3]),
    },
  };
}

/** Nodes that come, go for long, and lose their disks: replica sets that change. */
function drawChanges(random: SeededRandom, drawn: Profile): Partial<Profile> {
  // Each region has one from the beginning: an object may be at home there.
  const fewest = drawn.regions.length;
  const firstNodes = random.pick([fewest, Math.max(2, fewest), drawn.nodes, drawn.nodes]);
  const kinds = new Set<FaultKind>([...drawn.kinds, 'join', 'wipe', 'crash']);
  return {
    firstNodes,
    spares: random.pick([0, 1, 2]),
    loadMs: random.between(30_000, 60_000),
    kinds: [...kinds],
    controller: {
      settleMs: random.pick([200, 1000]),
      assignDelayMs: random.pick([500, 3000]),
      rebuildDelayMs: random.pick([500, 2000, 6000]),
      balanceDelayMs: random.pick([200, 3000]),
      balancePercent: random.pick([0, 90, 100, 100]),
      changesMax: random.pick([1, 16]),
      vacateTimeoutMs: random.pick([1000, 60_000]),
      lookMs: random.pick([200, 1000]),
    },
  };
}

/** Owners that live on while others take their objects over: what promises and epochs are for. */
function drawTakeovers(random: SeededRandom): Partial<Profile> {
  const kinds: readonly FaultKind[] = [
    'cut-off',
    'pause',
    'coordinator-cut',
    'session-expires',
    'move',
    'move-home',
    'crash',
  ];
  return {
    loadMs: random.between(30_000, 60_000),
    thinkMs: random.pick([
      [1, 100],
      [20, 400],
    ]),
    callTimeoutMs: [1000, 5000],
    readShare: random.pick([0.3, 0.6, 0.9]),
    sessionTtlMs: random.pick([1500, 3000]),
    faultEveryMs: random.pick([
      [500, 3000],
      [2000, 7000],
    ]),
    faultMs: [2000, 12_000],
    kinds: kinds.filter((kind) => kind === 'cut-off' || random.chance(0.6)),
  };
}

/** Objects that are emptied now and then, and left alone long enough to be forgotten. */
function drawClears(random: SeededRandom): Partial<Profile> {
  if (random.chance(0.6)) return {};
  return {
    clearShare: random.pick([0.03, 0.1, 0.3]),
    restMs: random.pick([
      [0, 2000],
      [1500, 6000],
    ]),
    // An answer that is kept for a retry is something that an object holds.
    requestShare: random.pick([0, 0, 0.2]),
    idleMs: [100, 1000],
  };
}

/** How soon copies that objects leave behind are erased: often while the objects are on their way back. */
function drawSweeps(random: SeededRandom): Partial<ReplicationLimits> {
  return {
    leftoverSweepMs: random.pick([200, 1000, 3000]),
    leftoverDelayMs: random.pick([0, 500, 4000]),
    leftoverLooksPerSecond: random.pick([10, 1000]),
    leftoversMax: random.pick([1, 1000]),
  };
}

type DrawnApart = 'isDamaging' | 'isRemote' | 'isRegionLost' | 'zones' | 'asleepMax' | 'migration';
type OfTalk = 'talkers' | 'talkMs' | 'socketBytesMax';

function drawAny(random: SeededRandom): Omit<Profile, DrawnApart | OfTalk> {
  const regions = random.pick([['eu'], ['eu', 'us']]);
  const nodes = regions.length === 1 ? random.pick([3, 3, 3, 4, 5]) : random.pick([4, 5, 6, 6]);
  const kinds = faultKinds.filter(() => random.chance(0.45));
  const isBusy = random.chance(0.5);
  return {
    nodes,
    spares: 0,
    firstNodes: nodes,
    regions,
    factor: regions.length === 1 && nodes === 5 && random.chance(0.4) ? 5 : 3,
    shards: random.pick([1, 4]),
    objects: random.between(1, 3),
    clients: random.between(2, 6),
    loadMs: random.between(15_000, 45_000),
    thinkMs: isBusy ? [1, 150] : [20, 2000],
    callTimeoutMs: random.pick([
      [300, 2000],
      [2000, 20_000],
    ]),
    readShare: random.pick([0.2, 0.5, 0.8]),
    casShare: random.pick([0, 0.2]),
    alarmShare: random.pick([0, 0.1]),
    requestShare: random.pick([0, 0.5]),
    clearShare: 0,
    restMs: [0, 0],
    idleMs: random.pick([
      [100, 1000],
      [5000, 20_000],
    ]),
    network: {
      delayMs: random.pick([
        [0, 2],
        [1, 5],
        [1, 60],
      ]),
      slowShare: random.pick([0, 0, 0.01]),
      keepaliveMs: random.pick([400, 1500, 6000]),
      reconnectMs: random.pick([
        [5, 50],
        [50, 1500],
      ]),
      bufferBytesMax: random.pick([2000, 1_000_000, 1_000_000]),
    },
    fsyncMs: random.pick([
      [0, 2],
      [1, 10],
      [5, 80],
    ]),
    sessionTtlMs: 5000,
    overloadedShare: random.pick([0, 0, 0, 0.01]),
    coordinator: {
      delayMs: [0, 4],
      lostShare: random.pick([0, 0.05]),
      unknownShare: random.pick([0, 0.1]),
    },
    limits: {
      ...replicationLimits,
      scrubBytesPerSecond: 0,
      promiseMs: random.pick([1000, 1500]),
      inFlightBytesMax: random.pick([1, 1000, 1_000_000]),
      windowBytesMax: random.pick([0, 1500, 256 * 1024]),
      pageBytes: random.pick([200, 500, 256 * 1024]),
      pagesInFlightMax: random.pick([1, 4]),
      copiesMax: random.pick([1, 8]),
      lostMax: random.pick([1, 10_000]),
      uncommittedBytesMax: random.pick([3000, 64 * 1024 * 1024]),
      passHeads: random.pick([1, 2, 1000]),
      passAttemptsMax: 10,
      pullTimeoutMs: 20_000,
      ...drawSweeps(random.child('sweeps')),
    },
    controller: {
      settleMs: 1000,
      assignDelayMs: 3000,
      rebuildDelayMs: neverMs,
      balanceDelayMs: 1000,
      balancePercent: 90,
      changesMax: 16,
      vacateTimeoutMs: 60_000,
      lookMs: 1000,
    },
    drift: random.pick([0, 0.004, 0.005]),
    faultEveryMs: random.pick([
      [100, 1500],
      [500, 6000],
      [3000, 10_000],
    ]),
    faultMs: random.pick([
      [50, 2000],
      [500, 6000],
      [3000, 15_000],
    ]),
    kinds,
  };
}
