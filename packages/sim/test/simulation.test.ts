/** Whole runs: nothing is broken in any, one seed gives one run, and mistakes are noticed. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseSeeds } from '../src/seed-list.ts';
import { runSimulation } from '../src/simulation.ts';

const keptSeeds = parseSeeds(readFileSync(new URL('../seeds.txt', import.meta.url), 'utf8'));

test.each(keptSeeds)('seed %i, which once failed, breaks nothing', async (seed) => {
  expect((await runSimulation({ seed })).violations).toEqual([]);
});

const freshSeeds = Array.from({ length: 12 }, (_, index) => 1000 + 5 * index);

test.each(freshSeeds)('five seeds from %i break nothing', async (first) => {
  for (let seed = first; seed < first + 5; seed++) {
    const { violations } = await runSimulation({ seed });
    expect(violations, `npm run sim -- --seed ${seed}`).toEqual([]);
  }
});

test('the same seed gives the same run, another seed another', async () => {
  const first = await runSimulation({ seed: 7 });
  const lines: string[] = [];
  const again = await runSimulation({ seed: 7, keep: (line) => lines.push(line) });
  expect(again).toEqual(first);
  expect(first.steps).toBeGreaterThan(1000);
  expect(lines.length).toBeGreaterThan(1000);
  expect((await runSimulation({ seed: 8 })).traceHash).not.toBe(first.traceHash);
});

test('a run is the same wherever the code lies, and however deep its stacks are', async () => {
  const { stackTraceLimit } = Error;
  try {
    for (const seed of [8]) {
      Error.stackTraceLimit = 0;
      const first = await runSimulation({ seed });
      Error.stackTraceLimit = 30;
      expect(await runSimulation({ seed })).toEqual(first);
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
});

test('the machine’s time and dice cannot be used in a run, and can again afterwards', async () => {
  const heard: string[] = [];
  await runSimulation({
    seed: 7,
    stepsMax: 100,
    keep: () => {
      if (heard.length > 0) return;
      for (const use of [() => Date.now(), () => Math.random(), () => setTimeout(() => {}, 0)]) {
        try {
          use();
        } catch (error) {
          heard.push(String(error));
        }
      }
    },
  });
  expect(heard).toHaveLength(3);
  expect(Date.now()).toBeGreaterThan(0);
});
