/** Clients' sockets, whose objects move while links break and owners die. */
import type { DeliberateBug } from '@homing/protocol';
import { expect, test } from 'vitest';
import type { Profile } from '../src/profile.ts';
import { runSimulation } from '../src/simulation.ts';
import { steadyNetwork, twoRegions } from './steady.ts';

/** Seeds looked at before a mistake counts as not noticed. */
const searchMax = 20;
/** On a machine that does other work. */
const timeoutMs = 300_000;

/** Nobody dies: objects move within two regions and between them, and links break for a while. */
const living: Partial<Profile> = {
  ...twoRegions,
  nodes: 6,
  firstNodes: 6,
  clients: 2,
  talkers: 3,
  talkMs: [10, 150],
  socketBytesMax: 1_000_000,
  loadMs: 20_000,
  thinkMs: [50, 500],
  idleMs: [50, 500],
  network: { ...steadyNetwork, keepaliveMs: 400 },
  faultEveryMs: [200, 1500],
  faultMs: [500, 1500],
  kinds: ['move', 'move-home', 'cut-both-ways', 'cut-one-way'],
  migration: undefined,
};

const dying: Partial<Profile> = {
  ...living,
  sessionTtlMs: 1500,
  kinds: ['move', 'move-home', 'cut-both-ways', 'crash', 'executor-crash', 'cut-off', 'drain'],
};

async function run(seed: number, profile: Partial<Profile>, bug?: DeliberateBug) {
  const bugs = bug === undefined ? {} : { protocol: { [bug]: true } };
  return await runSimulation({ seed, profile, bugs });
}

test(
  'while all nodes live no frame is lost, and no socket is closed',
  async () => {
    for (const seed of [1, 2]) {
      const { violations, frames } = await run(seed, living);
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(frames.sent, `seed ${seed}`).toBeGreaterThan(300);
      // Those who have had enough do not wait for the last answers.
      expect(frames.answered, `seed ${seed}`).toBeGreaterThan(0.9 * frames.sent);
      expect(frames.dropped, `seed ${seed}`).toBe(0);
    }
  },
  timeoutMs,
);

test(
  'where nodes die, frames are lost with them alone',
  async () => {
    for (const seed of [1, 2]) {
      const { violations, frames } = await run(seed, dying);
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(frames.answered, `seed ${seed}`).toBeGreaterThan(100);
    }
  },
  timeoutMs,
);

test(
  'an owner that only gateways reach gives its sockets up',
  async () => {
    const profile = {
      ...living,
      sessionTtlMs: 1500,
      loadMs: 40_000,
      kinds: ['plot-unaware-owner'],
    } as const;
    const { violations, frames } = await run(1, profile);
    expect(violations).toEqual([]);
    expect(frames.dropped).toBe(0);
    // What it had taken is lost with it; what follows does not wait for it.
    expect(frames.answered).toBeGreaterThan(0.7 * frames.sent);
  },
  timeoutMs,
);

// In the second one, a client closes while frames of it wait, and answers find no room.
test.each([1, 43])(
  'where more is sent than may wait, the client is told so, seed %i',
  async (seed) => {
    const lines: string[] = [];
    const { violations } = await runSimulation({
      seed,
      profile: { ...living, socketBytesMax: 500 },
      keep: (line) => lines.push(line),
    });
    expect(violations).toEqual([]);
    const codes = lines.flatMap((line) => /is closed with (\d+)$/.exec(line)?.[1] ?? []);
    // 1011 is what a client hears that comes too late to its socket.
    expect(codes).toContain('1013');
    expect(codes.filter((code) => code !== '1013' && code !== '1011')).toEqual([]);
  },
  timeoutMs,
);

test.each(['lane-forgets', 'lane-doubles'] as const)(
  '%s is noticed',
  async (bug) => {
    const rule = bug === 'lane-forgets' ? 'socket' : 'duplicate';
    const rules: string[] = [];
    for (let seed = 1; seed <= searchMax && !rules.includes(rule); seed++) {
      const { violations } = await run(seed, living, bug);
      rules.push(...violations.map((violation) => violation.rule));
    }
    expect(rules).toContain(rule);
  },
  timeoutMs,
);
