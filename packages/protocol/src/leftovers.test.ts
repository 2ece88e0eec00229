import { type Epoch, type MonotonicMs, makeEpoch, type ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { Leftovers, type LeftoverView } from './leftovers.ts';

const id = '1'.repeat(64) as ObjectIdHex;
const other = '2'.repeat(64) as ObjectIdHex;
const epoch = (revision: number): Epoch => makeEpoch(BigInt(revision), 0);
const at = (ms: number) => ms as MonotonicMs;
const left = (view: Partial<LeftoverView> = {}): LeftoverView => ({
  promised: epoch(5),
  recordEpoch: epoch(7),
  isNeeded: false,
  isOwned: true,
  ...view,
});
const leftovers = (suspectsMax = 10) => new Leftovers({ delayMs: 100, suspectsMax });

test('what nobody needs is erased once it has been so for a while', () => {
  const all = leftovers();
  expect(all.look(id, left(), at(0))).toEqual({ type: 'keep' });
  expect(all.look(id, left(), at(99))).toEqual({ type: 'keep' });
  const later = left({ recordEpoch: epoch(9) });
  expect(all.look(id, later, at(100))).toEqual({ type: 'erase', below: epoch(9) });
});

test('an object that was at home here meanwhile begins to wait anew', () => {
  const all = leftovers();
  all.look(id, left(), at(0));
  all.look(id, left({ isNeeded: true }), at(50));
  expect(all.look(id, left(), at(100))).toEqual({ type: 'keep' });
  // It came and went between two looks: what is promised tells.
  const again = left({ promised: epoch(8), recordEpoch: epoch(9) });
  expect(all.look(id, again, at(150))).toEqual({ type: 'keep' });
  expect(all.look(id, again, at(249))).toEqual({ type: 'keep' });
  expect(all.look(id, again, at(250)).type).toBe('erase');
});

test('of what the present owner staged here it decides itself', () => {
  const all = leftovers();
  const staged = left({ promised: epoch(7) });
  all.look(id, staged, at(0));
  expect(all.look(id, staged, at(200))).toEqual({ type: 'ask-owner' });
  expect(all.look(id, { ...staged, isOwned: false }, at(400))).toEqual({ type: 'keep' });
});

test('a record that is older than what was promised says nothing', () => {
  const all = leftovers();
  const early = left({ promised: epoch(8) });
  all.look(id, early, at(0));
  expect(all.look(id, early, at(1000))).toEqual({ type: 'keep' });
});

test('below a floor of the present ownership nobody brings anything', () => {
  const all = leftovers();
  const floor = makeEpoch(7n, 1);
  all.look(id, left({ promised: floor }), at(0));
  const verdict = all.look(id, left({ promised: floor }), at(100));
  expect(verdict).toEqual({ type: 'erase', below: makeEpoch(7n, 2) });
});

test('so many wait at a time, and one that is gone makes room', () => {
  const all = leftovers(1);
  all.look(id, left(), at(0));
  all.look(other, left(), at(0));
  expect(all.look(other, left(), at(100))).toEqual({ type: 'keep' });
  all.roundOver();
  all.look(other, left(), at(200));
  all.roundOver();
  all.look(other, left(), at(300));
  expect(all.look(other, left(), at(400)).type).toBe('erase');
});
