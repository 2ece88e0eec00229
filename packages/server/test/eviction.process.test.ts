/** Objects that nobody needs leave memory; what is theirs stays. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client, call } from './client.ts';
import { Gate } from './gate.ts';
import { fixture, Program } from './program.ts';

const soon = ['--limit', 'idleHibernateMs=300', '--limit'];

let program: Program;

beforeAll(async () => {
  program = await Program.start(fixture('faults'), '--no-watch', ...soon, 'idleEvictMs=300');
});

afterAll(() => program.dispose());

async function metric(name: string, of = program): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${of.ports.admin}/metrics`)).text();
  const line = page.split('\n').find((text) => text.startsWith(name));
  return Number(line?.split(' ').at(-1));
}

/** Resolves once no object is in memory. */
async function allAsleep(): Promise<void> {
  while ((await metric('homing_objects_active')) > 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('an idle object loses its memory and keeps its storage', async () => {
  await call(program, '/a/increment');
  const [first] = (await call(program, '/a/memory')).result as number[];
  await allAsleep();
  const [second, count] = (await call(program, '/a/memory')).result as number[];
  expect(second).not.toBe(first);
  expect(count).toBe(1);
  expect(await call(program, '/a/value')).toMatchObject({ result: 1 });
});

test('an event that runs keeps its object', async () => {
  const gate = await Gate.start();
  const asking = call(program, `/busy/ask?${gate.url}`);
  await gate.reached;
  const [number] = (await call(program, '/busy/memory')).result as number[];
  await new Promise((resolve) => setTimeout(resolve, 900));
  expect((await call(program, '/busy/memory')).result).toEqual([number, 2]);
  gate.open();
  expect(await asking).toMatchObject({ result: 'answered' });
});

test('sockets hibernate: the next message finds them, their tags and attachments', async () => {
  const client = await Client.connect(program, '/s/socket');
  const [, number] = JSON.parse(await client.ask('one')) as [string, number];
  await allAsleep();
  const asleep = await metric('homing_activations_total{cause="socket"}');
  // The gateway answers this one: nobody wakes.
  expect(await client.ask('ping')).toBe('pong');
  expect(await metric('homing_objects_active')).toBe(0);
  const [, after, attachment, tags] = JSON.parse(await client.ask('two')) as unknown[];
  expect(after).not.toBe(number);
  expect([attachment, tags]).toEqual([{ since: number }, ['tag']]);
  expect(await metric('homing_activations_total{cause="socket"}')).toBe((asleep || 0) + 1);
  client.close();
});

test('a plain socket keeps its object', async () => {
  const client = await Client.connect(program, '/p/socket?plain');
  const [number] = (await call(program, '/p/memory')).result as number[];
  await new Promise((resolve) => setTimeout(resolve, 900));
  expect((await call(program, '/p/memory')).result).toEqual([number, 2]);
  client.close();
  await allAsleep();
});

test('many objects touched once are all let go', async () => {
  for (let index = 0; index < 3000; index += 50) {
    const names = Array.from({ length: 50 }, (_, offset) => `/many-${index + offset}/increment`);
    await Promise.all(names.map((path) => call(program, path)));
  }
  await allAsleep();
  expect(await metric('homing_objects_owned')).toBe(0);
  expect(await call(program, '/many-7/value')).toMatchObject({ result: 1 });
});

test('those that were used last are kept, up to a number, unless sockets stand for them', async () => {
  const kept = await Program.start(fixture('faults'), '--no-watch', ...soon, 'idleObjectsMax=2');
  try {
    const memory = async (name: string) =>
      ((await call(kept, `/${name}/memory`)).result as number[])[0];
    const before = [await memory('a'), await memory('b'), await memory('c')];
    const client = await Client.connect(kept, '/s/socket');
    // Two are too many, and the newest of all has a socket.
    while ((await metric('homing_objects_active', kept)) > 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await memory('c')).toBe(before[2]);
    expect(await memory('b')).not.toBe(before[1]);
    client.close();
  } finally {
    await kept.dispose();
  }
});
