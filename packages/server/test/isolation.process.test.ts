/** Faults of user code cost their executor at most: the node, its sockets and the data stay. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client, call } from './client.ts';
import { fixture, Program } from './program.ts';

let program: Program;

beforeAll(async () => {
  // A heap that is full long before the time is over, also beside other work.
  const limits = ['cpuPerEventMs=2000', `executorHeapBytes=${96 * 2 ** 20}`, 'executors=1'];
  program = await Program.start(
    fixture('faults'),
    '--no-watch',
    ...limits.flatMap((limit) => ['--limit', limit]),
  );
});

afterAll(() => program.dispose());

async function healthy(): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${program.ports.admin}/healthz`)).ok;
}

describe.each([
  ['never returns', 'loop', /CPU limit/],
  ['exits', 'exit', /exited with code 3/],
  ['exhausts the heap', 'exhaust', /out of memory/],
])('code that %s', (_what, method, reason) => {
  test('loses its executor, and nothing that was acknowledged', async () => {
    const before = await call(program, `/${method}/increment`);
    const caller = call(program, `/${method}/${method}`);
    expect(await healthy()).toBe(true);
    const failed = await caller;
    expect(failed.status).toBeGreaterThanOrEqual(500);
    expect(failed.message).toMatch(/^Durable Object reset because/);
    expect(failed.message).toMatch(reason);
    expect(await call(program, `/${method}/value`)).toMatchObject({ result: before.result });
    expect(await call(program, '/other/increment')).toMatchObject({ status: 200 });
  });
});

test('what nobody handles costs a line in the log', async () => {
  const [number] = (await call(program, '/unhandled/memory')).result as number[];
  expect(await call(program, '/unhandled/unhandled')).toMatchObject({ result: 'still here' });
  await program.printed(/nobody handles this/);
  await program.printed(/nor this/);
  expect(await call(program, '/unhandled/memory')).toMatchObject({ result: [number, 2] });
});

test('a stack trace shows the lines of the source', async () => {
  const { stack } = await call(program, '/a/throwTyped');
  expect(stack).toMatch(/RangeError: with a line of its own\n\s+at .*src\/index\.ts:\d+:\d+/);
});

test('hibernatable sockets stay open when their executor ends, plain ones close', async () => {
  const sleeping = await Client.connect(program, '/sockets/socket');
  const plain = await Client.connect(program, '/sockets/socket?plain');
  const [, before] = JSON.parse(await sleeping.ask('hello')) as [number, number];
  expect(await plain.ask('hello')).toBe('plain hello');
  sleeping.send('loop');
  expect(await plain.closed).toBe(1011);
  expect(await call(program, '/other/increment')).toMatchObject({ status: 200 });
  expect(sleeping.isOpen).toBe(true);
  const after = JSON.parse(await sleeping.ask('again')) as unknown[];
  expect(after).toEqual(['again', expect.any(Number), { since: before }, ['tag']]);
  sleeping.close();
});
