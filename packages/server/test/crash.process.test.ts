/** Killed under load, again and again: what was acknowledged is there, and every group is whole. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fixture, Program } from './program.ts';

const rounds = 30;
/** A start takes a second, or five beside other work. */
const timeoutMs = 600_000;
const clients = 8;
const objects = ['/a', '/b', '/c'];

interface Check {
  readonly count: number;
  readonly whole: boolean;
  readonly entries: number;
}

let program: Program;

beforeAll(async () => {
  program = await Program.start(fixture('ledger'), '--no-watch');
});

afterAll(() => program.dispose());

/** Adds until the program is gone. `acked` and `sent` are by object. */
async function client(index: number, acked: number[], sent: number[]): Promise<void> {
  for (let turn = index; ; turn++) {
    const object = turn % objects.length;
    sent[object] = (sent[object] ?? 0) + 1;
    try {
      const response = await fetch(program.url(objects[object] ?? '/'), { method: 'POST' });
      const count = (await response.json()) as number;
      acked[object] = Math.max(acked[object] ?? 0, count);
    } catch {
      return;
    }
  }
}

test(
  `nothing acknowledged is lost in ${rounds} kills`,
  async () => {
    const acked = objects.map(() => 0);
    const sent = objects.map(() => 0);
    let counts = objects.map(() => 0);
    for (let round = 0; round < rounds; round++) {
      const load = Array.from({ length: clients }, (_, index) => client(index, acked, sent));
      await sleep(50 + ((round * 37) % 200));
      const isWritten = (object: number) => (acked[object] ?? 0) > (counts[object] ?? 0) + 1;
      while (!objects.every((_, object) => isWritten(object))) await sleep(5);
      await program.kill();
      await Promise.all(load);
      await program.start();
      for (const [object, path] of objects.entries()) {
        const check = (await (await fetch(program.url(path))).json()) as Check;
        expect(check.count).toBeGreaterThanOrEqual(acked[object] ?? 0);
        expect(check.count).toBeLessThanOrEqual(sent[object] ?? 0);
        expect(check.count).toBeGreaterThanOrEqual(counts[object] ?? 0);
        expect(check).toEqual({ count: check.count, whole: true, entries: check.count });
        counts = counts.with(object, check.count);
      }
    }
    expect(Math.min(...acked), 'every object was written to').toBeGreaterThan(rounds);
  },
  timeoutMs,
);

test('SIGTERM ends it in order, with status 0', async () => {
  const before = (await (await fetch(program.url('/a'), { method: 'POST' })).json()) as number;
  expect(await program.signal('SIGTERM')).toBe(0);
  await program.start();
  expect(((await (await fetch(program.url('/a'))).json()) as Check).count).toBe(before);
});
