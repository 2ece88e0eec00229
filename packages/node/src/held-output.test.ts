import type { ExecutorLink, Timers, ToExecutor, UnmarkedMessage } from '@homing/base';
import { beforeEach, expect, test } from 'vitest';
import { Executor } from './executor-pool.ts';
import { HeldOutput } from './held-output.ts';

const activation = 7;
let passed: UnmarkedMessage[];
let posted: ToExecutor[];
let due: (() => void)[];
let executor: Executor;
let held: HeldOutput;
let onPass: () => void;

beforeEach(() => {
  passed = [];
  posted = [];
  due = [];
  onPass = () => {};
  const timers: Timers = {
    after: (_delayMs: number, callback: () => void) => {
      due.push(callback);
      return { cancel: () => {} };
    },
  };
  executor = new Executor(1);
  const link: ExecutorLink = { post: (message) => posted.push(message), stop: async () => {} };
  executor.connect(link);
  held = new HeldOutput({
    pass: (_executor, message) => {
      passed.push(message);
      onPass();
    },
    timers,
    noticeDelayMs: 10,
  });
  held.begin(activation, executor);
});

const closed = (session: number): UnmarkedMessage => ({
  type: 'closed',
  session,
  error: undefined,
});
const hold = (group: number, session: number) =>
  held.hold(executor, activation, group, closed(session));
const sessions = () => passed.map((message) => 'session' in message && message.session);

test('what was sent ahead leaves with the commit of its group, in order', () => {
  hold(0, 1);
  expect(sessions()).toEqual([1]);
  hold(1, 2);
  hold(1, 3);
  hold(2, 4);
  expect(sessions()).toEqual([1]);
  held.committed(activation, 1);
  expect(sessions()).toEqual([1, 2, 3]);
  held.folded(activation, 2, false);
  hold(2, 5);
  expect(sessions()).toEqual([1, 2, 3, 4, 5]);
});

test('what an activation that ended has sent does not leave, and what waits for an answer has one', () => {
  hold(1, 1);
  held.hold(executor, activation, 1, { type: 'permit', activation, request: 3 });
  held.end(activation);
  held.committed(activation, 1);
  held.hold(executor, activation, 1, {
    type: 'connect',
    request: 4,
    activation,
    url: 'http://x/',
    headers: [],
  });
  hold(1, 2);
  expect(passed).toEqual([]);
  const error = expect.objectContaining({ message: 'the object was reset' });
  expect(posted).toEqual([
    { type: 'permitted', request: 3, error },
    { type: 'connected', request: 4, socket: undefined, protocol: '', error },
  ]);
});

test('what leaves may end the activation: the rest stays', () => {
  hold(1, 1);
  hold(1, 2);
  onPass = () => held.end(activation);
  held.committed(activation, 1);
  expect(sessions()).toEqual([1]);
});

test('an executor is told at once of what it waits for', () => {
  held.committed(activation, 1);
  expect(posted).toEqual([]);
  held.awaits(activation, 2);
  held.committed(activation, 2);
  held.committed(activation, 3);
  held.folded(activation, 2, false);
  expect(posted).toEqual([
    { type: 'committed', activation, count: 1 },
    { type: 'committed', activation, count: 2 },
    { type: 'appended', activation, count: 2 },
  ]);
});

test('of the rest it is told late, and once', () => {
  held.folded(activation, 1, false);
  held.folded(activation, 2, false);
  expect(posted).toEqual([]);
  expect(due).toHaveLength(1);
  due[0]?.();
  expect(posted).toEqual([{ type: 'appended', activation, count: 2 }]);
  held.folded(activation, 3, true);
  expect(posted.at(-1)).toEqual({ type: 'appended', activation, count: 3 });
});

test('of an activation that ended nothing is told', () => {
  held.folded(activation, 1, false);
  held.end(activation);
  due[0]?.();
  expect(posted).toEqual([]);
});

test('an executor that asks late is told of what has left already', () => {
  for (const group of [1, 2, 3]) hold(group, group);
  held.committed(activation, 2);
  expect(posted).toEqual([]);
  held.awaits(activation, 3);
  expect(posted).toEqual([{ type: 'committed', activation, count: 2 }]);
});
