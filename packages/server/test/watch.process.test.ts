/** A change of the source is served with the state kept; a mistake leaves the last good version. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { example, Program } from './program.ts';

let directory: string;
let program: Program;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homing-watch-'));
  cpSync(example('counter'), directory, { recursive: true });
  program = await Program.start(directory);
});

afterAll(async () => {
  await program.dispose();
  rmSync(directory, { recursive: true });
});

function edit(from: string | RegExp, to: string): void {
  const file = join(directory, 'src', 'index.ts');
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}

async function post(): Promise<number> {
  const response = await fetch(program.url('/a'), { method: 'POST' });
  return ((await response.json()) as { value: number }).value;
}

test('edit, break, mend', async () => {
  expect([await post(), await post()]).toEqual([1, 2]);
  edit('increment(by = 1)', 'increment(by = 10)');
  await program.printed(/reloaded counter/);
  expect(await post()).toBe(12);

  edit('increment(by = 10)', 'increment(by = ');
  await program.printed(/does not build:[\s\S]*src\/index\.ts:\d+:\d+[\s\S]*last good version/);
  expect(await post()).toBe(22);

  edit('increment(by = ', 'increment(by = 100)');
  await program.printed(/reloaded counter[\s\S]*reloaded counter/);
  expect(await post()).toBe(122);
});

test('a variable that comes into .dev.vars', async () => {
  writeFileSync(join(directory, '.dev.vars'), 'GREETING=hello\n');
  await program.printed(/(reloaded counter[\s\S]*){3}/);
  expect(await post()).toBe(222);
});
