/** Records that were never committed, at stores whose owner does not know of them and writes nothing. */
import { expect, test } from 'vitest';
import type { Disk } from '../src/disk.ts';
import { epochOf, id, put, Replicas } from './replicas.ts';

const names = ['a', 'b', 'c', 'd'];

/** The third holds such a record; the second owns the object, the fourth is no member. */
async function withDeadRecord() {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const first = await replicas.acquire(0, epochOf(5));
  first.log.append([put('k', '1')]);
  await replicas.run(1500);
  replicas.network.cut('n0', 'n1');
  (replicas.disks[0] as Disk).slowMs = 100_000;
  first.log.append([put('k', '2')]);
  await replicas.run(100);
  replicas.kill(0);
  (replicas.disks[0] as Disk).slowMs = undefined;
  replicas.network.heal();
  for (const other of ['n0', 'n1', 'n3']) {
    replicas.network.cut('n2', other);
    replicas.network.cut(other, 'n2');
  }
  replicas.start(0);
  const { log, heard } = await replicas.acquire(1, epochOf(6));
  replicas.network.heal();
  await replicas.run(2000);
  expect([0, 1, 2].map((index) => replicas.last(index)?.lsn)).toEqual([1, 1, 2]);
  return { replicas, log, heard };
}

test('a replica set changes all the same', async () => {
  const { replicas, log, heard } = await withDeadRecord();
  const next = replicas.stores(1, 2, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, next });
  }
  await replicas.run(10_000);
  const complete = [1, 2, 3].map((index) => replicas.replication(index).isComplete('main/0'));
  expect(complete).toEqual([true, true, true]);
  expect([1, 2, 3].map((index) => replicas.last(index))).toEqual(
    new Array(3).fill({ epoch: epochOf(6), lsn: 2 }),
  );
  // What settled it is no group of the object.
  expect(heard).toEqual([]);
  const [a, b, c] = ['n0', 'n2', 'n3'];
  for (const other of [a, b, c]) replicas.network.cut('n1', other as string);
  log.append([put('k', '3')]);
  await replicas.run(500);
  expect(heard).toEqual([]);
  replicas.network.heal();
  await replicas.run(4000);
  expect(heard).toEqual(['committed 1']);
  expect([1, 2, 3].map((index) => replicas.value(index, 'k'))).toEqual(['3', '3', '3']);
});

test('a replica that has lost one to damage tells its log again', async () => {
  const { replicas } = await withDeadRecord();
  const disk = replicas.disks[2] as Disk;
  await disk.contents.quarantine(id, 'damaged');
  expect(disk.contents.head(id)?.isQuarantined).toBe(true);
  await replicas.run(15_000);
  expect(disk.contents.head(id)?.isQuarantined).toBeUndefined();
  expect(replicas.value(2, 'k')).toBe('1');
});

test('one of a former life gives way to an object that holds nothing', async () => {
  const { replicas, log } = await withDeadRecord();
  log.release();
  for (const index of [0, 1]) await replicas.disks[index]?.contents.forget(id, epochOf(7));
  replicas.kill(2);
  await replicas.acquire(1, epochOf(8));
  replicas.start(2);
  const next = replicas.stores(1, 2, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, next });
  }
  await replicas.run(15_000);
  const complete = [1, 2, 3].map((index) => replicas.replication(index).isComplete('main/0'));
  expect(complete).toEqual([true, true, true]);
  expect(replicas.last(2)).toEqual({ epoch: epochOf(8), lsn: 1 });
  expect(replicas.value(2, 'k')).toBeUndefined();
});
