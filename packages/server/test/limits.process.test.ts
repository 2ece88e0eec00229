/** What is bounded, and what becomes of what goes past it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client, call } from './client.ts';
import { Gate } from './gate.ts';
import { fixture, Program } from './program.ts';

let program: Program;

beforeAll(async () => {
  program = await Program.start(fixture('faults'), '--no-watch', '--limit', 'objectQueueMax=20');
});

afterAll(() => program.dispose());

test('past the queue of an object calls fail at once, the queued ones run', async () => {
  const gate = await Gate.start();
  const held = call(program, `/queue/hold?${gate.url}`);
  await gate.reached;
  let answered = 0;
  const calling = Array.from({ length: 60 }, async () => {
    const answer = await call(program, '/queue/increment');
    answered += 1;
    return answer;
  });
  while (answered < 40) await new Promise((resolve) => setTimeout(resolve, 10));
  gate.open();
  const calls = await Promise.all(calling);
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
