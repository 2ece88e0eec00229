/** What a node says of its disk before a recovery. */
import { makeEpoch, type ObjectIdHex } from '@homing/base';
import { memoryStore } from '@homing/storage';
import { expect, test } from 'vitest';
import { Recovery, type RecoveryOptions } from './recovery.ts';

const epochOf = (revision: number) => makeEpoch(BigInt(revision), 0);

test('the greatest epoch on a disk may be that of an object that was forgotten', async () => {
  const store = memoryStore();
  const options = {
    node: 'n1',
    store,
    coordinator: { refused: true, highestEpoch: () => epochOf(3) },
    replication: { sets: () => new Map() },
    regions: { list: () => undefined },
    shardsPerRegion: 1,
  };
  const recovery = new Recovery(options as unknown as RecoveryOptions);
  const highest = () => recovery.state().highest;
  expect(highest()).toBe(String(epochOf(3)));
  await store.seal({ namespace: 'w/C', id: 'ab'.repeat(32) as ObjectIdHex }, epochOf(5));
  expect(highest()).toBe(String(epochOf(5)));
  // What it knows nothing of counts as having promised that much.
  await store.forget('cd'.repeat(32) as ObjectIdHex, epochOf(9));
  expect(highest()).toBe(String(epochOf(9)));
});
