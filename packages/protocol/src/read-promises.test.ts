import type { MonotonicMs, ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { PromiseGrants } from './read-promises.ts';

const one = 'aa'.repeat(32) as ObjectIdHex;
const other = 'bb'.repeat(32) as ObjectIdHex;
const owner = { node: 'n1', run: 'r1' };
const claimant = { node: 'n2', run: 'r2' };
const at = (ms: number) => ms as MonotonicMs;

const newGrants = () => new PromiseGrants({ promiseMs: 1000, drift: 0 }, at(0), 0);

test('what is held for somebody whose link is gone is forgotten with the last promise', () => {
  const grants = newGrants();
  for (const object of [one, other]) grants.hold(object, owner);
  expect(grants.promise(owner, at(100), 10)).toEqual([]);
  grants.down(owner);
  grants.sweep(at(1099));
  expect(grants.size).toBe(2);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
  grants.sweep(at(1100));
  expect(grants.size).toBe(0);
  expect(grants.sealedAt(one, claimant)).toBe(0);
});

test('on its next link a holder gets promises for what was acknowledged anew only', () => {
  const grants = newGrants();
  for (const object of [one, other]) grants.hold(object, owner);
  grants.promise(owner, at(100), 10);
  grants.down(owner);
  grants.hold(one, owner);
  grants.promise(owner, at(1000), 10);
  expect(grants.sealedAt(one, claimant)).toBe(2000);
  expect(grants.sealedAt(other, claimant)).toBe(1100);
  grants.sweep(at(1500));
  expect(grants.size).toBe(1);
});

test('an acknowledgement that a new link brings late does not end the promise of the old one', () => {
  const grants = newGrants();
  grants.hold(one, owner);
  grants.promise(owner, at(100), 10);
  grants.down(owner);
  // The holder has not noticed yet: it counts that promise.
  grants.hold(one, owner);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
});

test('a holder that gives up on its next link what it held on the last one keeps nobody waiting', () => {
  const grants = newGrants();
  grants.hold(one, owner);
  grants.promise(owner, at(100), 10);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
  grants.down(owner);
  grants.released([one], owner);
  expect(grants.sealedAt(one, claimant)).toBe(0);
  expect(grants.size).toBe(0);
});
