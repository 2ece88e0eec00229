import type { MonotonicMs, ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { PromiseGrants } from './read-promises.ts';

const one = 'aa'.repeat(32) as ObjectIdHex;
const other = 'bb'.repeat(32) as ObjectIdHex;
const owner = { node: 'n1', run: 'r1' };
const claimant = { node: 'n2', run: 'r2' };
const at = (ms: number) => ms as MonotonicMs;

function newGrants() {
  const grants = new PromiseGrants({ promiseMs: 1000, drift: 0 }, at(0), 0);
  grants.up(owner);
  return grants;
}

function hold(grants: PromiseGrants, object: ObjectIdHex, holder = owner): void {
  const taking = grants.take(object, holder);
  grants.hold(taking);
  grants.taken(taking);
}

test('what is held for somebody whose link is gone is forgotten with the last promise', () => {
  const grants = newGrants();
  for (const object of [one, other]) hold(grants, object);
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
  for (const object of [one, other]) hold(grants, object);
  grants.promise(owner, at(100), 10);
  grants.down(owner);
  grants.up(owner);
  hold(grants, one);
  grants.promise(owner, at(1000), 10);
  expect(grants.sealedAt(one, claimant)).toBe(2000);
  expect(grants.sealedAt(other, claimant)).toBe(1100);
  grants.sweep(at(1500));
  expect(grants.size).toBe(1);
});

test('an acknowledgement that a new link brings late does not end the promise of the old one', () => {
  const grants = newGrants();
  hold(grants, one);
  grants.promise(owner, at(100), 10);
  grants.down(owner);
  grants.up(owner);
  // The holder has not noticed yet: it counts that promise.
  hold(grants, one);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
});

test('a holder that gives up on its next link what it held on the last one keeps nobody waiting', () => {
  const grants = newGrants();
  hold(grants, one);
  grants.promise(owner, at(100), 10);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
  grants.down(owner);
  grants.released([one], owner);
  expect(grants.sealedAt(one, claimant)).toBe(0);
  expect(grants.size).toBe(0);
});

test('an acknowledgement that comes when the link is gone is forgotten with its promises', () => {
  const grants = newGrants();
  const [first, second] = [grants.take(one, owner), grants.take(other, owner)];
  grants.promise(owner, at(100), 10);
  grants.hold(first);
  grants.down(owner);
  grants.hold(second);
  for (const taking of [first, second]) grants.taken(taking);
  expect(grants.sealedAt(other, claimant)).toBe(1100);
  grants.sweep(at(1100));
  expect(grants.size).toBe(0);
  hold(grants, one);
  expect(grants.promise(owner, at(1200), 10)).toBeUndefined();
  expect(grants.sealedAt(one, claimant)).toBe(0);
  grants.sweep(at(1200));
  expect(grants.size).toBe(0);
});

test('what is released while the disk takes it is not held', () => {
  const grants = newGrants();
  hold(grants, one);
  grants.promise(owner, at(100), 10);
  const [notice, next] = [grants.take(one, owner), grants.take(one, owner)];
  grants.released([one], owner);
  grants.hold(notice);
  grants.taken(notice);
  expect(grants.size).toBe(0);
  // What the owner sent after it had released the object is of its next claim.
  const anew = grants.take(one, owner);
  grants.hold(next);
  grants.taken(next);
  expect(grants.size).toBe(0);
  grants.hold(anew);
  grants.taken(anew);
  expect(grants.size).toBe(1);
  expect(grants.sealedAt(one, claimant)).toBe(1100);
});
