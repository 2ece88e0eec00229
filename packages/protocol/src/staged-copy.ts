/**
 * The copy of an owned object at the replica set of another region, before it moves there, or for as
 * long as it is owned where it is to have one always (a *remote copy*): the state, then committed records
 * as they come. It has no authority; only the coordinator's record gives it any. Pure, as `OwnerLog`,
 * beside which it runs.
 *
 *   down ──up──▶ copying ──copied──▶ streaming ──(link lost)──▶ down
 *   down ──up──▶ probing ──acked──▶ streaming     a remote copy; what does not continue is copied anew
 *
 * Invariants
 * 1. A store begins with the whole state, whatever older copy lies there: what it holds from an earlier
 *    stay is never taken for a part of this copy. A remote copy goes on from a committed record that the
 *    store holds by its very name, and is never settled.
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
  /** The store of the node that is to own the object; any where it is to stay. */
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
  /** It goes on for as long as the object is owned; so many bytes are kept for stores that are down. */
  readonly lasting?: { readonly keptBytesMax: number } | undefined;
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

export interface CopyLag {
  /** LSN of the newest record that is. */
  readonly committed: number;
  readonly records: number;
  /** Of those that are kept. */
  readonly bytes: number;
}

interface Follower {
  state: 'down' | 'probing' | 'copying' | 'streaming';
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

  /** Whether it is being sent the whole state, or that was broken off. */
  isCopying(store: string): boolean {
    return this.#followers.get(store)?.state === 'copying';
  }

  /** Whether the store has yet to acknowledge what it was sent. */
  isAwaited(store: string): boolean {
    const follower = this.#followers.get(store);
    return follower?.state === 'streaming' && follower.next - 1 > follower.matched;
  }

  /** Most is there: what is missing is on its way as it comes. */
  get isNear(): boolean {
    return this.#holdsAt((follower) => follower.state === 'streaming');
  }

  /** Committed, and not known to be at a majority of the set. */
  get lag(): CopyLag {
    const held = [...this.#followers.values()].map(({ matched }) => matched);
    const isAt = (lsn: number) => (store: string) =>
      (this.#followers.get(store)?.matched ?? 0) >= lsn;
    const matched = Math.max(0, ...held.filter((lsn) => isQuorum(this.set, isAt(lsn))));
    let bytes = 0;
    const first = Math.max(matched, this.#base.lsn) + 1;
    for (let lsn = first; lsn <= this.#committed; lsn++) bytes += this.#sizeOf(lsn);
    const committed = this.#committed;
    return { committed, records: Math.max(0, committed - matched), bytes };
  }

  /** Bytes of the records that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  get isSettled(): boolean {
    if (this.#options.lasting !== undefined) return false;
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
      // A mistake on purpose: what may never be is copied.
      if (this.#options.bugs?.['copies-uncommitted'] !== true) return;
      this.#handle({ type: 'committed', lsn: input.record.name.lsn });
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
        if (this.#options.lasting === undefined) this.#copy(store, follower);
        else this.#probe(store, follower);
        return;
      case 'gap':
        // Answers to what was sent before the copy that is under way are of the past.
        if (follower.state !== 'copying') this.#copy(store, follower);
        return;
      case 'down':
        follower.state = 'down';
        return;
      case 'copied':
        if (follower.state !== 'copying') return;
        this.#reached(store, follower, input.lsn);
        return;
      case 'acked':
        if (follower.state !== 'streaming' && follower.state !== 'probing') return;
        // To what was sent before it was asked anew.
        if (this.#options.lasting !== undefined && input.lsn < this.#base.lsn) return;
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

  /** Does it hold the record up to which it was known to be, or the oldest that is kept? */
  #probe(store: string, follower: Follower): void {
    const previous = this.#nameAt(Math.max(this.#base.lsn, follower.matched));
    follower.state = 'probing';
    this.#effects.push({ type: 'send', to: store, previous, records: [], committed: previous });
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
      const isLost =
        this.#options.lasting !== undefined ||
        !this.#holdsAt(({ copies }) => copies <= this.#options.copiesMax);
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
    if (follower.state !== 'streaming') {
      follower.next = lsn + 1;
      follower.copies = this.#options.lasting === undefined ? follower.copies : 0;
    }
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
    const { lasting } = this.#options;
    const isKept = lasting !== undefined && this.#bytes <= lasting.keptBytesMax;
    for (const { state, matched, from } of this.#followers.values()) {
      if (state === 'streaming' || state === 'probing') lsn = Math.min(lsn, matched);
      else if (state === 'copying') lsn = Math.min(lsn, from);
      else if (isKept && matched > 0) lsn = Math.min(lsn, matched);
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
    const { target, lasting } = this.#options;
    return (lasting !== undefined || counts(target)) && isQuorum(this.set, counts);
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
