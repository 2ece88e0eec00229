/**
 * Rules of the protocol that only a few faults in the right order are in the way of: each plot brings them
 * about, over the nodes of production, and breaks nothing; and it does where the rule is taken away.
 */
import type { DeliberateBug } from '@homing/protocol';
import { replicationLimits } from '@homing/replication';
import { expect, test } from 'vitest';
import type { Profile } from '../src/profile.ts';
import { runSimulation } from '../src/simulation.ts';
import { hastyController, steadyCoordinator, steadyNetwork } from './steady.ts';

/** One object, called all the while, and nothing but what a plot does. */
const plotted: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  factor: 3,
  shards: 1,
  objects: 1,
  firstNodes: 3,
  spares: 0,
  zones: 0,
  clients: 4,
  loadMs: 25_000,
  thinkMs: [1, 40],
  callTimeoutMs: [500, 2000],
  readShare: 0.85,
  casShare: 0,
  alarmShare: 0,
  requestShare: 0,
  clearShare: 0,
  idleMs: [5000, 20_000],
  sessionTtlMs: 500,
  isDamaging: false,
  isRemote: false,
  isRegionLost: false,
  overloadedShare: 0,
  faultEveryMs: [1000, 2000],
  network: steadyNetwork,
  coordinator: steadyCoordinator,
  limits: { ...replicationLimits, promiseMs: 1000, scrubBytesPerSecond: 0 },
  controller: { ...hastyController, balancePercent: 0 },
};

const goBetween: Partial<Profile> = { ...plotted, kinds: ['plot-go-between'] };

const forgetful: Partial<Profile> = {
  ...plotted,
  limits: { ...replicationLimits, promiseMs: 3000, scrubBytesPerSecond: 0 },
  kinds: ['plot-forgetful'],
};

const lateAnswers: Partial<Profile> = {
  ...plotted,
  clients: 6,
  thinkMs: [1, 20],
  network: { ...steadyNetwork, delayMs: [20, 150], keepaliveMs: 500 },
  kinds: ['plot-late-answer'],
};

const replaced: Partial<Profile> = {
  ...plotted,
  nodes: 4,
  firstNodes: 4,
  loadMs: 40_000,
  limits: { ...replicationLimits, promiseMs: 5000, scrubBytesPerSecond: 0 },
  kinds: ['plot-replaced'],
};

const busyOwners: Partial<Profile> = {
  ...plotted,
  nodes: 5,
  firstNodes: 5,
  clients: 3,
  thinkMs: [20, 200],
  readShare: 0.4,
  kinds: ['plot-busy-owner'],
};

const threeOwners: Partial<Profile> = {
  ...plotted,
  readShare: 0.4,
  network: { ...steadyNetwork, delayMs: [5, 30], keepaliveMs: 3000 },
  limits: { ...replicationLimits, promiseMs: 1000, scrubBytesPerSecond: 0, inFlightBytesMax: 1 },
  kinds: ['plot-three-owners'],
};

const fullDisks: Partial<Profile> = { ...plotted, loadMs: 15_000, kinds: ['plot-full-disk'] };

interface Plotted {
  readonly bug: DeliberateBug;
  /** What is seen to break. */
  readonly rule: string;
  /** Looked at first: the first is enough today. */
  readonly seed: number;
  readonly profile: Partial<Profile>;
}

const cases: readonly Plotted[] = [
  { bug: 'lost-not-named', rule: 'order', seed: 2, profile: goBetween },
  { bug: 'seals-ignore-promises', rule: 'order', seed: 1, profile: goBetween },
  { bug: 'no-silence', rule: 'order', seed: 5, profile: forgetful },
  { bug: 'promise-from-receipt', rule: 'order', seed: 3, profile: lateAnswers },
  { bug: 'finish-early', rule: 'order', seed: 20, profile: replaced },
  { bug: 'one-behind', rule: 'applied', seed: 1, profile: busyOwners },
  { bug: 'older-epochs-count', rule: 'applied', seed: 3, profile: threeOwners },
  { bug: 'damaged-votes', rule: 'state', seed: 1, profile: fullDisks },
];

/** Seeds looked at before a mistake counts as not noticed. */
const searchMax = 40;
const timeoutMs = 300_000;

test.each(cases)(
  '$bug is noticed',
  async ({ bug, rule, seed: first, profile }) => {
    const rules: string[] = [];
    const others = Array.from({ length: searchMax }, (_, index) => index + 1);
    for (const seed of [first, ...others]) {
      const { violations } = await runSimulation({
        seed,
        profile,
        bugs: { protocol: { [bug]: true } },
      });
      rules.push(...violations.map((violation) => violation.rule));
      if (!rules.includes(rule)) continue;
      if (seed !== first) console.log(`${bug} is noticed by seed ${seed} now`);
      break;
    }
    expect(rules).toContain(rule);
  },
  timeoutMs,
);

test.each(cases)(
  'without $bug the same run breaks nothing',
  async ({ seed, profile }) => {
    expect((await runSimulation({ seed, profile })).violations).toEqual([]);
  },
  timeoutMs,
);
