/** An object whose copies in another region are not alike comes up there, since its own is lost. */
import type { ShardAssignment } from '@homing/base';
import { expect, test } from 'vitest';
import { epochOf, put, Replicas } from './replicas.ts';

const nothing = () => {};

/** Copies at d, e and f; of the last write d alone has heard. */
async function lostRegion(): Promise<Replicas> {
  const replicas = new Replicas({}, {}, ['a', 'b', 'c', 'd', 'e', 'f']);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  const there: ShardAssignment = { ...replicas.set, members: replicas.stores(3, 4, 5) };
  log.stage(there, 'store-d').near.catch(nothing);
  await replicas.run(1000);
  for (const index of [4, 5]) replicas.kill(index);
  log.append([put('k', '2')]);
  await replicas.run(1000);
  expect([3, 4, 5].map((index) => replicas.value(index, 'k'))).toEqual(['2', '1', '1']);
  for (const index of [0, 1, 2, 3]) replicas.kill(index);
  for (const index of [4, 5]) {
    replicas.start(index);
    replicas.tell(index, { generation: 2, members: there.members });
  }
  await replicas.run(5000);
  return replicas;
}

test('what was served once is not replaced by a copy that was newer', async () => {
  const replicas = await lostRegion();
  await replicas.acquire(4, epochOf(9), 20_000, true);
  expect(replicas.value(4, 'k')).toBe('1');
  replicas.kill(4);
  replicas.start(3);
  replicas.tell(3, { generation: 2, members: replicas.stores(3, 4, 5) });
  await replicas.run(100);
  await replicas.acquire(3, epochOf(10), 20_000, true);
  expect([3, 5].map((index) => replicas.value(index, 'k'))).toEqual(['1', '1']);
});

test('a copy that was newer takes no acknowledged write away', async () => {
  const replicas = await lostRegion();
  const { log } = await replicas.acquire(4, epochOf(9), 20_000, true);
  replicas.start(3);
  log.append([put('k', '3')]);
  await replicas.run(5000);
  expect([3, 4, 5].map((index) => replicas.value(index, 'k'))).toEqual(['3', '3', '3']);
});
