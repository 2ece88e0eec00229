import {
  type Clock,
  HomingError,
  type InstallRequest,
  type MonotonicMs,
  makeEpoch,
  type ObjectIdHex,
  type Timers,
} from '@homing/base';
import { expect, test } from 'vitest';
import { PageTaker } from './page-taker.ts';

const id = 'ab'.repeat(32) as ObjectIdHex;
const epoch = makeEpoch(5n, 0);
const peer = { node: 'n1', storeId: 's1', run: 'r1' };
const pageOf = (index: number, lsn = 7) => ({
  type: 'page' as const,
  object: { namespace: 'w/C', id },
  epoch,
  home: 'eu',
  generation: 1,
  applied: { epoch, lsn },
  alarmMs: null,
  index,
  isLast: index === 5,
  page: new Uint8Array(1),
});

/** A store that has no room while told so, and takes pages in their order. */
function taking() {
  const heard: string[] = [];
  const due: (() => void)[] = [];
  const state = { hasRoom: true, nowMs: 0, next: 0, began: 0, generation: 1 };
  const install = async ({ index }: InstallRequest) => {
    if (!state.hasRoom) throw new HomingError('overloaded', 'no room');
    await Promise.resolve();
    if (index === 0) {
      state.next = 0;
      state.began += 1;
    }
    if (index !== state.next) throw new HomingError('invalid_argument', 'not the next');
    state.next += 1;
  };
  const pages = new PageTaker({
    store: { install },
    clock: { monotonicMs: () => state.nowMs as MonotonicMs } as Clock,
    timers: {
      after: (_ms, run) => {
        due.push(run);
        return { cancel: () => {} };
      },
    } as Timers,
    answer: (_node, answer) => {
      heard.push(answer.type === 'page-taken' ? `taken ${answer.index}` : answer.type);
    },
    isPulled: () => false,
    isCurrent: ({ generation }) => generation === state.generation,
    pageTimeoutMs: 10_000,
    refused: (_from, _page, error) => heard.push((error as HomingError).code),
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const pass = async () => {
    for (const run of due.splice(0)) run();
    await settle();
  };
  return { pages, state, heard, settle, pass };
}

test('a page for which there is no room is tried again, and those after it wait', async () => {
  const { pages, state, heard, settle, pass } = taking();
  pages.take(peer, pageOf(0));
  pages.take(peer, pageOf(1));
  await settle();
  state.hasRoom = false;
  pages.take(peer, pageOf(2));
  state.hasRoom = true;
  // On their way to the disk before anybody knew.
  pages.take(peer, pageOf(3));
  pages.take(peer, pageOf(4));
  await settle();
  expect(heard).toEqual(['taken 0', 'taken 1']);
  state.hasRoom = false;
  await pass();
  await pass();
  expect(heard).toEqual(['taken 0', 'taken 1']);
  state.hasRoom = true;
  await pass();
  pages.take(peer, pageOf(5));
  await pass();
  expect(heard).toEqual([0, 1, 2, 3, 4, 5].map((index) => `taken ${index}`));
  expect(state.began).toBe(1);
});

test('past its time it is refused, with those that wait', async () => {
  const { pages, state, heard, settle, pass } = taking();
  state.hasRoom = false;
  pages.take(peer, pageOf(0));
  pages.take(peer, pageOf(1));
  await settle();
  state.nowMs = 10_000;
  await pass();
  expect(heard).toEqual(['page-refused', 'page-refused', 'overloaded']);
  state.hasRoom = true;
  await pass();
  pages.take(peer, pageOf(0, 8));
  await settle();
  expect(heard.slice(3)).toEqual(['taken 0']);
});

test('another copy that begins ends the one that waits', async () => {
  const { pages, state, heard, settle, pass } = taking();
  state.hasRoom = false;
  pages.take(peer, pageOf(0));
  await settle();
  state.hasRoom = true;
  pages.take(peer, pageOf(0, 8));
  await settle();
  await pass();
  expect(heard).toEqual(['taken 0']);
  expect(state.began).toBe(1);
});

test('what waits is refused once the store goes by another set', async () => {
  const { pages, state, heard, settle, pass } = taking();
  state.hasRoom = false;
  for (const index of [0, 1]) pages.take(peer, pageOf(index));
  await settle();
  state.generation = 2;
  state.hasRoom = true;
  await pass();
  await pass();
  expect(heard).toEqual(['page-refused', 'page-refused']);
  expect(state.began).toBe(0);
});

test('a page that does not continue its copy is refused', async () => {
  const { pages, heard, settle } = taking();
  pages.take(peer, pageOf(0));
  pages.take(peer, pageOf(2));
  await settle();
  expect(heard).toEqual(['taken 0', 'page-refused']);
});
