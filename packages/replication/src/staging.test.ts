import type { Epoch, ObjectIdHex, ObjectRef } from '@homing/base';
import type { ReplicaSet } from '@homing/protocol';
import { expect, test } from 'vitest';
import { replicationLimits } from './limits.ts';
import type { CopyOrder } from './snapshot-sender.ts';
import { ObjectStaging, type ObjectStagingOptions } from './staging.ts';

const object: ObjectRef = { namespace: 'w/C', id: '01'.repeat(32) as ObjectIdHex };
const epoch = 5n as Epoch;
const name = { epoch, lsn: 3 };

/** A copy to one store, whose state it does not continue. */
function copying(isLasting: boolean) {
  const orders: CopyOrder[] = [];
  const said: string[] = [];
  const due: (() => void)[] = [];
  let isUnderWay = false;
  const context = {
    clock: { monotonicMs: () => 0 },
    timers: { after: (_ms: number, run: () => void) => due.push(run) },
    limits: replicationLimits,
    peers: {
      stores: () => ['s'],
      nodeOf: () => 'n',
      send: (_store: string, { type }: { type: string }) => said.push(type),
    },
    copies: {
      isUnderWay: () => isUnderWay,
      start: (order: CopyOrder) => {
        isUnderWay = true;
        orders.push(order);
        said.push('copy');
      },
    },
  };
  const options = {
    context,
    object,
    set: { generation: 1, members: ['s'] } as unknown as ReplicaSet,
    target: 's',
    held: { base: name, records: [], committed: name.lsn },
    sender: () => ({ epoch, home: 'eu', generation: 1 }),
    isLasting,
    asked: () => undefined,
    ended: () => undefined,
  };
  const staging = new ObjectStaging(options as unknown as ObjectStagingOptions);
  const end = (how: 'done' | 'failed') => {
    isUnderWay = false;
    if (how === 'done') orders.at(-1)?.done(name);
    else orders.at(-1)?.failed();
    for (const run of due.splice(0)) run();
  };
  return { staging, said, end };
}

test.each([
  ['a move', false, ['copy'], ['copy']],
  ['a remote copy', true, ['append', 'copy'], ['append']],
] as const)(
  '%s is not begun anew by a store that says again that it has nothing',
  (_what, isLasting, first, again) => {
    const { staging, said, end } = copying(isLasting);
    staging.step({ type: 'gap', store: 's' });
    expect(said.splice(0)).toEqual(first);
    staging.up('s');
    expect(said).toEqual([]);
    end('failed');
    expect(said.splice(0)).toEqual(again);
    staging.step({ type: 'gap', store: 's' });
    said.length = 0;
    end('done');
    expect(staging.isNear).toBe(true);
    said.length = 0;
    staging.up('s');
    expect(said).toEqual(again);
  },
);
