/**
 * The same worker programs on workerd and on homing. A fixture answers `GET /` with one outcome for
 * each of its cases; both runtimes must answer alike.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { homingRunner } from '../src/homing-runner.ts';
import { knownDifferences } from '../src/known-differences.ts';
import type { Runner } from '../src/runner.ts';
import { workerdRunner } from '../src/workerd-runner.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function outcomes(runner: Runner, directory: string): Promise<Record<string, unknown>> {
  const served = await runner.start(directory);
  try {
    const response = await fetch(served.url);
    if (!response.ok) throw new Error(`${runner.name}: ${await response.text()}\n${served.log()}`);
    return (await response.json()) as Record<string, unknown>;
  } finally {
    await served.stop();
  }
}

const names = readdirSync(fixtures).filter((name) => statSync(join(fixtures, name)).isDirectory());

describe.each(names)('%s', async (name) => {
  const directory = join(fixtures, name);
  const [expected, actual] = await Promise.all([
    outcomes(workerdRunner, directory),
    outcomes(homingRunner, directory),
  ]);

  test('has the same cases', () => {
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
  });

  const known = knownDifferences[name] ?? {};
  for (const [title, outcome] of Object.entries(expected)) {
    const reason = Object.entries(known).find(([part]) => title.endsWith(part))?.[1];
    test(title, () => {
      if (reason === undefined) expect(actual[title]).toEqual(outcome);
      else expect(actual[title], `equal now: strike it off (${reason})`).not.toEqual(outcome);
    });
  }
});
