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
import { encodeMessage, type LogMessage } from './messages.ts';
import { SnapshotSender } from './snapshot-sender.ts';

const id = 'ab'.repeat(32) as ObjectIdHex;
const epoch = makeEpoch(5n, 0);
const nameOf = (lsn: number) => ({ epoch, lsn });

function sending(pages = 1) {
  const state = { lsn: 1 };
  const due: (() => void)[] = [];
  const sent: LogMessage[] = [];
  const snapshot = () => {
    let left = pages;
    return {
      head: { applied: nameOf(state.lsn), alarmMs: null, name: undefined },
      next: () => (left-- > 0 ? new Uint8Array(1) : undefined),
      close: () => {},
    } as unknown as Snapshot;
  };
  const copies = new SnapshotSender({
    store: { snapshot } as unknown as Store,
    clock: { monotonicMs: () => 0 as MonotonicMs } as Clock,
    utilisation: () => 0,
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
  const taken = (of: number, index = 0) =>
    copies.taken('n2', { type: 'page-taken', id, epoch, applied: nameOf(of), index });
  return { copies, state, due, sent, heard, start, taken };
}

test('a page that is answered when its time was up says nothing of the next copy', () => {
  const { state, due, sent, heard, start, taken } = sending();
  start();
  due.at(-1)?.();
  expect(heard).toEqual(['failed']);
  state.lsn = 2;
  start();
  expect(sent).toMatchObject([{ applied: nameOf(1) }, { applied: nameOf(2) }]);
  taken(1);
  expect(heard).toEqual(['failed']);
  taken(2);
  expect(heard).toEqual(['failed', 'done 2']);
});

/** Copies of a state of some pages, on a clock that runs from one timer to the next. */
function paced(pageCount: number, changes: Partial<typeof replicationLimits> = {}) {
  let nowMs = 0;
  let reads = 0;
  const open = new Set<Snapshot>();
  const timers = new Set<{ atMs: number; run: () => void }>();
  const sent: { to: string; index: number }[] = [];
  const encodings: Uint8Array[] = [];
  const heard: string[] = [];
  const snapshot = () => {
    let page = 0;
    const made = {
      head: { applied: nameOf(7), alarmMs: null, name: undefined },
      next: () => {
        if (page === pageCount) return undefined;
        reads += 1;
        return Uint8Array.of(page++);
      },
      close: () => open.delete(made),
    } as unknown as Snapshot;
    open.add(made);
    return made;
  };
  const copies = new SnapshotSender({
    store: { snapshot } as unknown as Store,
    clock: { monotonicMs: () => nowMs as MonotonicMs } as Clock,
    utilisation: () => 0,
    timers: {
      after: (ms, run) => {
        const timer = { atMs: nowMs + ms, run };
        timers.add(timer);
        return { cancel: () => timers.delete(timer) };
      },
    } as Timers,
    limits: { ...replicationLimits, ...changes },
    send: (to, message) => {
      if (message.type !== 'page') return false;
      sent.push({ to, index: message.index });
      encodings.push(encodeMessage(message));
      return true;
    },
    failed: () => {},
    bugs: {},
  });
  return {
    encodings,
    heard,
    get reads() {
      return reads;
    },
    get open() {
      return open.size;
    },
    start: (to: string) =>
      copies.start({
        object: { namespace: 'w/C', id },
        epoch,
        home: 'eu',
        generation: () => 1,
        to,
        isPaced: true,
        done: () => heard.push(`${to} done`),
        failed: () => heard.push(`${to} failed`),
      }),
    /** Runs what is due, and stores answer what they were sent, but for those that are named. */
    run: (lastsMs: number, ...silent: string[]) => {
      const untilMs = nowMs + lastsMs;
      for (;;) {
        for (const page of sent.splice(0)) {
          if (silent.includes(page.to)) continue;
          const { index, to } = page;
          copies.taken(to, { type: 'page-taken', id, epoch, applied: nameOf(7), index });
        }
        if (sent.length > 0) continue;
        const [next] = [...timers].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > untilMs) break;
        timers.delete(next);
        nowMs = next.atMs;
        next.run();
      }
      nowMs = untilMs;
    },
  };
}

test('copies begun in one turn are read and encoded once', async () => {
  const sender = paced(40);
  for (const to of ['n1', 'n2', 'n3']) sender.start(to);
  await Promise.resolve();
  sender.run(5000);
  expect([...sender.heard].sort()).toEqual(['n1 done', 'n2 done', 'n3 done']);
  expect(sender.reads).toBe(40);
  expect(sender.encodings.length).toBe(120);
  expect(new Set(sender.encodings).size).toBe(40);
  expect(sender.open).toBe(0);
});

test('a store that answers nothing does not hold up the others', async () => {
  const sender = paced(100, { laggardMs: 500 });
  for (const to of ['n1', 'n2', 'n3']) sender.start(to);
  await Promise.resolve();
  sender.run(5000, 'n2');
  expect([...sender.heard].sort()).toEqual(['n1 done', 'n2 failed', 'n3 done']);
  sender.start('n2');
  await Promise.resolve();
  sender.run(5000);
  expect(sender.heard.at(-1)).toBe('n2 done');
  expect(sender.open).toBe(0);
});

test('one that comes later has a reading of its own', async () => {
  const sender = paced(40);
  sender.start('n1');
  await Promise.resolve();
  sender.run(1, 'n1');
  sender.start('n2');
  await Promise.resolve();
  expect(sender.open).toBe(2);
});

test('a store that has begun the next copy is not waited for to answer the one given up', () => {
  const { copies, state, heard, start, taken } = sending();
  start();
  copies.giveUp('n2', id, epoch);
  state.lsn = 2;
  start();
  taken(2);
  expect(heard).toEqual(['done 2']);
});

test('nor where both are as of one record', () => {
  const { copies, heard, start, taken } = sending(3);
  start();
  taken(1);
  copies.giveUp('n2', id, epoch);
  start();
  // Of either one, for all that is known.
  taken(1, 1);
  expect(heard).toEqual([]);
  for (const index of [0, 1, 2]) taken(1, index);
  expect(heard).toEqual(['done 1']);
});
