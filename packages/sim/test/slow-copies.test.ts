/** Copies that take long where nothing is amiss are waited for. */
import { replicationLimits } from '@homing/replication';
import { expect, test } from 'vitest';
import { runSimulation } from '../src/simulation.ts';
import { twoRegions } from './steady.ts';

/** On a machine that does other work. */
const timeoutMs = 300_000;

test(
  'a copy in a region that is far away is given the time for the way there',
  async () => {
    const { violations } = await runSimulation({
      seed: 1,
      profile: {
        ...twoRegions,
        nodes: 5,
        firstNodes: 5,
        // It comes to the region that has the copies, and is sent one.
        spares: 1,
        kinds: ['join'],
        faultEveryMs: [20_000, 25_000],
        objects: 1,
        clients: 6,
        thinkMs: [1, 20],
        loadMs: 30_000,
        readShare: 0,
        requestShare: 0,
        fsyncMs: [0, 2],
        talkers: 0,
        isRemote: true,
        migration: {
          rules: { windowMs: 1200, minimumStayMs: 8000, hysteresis: 0.25, tripsMin: 5 },
          pingMs: 200,
          movesMax: 0,
          apartMs: 500,
          pull: 'any',
          spellMs: 2400,
        },
        limits: {
          ...replicationLimits,
          scrubBytesPerSecond: 0,
          pageBytes: 20,
          pagesInFlightMax: 1,
        },
      },
    });
    expect(violations).toEqual([]);
  },
  timeoutMs,
);
