/** Copies of one object that come to a store from two others at a time. */
import { expect, test } from 'vitest';
import { epochOf, put, Replicas } from './replicas.ts';

test('a copy that a store has asked for and one that an owner sends do not end each other', async () => {
  const limits = { pageBytes: 100, rebuildBytesPerSecond: 2000, windowBytesMax: 0 };
  const replicas = new Replicas({}, limits, ['a', 'b', 'c', 'd']);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  for (let n = 0; n < 60; n++) log.append([put(`k${n}`, 'x'.repeat(90))]);
  await replicas.run(5000);
  // d learns, and asks b or c, while the owner sends it the state as it comes.
  const coming = replicas.stores(0, 1, 3);
  const learning = { generation: 2, members: replicas.set.members, coming };
  for (const index of [0, 1, 2, 3]) replicas.tell(index, learning);
  let isThere = false;
  for (let second = 0; second < 60 && !isThere; second++) {
    log.append([put('k', 'x'.repeat(90))]);
    await replicas.run(1000);
    isThere = replicas.value(3, 'k59') !== undefined;
  }
  expect(isThere).toBe(true);
});
