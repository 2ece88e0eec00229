/** What is bounded, and what becomes of what goes past it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client, call } from './client.ts';
import { fixture, Program } from './program.ts';

let program: Program;

beforeAll(async () => {
  program = await Program.start(fixture('faults'), '--no-watch', '--limit', 'objectQueueMax=20');
});

afterAll(() => program.dispose());

test('past the queue of an object calls fail at once, the queued ones run', async () => {
  const held = call(program, '/queue/hold?1000');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const calls = await Promise.all(
    Array.from({ length: 60 }, () => call(program, '/queue/increment')),
  );
  const overloaded = calls.filter((answer) => answer['overloaded'] === true);
  expect(calls.length - overloaded.length).toBe(20);
  expect(overloaded[0]?.message).toBe('Durable Object is overloaded. Too many requests queued.');
  expect(await held).toMatchObject({ result: 'held' });
  expect(await call(program, '/queue/value')).toMatchObject({ result: 20 });
});

test('a message that is too large closes its socket with 1009', async () => {
  const client = await Client.connect(program, '/large/socket');
  const [size] = JSON.parse(await client.ask(Buffer.alloc(1024 * 1024))) as [number];
  expect(size).toBe(1024 * 1024);
  client.send(Buffer.alloc(33 * 1024 * 1024));
  expect(await client.closed).toBe(1009);
});

test('a client that reads nothing is closed, not buffered for', async () => {
  const slow = await Client.connect(program, '/flood/socket');
  slow.pause();
  slow.send('flood');
  const other = await Client.connect(program, '/flood/socket');
  expect(JSON.parse(await other.ask('still'))).toContain('still');
  slow.resume();
  // Cut off: a closing frame could not get through either.
  expect([1006, 1013]).toContain(await slow.closed);
  expect(slow.received).toBeLessThan(64);
});
