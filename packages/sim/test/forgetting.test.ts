/** Objects that are forgotten, begin anew, and meet replicas that did not hear of it. */
import { spaces } from '@homing/base';
import { expect, test } from 'vitest';
import { epochOf, id, put, Replicas } from './replicas.ts';

const empty = { type: 'clear' as const, space: spaces.kv };

function cut(trio: Replicas, a: number, b: number): void {
  trio.network.cut(`n${a}`, `n${b}`);
  trio.network.cut(`n${b}`, `n${a}`);
}

test('an object is forgotten everywhere once every replica has what emptied it', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  log.append([empty]);
  expect(log.isWhole).toBe(false);
  await trio.run(1500);
  expect(log.isWhole).toBe(true);
  const isForgotten = log.forget().then(() => true);
  await trio.run(200);
  expect(await isForgotten).toBe(true);
  expect(log.isOver).toBe(true);
  for (const { contents } of trio.disks) {
    expect(contents.head(id)).toBeUndefined();
    expect(contents.floor(id)).toBeGreaterThan(epochOf(5));
  }
  await expect(trio.acquire(1, epochOf(5))).rejects.toMatchObject({ code: 'fenced' });
  const next = await trio.acquire(1, epochOf(6));
  next.log.append([put('k', 'new')]);
  await trio.run(1500);
  expect([0, 1, 2].map((index) => trio.value(index, 'k'))).toEqual(['new', 'new', 'new']);
  expect(trio.last(2)).toEqual({ epoch: epochOf(6), lsn: 1 });
});

test('a copy that is kept in another region is forgotten too', async () => {
  const replicas = new Replicas({}, {}, ['a', 'b', 'c', 'd', 'e', 'f']);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  const there = { ...replicas.set, members: replicas.stores(3, 4, 5) };
  const copied = log as unknown as { copyTo(set: typeof there, ended: () => void): unknown };
  copied.copyTo(there, () => {});
  await replicas.run(1500);
  expect(replicas.value(3, 'k')).toBe('1');
  log.append([empty]);
  await replicas.run(1500);
  await Promise.all([log.forget(), replicas.run(500)]);
  expect([3, 4, 5].map((index) => replicas.last(index))).toEqual(new Array(3).fill(undefined));
});

test('while a replica lacks what emptied it, it is not forgotten: the old state would return', async () => {
  for (const bugs of [{}, { 'forgets-early': true }] as const) {
    const trio = new Replicas(bugs);
    await trio.run(200);
    const { log } = await trio.acquire(0, epochOf(5));
    log.append([put('k', 'old')]);
    await trio.run(1500);
    trio.kill(2);
    log.append([empty]);
    await trio.run(1500);
    expect(log.isWhole).toBe('forgets-early' in bugs);
    if (log.isWhole) {
      void log.forget();
      await trio.run(3000);
    } else log.release();
    trio.kill(0);
    trio.start(2);
    await trio.run(5000);
    await trio.acquire(1, epochOf(6));
    expect(trio.value(1, 'k')).toBe('forgets-early' in bugs ? 'old' : undefined);
  }
});

/** Lets some replicas forget an object of three records, which the others hold for ever. */
async function forgetAt(trio: Replicas, forgetting: readonly number[]): Promise<void> {
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  for (let n = 1; n <= 3; n++) log.append([put('k', String(n))]);
  log.append([empty]);
  await trio.run(1500);
  expect(log.isWhole).toBe(true);
  log.release();
  for (const index of forgetting) await trio.disks[index]?.contents.forget(id, epochOf(6));
}

test.each([
  { forgetting: [0], owner: 0, away: 1 },
  { forgetting: [0], owner: 1, away: 2 },
  { forgetting: [0, 1], owner: 0, away: 2 },
  { forgetting: [0, 1], owner: 0, away: 1 },
  { forgetting: [0, 1], owner: 2, away: 0 },
  { forgetting: [0, 1, 2], owner: 2, away: 0 },
])('$forgetting forgot it, $owner owns it next, $away is away', async (which) => {
  const { forgetting, owner, away } = which;
  const trio = new Replicas();
  await forgetAt(trio, forgetting);
  trio.kill(away);
  const { log, heard } = await trio.acquire(owner, epochOf(7));
  expect(trio.value(owner, 'k')).toBeUndefined();
  for (let n = 1; n <= 6; n++) log.append([put(`k${n}`, 'new')]);
  await trio.run(1500);
  expect(heard.at(-1)).toBe('committed 6');
  trio.start(away);
  await trio.run(6000);
  log.append([put('k', 'last')]);
  await trio.run(1500);
  for (const index of [0, 1, 2]) {
    expect(trio.value(index, 'k'), `replica ${index}`).toBe('last');
    expect(trio.value(index, 'k1'), `replica ${index}`).toBe('new');
  }
});

test('a new life that dies before it is committed everywhere is not lost among the old one', async () => {
  const trio = new Replicas();
  await forgetAt(trio, [0, 1]);
  cut(trio, 0, 2);
  const { log, heard } = await trio.acquire(0, epochOf(7));
  cut(trio, 1, 2);
  log.append([put('k', 'new')]);
  await trio.run(20);
  expect(heard).toContain('committed 1');
  trio.kill(0);
  trio.network.heal();
  await trio.run(2000);
  // It holds the former life, which is longer, and has to find the new one.
  const next = await trio.acquire(2, epochOf(8));
  expect(trio.value(2, 'k')).toBe('new');
  next.log.append([put('k2', 'more')]);
  await trio.run(1500);
  trio.start(0);
  await trio.run(3000);
  expect([0, 1, 2].map((index) => trio.value(index, 'k2'))).toEqual(['more', 'more', 'more']);
});

test('an owner of before is told that it is one no more, by replicas that know nothing', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log, heard } = await trio.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await trio.run(1500);
  for (const index of [1, 2]) await trio.disks[index]?.contents.forget(id, epochOf(6));
  const confirmed = log.confirm().then(
    () => 'confirmed',
    () => 'refused',
  );
  await trio.run(3000);
  expect(await confirmed).toBe('refused');
  expect(heard.at(-1)).toBe('lost fenced');
});
