/**
 * The copy of an owned object at the replica set of another region, before it moves there: the state,
 * then committed records as they come. It has no authority; only the coordinator's record gives it any.
 * Pure, as `OwnerLog`, beside which it runs.
 *
 *   down ──up──▶ copying ──copied──▶ streaming ──(link lost)──▶ down
 *
 * Invariants
 * 1. A store begins with the whole state, whatever older copy lies there: what it holds from an earlier
 *    stay is never taken for a part of this copy.
 * 2. Only committed records are sent: a copy is never ahead of the replica set that has authority.
 * 3. `isSettled` says that a majority of the set, the next owner's store among it, has on disk all that
 *    was ever appended, and knows it committed.
 *
 * Driven by the replication package in production and in the simulator.
 */
import { assert, type EncodedRecord, type RecordName } from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';
import { isQuorum, type ReplicaSet, storesOf } from './replica-set.ts';

export interface StagedCopyOptions {
  readonly set: ReplicaSet;
  /** The store of the node that is to own the object. */
  readonly target: string;
  /** The record before `records`; the own state has folded it in. */
  readonly base: RecordName;
  readonly records: readonly EncodedRecord[];
  readonly committed: number;
  /** Bytes sent to one store and not acknowledged. */
  readonly inFlightBytesMax: number;
  /** Bytes of records kept while the state is copied; past it the object is written to too fast. */
  readonly windowBytesMax: number;
  /** Copies begun for one store before it is given up. */
  readonly copiesMax: number;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

export type StagedInput =
  | { readonly type: 'up'; readonly store: string }
  | { readonly type: 'down'; readonly store: string }
  | { readonly type: 'append'; readonly record: EncodedRecord }
  | { readonly type: 'committed'; readonly lsn: number }
  | { readonly type: 'acked'; readonly store: string; readonly lsn: number }
  /** The state is on the store's disk as of this record. */
  | { readonly type: 'copied'; readonly store: string; readonly lsn: number }
  /** What it holds does not go before what it was sent, or the copy was broken off. */
  | { readonly type: 'gap'; readonly store: string }
  /** It has promised a newer epoch. */
  | { readonly type: 'refused'; readonly store: string };

export type StagedEffect =
  | { readonly type: 'copy'; readonly to: string }
  | {
      readonly type: 'send';
      readonly to: string;
      readonly previous: RecordName;
      readonly records: readonly EncodedRecord[];
      readonly committed: RecordName;
    }
  /** It will not come about. The last effect. */
  | { readonly type: 'failed'; readonly why: string; readonly isFenced: boolean };

interface Follower {
  state: 'down' | 'copying' | 'streaming';
  /** On its disk, and known there to be committed. */
  matched: number;
  next: number;
  /** The oldest record that the copy under way may need next. */
  from: number;
  copies: number;
}

export class StagedCopy {
  readonly set: ReplicaSet;
  readonly #options: StagedCopyOptions;
  readonly #followers = new Map<string, Follower>();
  #base: RecordName;
  #records: EncodedRecord[];
  #bytes = 0;
  #committed: number;
  #isOver = false;
  #effects: StagedEffect[] = [];

  constructor(options: StagedCopyOptions) {
    this.#options = options;
    this.set = options.set;
    this.#base = options.base;
    this.#records = [...options.records];
    for (const record of this.#records) this.#bytes += record.body.length;
    this.#committed = options.committed;
    for (const store of storesOf(options.set)) {
      this.#followers.set(store, { state: 'down', matched: 0, next: 0, from: 0, copies: 0 });
    }
  }

  isMember(store: string): boolean {
    return this.#followers.has(store);
  }

  /** Most is there: what is missing is on its way as it comes. */
  get isNear(): boolean {
    return this.#holdsAt((follower) => follower.state === 'streaming');
  }

  get isSettled(): boolean {
    const { lsn } = this.#last;
    return lsn === this.#committed && this.#holdsAt(({ matched }) => matched === lsn);
  }

  step(input: StagedInput): readonly StagedEffect[] {
    if (this.#isOver) return [];
    this.#handle(input);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #handle(input: StagedInput): void {
    if (input.type === 'append') {
      this.#append(input.record);
      return;
    }
    if (input.type === 'committed') {
      this.#committed = Math.max(this.#committed, input.lsn);
      for (const [store, follower] of this.#followers) this.#send(store, follower);
      return;
    }
    const { store } = input;
    const follower = this.#followers.get(store);
    if (follower === undefined) return;
    switch (input.type) {
      case 'up':
      case 'gap':
        this.#copy(store, follower);
        return;
      case 'down':
        follower.state = 'down';
        return;
      case 'copied':
        if (follower.state !== 'copying') return;
        this.#reached(store, follower, input.lsn);
        return;
      case 'acked':
        if (follower.state !== 'streaming') return;
        this.#reached(store, follower, input.lsn);
        return;
      case 'refused':
        this.#fail('a store has promised a newer epoch', true);
    }
  }

  #append(record: EncodedRecord): void {
    assert(record.name.lsn === this.#last.lsn + 1, 'staged copy: a record out of order');
    this.#records.push(record);
    this.#bytes += record.body.length;
    this.#trim();
    if (this.#bytes > this.#options.windowBytesMax) {
      this.#fail('the object is written to faster than it can be copied');
    }
  }

  #copy(store: string, follower: Follower): void {
    if (this.#options.bugs?.['stale-staged-copy'] === true) {
      // A mistake on purpose: whatever lies there is taken for the beginning.
      follower.state = 'streaming';
      this.#reached(store, follower, this.#committed);
      return;
    }
    follower.copies += 1;
    if (follower.copies > this.#options.copiesMax) {
      follower.state = 'down';
      const isLost = !this.#holdsAt(({ copies }) => copies <= this.#options.copiesMax);
      if (isLost) this.#fail('the state cannot be copied to the other region’s stores');
      return;
    }
    follower.state = 'copying';
    follower.from = this.#base.lsn;
    follower.matched = 0;
    this.#effects.push({ type: 'copy', to: store });
  }

  #reached(store: string, follower: Follower, lsn: number): void {
    if (lsn < this.#base.lsn || lsn > this.#last.lsn) {
      this.#copy(store, follower);
      return;
    }
    if (follower.state === 'copying') follower.next = lsn + 1;
    follower.state = 'streaming';
    follower.matched = Math.max(follower.matched, lsn);
    follower.next = Math.max(follower.next, follower.matched + 1);
    this.#send(store, follower);
    this.#trim();
  }

  #send(store: string, follower: Follower): void {
    if (follower.state !== 'streaming') return;
    const { inFlightBytesMax } = this.#options;
    let bytes = 0;
    for (let lsn = follower.matched + 1; lsn < follower.next; lsn++) bytes += this.#sizeOf(lsn);
    let last = follower.next - 1;
    while (last < this.#committed && (bytes < inFlightBytesMax || last === follower.matched)) {
      last += 1;
      bytes += this.#sizeOf(last);
    }
    if (last < follower.next) return;
    const first = follower.next;
    follower.next = last + 1;
    const { lsn } = this.#base;
    this.#effects.push({
      type: 'send',
      to: store,
      previous: this.#nameAt(first - 1),
      records: this.#records.slice(first - 1 - lsn, last - lsn),
      committed: this.#nameAt(last),
    });
  }

  /** Forgets records that no store will need: one that comes back begins anew. */
  #trim(): void {
    let lsn = this.#committed;
    for (const { state, matched, from } of this.#followers.values()) {
      if (state === 'streaming') lsn = Math.min(lsn, matched);
      else if (state === 'copying') lsn = Math.min(lsn, from);
    }
    const count = lsn - this.#base.lsn;
    if (count <= 0) return;
    this.#base = this.#nameAt(lsn);
    for (const record of this.#records.splice(0, count)) this.#bytes -= record.body.length;
  }

  #fail(why: string, isFenced = false): void {
    this.#isOver = true;
    this.#effects = [{ type: 'failed', why, isFenced }];
  }

  #holdsAt(isTrue: (follower: Follower) => boolean): boolean {
    const counts = (store: string) => {
      const follower = this.#followers.get(store);
      return follower !== undefined && isTrue(follower);
    };
    return counts(this.#options.target) && isQuorum(this.set, counts);
  }

  get #last(): RecordName {
    return this.#records.at(-1)?.name ?? this.#base;
  }

  #sizeOf(lsn: number): number {
    return this.#records[lsn - this.#base.lsn - 1]?.body.length ?? 0;
  }

  #nameAt(lsn: number): RecordName {
    if (lsn === this.#base.lsn) return this.#base;
    const record = this.#records[lsn - this.#base.lsn - 1];
    assert(record !== undefined, `staged copy: no record ${lsn} after ${this.#base.lsn}`);
    return record.name;
  }
}
