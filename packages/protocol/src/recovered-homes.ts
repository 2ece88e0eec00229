/**
 * Where an object is at home, told from what disks hold of it alone: for an operator's recovery of an etcd
 * that forgot. `homing recover` asks it object by object.
 *
 * Copies of one object may lie in several regions: its home's, those that it left, and one that it was
 * being moved to. Every claim seals a majority of its home's set, so the home has the newest promise; a
 * move whose switch was the last thing that happened leaves both regions with the same one. What a
 * majority may have promised counts, and without the attempt: a store that takes a copy over promises no
 * less than its floor, which other objects may have raised.
 *
 * Invariants
 * 1. A region is chosen only if a majority of its set may hold the object, those that were not asked
 *    counted in: a home's majority does. Less is a leftover, also of an object that was forgotten.
 * 2. Of regions with the same promise, one that lacks the newest record is not chosen: it was not settled
 *    in, or has begun to erase what it held.
 * 3. An owner that lives is at home: none is made in another region beside it.
 *
 * Pure. It expects a majority of each set to have been asked.
 */
import { compareRecordNames, type Epoch, epochRevision, type RecordName } from '@homing/base';
import { isMajority, isQuorum, type ReplicaSet } from './replica-set.ts';

/** What one store of the region's set holds of the object. */
export interface HeldCopy {
  readonly store: string;
  readonly promised: Epoch;
  readonly last: RecordName;
  /** The store's node owns the object under this epoch. */
  readonly owned?: Epoch | undefined;
}

export interface RegionCopies {
  readonly region: string;
  readonly set: ReplicaSet;
  /** At least one. */
  readonly copies: readonly HeldCopy[];
}

/**
 * The region that the object is at home in, or `byDefault` where none of these is. Undefined where the
 * stores that were not asked would decide it.
 */
export function recoveredHome(
  regions: readonly RegionCopies[],
  asked: ReadonlySet<string>,
  byDefault: string,
): string | undefined {
  const possible = regions.filter((candidate) => mayBeHome(candidate, asked));
  if (possible.length === 0) return byDefault;
  const newest = greatest(
    possible.map((one) => promiseOf(one, asked)),
    compareRevisions,
  );
  const vowed = possible.filter((one) => promiseOf(one, asked) === newest);
  if (vowed.length === 1) return vowed[0]?.region;
  const owned = vowed.find(({ copies }) => copies.some((copy) => copy.owned !== undefined));
  if (owned !== undefined) return owned.region;
  const last = greatest(
    vowed.flatMap(({ copies }) => copies.map((copy) => copy.last)),
    compareRecordNames,
  );
  const holdsLast = ({ copies }: RegionCopies, store: string) =>
    copies.some((copy) => copy.store === store && compareRecordNames(copy.last, last) === 0);
  const full = vowed.filter((one) => one.copies.some(({ store }) => holdsLast(one, store)));
  if (full.length === 1) return full[0]?.region;
  const settled = full.filter((one) => isQuorum(one.set, (store) => holdsLast(one, store)));
  return (settled.find(({ region }) => region === byDefault) ?? settled[0])?.region;
}

function mayBeHome({ set, copies }: RegionCopies, asked: ReadonlySet<string>): boolean {
  const holders = new Set(copies.map(({ store }) => store));
  const mayHold = (store: string) => holders.has(store) || !asked.has(store);
  const lists = set.next === undefined ? [set.members] : [set.members, set.next];
  return lists.some((members) => isMajority(members, mayHold));
}

/** The newest that a majority of a list may have promised, or that a node owns the object under. */
function promiseOf({ set, copies }: RegionCopies, asked: ReadonlySet<string>): bigint {
  const lists = set.next === undefined ? [set.members] : [set.members, set.next];
  const revisions = copies.map(({ promised }) => epochRevision(promised));
  const owned = copies.flatMap((copy) =>
    copy.owned === undefined ? [] : [epochRevision(copy.owned)],
  );
  const isVowed = (revision: bigint) => (store: string) => {
    const copy = copies.find((one) => one.store === store);
    return copy === undefined ? !asked.has(store) : epochRevision(copy.promised) >= revision;
  };
  const isMet = (revision: bigint) =>
    lists.some((members) => isMajority(members, isVowed(revision)));
  return greatest([0n, ...revisions.filter(isMet), ...owned], compareRevisions);
}

const compareRevisions = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);

function greatest<Value>(values: readonly Value[], compare: (a: Value, b: Value) => number): Value {
  return values.reduce((most, value) => (compare(value, most) > 0 ? value : most));
}
