/** Histories made by hand: which of them one list could have made. */
import { expect, test } from 'vitest';
import { checkHistory } from '../src/check-history.ts';
import type { Command, Operation } from '../src/history.ts';

function done(command: Command, startMs: number, endMs: number, list: number[]): Operation {
  const isDone = command.kind !== 'read';
  const reply = { list, isDone };
  return { client: 'c', object: 0, command, startMs, endMs, outcome: 'ok', reply };
}

const append = (value: number, startMs: number, endMs: number, list: number[]) =>
  done({ kind: 'append', value }, startMs, endMs, list);
const read = (startMs: number, endMs: number, list: number[]) =>
  done({ kind: 'read', value: 0 }, startMs, endMs, list);
const clear = (startMs: number, endMs: number, list: number[]) =>
  done({ kind: 'clear', value: 0 }, startMs, endMs, list);
const unknownClear = (startMs: number): Operation => ({
  ...clear(startMs, Number.POSITIVE_INFINITY, []),
  outcome: 'unknown',
  reply: undefined,
});

const rulesOf = (operations: Operation[]) => checkHistory('o', operations).map(({ rule }) => rule);

const first = [append(1, 0, 1, [1]), append(2, 2, 3, [1, 2])];

test('a list that is cleared begins anew', () => {
  expect(rulesOf([...first, clear(4, 5, [1, 2]), read(6, 7, []), append(3, 8, 9, [3])])).toEqual(
    [],
  );
  expect(rulesOf([...first, unknownClear(4), append(3, 8, 9, [3]), read(10, 11, [3])])).toEqual([]);
  // What overlaps may have happened in either order.
  expect(rulesOf([...first, clear(4, 9, [1, 2]), read(5, 8, [1, 2]), read(5, 8, [])])).toEqual([]);
});

test('one that nobody cleared does not', () => {
  expect(rulesOf([...first, append(3, 8, 9, [3])])).toEqual(['lost']);
  expect(rulesOf([...first, read(8, 9, [])])).toEqual(['lost']);
  expect(rulesOf([...first, append(3, 4, 5, [3]), unknownClear(6)])).toEqual(['lost']);
});

test('what was cleared is seen by nobody later', () => {
  const cleared = [...first, clear(4, 5, [1, 2])];
  expect(rulesOf([...cleared, read(6, 7, [1, 2])])).toEqual(['order']);
  expect(rulesOf([...cleared, append(3, 6, 7, [3]), read(8, 9, [1, 2])])).toContain('order');
  expect(rulesOf([...cleared, append(3, 6, 7, [1, 2, 3])])).toContain('answer');
});

test('nothing is seen in the midst of a list', () => {
  const late = read(8, 9, [1, 2]);
  expect(rulesOf([...first, read(5, 6, []), late, clear(10, 11, [1, 2])])).toEqual(['order']);
});
