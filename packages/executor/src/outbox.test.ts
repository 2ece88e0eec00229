import type { ToExecutor } from '@homing/base';
import { expect, test } from 'vitest';
import { type Batch, readBatch } from './batch.ts';
import { Outbox } from './outbox.ts';

const frame = (session: number): ToExecutor => ({
  type: 'frame',
  session,
  frame: new Uint8Array(1),
});
const closed = (session: number): ToExecutor => ({ type: 'closed', session, error: undefined });

/** An outbox whose turn ends, and whose time passes, when it is said. */
function makeOutbox() {
  const batches: string[][] = [];
  const turn: (() => void)[] = [];
  const due: (() => void)[] = [];
  const run = (list: (() => void)[]) => {
    for (const one of list.splice(0)) one();
  };
  const port = {
    postMessage: (batch: Batch) => {
      const messages: string[] = [];
      readBatch<ToExecutor>(batch, (message) => {
        if ('session' in message) messages.push(`${message.type} ${message.session}`);
      });
      batches.push(messages);
    },
  };
  const timers = {
    after: (_delayMs: number, callback: () => void) => {
      due.push(callback);
      return { cancel() {} };
    },
  };
  const outbox = new Outbox<ToExecutor>(port, (flush) => void turn.push(flush), timers);
  return { outbox, batches, endTurn: () => run(turn), wait: () => run(due) };
}

test('the end of a session goes with what comes next, in order', () => {
  const { outbox, batches, endTurn, wait } = makeOutbox();
  outbox.post(closed(2));
  endTurn();
  expect(batches).toEqual([]);
  outbox.post(frame(4));
  outbox.post(closed(6));
  endTurn();
  wait();
  expect(batches).toEqual([['closed 2', 'frame 4', 'closed 6']]);
});

test('it goes alone where nothing comes', () => {
  const { outbox, batches, endTurn, wait } = makeOutbox();
  for (const session of [2, 4]) {
    outbox.post(closed(session));
    endTurn();
    wait();
  }
  expect(batches).toEqual([['closed 2'], ['closed 4']]);
});

test('an error waits for nothing', () => {
  const { outbox, batches, endTurn } = makeOutbox();
  const error = { name: 'Error', message: 'no', properties: {} };
  outbox.post({ type: 'closed', session: 2, error });
  endTurn();
  expect(batches).toHaveLength(1);
});
