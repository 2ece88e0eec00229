/** What is known of remote copies' lag once their owner is gone. */
import {
  type Clock,
  type Epoch,
  HomingError,
  type ObjectIdHex,
  type Store,
  type WallMs,
} from '@homing/base';
import { memoryStore } from '@homing/storage';
import { expect, test } from 'vitest';
import { decodeMessage, encodeMessage } from './messages.ts';
import { RemoteReports } from './remote-reports.ts';

const idOf = (digit: string) => digit.repeat(64) as ObjectIdHex;
const epochOf = (value: number) => BigInt(value) as Epoch;
const report = {
  atMs: 1_700_000_000_000 as WallMs,
  newest: epochOf(9),
  seconds: 0.5,
  behind: [{ id: idOf('a'), seconds: 12.4 }],
};

function reports(store: Store, clock: { nowMs: number }): RemoteReports {
  const monotonicMs = () => clock.nowMs;
  return new RemoteReports({
    store,
    clock: { monotonicMs } as Clock,
    noteMs: 1000,
    failed: (error) => {
      throw error;
    },
  });
}

test('an object that is not named is no further behind than the rest', () => {
  const heard = reports(memoryStore(), { nowMs: 0 });
  heard.heard('n1', report);
  expect(heard.lagOf('n1', idOf('a'), epochOf(9))?.seconds).toBe(12.4);
  expect(heard.lagOf('n1', idOf('b'), epochOf(7))).toEqual({ seconds: 0.5, atMs: report.atMs });
});

test('nothing is known of a node that was not heard, or of what it has owned since', () => {
  const heard = reports(memoryStore(), { nowMs: 0 });
  heard.heard('n1', report);
  expect(heard.lagOf('n2', idOf('a'), epochOf(9))).toBeUndefined();
  expect(heard.lagOf('n1', idOf('a'), epochOf(10))).toBeUndefined();
});

test('a node that starts again tells what it last wrote down', () => {
  const store = memoryStore();
  const clock = { nowMs: 0 };
  const before = reports(store, clock);
  const secondsNow = () => reports(store, clock).lagOf('n1', idOf('b'), epochOf(9))?.seconds;
  before.heard('n1', report);
  clock.nowMs = 999;
  before.heard('n1', { ...report, seconds: 3 });
  expect(secondsNow()).toBe(0.5);
  clock.nowMs = 1000;
  before.heard('n1', { ...report, seconds: 4 });
  expect(secondsNow()).toBe(4);
});

test('a disk that does not keep up is given the next report', async () => {
  const store = memoryStore();
  let isBusy = true;
  const putNote = async (...note: Parameters<Store['putNote']>) => {
    if (isBusy) throw new HomingError('overloaded', 'the disk does not keep up');
    await store.putNote(...note);
  };
  const failures: unknown[] = [];
  const clock = { monotonicMs: () => 0 } as Clock;
  const failed = (error: unknown) => failures.push(error);
  const busy = { notes: () => [], putNote } as unknown as Store;
  const heard = new RemoteReports({ store: busy, clock, noteMs: 1000, failed });
  const settled = async () => {
    for (let turn = 0; turn < 5; turn++) await undefined;
  };
  heard.heard('n1', report);
  await settled();
  isBusy = false;
  heard.heard('n1', { ...report, seconds: 3 });
  await settled();
  expect(failures).toEqual([]);
  expect(reports(store, { nowMs: 0 }).lagOf('n1', idOf('b'), epochOf(9))?.seconds).toBe(3);
});

test('how far a copy is behind that never had all is not known', () => {
  const store = memoryStore();
  const clock = { nowMs: 0 };
  const unknown = Number.POSITIVE_INFINITY;
  const behind = [{ id: idOf('a'), seconds: unknown }];
  reports(store, clock).heard('n1', { ...report, behind });
  const again = reports(store, clock);
  expect(again.lagOf('n1', idOf('a'), epochOf(7))).toBeUndefined();
  expect(again.lagOf('n1', idOf('b'), epochOf(7))?.seconds).toBe(0.5);
  again.heard('n1', { ...report, seconds: unknown });
  expect(again.lagOf('n1', idOf('b'), epochOf(7))).toBeUndefined();
});

test('a report is the same on the other side', () => {
  const message = { type: 'remote-report', report } as const;
  expect(decodeMessage(encodeMessage(message))).toEqual(message);
});
