/** What stores hold for owners, and when they stop. */
import { expect, test } from 'vitest';
import type { Disk } from '../src/disk.ts';
import { epochOf, id, put, Replicas } from './replicas.ts';

const held = (replicas: Replicas) => [0, 1, 2].map((index) => replicas.replication(index).held);

test('nothing is held for an owner that gave up while its links were gone', async () => {
  const replicas = new Replicas();
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(1500);
  expect(held(replicas)).toEqual([1, 1, 1]);
  for (const other of ['n1', 'n2']) {
    replicas.network.cut('n0', other);
    replicas.network.cut(other, 'n0');
  }
  await replicas.run(1500);
  log.release();
  replicas.network.heal();
  await replicas.run(10_000);
  expect(held(replicas)).toEqual([0, 0, 0]);
});

test.each([
  ['others', [0, 2]],
  ['its own disk', [1]],
])('nothing is held for a claim that was given up before %s answered', async (_who, slow) => {
  const replicas = new Replicas();
  await replicas.run(200);
  for (const index of slow) (replicas.disks[index] as Disk).slowMs = 500;
  const claim = replicas.acquire(1, epochOf(5)).catch((error: unknown) => String(error));
  await replicas.run(100);
  replicas.replication(1).damaged(id, 'a test says so');
  await replicas.run(5000);
  await claim;
  expect(held(replicas)).toEqual([0, 0, 0]);
});

test('nothing is held for a process that has ended', async () => {
  const replicas = new Replicas();
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(1500);
  replicas.kill(0);
  replicas.start(0);
  await replicas.run(10_000);
  expect(held(replicas)).toEqual([0, 0, 0]);
});

test('nothing is held for a process that ended while its writes were on their way to the disk', async () => {
  const replicas = new Replicas();
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  await replicas.run(1500);
  for (const index of [1, 2]) (replicas.disks[index] as Disk).slowMs = 3000;
  log.append([put('k', '1')]);
  await replicas.run(50);
  replicas.kill(0);
  await replicas.run(10_000);
  expect(held(replicas).slice(1)).toEqual([0, 0]);
  expect([1, 2].map((index) => replicas.last(index)?.lsn)).toEqual([1, 1]);
});

test('what an owner still tells others when it gives up is not held for it', async () => {
  const replicas = new Replicas();
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(50);
  for (const index of [1, 2]) (replicas.disks[index] as Disk).slowMs = 300;
  void log.settled();
  await replicas.run(50);
  log.release();
  await replicas.run(50);
  // It says no more.
  replicas.kill(0);
  expect(held(replicas).slice(1)).toEqual([0, 0]);
  await replicas.run(500);
  expect(held(replicas).slice(1)).toEqual([0, 0]);
});
