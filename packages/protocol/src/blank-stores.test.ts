/** Who has to tell of a log, where some stores have lost what they held. */
import { makeEpoch, noRecord, type ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { meetsMajorities, type ReplicaSet } from './replica-set.ts';
import { type ListedHead, type ListedPage, Survey } from './survey.ts';

const meets = (set: ReplicaSet, ...tellers: string[]) =>
  meetsMajorities(set, (store) => tellers.includes(store));

test('of one list the stores that tell leave no majority out', () => {
  const three = { generation: 1, members: ['a', 'b', 'c'] };
  expect(meets(three, 'a', 'c')).toBe(true);
  expect(meets(three, 'c')).toBe(false);
  const two = { generation: 1, members: ['a', 'b'] };
  expect(meets(two, 'a')).toBe(true);
  expect(meets(two)).toBe(false);
  expect(meets({ generation: 1, members: ['a'] })).toBe(false);
});

test('of two lists neither has a majority left out: the old one may have decided alone', () => {
  const joint = { generation: 2, members: ['a', 'b', 'c'], next: ['a', 'd', 'e'] };
  expect(meets(joint, 'a', 'd', 'e')).toBe(false);
  expect(meets(joint, 'a', 'c')).toBe(false);
  expect(meets(joint, 'a', 'c', 'd')).toBe(true);
});

const id = 'ab'.repeat(32) as ObjectIdHex;
const epoch = makeEpoch(5n, 0);
const head = (lsn: number, isBlank = false): ListedHead => ({
  object: { namespace: 'w/C', id },
  promised: epoch,
  last: lsn === 0 ? noRecord : { epoch, lsn },
  applied: lsn === 0 ? noRecord : { epoch, lsn },
  isBlank,
});
const page = (...heads: ListedHead[]): ListedPage => ({
  current: ['main/0'],
  heads,
  floors: [],
  until: undefined,
});

test('a store that is blank promises, and tells nothing of what must be held', () => {
  const sets = new Map([['main/0', { generation: 2, members: ['a', 'b', 'c'] }]]);
  const needOf = (pages: Record<string, ListedPage>) => {
    const survey = new Survey(sets, () => 'main/0');
    for (const [store, listed] of Object.entries(pages)) survey.answered(store, listed);
    return survey.needs()[0];
  };
  expect(needOf({ b: page(head(0, true)), c: page(head(1)) })?.isTold).toBe(false);
  const all = needOf({ a: page(head(2)), b: page(head(0, true)), c: page(head(1)) });
  expect(all).toMatchObject({ isTold: true, applied: { epoch, lsn: 2 }, source: 'a' });
  // One that knows nothing of the object has told so.
  expect(needOf({ a: page(), b: page(head(0, true)), c: page() })?.isTold).toBe(true);
  expect(needOf({ a: page(head(2)), c: page(head(1)) })?.isTold).toBe(true);
});
