/** Where objects are at home, told from disks alone. */
import { type Epoch, epochAfter, makeEpoch } from '@homing/base';
import { describe, expect, test } from 'vitest';
import { type HeldCopy, type RegionCopies, recoveredHome } from './recovered-homes.ts';

const stores = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'];

/** `promised`, epoch and LSN of the newest record, the epoch under which it is owned, and the floor. */
type Held = readonly [
  promised: number,
  epoch: number,
  lsn: number,
  owned?: number | undefined,
  floor?: number,
];

const epochOf = (value: number) => makeEpoch(BigInt(value), 0);

/** Copies by store; `a…` lie in region a, `b…` in region b. */
function copies(held: Readonly<Record<string, Held>>): readonly RegionCopies[] {
  return ['a', 'b'].flatMap((region) => {
    const found = Object.entries(held).filter(([store]) => store.startsWith(region));
    const set = { generation: 1, members: stores.filter((store) => store.startsWith(region)) };
    const here = found.map(
      ([store, [promised, epoch, lsn, owned, floor = 0]]): HeldCopy => ({
        store,
        promised: epochOf(promised),
        floor: epochOf(floor),
        last: { epoch: epochOf(epoch), lsn },
        isQuarantined: false,
        owned: owned === undefined ? undefined : epochOf(owned),
      }),
    );
    return here.length === 0 ? [] : [{ region, set, copies: here }];
  });
}

const find = (
  held: Readonly<Record<string, Held>>,
  asked: readonly string[] = stores,
  off: readonly string[] = [],
) => recoveredHome(copies(held), { asked: new Set(asked), off: new Set(off) }, 'a');

const home = (...given: Parameters<typeof find>) => find(...given).home;

const old: Held = [5, 5, 3];
const all = { asked: new Set(stores), off: new Set<string>() };

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
    expect(recoveredHome(raised, all, 'b')).toMatchObject({ home: 'a' });
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
    const copy = {
      promised: epochOf(9),
      floor: epochOf(0),
      last: { epoch: epochOf(9), lsn: 1 },
      isQuarantined: false,
    };
    const found = [{ region: 'b', set, copies: [{ ...copy, store: 'b1' }] }];
    expect(recoveredHome(found, all, 'a')).toMatchObject({ home: 'b' });
  });

  test('is not where most stores have raised their promises to the floor of other objects', () => {
    const raised: Held = [8, 5, 2, undefined, 8];
    expect(home({ a1: old, a2: old, a3: old, b1: raised, b2: raised, b3: raised })).toBe('a');
    // The floor may have grown since.
    const later: Held = [8, 5, 2, undefined, 12];
    expect(home({ a1: old, a2: old, a3: old, b1: later, b2: later, b3: later })).toBe('a');
  });

  test('is where the newest record is, though its promise may be a floor', () => {
    const grown: Held = [9, 9, 4, undefined, 12];
    expect(home({ a1: old, a2: old, a3: old, b1: grown, b2: grown })).toBe('b');
    // Nothing was written since it came there.
    const idle: Held = [9, 5, 3, undefined, 12];
    expect(home({ a1: [5, 5, 2], a2: [5, 5, 2], a3: old, b1: idle, b2: idle, b3: idle })).toBe('b');
  });

  test('is not chosen beside one whose owner may run unasked', () => {
    const held = { a1: old, a2: old, b1: old, b2: old } as const;
    expect(find(held, ['a1', 'a2', 'b1', 'b2'])).toEqual({
      home: undefined,
      unasked: ['a3', 'b3'],
    });
    // Where all of one region are asked the other one's owner, if any, is fenced by the next claim there.
    expect(home(held, ['a1', 'a2', 'b1', 'b2', 'b3'])).toBe('a');
    expect(home(held, ['a1', 'a2', 'a3', 'b1', 'b2'])).toBe('b');
    expect(home(held, ['a1', 'a2', 'b1', 'b2'], ['b3'])).toBe('a');
    // An uncommitted record is no proof.
    const tail = { ...held, a1: [5, 5, 4] } as const;
    expect(home(tail, ['a1', 'a2', 'b1', 'b2'])).toBeUndefined();
    expect(home(tail, ['a1', 'a2', 'b1', 'b2', 'b3'])).toBe('a');
    // A committed one is.
    expect(home({ ...tail, a2: [5, 5, 4] }, ['a1', 'a2', 'b1', 'b2'])).toBe('a');
  });

  test('is not chosen beside an owner that was asked, though claims that failed have promised more', () => {
    const held = {
      a1: [6, 5, 2],
      a2: [5, 5, 3, 5],
      a3: [8, 5, 3],
      b1: [5, 5, 3],
      b2: [7, 5, 3, undefined, 7],
    } as const;
    expect(home(held, ['a1', 'a2', 'a3', 'b1', 'b2'])).toBeUndefined();
    expect(home(held)).toBe('a');
  });

  test('counts a replica that does not tell as one that may hold the newest record', () => {
    const found = copies({ a1: [5, 5, 4], a2: [5, 5, 4], b1: old, b2: [5, 0, 0] });
    const blank = found.map((one) => ({
      ...one,
      copies: one.copies.map((copy) => ({ ...copy, isQuarantined: copy.store === 'b2' })),
    }));
    const asked = new Set(['a1', 'a2', 'a3', 'b1', 'b2']);
    const stores = { asked, off: new Set<string>() };
    expect(recoveredHome(found, stores, 'a').home).toBe('a');
    expect(recoveredHome(blank, stores, 'a').home).toBeUndefined();
  });

  test('has a loose log where its newest record is not known to be at a majority', () => {
    expect(find({ a1: old, a2: old, a3: [5, 5, 2] })).toEqual({ home: 'a', isLoose: false });
    // Whoever claims it may have asked the other two alone before.
    expect(find({ a1: old })).toEqual({ home: 'a', isLoose: true });
    // As after a promotion: the newest copy of a lost region’s object is at one store.
    expect(find({ b1: [5, 5, 9], b2: [9, 5, 7], b3: [9, 5, 3] })).toEqual({
      home: 'b',
      isLoose: true,
    });
  });
});
