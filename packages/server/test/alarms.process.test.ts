/** Alarms ring at least once, whatever happens to the process in between. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from './client.ts';
import { fixture, Program } from './program.ts';

let program: Program;

beforeAll(async () => {
  program = await Program.start(
    fixture('faults'),
    '--no-watch',
    '--limit',
    'idleHibernateMs=200',
    '--limit',
    'idleEvictMs=200',
  );
});

afterAll(() => program.dispose());

async function rang(name: string, count: number): Promise<unknown[]> {
  for (;;) {
    const { result } = await call(program, `/${name}/rang`);
    if ((result as unknown[]).length >= count) return result as unknown[];
    await sleep(50);
  }
}

test('an alarm rings', async () => {
  await call(program, '/soon/setAlarm?10');
  expect(await rang('soon', 1)).toEqual([{ name: 'soon', retryCount: 0 }]);
});

test('one that fell due while the process was dead rings after its start', async () => {
  await call(program, '/dead/setAlarm?1000');
  await program.kill();
  await sleep(1200);
  await program.start();
  expect(await rang('dead', 1)).toEqual([{ name: 'dead', retryCount: 0 }]);
});

test('one that fails is tried again, also after a kill', async () => {
  await call(program, '/fails/failAlarms?1');
  await call(program, '/fails/setAlarm?10');
  await rang('fails', 1);
  await program.kill();
  await program.start();
  expect(await rang('fails', 2)).toEqual([
    { name: 'fails', retryCount: 0 },
    { name: 'fails', retryCount: 1 },
  ]);
});

test('it wakes an object that sleeps', async () => {
  await call(program, '/sleeper/setAlarm?1500');
  // Whoever asked the object itself would keep it awake.
  const query = 'namespace=THING&name=sleeper';
  const url = `http://127.0.0.1:${program.ports.admin}/api/describe?${query}`;
  const described = async () =>
    (await (await fetch(url)).json()) as { state: string; alarm: unknown };
  while ((await described()).state !== 'asleep') await sleep(20);
  while ((await described()).alarm !== null) await sleep(20);
  expect(await rang('sleeper', 1)).toHaveLength(1);
});
