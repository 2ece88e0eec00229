/**
 * The same worker programs on workerd, on a homing node, and on a cluster whose node that is asked
 * owns no object. A fixture answers `GET /` with one outcome for each of its cases; all must answer
 * alike.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { clusterRunner, hasEtcd } from '../src/cluster-runner.ts';
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

const runners = [homingRunner, ...(hasEtcd ? [clusterRunner] : [])];

describe.each(names)('%s', async (name) => {
  const directory = join(fixtures, name);
  const known = Object.entries(knownDifferences[name] ?? {});
  const reasonOf = (title: string) => known.find(([part]) => title.endsWith(part))?.[1];
  const expected = await outcomes(workerdRunner, directory);

  describe.each(runners)('on $name', async (runner) => {
    const actual = await outcomes(runner, directory);

    test('has the same cases', () => {
      expect(Object.keys(actual)).toEqual(Object.keys(expected));
    });

    for (const [title, outcome] of Object.entries(expected)) {
      const reason = reasonOf(title);
      test(title, () => {
        if (reason === undefined) expect(actual[title]).toEqual(outcome);
        else expect(actual[title], `equal now: strike it off (${reason})`).not.toEqual(outcome);
      });
    }
  });
});
