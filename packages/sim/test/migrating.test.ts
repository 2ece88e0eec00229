/** Objects that move toward their callers, by the migrator that production runs. */
import type { DeliberateBug } from '@homing/protocol';
import { expect, test } from 'vitest';
import type { MigrationProfile, Profile } from '../src/profile.ts';
import { runSimulation } from '../src/simulation.ts';
import { twoRegions } from './steady.ts';

/** On a machine that does other work. */
const timeoutMs = 300_000;

/** Two regions far apart. Nothing goes wrong. */
function calling(migration: Partial<MigrationProfile>): Partial<Profile> {
  return {
    ...twoRegions,
    nodes: 4,
    firstNodes: 4,
    clients: 6,
    loadMs: 60_000,
    thinkMs: [20, 200],
    idleMs: [100, 1000],
    kinds: [],
    migration: {
      rules: { windowMs: 3000, minimumStayMs: 4000, hysteresis: 0.25, tripsMin: 5 },
      pingMs: 500,
      movesMax: 4,
      apartMs: 40,
      pull: 'turns',
      spellMs: 6000,
      ...migration,
    },
  };
}

async function run(seed: number, migration: Partial<MigrationProfile>, bug?: DeliberateBug) {
  const bugs = bug === undefined ? {} : { protocol: { [bug]: true } };
  const { violations, moves } = await runSimulation({ seed, profile: calling(migration), bugs });
  return { rules: violations.map(({ rule }) => rule), violations, moves };
}

test(
  'an object follows callers that take turns, and ever less often',
  async () => {
    for (const seed of [1, 2]) {
      const { violations, moves } = await run(seed, { pull: 'turns' });
      expect(violations, `seed ${seed}`).toEqual([]);
      // Two objects that went along with each of the 10 spells would have moved 20 times.
      expect(moves, `seed ${seed}`).toBeGreaterThan(2);
      expect(moves, `seed ${seed}`).toBeLessThan(12);
    }
  },
  timeoutMs,
);

test(
  'one that two regions call alike stays until its callers go away',
  async () => {
    for (const seed of [1, 2]) {
      const { violations } = await run(seed, { pull: 'alike' });
      expect(violations, `seed ${seed}`).toEqual([]);
    }
  },
  timeoutMs,
);

test(
  'none moves where no moves are allowed',
  async () => {
    const { violations, moves } = await run(1, { pull: 'turns', movesMax: 0 });
    expect(violations).toEqual([]);
    expect(moves).toBe(0);
  },
  timeoutMs,
);

test.each([
  { bug: 'no-minimum-stay', pull: 'turns' },
  { bug: 'no-hysteresis', pull: 'alike' },
] as const)(
  '$bug is noticed',
  async ({ bug, pull }) => {
    const { rules } = await run(1, { pull }, bug);
    expect(rules).toContain('moves');
  },
  timeoutMs,
);
