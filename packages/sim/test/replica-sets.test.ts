/** A replica set that changes, on simulated disks and links: who has to agree, step by step. */
import { expect, test } from 'vitest';
import { epochOf, id, put, Replicas } from './replicas.ts';

const names = ['a', 'b', 'c', 'd', 'e'];

test('an owner that etcd does not reach hears of a new set from a replica', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  const joint = { ...replicas.set, generation: 2, next: replicas.stores(1, 3, 4) };
  for (const other of ['n3', 'n4']) {
    replicas.network.cut('n0', other);
    replicas.network.cut(other, 'n0');
  }
  replicas.tell(1, joint);
  await replicas.run(300);
  expect(replicas.replication(0).setOf('main', id)?.generation).toBe(2);
  log.append([put('k', '1')]);
  await replicas.run(500);
  // The old list has it; of the new one only the second node.
  expect(heard).toEqual([]);
  expect(log.isCovered()).toBe(false);
  replicas.network.heal();
  await replicas.run(4000);
  expect(heard).toEqual(['committed 1']);
  expect(log.isCovered()).toBe(true);
  expect(replicas.value(3, 'k')).toBe('1');
});

test('an owner commits with the new list alone once it stands', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  replicas.tell(0, { ...replicas.set, generation: 2, next: replicas.stores(0, 3, 4) });
  await replicas.run(500);
  replicas.tell(0, { generation: 3, members: replicas.stores(0, 3, 4) });
  await replicas.run(500);
  replicas.kill(1);
  replicas.kill(2);
  log.append([put('k', '2')]);
  await replicas.run(500);
  expect(heard).toContain('committed 2');
  await replicas.run(2000);
  expect([3, 4].map((index) => replicas.value(index, 'k'))).toEqual(['2', '2']);
});

test('a node that is in the set no more stops owning', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  replicas.tell(0, { generation: 2, members: replicas.stores(1, 3, 4) });
  await replicas.run(100);
  expect(heard).toEqual(['lost unavailable']);
  expect(log.isOver).toBe(true);
});

test('a store keeps its set over a restart, and refuses what goes by an older one', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  for (const index of [1, 2]) {
    replicas.tell(index, { generation: 3, members: replicas.stores(1, 2, 3) });
  }
  await replicas.run(100);
  for (const index of [0, 1, 2, 3, 4]) replicas.kill(index);
  for (const index of [0, 1, 2]) replicas.start(index);
  expect(replicas.replication(1).setOf('main', id)?.generation).toBe(3);
  await replicas.run(500);
  // It has heard so from the others, and is no member.
  await expect(replicas.acquire(0, epochOf(5))).rejects.toMatchObject({ code: 'unavailable' });
  await replicas.acquire(1, epochOf(6));
});

test('what is sealed under an older set is sealed again under the new one', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(1000);
  replicas.kill(0);
  // The second node alone cannot seal a majority; the set changes meanwhile.
  replicas.kill(2);
  const acquired = replicas.acquire(1, epochOf(6));
  await replicas.run(3500);
  replicas.tell(1, { ...replicas.set, generation: 2, next: replicas.stores(1, 3, 4) });
  await replicas.run(200);
  replicas.start(2);
  await acquired;
  expect(replicas.value(1, 'k')).toBe('1');
});
