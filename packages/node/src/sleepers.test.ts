/** Which of the objects asleep are given up where there are too many. */
import type { Coordinator, Logger, Metrics, MonotonicMs, Store } from '@homing/base';
import { expect, test, vi } from 'vitest';
import type { Entry } from './object-entry.ts';
import { Sleepers } from './sleepers.ts';

const forgetAfterMs = 1000;

function sleepersWith(nowMs: () => number, gone: (entry: Entry) => void): Sleepers {
  return new Sleepers({
    store: {} as Store,
    sockets: { hasSockets: () => false },
    placement: { isDefaultHome: () => false },
    coordinator: { locate: async () => ({}), release: async () => {} } as unknown as Coordinator,
    clock: { monotonicMs: () => nowMs() as MonotonicMs, wallMs: () => nowMs() } as never,
    logger: {} as Logger,
    metrics: {} as Metrics,
    asleepMax: 0,
    forgetAfterMs,
    unreadable: () => {},
    gone,
    kept: () => {},
  });
}

function asleep(log: { isIdle: boolean; isCopying?: boolean }): Entry {
  const entry = {
    object: { id: 'a' },
    since: 0,
    log: { epoch: 1n, isOver: false, isWhole: false },
  };
  Object.assign(entry.log, log);
  return entry as unknown as Entry;
}

test.each([
  ['records', false, 1],
  ['the whole state', true, forgetAfterMs * 100],
])('one that another node gets %s from stays until that has it', async (_what, isCopying, ms) => {
  const gone = vi.fn();
  let nowMs = 1;
  const sleepers = sleepersWith(() => nowMs, gone);
  const entry = asleep({ isIdle: false, isCopying });
  sleepers.add(entry);
  nowMs = ms;
  sleepers.look();
  await new Promise(setImmediate);
  expect(gone).not.toHaveBeenCalled();
  Object.assign(entry.log as object, { isIdle: true, isCopying: false });
  sleepers.look();
  await vi.waitFor(() => expect(gone).toHaveBeenCalledWith(entry));
});

test('one goes though another node does not get on', async () => {
  const gone = vi.fn();
  let nowMs = 1;
  const sleepers = sleepersWith(() => nowMs, gone);
  const entry = asleep({ isIdle: false });
  sleepers.add(entry);
  nowMs = forgetAfterMs + 1;
  sleepers.look();
  await vi.waitFor(() => expect(gone).toHaveBeenCalledWith(entry));
});
