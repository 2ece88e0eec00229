/**
 * Where an object is at home, told from what disks hold of it alone: for an operator's recovery of an etcd
 * that forgot. `homing recover` asks it object by object.
 *
 * Copies of one object may lie in several regions: its home's, those that it left, and one that it was
 * being moved to, or is copied to. Every claim seals a majority of its home's set, so the home has the newest
 * promise; a copy that its owner sends to another region has the same one there. What a majority may have
 * promised counts, and without the attempt. A store that takes a copy over promises no less than its floor,
 * which other objects may have raised: a promise up to the floor may be no promise of this object.
 *
 * Invariants
 * 1. A region is chosen only if a majority of its set may hold the object, those that were not asked
 *    counted in: a home's majority does. Less is a leftover, also of an object that was forgotten.
 * 2. Of regions that may have the newest promise, one that lacks the newest record is not chosen: it was not
 *    settled in, or has begun to erase what it held.
 * 3. No home is made beside an owner that lives: where a region may be the home by what it has promised and
 *    what it holds, and another one is chosen, then all of its stores have been asked, and none owns the
 *    object.
 * 4. A log that is not known to be at a majority of the home is said to be loose. Whoever claims the object
 *    then settles it with a barrier record, as after a promotion, whatever `applied` says.
 *
 * Pure. It expects a majority of each set to have been asked, but for regions that are lost.
 */
import { compareRecordNames, type Epoch, epochRevision, type RecordName } from '@homing/base';
import { isMajority, isQuorum, type ReplicaSet, storesOf } from './replica-set.ts';

/** What one store of the region's set holds of the object. */
export interface HeldCopy {
  readonly store: string;
  readonly promised: Epoch;
  /** Of the store for all ids like this one. */
  readonly floor: Epoch;
  readonly last: RecordName;
  /** It does not tell what it held. */
  readonly isQuarantined: boolean;
  /** The store's node owns the object under this epoch. */
  readonly owned?: Epoch | undefined;
}

export interface RegionCopies {
  readonly region: string;
  readonly set: ReplicaSet;
  /** At least one. */
  readonly copies: readonly HeldCopy[];
}

export interface AskedStores {
  readonly asked: ReadonlySet<string>;
  /** An operator vouches that their nodes are off: they own nothing. */
  readonly off: ReadonlySet<string>;
}

export type FoundHome =
  | { readonly home: string; readonly isLoose: boolean }
  /** These stores would decide it. */
  | { readonly home: undefined; readonly unasked: readonly string[] };

/** The region that the object is at home in, or `byDefault` where none of these is. */
export function recoveredHome(
  regions: readonly RegionCopies[],
  stores: AskedStores,
  byDefault: string,
): FoundHome {
  const candidates = regions.map((one) => new Candidate(one, stores));
  const possible = candidates.filter((one) => one.mayHold);
  if (possible.length === 0) {
    const there = candidates.find(({ region }) => region === byDefault);
    return { home: byDefault, isLoose: there?.isLoose === true };
  }
  const sure = greatest(
    possible.map((one) => one.surely),
    compareRevisions,
  );
  const vowed = possible.filter(({ atMost }) => atMost >= sure);
  const last = greatest(
    vowed.map((one) => one.last),
    compareRecordNames,
  );
  for (const chosen of choices(vowed, sure, last, byDefault)) {
    const others = vowed.filter((one) => one !== chosen);
    if (!others.every((one) => isFree(one, chosen) || isOlder(one, chosen, last))) continue;
    return { home: chosen.region, isLoose: chosen.isLoose };
  }
  return { home: undefined, unasked: vowed.flatMap(({ unasked }) => unasked) };
}

/** Those that may be chosen, the best first. */
function choices(
  vowed: readonly Candidate[],
  sure: bigint,
  last: RecordName,
  byDefault: string,
): readonly Candidate[] {
  if (vowed.length === 1) return vowed;
  const owned = vowed.filter((one) => one.owned === sure);
  if (owned.length > 0) return owned;
  const full = vowed.filter((one) => one.has(last));
  if (full.length === 1) return full;
  const settled = full.filter((one) => one.hasAtQuorum(last));
  return settled.sort((a, b) => Number(b.region === byDefault) - Number(a.region === byDefault));
}

/** Whether no owner runs there that nobody has fenced since. */
function isFree(one: Candidate, chosen: Candidate): boolean {
  return one.isAsked && (one.owned === undefined || one.owned < chosen.surely);
}

/**
 * Whether it cannot be the home, and have an owner, beside `chosen`: it has promised nothing newer, and the
 * owner is there, or the newest record is committed there and cannot be here.
 */
function isOlder(one: Candidate, chosen: Candidate, last: RecordName): boolean {
  if (one.atMost > chosen.surely) return false;
  return (
    chosen.owned === chosen.surely || (chosen.hasAtQuorum(last) && !one.mayHaveCommitted(last))
  );
}

class Candidate {
  readonly region: string;
  /** The newest revision that a majority of a list has promised, or that a node owns the object under. */
  readonly surely: bigint;
  /** The same, with those that were not asked, and what may be a floor. */
  readonly atMost: bigint;
  readonly owned: bigint | undefined;
  /** The newest record that a store told. */
  readonly last: RecordName;
  readonly unasked: readonly string[];
  /** Whether a majority of a list may hold the object. */
  readonly mayHold: boolean;
  readonly #set: ReplicaSet;
  readonly #lists: readonly (readonly string[])[];
  readonly #copies: ReadonlyMap<string, HeldCopy>;
  readonly #asked: ReadonlySet<string>;

  constructor({ region, set, copies }: RegionCopies, { asked, off }: AskedStores) {
    this.region = region;
    this.#set = set;
    this.#lists = set.next === undefined ? [set.members] : [set.members, set.next];
    this.#copies = new Map(copies.map((copy) => [copy.store, copy]));
    this.#asked = asked;
    const owned = copies.flatMap((copy) =>
      copy.owned === undefined ? [] : epochRevision(copy.owned),
    );
    this.owned = owned.length === 0 ? undefined : greatest(owned, compareRevisions);
    this.surely = this.#promised(owned, genuine, false);
    this.atMost = this.#promised(owned, ({ promised }) => epochRevision(promised), true);
    this.last = greatest(
      copies.map((copy) => copy.last),
      compareRecordNames,
    );
    this.unasked = storesOf(set).filter((store) => !asked.has(store) && !off.has(store));
    this.mayHold = this.#isMajority((store) => this.#copies.has(store) || !asked.has(store));
  }

  get isAsked(): boolean {
    return this.unasked.length === 0;
  }

  get isLoose(): boolean {
    return !this.hasAtQuorum(this.last);
  }

  has(record: RecordName): boolean {
    return [...this.#copies.values()].some(({ last }) => compareRecordNames(last, record) >= 0);
  }

  hasAtQuorum(record: RecordName): boolean {
    return isQuorum(this.#set, (store) => {
      const copy = this.#copies.get(store);
      return copy !== undefined && compareRecordNames(copy.last, record) >= 0;
    });
  }

  mayHaveCommitted(record: RecordName): boolean {
    return this.#isMajority((store) => {
      const copy = this.#copies.get(store);
      if (copy === undefined) return !this.#asked.has(store);
      return copy.isQuarantined || compareRecordNames(copy.last, record) >= 0;
    });
  }

  #promised(
    owned: readonly bigint[],
    promiseOf: (copy: HeldCopy) => bigint,
    ifUnasked: boolean,
  ): bigint {
    const revisions = [...this.#copies.values()].map(promiseOf);
    const isMet = (revision: bigint) =>
      this.#isMajority((store) => {
        const copy = this.#copies.get(store);
        if (copy === undefined) return ifUnasked && !this.#asked.has(store);
        return promiseOf(copy) >= revision;
      });
    return greatest([0n, ...revisions.filter(isMet), ...owned], compareRevisions);
  }

  #isMajority(isSo: (store: string) => boolean): boolean {
    return this.#lists.some((members) => isMajority(members, isSo));
  }
}

/** A promise up to the floor may have been made to other objects; its records were of this one. */
function genuine({ promised, floor, last }: HeldCopy): bigint {
  const isOwn = epochRevision(promised) > epochRevision(floor);
  return epochRevision(isOwn ? promised : last.epoch);
}

const compareRevisions = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);

function greatest<Value>(values: readonly Value[], compare: (a: Value, b: Value) => number): Value {
  return values.reduce((most, value) => (compare(value, most) > 0 ? value : most));
}
