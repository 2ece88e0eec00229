import {
  type Clock,
  type MonotonicMs,
  makeEpoch,
  type ObjectIdHex,
  type Snapshot,
  type Store,
  type Timers,
} from '@homing/base';
import { expect, test } from 'vitest';
import { replicationLimits } from './limits.ts';
import type { LogMessage } from './messages.ts';
import { SnapshotSender } from './snapshot-sender.ts';

const id = 'ab'.repeat(32) as ObjectIdHex;
const epoch = makeEpoch(5n, 0);
const nameOf = (lsn: number) => ({ epoch, lsn });

test('a page that is answered when its time was up says nothing of the next copy', () => {
  const due: (() => void)[] = [];
  const sent: LogMessage[] = [];
  let lsn = 1;
  const snapshot = () =>
    ({
      head: { applied: nameOf(lsn), alarmMs: null, name: undefined },
      next: () => undefined,
      close: () => {},
    }) as unknown as Snapshot;
  const copies = new SnapshotSender({
    store: { snapshot } as unknown as Store,
    clock: { monotonicMs: () => 0 as MonotonicMs } as Clock,
    timers: {
      after: (_ms, run) => {
        due.push(run);
        return { cancel: () => {} };
      },
    } as Timers,
    limits: replicationLimits,
    send: (_, message) => sent.push(message) > 0,
    failed: () => {},
    bugs: {},
  });
  const heard: string[] = [];
  const start = () =>
    copies.start({
      object: { namespace: 'w/C', id },
      epoch,
      home: 'eu',
      generation: () => 1,
      to: 'n2',
      done: (applied) => heard.push(`done ${applied.lsn}`),
      failed: () => heard.push('failed'),
    });
  const taken = (of: number) =>
    copies.taken('n2', { type: 'page-taken', id, epoch, applied: nameOf(of), index: 0 });
  start();
  due.at(-1)?.();
  expect(heard).toEqual(['failed']);
  lsn = 2;
  start();
  expect(sent).toMatchObject([{ applied: nameOf(1) }, { applied: nameOf(2) }]);
  taken(1);
  expect(heard).toEqual(['failed']);
  taken(2);
  expect(heard).toEqual(['failed', 'done 2']);
});
