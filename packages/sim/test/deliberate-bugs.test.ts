/**
 * A rule of the protocol is taken away, and a seed notices: what the checks of the simulator are worth.
 * Any change shifts what happens in a run: where the seeds that noticed last do no more, others are
 * looked for, and the test says which one did.
 */
import type { DeliberateBug } from '@homing/protocol';
import { replicationLimits } from '@homing/replication';
import { expect, test } from 'vitest';
import type { Profile } from '../src/profile.ts';
import { runSimulation, type SimulationOptions } from '../src/simulation.ts';
import { hastyController, steadyNetwork } from './steady.ts';

interface Noticed {
  readonly bug: DeliberateBug | Exclude<keyof NonNullable<SimulationOptions['bugs']>, 'protocol'>;
  /** Those to try first: the first is enough today. */
  readonly seeds: readonly number[];
  /** What is seen to break. */
  readonly rule: string;
  readonly profile?: Partial<Profile>;
}

/** Disks are lost, nodes come and go for long: the replica set changes all the time. */
const changingSets: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  factor: 3,
  shards: 1,
  objects: 2,
  firstNodes: 3,
  spares: 2,
  clients: 4,
  loadMs: 40_000,
  thinkMs: [5, 200],
  callTimeoutMs: [1000, 4000],
  readShare: 0.4,
  casShare: 0,
  sessionTtlMs: 1500,
  faultEveryMs: [300, 2500],
  faultMs: [1000, 8000],
  kinds: ['wipe', 'crash', 'join', 'isolate', 'cut-off', 'coordinator-cut'],
  controller: hastyController,
};

/** Objects go to and fro between two regions, while nodes die and calls go on. */
const movingHomes: Partial<Profile> = {
  nodes: 6,
  regions: ['eu', 'us'],
  factor: 3,
  shards: 1,
  objects: 2,
  clients: 6,
  loadMs: 30_000,
  thinkMs: [1, 20],
  callTimeoutMs: [1000, 4000],
  readShare: 0.3,
  casShare: 0,
  sessionTtlMs: 1500,
  faultEveryMs: [200, 1500],
  faultMs: [500, 4000],
  network: { delayMs: [1, 5], slowShare: 0.01, keepaliveMs: 1500, reconnectMs: [5, 50] },
  coordinator: { delayMs: [10, 60], lostShare: 0, unknownShare: 0.05 },
  kinds: ['move-home', 'move-home', 'move-home', 'crash', 'coordinator-cut', 'isolate'],
};

/** The same, where the coordinator is nearer than the other stores. */
const farStores: Partial<Profile> = {
  ...movingHomes,
  network: { delayMs: [20, 300], slowShare: 0, keepaliveMs: 6000, reconnectMs: [5, 50] },
  coordinator: { delayMs: [0, 2], lostShare: 0, unknownShare: 0 },
};

/** Objects are emptied, forgotten and begun anew all the while, and nodes miss it. */
const emptied: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  factor: 3,
  shards: 1,
  objects: 2,
  firstNodes: 3,
  spares: 0,
  clients: 4,
  loadMs: 40_000,
  thinkMs: [1, 60],
  callTimeoutMs: [1000, 4000],
  readShare: 0.3,
  casShare: 0,
  alarmShare: 0,
  requestShare: 0,
  clearShare: 0.3,
  restMs: [1500, 5000],
  idleMs: [50, 300],
  sessionTtlMs: 1500,
  isDamaging: false,
  faultEveryMs: [300, 2500],
  faultMs: [500, 6000],
  kinds: ['crash', 'cut-off', 'isolate', 'cut-both-ways'],
};

/** Objects go to and fro, and what they leave behind is erased while they may be on their way back. */
const soonErased: Partial<Profile> = {
  ...movingHomes,
  firstNodes: 6,
  spares: 0,
  isDamaging: false,
  isRemote: false,
  isRegionLost: false,
  limits: {
    ...replicationLimits,
    promiseMs: 1000,
    scrubBytesPerSecond: 0,
    leftoverSweepMs: 200,
    leftoverDelayMs: 500,
    leftoverLooksPerSecond: 1000,
  },
};

/** Owners lose their majority, with a copy of each object in the other region, which takes its place. */
const lostRegions: Partial<Profile> = {
  ...soonErased,
  isRemote: true,
  isRegionLost: true,
  network: steadyNetwork,
  faultEveryMs: [100, 600],
  faultMs: [500, 3000],
  kinds: [
    'cut-both-ways',
    'cut-both-ways',
    'cut-both-ways',
    'crash',
    'session-expires',
    'move-home',
  ],
};

/** Nearly every call may be sent again, and its node dies under it. */
const retried: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  factor: 3,
  shards: 1,
  objects: 2,
  firstNodes: 3,
  spares: 0,
  clients: 6,
  loadMs: 25_000,
  thinkMs: [1, 60],
  callTimeoutMs: [300, 1500],
  readShare: 0.2,
  casShare: 0,
  alarmShare: 0,
  clearShare: 0,
  requestShare: 0.9,
  idleMs: [100, 1000],
  sessionTtlMs: 1500,
  isDamaging: false,
  isRemote: false,
  isRegionLost: false,
  faultEveryMs: [200, 1200],
  faultMs: [300, 2000],
  kinds: ['crash', 'executor-crash', 'crash', 'move', 'cut-off'],
};

/** Replicas are damaged, and nodes that hold others are killed and cut off. */
const damaged: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  factor: 3,
  shards: 1,
  objects: 2,
  firstNodes: 3,
  spares: 0,
  clients: 4,
  loadMs: 30_000,
  thinkMs: [5, 80],
  callTimeoutMs: [500, 2000],
  readShare: 0.3,
  casShare: 0,
  alarmShare: 0,
  requestShare: 0,
  clearShare: 0,
  sessionTtlMs: 500,
  isDamaging: true,
  overloadedShare: 0,
  faultEveryMs: [300, 2000],
  faultMs: [800, 4000],
  kinds: ['crash', 'isolate', 'cut-both-ways'],
};

const noticed: readonly Noticed[] = [
  { bug: 'isAckedEarly', rule: 'durable', seeds: [1, 4] },
  { bug: 'isUnfenced', rule: 'applied', seeds: [85, 49, 4] },
  { bug: 'isGapTaken', rule: 'agreement', seeds: [63, 50, 13, 12] },
  { bug: 'isReadUncovered', rule: 'order', seeds: [12, 51, 35] },
  { bug: 'isResultApart', rule: 'duplicate', seeds: [5, 1], profile: retried },
  { bug: 'no-barrier', rule: 'durable', seeds: [29, 49, 11] },
  { bug: 'one-list', rule: 'durable', seeds: [5, 3, 1], profile: changingSets },
  { bug: 'learners-vote', rule: 'durable', seeds: [2, 1, 3], profile: changingSets },
  { bug: 'complete-early', rule: 'applied', seeds: [23, 3, 17, 4], profile: changingSets },
  { bug: 'torn-copy', rule: 'state', seeds: [17, 4, 10, 31] },
  { bug: 'no-freeze', rule: 'durable', seeds: [7, 10, 23, 3], profile: movingHomes },
  { bug: 'switch-before-settle', rule: 'durable', seeds: [4, 1, 2], profile: farStores },
  { bug: 'stale-staged-copy', rule: 'applied', seeds: [1], profile: movingHomes },
  { bug: 'acts-after-switch', rule: 'durable', seeds: [2, 1], profile: movingHomes },
  { bug: 'erases-what-came-back', rule: 'durable', seeds: [3, 4, 1], profile: soonErased },
  { bug: 'copies-uncommitted', rule: 'applied', seeds: [34, 16, 7], profile: lostRegions },
  { bug: 'forgets-early', rule: 'order', seeds: [3, 6, 2], profile: emptied },
  { bug: 'leaves-before-commit', rule: 'durable', seeds: [1, 2, 3] },
  { bug: 'quarantined-votes', rule: 'answer', seeds: [31, 15, 19], profile: damaged },
];

/** Seeds looked at before a mistake counts as not noticed. */
const searchMax = 400;
const searchTimeoutMs = 300_000;

const ofProtocol: ReadonlySet<string> = new Set([
  'no-barrier',
  'torn-copy',
  'one-list',
  'learners-vote',
  'complete-early',
  'no-freeze',
  'switch-before-settle',
  'stale-staged-copy',
  'acts-after-switch',
  'erases-what-came-back',
  'forgets-early',
  'copies-uncommitted',
  'quarantined-votes',
  'leaves-before-commit',
]);

/** Those that take more luck than a seed has: plots.test.ts, quarantine.test.ts. */
test.each(noticed)(
  '$bug is noticed',
  async ({ bug, seeds, rule, profile }) => {
    const bugs = ofProtocol.has(bug) ? { protocol: { [bug]: true } } : { [bug]: true };
    const rules: string[] = [];
    const others = Array.from({ length: searchMax }, (_, index) => index + 1);
    for (const seed of [...seeds, ...others]) {
      const { violations } = await runSimulation({ seed, bugs, profile });
      rules.push(...violations.map((violation) => violation.rule));
      if (!rules.includes(rule)) continue;
      if (seed !== seeds[0]) console.log(`${bug} is noticed by seed ${seed} now`);
      break;
    }
    expect(rules).toContain(rule);
  },
  searchTimeoutMs,
);

test(
  'without the bugs the same runs break nothing',
  async () => {
    for (const { seeds, profile } of noticed) {
      const [seed = 0] = seeds;
      expect((await runSimulation({ seed, profile })).violations).toEqual([]);
    }
  },
  searchTimeoutMs,
);
