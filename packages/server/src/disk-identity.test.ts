/** What a node's disk keeps about its etcd. */
import { type Epoch, HomingError, type Logger, type Store, type Timers } from '@homing/base';
import { memoryStore } from '@homing/storage';
import { expect, test } from 'vitest';
import { DiskIdentity, readGuard } from './disk-identity.ts';

test('what a busy disk did not take is written later', async () => {
  const store = memoryStore();
  let isBusy = false;
  const putNote = async (...note: Parameters<Store['putNote']>) => {
    if (isBusy) throw new HomingError('overloaded', 'the disk does not keep up');
    await store.putNote(...note);
  };
  const busy = { note: (name: string) => store.note(name), putNote } as unknown as Store;
  let due: (() => void) | undefined;
  const timers = {
    after: (_ms: number, run: () => void) => {
      due = run;
      return { cancel: () => {} };
    },
  } as unknown as Timers;
  const logger = { error: () => {} } as unknown as Logger;
  const etcd = { clusterId: 'c', refused: false, witness: 3, highestEpoch: () => 9n as Epoch };
  const identity = new DiskIdentity(busy, etcd, timers, logger);
  await identity.start();
  const fire = async () => {
    const run = due;
    due = undefined;
    run?.();
    for (let turn = 0; turn < 20; turn++) await undefined;
  };
  isBusy = true;
  await fire();
  isBusy = false;
  await fire();
  expect(readGuard(store)).toEqual({ clusterId: 'c', highest: 9n, witness: 3 });
});
