/** Nodes that join a cluster whose sets are whole: they get their share, and nobody is kept waiting. */
import { expect, test } from 'vitest';
import type { Profile } from '../src/profile.ts';
import { runSimulation } from '../src/simulation.ts';
import { hastyController, steadyCoordinator, steadyNetwork } from './steady.ts';

/** On a machine that does other work. */
const timeoutMs = 300_000;

/** One or two nodes come while clients call; nothing else goes wrong. */
const joining: Partial<Profile> = {
  nodes: 3,
  regions: ['eu'],
  zones: 0,
  factor: 3,
  shards: 4,
  objects: 3,
  firstNodes: 3,
  spares: 2,
  clients: 4,
  loadMs: 30_000,
  thinkMs: [5, 100],
  callTimeoutMs: [20_000, 20_000],
  casShare: 0,
  // Kept results make records that are longer than what some of these clusters let be in flight.
  requestShare: 0,
  alarmShare: 0,
  overloadedShare: 0,
  sessionTtlMs: 5000,
  faultEveryMs: [2000, 5000],
  coordinator: steadyCoordinator,
  network: steadyNetwork,
  kinds: ['join'],
  isDamaging: false,
  controller: { ...hastyController, changesMax: 2 },
};

test(
  'copies and objects go to nodes that join, and no call fails',
  async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const trace: string[] = [];
      const keep = (line: string) => trace.push(line);
      const { violations, operations, answered } = await runSimulation({
        seed,
        profile: joining,
        keep,
      });
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(answered, `seed ${seed}`).toBe(operations);
      // Each exchange is two writes, and 12 copies on 5 stores go a few at a time.
      expect(trace.filter((line) => line.includes('replica sets written')).length).toBeGreaterThan(
        4,
      );
    }
  },
  timeoutMs,
);

test(
  'sets come to lie in a zone that is new',
  async () => {
    for (const seed of [1, 2, 3]) {
      // The first three nodes are in two zones, the next one brings a third.
      const profile = { ...joining, zones: 3 };
      const { violations, operations, answered } = await runSimulation({ seed, profile });
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(answered, `seed ${seed}`).toBe(operations);
    }
  },
  timeoutMs,
);

test(
  'sets that would go on changing are noticed',
  async () => {
    const { violations } = await runSimulation({
      seed: 1,
      profile: joining,
      bugs: { protocol: { restless: true } },
    });
    expect(violations.map(({ rule }) => rule)).toContain('rest');
  },
  timeoutMs,
);
