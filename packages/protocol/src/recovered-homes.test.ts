/** Where objects are at home, told from disks alone. */
import { type Epoch, epochAfter, makeEpoch } from '@homing/base';
import { describe, expect, test } from 'vitest';
import { type HeldCopy, type RegionCopies, recoveredHome } from './recovered-homes.ts';

const stores = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'];

/** `promised`, epoch and LSN of the newest record, and the epoch under which it is owned. */
type Held = readonly [promised: number, epoch: number, lsn: number, owned?: number];

const epochOf = (value: number) => makeEpoch(BigInt(value), 0);

/** Copies by store; `a…` lie in region a, `b…` in region b. */
function copies(held: Readonly<Record<string, Held>>): readonly RegionCopies[] {
  return ['a', 'b'].flatMap((region) => {
    const found = Object.entries(held).filter(([store]) => store.startsWith(region));
    const set = { generation: 1, members: stores.filter((store) => store.startsWith(region)) };
    const here = found.map(
      ([store, [promised, epoch, lsn, owned]]): HeldCopy => ({
        store,
        promised: epochOf(promised),
        last: { epoch: epochOf(epoch), lsn },
        owned: owned === undefined ? undefined : epochOf(owned),
      }),
    );
    return here.length === 0 ? [] : [{ region, set, copies: here }];
  });
}

const home = (held: Readonly<Record<string, Held>>, asked = stores) =>
  recoveredHome(copies(held), new Set(asked), 'a');

const old: Held = [5, 5, 3];

describe('the home of an object', () => {
  test('is the default one where nothing is held', () => {
    expect(home({})).toBe('a');
  });

  test('is where the newest promise is, whatever lies elsewhere', () => {
    expect(home({ a1: old, a2: old, a3: old, b1: [9, 9, 4], b2: [9, 5, 3] })).toBe('b');
    expect(home({ a1: [9, 9, 4], a2: [9, 5, 3], b1: old, b2: old, b3: old })).toBe('a');
    // A promise tells it, also of a store whose log is short.
    expect(home({ a1: [5, 5, 8], a2: [5, 5, 8], b1: [9, 0, 0], b2: [9, 5, 8] })).toBe('b');
  });

  test('is not where one store has raised its promise to the floor of other objects', () => {
    const behind: Held = [5, 5, 2];
    expect(home({ a1: old, a2: old, a3: old, b1: [8, 5, 2], b2: behind, b3: behind })).toBe('a');
  });

  test('is not where a copy came back from a store that its owner had order it away', () => {
    const found = copies({ a1: [5, 5, 3, 5], a2: old, b1: [5, 5, 2], b2: [5, 5, 2] });
    const raised = found.map((one) => ({
      ...one,
      copies: one.copies.map((copy) =>
        one.region === 'b' ? { ...copy, promised: epochAfter(copy.promised) as Epoch } : copy,
      ),
    }));
    expect(recoveredHome(raised, new Set(stores), 'b')).toBe('a');
  });

  test('is not where fewer than a majority can hold it', () => {
    expect(home({ b1: [9, 9, 4] })).toBe('a');
    expect(home({ a1: old, a2: old, b1: [9, 9, 4] })).toBe('a');
    // The two that were not asked may hold it, too.
    expect(home({ b1: [9, 9, 4] }, ['a1', 'a2', 'b1'])).toBe('b');
  });

  test('is where it was while a copy is on its way', () => {
    expect(home({ a1: old, a2: old, b1: [5, 5, 2], b2: [5, 5, 2], b3: [5, 5, 2] })).toBe('a');
    expect(home({ b1: old, b2: old, a1: [5, 0, 0], a2: [5, 5, 2], a3: [5, 5, 2] })).toBe('b');
    expect(home({ b1: old, b2: old, a1: [5, 5, 3], a2: [5, 5, 2], a3: [5, 5, 2] })).toBe('b');
  });

  test('is where its owner lives, also where the copy elsewhere is as good', () => {
    expect(home({ a1: old, a2: old, b1: [5, 5, 3, 5], b2: old, b3: old })).toBe('b');
    expect(home({ a1: [5, 5, 3, 5], a2: old, b1: old, b2: old, b3: old })).toBe('a');
    // The switch has happened, and the next owner has sealed nothing yet.
    expect(home({ a1: old, a2: old, b1: [5, 5, 3, 9], b2: old, b3: old })).toBe('b');
  });

  test('is either, where the move was all but done and nobody owns it', () => {
    expect(home({ a1: old, a2: old, a3: old, b1: old, b2: old })).toBe('a');
    // Region a has begun to erase what the move left behind.
    expect(home({ a1: old, a2: [5, 5, 2], b1: old, b2: old })).toBe('b');
    expect(home({ a1: [5, 5, 2], a2: [5, 5, 2], b1: old, b2: old })).toBe('b');
  });

  test('is unknown where stores that were not asked decide it', () => {
    const held = { a1: old, a2: [5, 5, 2], b1: old, b2: [5, 5, 2] } as const;
    expect(home(held, ['a1', 'a2', 'b1', 'b2'])).toBeUndefined();
    expect(home({ ...held, b3: old })).toBe('b');
  });

  test('counts each list while a set changes', () => {
    const set = { generation: 2, members: ['b1'], next: ['b1', 'b2', 'b3'] };
    const copy = { promised: epochOf(9), last: { epoch: epochOf(9), lsn: 1 } };
    const found = [{ region: 'b', set, copies: [{ ...copy, store: 'b1' }] }];
    expect(recoveredHome(found, new Set(stores), 'a')).toBe('b');
  });
});
