/**
 * The log of one object as its owner drives it: from sealing a majority of the replica set, over
 * settling what the last owner left, to appending. Pure: `step` takes what happened and returns what
 * is to be done; nothing here knows a clock, a socket or a disk. docs/protocol.md has the reasons.
 *
 *   sealing ──majority sealed──▶ fetching ──log complete here──▶ settling ──committed──▶ serving
 *      any ──refused for a newer epoch──▶ lost
 *
 * Invariants
 * 1. Nothing is appended before a majority has vowed to refuse all older epochs.
 * 2. A record of this epoch is committed when a majority has it on disk, the own store counted like
 *    any other; records of older epochs are committed only by one of this epoch above them.
 * 3. Two different records are never sent under one name: once lost, nothing more is sent.
 * 4. What a store said counts for the generation of the replica set under which it was asked, and for
 *    no other: when the set changes, all stores are asked anew.
 * 5. `folded` is reported only for committed records that the own store has folded into the state:
 *    whoever reads that state afterwards sees them. `committed` comes before, and says less.
 *
 * Driven by the replication package in production and in the simulator.
 */
import {
  assert,
  compareRecordNames,
  type EncodedRecord,
  type Epoch,
  noRecord,
  type RecordName,
} from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';
import {
  isChanging,
  isQuorum,
  meetsMajorities,
  quorumLsn,
  type ReplicaSet,
  storesOf,
  votersOf,
} from './replica-set.ts';

export interface OwnerLogOptions {
  /** The store of this node. A member of the set. */
  readonly self: string;
  readonly epoch: Epoch;
  /** Given anew when it changes: `set`. */
  readonly set: ReplicaSet;
  /** Bytes sent to one store and not acknowledged; past it the store has to answer first. */
  readonly inFlightBytesMax: number;
  /** Bytes of committed records kept for stores that are behind; past it they get a snapshot. */
  readonly windowBytesMax: number;
  /**
   * The object was given its home without being settled there: what is folded in at one store may not
   * be in what a majority tells. Default false.
   */
  readonly isPromoted?: boolean | undefined;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

export type OwnerPhase = 'sealing' | 'fetching' | 'settling' | 'serving' | 'lost';

export type OwnerInput =
  /** The store can be sent to; whatever was under way to it before is lost. */
  | { readonly type: 'up'; readonly store: string }
  | { readonly type: 'down'; readonly store: string }
  /** The answer to a seal of this epoch. */
  | {
      readonly type: 'sealed';
      readonly store: string;
      readonly generation: number;
      readonly last: RecordName;
      readonly applied: RecordName;
      /** False where the store has lost what it held: it refuses older epochs, and knows no log. */
      readonly isVote: boolean;
    }
  /** The log of another store is here: the own state reaches `base` or further; then `records`. */
  | {
      readonly type: 'fetched';
      readonly generation: number;
      readonly base: RecordName;
      readonly records: readonly EncodedRecord[];
    }
  /** It could not be had, and recovery begins again. */
  | { readonly type: 'fetch-failed' }
  /** A new record, named by `nextName`. Only while serving. */
  | { readonly type: 'append'; readonly record: EncodedRecord }
  /** What was appended since is to be sent. */
  | { readonly type: 'flush' }
  /** Records up to `lsn` are on the store's disk; `committed` is what it was told is committed. */
  | {
      readonly type: 'acked';
      readonly store: string;
      readonly generation: number;
      readonly lsn: number;
      readonly committed: number;
    }
  | {
      readonly type: 'gap';
      readonly store: string;
      readonly generation: number;
      readonly last: RecordName;
      readonly applied: RecordName;
    }
  | { readonly type: 'copied'; readonly store: string; readonly applied: RecordName }
  /** A store vowed to a newer epoch. */
  | { readonly type: 'refused'; readonly store: string }
  /** The replica set has changed. */
  | { readonly type: 'set'; readonly set: ReplicaSet };

export type OwnerEffect =
  | { readonly type: 'seal'; readonly to: string }
  /** Bring the own state to that store's `applied` and answer with its tail: `fetched`. */
  | { readonly type: 'fetch'; readonly from: string; readonly applied: RecordName }
  | {
      readonly type: 'send';
      readonly to: string;
      readonly previous: RecordName;
      readonly records: readonly EncodedRecord[];
      readonly committed: RecordName;
    }
  /** Send the own state to the store: `copied` when it has it on disk. */
  | { readonly type: 'copy'; readonly to: string }
  /** A record of no operations is to be appended, by `append`. */
  | { readonly type: 'barrier' }
  /** Recovery is over: events may be delivered. */
  | { readonly type: 'serve' }
  /** Records up to `lsn` are on disk at a majority. */
  | { readonly type: 'committed'; readonly lsn: number }
  /** Records up to `lsn` are committed, and in the state that readers see. */
  | { readonly type: 'folded'; readonly lsn: number }
  /** The own store is in the set no more: another node is to own the object. */
  | { readonly type: 'left' }
  /** A store that learns takes nothing of this epoch: the object needs a newer one before the set changes. */
  | { readonly type: 'renew' }
  | { readonly type: 'lost' };

interface Sealed {
  readonly last: RecordName;
  readonly applied: RecordName;
  readonly isVote: boolean;
}

interface Progress {
  /**
   * probing: one message is under way, its answer tells where the store is; streaming: it is known
   * and records are sent as they come; copying: it gets the state first.
   */
  state: 'down' | 'sealing' | 'probing' | 'streaming' | 'copying';
  sealed: Sealed | undefined;
  /** Acknowledged an append or seal of this epoch and generation since it was last up. */
  isAcked: boolean;
  matched: number;
  next: number;
  /** Greatest committed LSN it was told of, and holds once it has what was sent. */
  told: number;
  /** Greatest committed LSN it has acknowledged to be told of. */
  known: number;
}

export class OwnerLog {
  readonly self: string;
  readonly epoch: Epoch;
  readonly #inFlightBytesMax: number;
  readonly #windowBytesMax: number;
  readonly #isPromoted: boolean;
  readonly #bugs: DeliberateBugs;
  #set: ReplicaSet;
  #phase: OwnerPhase = 'sealing';
  readonly #progress = new Map<string, Progress>();
  /** The record before the window; the own state has folded it in, once recovery is over. */
  #base: RecordName = noRecord;
  #window: EncodedRecord[] = [];
  /** Bytes of all records up to each of the window, counted from its beginning. */
  #ends: number[] = [];
  #droppedBytes = 0;
  #committed: RecordName = noRecord;
  /** The first LSN of this epoch; nothing below it is committed by counting copies. */
  #firstOwn = Number.MAX_SAFE_INTEGER;
  #folded = 0;
  #effects: OwnerEffect[] = [];

  constructor(options: OwnerLogOptions) {
    assert(votersOf(options.set).includes(options.self), 'owner log: the owner is not a member');
    this.self = options.self;
    this.epoch = options.epoch;
    this.#set = options.set;
    this.#inFlightBytesMax = options.inFlightBytesMax;
    this.#windowBytesMax = options.windowBytesMax;
    this.#isPromoted = options.isPromoted ?? false;
    this.#bugs = options.bugs ?? {};
    for (const store of storesOf(options.set)) this.#progress.set(store, newProgress());
  }

  get phase(): OwnerPhase {
    return this.#phase;
  }

  get set(): ReplicaSet {
    return this.#set;
  }

  /** Of the newest record. */
  get last(): RecordName {
    return this.#window.at(-1)?.name ?? this.#base;
  }

  /** What a copy of the object begins with: the own state has the base, and maybe more. */
  get held(): {
    readonly base: RecordName;
    readonly records: readonly EncodedRecord[];
    readonly committed: number;
  } {
    return { base: this.#base, records: this.#window, committed: this.#committed.lsn };
  }

  /** Bytes of records that are not committed. */
  get uncommittedBytes(): number {
    return this.#bytesUpTo(this.last.lsn) - this.#bytesUpTo(this.#committed.lsn);
  }

  /** Names the record that comes next. */
  get nextName(): RecordName {
    return { epoch: this.epoch, lsn: this.last.lsn + 1 };
  }

  /** True when all members have all there is and know that it is committed. */
  get isIdle(): boolean {
    const { lsn } = this.last;
    return [...this.#progress.values()].every(
      ({ state, known }) => state === 'down' || known === lsn,
    );
  }

  /**
   * Whether every member, of one list, has all there is and knows that it is committed: none could
   * bring back what a later record has taken away.
   */
  get isWhole(): boolean {
    const { lsn } = this.last;
    if (this.#phase !== 'serving' || isChanging(this.#set)) return false;
    if (this.#committed.lsn !== lsn) return false;
    const isTold = (store: string) => {
      const progress = this.#progress.get(store);
      return progress?.state === 'streaming' && progress.known === lsn;
    };
    if (this.#bugs['forgets-early'] === true) return this.isQuorum(isTold);
    return storesOf(this.#set).every(isTold);
  }

  /** Whether the stores that `promises` accepts, of those that acked this epoch, are a quorum. */
  isCovered(promises: (store: string) => boolean): boolean {
    return this.isQuorum((store) => this.isAckedBy(store) && promises(store));
  }

  /** Whether `stores` alone are a quorum of the set. */
  isQuorum(counts: (store: string) => boolean): boolean {
    return isQuorum(this.#votes, counts);
  }

  /** Whose majorities are needed. */
  get #votes(): ReplicaSet {
    const { generation, next, coming } = this.#set;
    // Mistakes on purpose.
    if (next !== undefined && this.#bugs['one-list'] === true) return { generation, members: next };
    if (coming !== undefined && this.#bugs['learners-vote'] === true) {
      return { generation, members: coming };
    }
    return this.#set;
  }

  /** Whether the store has acknowledged this epoch since it was last up. */
  isAckedBy(store: string): boolean {
    return this.#progress.get(store)?.isAcked ?? false;
  }

  /** Whether the store has something to answer. */
  isAwaited(store: string): boolean {
    const progress = this.#progress.get(store);
    if (progress === undefined) return false;
    const { state, sealed, next, matched, told, known } = progress;
    if (state === 'sealing') return sealed === undefined;
    return state === 'probing' || (state === 'streaming' && (next - 1 > matched || told > known));
  }

  /** Whether every store that can be sent to has answered all it was sent, the own one as well. */
  get isAnswered(): boolean {
    for (const { state, next, matched, told, known } of this.#progress.values()) {
      if (state === 'down') continue;
      if (state !== 'streaming' || next - 1 > matched || told > known) return false;
    }
    return true;
  }

  /** The greatest committed LSN that each store lags behind the newest record, for metrics. */
  lagOf(store: string): number {
    return this.last.lsn - (this.#progress.get(store)?.matched ?? 0);
  }

  step(input: OwnerInput): readonly OwnerEffect[] {
    if (this.#phase === 'lost') return [];
    this.#handle(input);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #handle(input: OwnerInput): void {
    if ('generation' in input && input.generation !== this.#set.generation) return;
    switch (input.type) {
      case 'up':
        this.#onUp(input.store);
        return;
      case 'down':
        this.#onDown(input.store);
        return;
      case 'sealed':
        this.#onSealed(input.store, input);
        return;
      case 'fetched':
        this.#onFetched(input.base, input.records);
        return;
      case 'fetch-failed':
        if (this.#phase === 'fetching') this.#restart();
        return;
      case 'append':
        this.#append(input.record);
        return;
      case 'flush':
        this.#sendAll();
        return;
      case 'acked':
        this.#onAcked(input.store, input.lsn, input.committed);
        return;
      case 'gap':
        this.#onGap(input.store, input.last, input.applied);
        return;
      case 'copied':
        this.#onCopied(input.store, input.applied);
        return;
      case 'refused':
        this.#onRefused(input.store);
        return;
      case 'set':
        this.#onSet(input.set);
    }
  }

  // ── Recovery ───────────────────────────────────────────────────────────────────────────────

  #onUp(store: string): void {
    const progress = this.#progress.get(store);
    if (progress === undefined) return;
    progress.isAcked = false;
    if (this.#phase === 'sealing' || this.#phase === 'fetching') {
      progress.state = 'sealing';
      this.#effects.push({ type: 'seal', to: store });
      return;
    }
    this.#probe(store, progress, Math.max(progress.matched, this.#base.lsn) + 1);
  }

  #onDown(store: string): void {
    const progress = this.#progress.get(store);
    if (progress === undefined) return;
    progress.state = 'down';
    progress.isAcked = false;
  }

  /** Nothing of this epoch was appended: the same seals are answered again. */
  #restart(): void {
    this.#phase = 'sealing';
    for (const [store, progress] of this.#progress) {
      progress.sealed = undefined;
      if (progress.state !== 'down') this.#effects.push({ type: 'seal', to: store });
    }
  }

  #onSealed(store: string, { last, applied, isVote }: Sealed): void {
    const progress = this.#progress.get(store);
    if (progress === undefined || progress.state === 'down') return;
    progress.isAcked = true;
    // The set was settled without it: it is found by probing.
    if (progress.state !== 'sealing') return;
    progress.sealed = { last, applied, isVote };
    if (this.#phase === 'settling' || this.#phase === 'serving') {
      this.#startSending(store, progress);
      return;
    }
    if (this.#phase !== 'sealing') return;
    if (this.#progress.get(this.self)?.sealed === undefined || !this.#isSealed()) return;
    this.#phase = 'fetching';
    const from = this.#newestStore();
    const newest = this.#progress.get(from)?.sealed?.applied ?? noRecord;
    this.#effects.push({ type: 'fetch', from, applied: newest });
  }

  /**
   * A majority refuses older epochs, so that none of them commits anything any more; and whatever they
   * have committed is in a log that was told here: those that told none are no majority.
   */
  #isSealed(): boolean {
    const sealedOf = (store: string) => this.#progress.get(store)?.sealed;
    const isVoting = (store: string) => sealedOf(store)?.isVote === true;
    return (
      this.isQuorum((store) => sealedOf(store) !== undefined) &&
      meetsMajorities(this.#votes, isVoting)
    );
  }

  /**
   * Of those of the old list that answered, which have all there is: the one with the newest record; the
   * own store where it is among them. What others hold may be what is left of a former life.
   */
  #newestStore(): string {
    let newest: string | undefined;
    for (const [store, { sealed }] of this.#progress) {
      if (sealed?.isVote !== true || !this.#votes.members.includes(store)) continue;
      const best = newest === undefined ? undefined : this.#progress.get(newest)?.sealed;
      const order = best === undefined ? 1 : compareSealed(sealed, best);
      if (order > 0 || (order === 0 && store === this.self)) newest = store;
    }
    assert(newest !== undefined, 'owner log: sealed by a quorum of nobody');
    return newest;
  }

  #onFetched(base: RecordName, records: readonly EncodedRecord[]): void {
    if (this.#phase !== 'fetching') return;
    this.#base = base;
    this.#window = [...records];
    this.#ends = [];
    let bytes = 0;
    for (const record of records) {
      bytes += recordBytes(record);
      this.#ends.push(bytes);
    }
    const newest = this.last;
    const isApplied = [...this.#progress.values()].some(
      ({ sealed }) => sealed !== undefined && compareRecordNames(sealed.applied, newest) === 0,
    );
    const isSettled = (isApplied && !this.#isPromoted) || this.#bugs['no-barrier'] === true;
    // Whatever is folded somewhere was committed, but for copies that nobody has settled: only a record of
    // this epoch takes the place of those that were not told here.
    this.#committed = isSettled ? newest : base;
    this.#phase = 'settling';
    if (!isSettled) this.#effects.push({ type: 'barrier' });
    for (const [store, progress] of this.#progress) {
      if (progress.sealed !== undefined) this.#startSending(store, progress);
    }
    this.#checkServing();
  }

  /** Where a store that has sealed is: its newest record, if that is one of this log. */
  #startSending(store: string, progress: Progress): void {
    const { sealed } = progress;
    assert(sealed !== undefined, 'owner log: not sealed');
    if (store === this.self) {
      // The own state reaches the base, fetched or not; its tail may be another's.
      progress.matched = Math.max(this.#base.lsn, this.#holds(sealed.last) ? sealed.last.lsn : 0);
      const { applied } = sealed;
      this.#folded = Math.max(this.#base.lsn, this.#holds(applied) ? applied.lsn : 0);
      progress.told = this.#folded;
      progress.known = this.#folded;
    } else if (this.#holds(sealed.last)) {
      progress.matched = sealed.last.lsn;
    } else if (sealed.applied.lsn >= this.#base.lsn && this.#holds(sealed.applied)) {
      progress.matched = sealed.applied.lsn;
    } else {
      this.#probe(store, progress, this.#base.lsn + 1);
      return;
    }
    progress.state = 'streaming';
    progress.next = progress.matched + 1;
    this.#send(store, progress);
  }

  #holds(name: RecordName): boolean {
    if (name.lsn < this.#base.lsn || name.lsn > this.last.lsn) return false;
    return this.#nameAt(name.lsn).epoch === name.epoch;
  }

  #checkServing(): void {
    if (this.#phase !== 'settling') return;
    if (this.#committed.lsn !== this.last.lsn || this.#folded < this.#committed.lsn) return;
    if (this.#isPromoted && !this.#isToldOwn()) return;
    this.#phase = 'serving';
    this.#effects.push({ type: 'serve' });
  }

  /**
   * Whether a majority has folded in a record of this epoch: a store whose copy is none of this log can
   * then be given the state by whomever it meets.
   */
  #isToldOwn(): boolean {
    const { epoch, lsn } = this.#committed;
    const isTold = (store: string) => (this.#progress.get(store)?.known ?? 0) >= lsn;
    return epoch === this.epoch && this.isQuorum(isTold);
  }

  // ── Replication ────────────────────────────────────────────────────────────────────────────

  #append(record: EncodedRecord): void {
    assert(this.#phase === 'serving' || this.#phase === 'settling', 'owner log: not recovered');
    const { epoch, lsn } = record.name;
    assert(epoch === this.epoch && lsn === this.last.lsn + 1, 'owner log: a record out of order');
    this.#firstOwn = Math.min(this.#firstOwn, lsn);
    this.#ends.push(this.#bytesUpTo(lsn - 1) + recordBytes(record) - this.#droppedBytes);
    this.#window.push(record);
  }

  #sendAll(): void {
    if (this.#phase !== 'settling' && this.#phase !== 'serving') return;
    for (const [store, progress] of this.#progress) this.#send(store, progress);
  }

  /** Sends what the store does not have, and what it does not know to be committed. */
  #send(store: string, progress: Progress): void {
    if (progress.state !== 'streaming') return;
    const first = progress.next;
    const last = this.#lastToSend(progress);
    // While serving, folding rides on the next record or waits for `fold`.
    const isToldNow = store === this.self || this.#isPromoted;
    const hasNews = isToldNow && this.#phase === 'settling' && progress.told < this.#committed.lsn;
    if (last < first && !hasNews) return;
    this.#emit(store, progress, first, last);
  }

  /** As many as the limit on bytes in flight allows, and at least one. */
  #lastToSend({ matched, next }: Progress): number {
    const { lsn } = this.last;
    const limit = this.#bytesUpTo(matched) + this.#inFlightBytesMax;
    let last = next - 1;
    while (last < lsn && (this.#bytesUpTo(last) < limit || last === matched)) last += 1;
    return last;
  }

  #emit(store: string, progress: Progress, first: number, last: number): void {
    progress.next = last + 1;
    progress.told = Math.max(progress.told, Math.min(this.#committed.lsn, last));
    this.#effects.push({
      type: 'send',
      to: store,
      previous: this.#nameAt(first - 1),
      records: this.#window.slice(first - 1 - this.#base.lsn, last - this.#base.lsn),
      // Never of a record that the store cannot have by then: it would not fold anything in.
      committed: this.#nameAt(Math.min(this.#committed.lsn, last)),
    });
  }

  /** Commit notices for stores that have all records and were not told since. */
  tellCommitted(): readonly OwnerEffect[] {
    return this.#tell(() => true);
  }

  /** The same for the own store alone: what is committed becomes part of the state. */
  fold(): readonly OwnerEffect[] {
    return this.#tell((store) => store === this.self);
  }

  #tell(isMeant: (store: string) => boolean): readonly OwnerEffect[] {
    if (this.#phase !== 'serving') return [];
    for (const [store, progress] of this.#progress) {
      if (!isMeant(store) || progress.state !== 'streaming') continue;
      if (progress.told < this.#committed.lsn && progress.next > this.#committed.lsn) {
        this.#emit(store, progress, progress.next, this.#lastToSend(progress));
      }
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #probe(store: string, progress: Progress, next: number): void {
    progress.state = 'probing';
    progress.next = next;
    progress.told = 0;
    this.#emit(store, progress, next, this.#lastToSend({ ...progress, matched: next - 1 }));
  }

  /** A store that has applied a record of a newer owner will say so. */
  #probeAfter(store: string, progress: Progress, applied: RecordName): void {
    this.#probe(store, progress, Math.min(applied.lsn, this.last.lsn) + 1);
  }

  #onAcked(store: string, lsn: number, committed: number): void {
    const progress = this.#progress.get(store);
    if (progress === undefined || progress.state === 'down') return;
    progress.isAcked = true;
    // An answer to something sent before the store was found to be elsewhere.
    if (progress.state === 'copying' || progress.state === 'sealing') return;
    progress.state = 'streaming';
    progress.matched = Math.max(progress.matched, lsn);
    if (committed <= lsn) progress.known = Math.max(progress.known, committed);
    // Of a majority that has more than is committed each one has, this one too.
    if (progress.matched > this.#committed.lsn) this.#advance();
    if (store === this.self && committed <= lsn) this.#onFolded(committed);
    this.#send(store, progress);
    this.#checkServing();
    this.#trim();
  }

  /** Finds what a majority has, and tells the own store at once: others are waiting for it. */
  #advance(): void {
    const lsn = quorumLsn(this.#votes, (member) => this.#progress.get(member)?.matched ?? 0);
    const first = this.#bugs['older-epochs-count'] === true ? 0 : this.#firstOwn;
    if (lsn <= this.#committed.lsn || lsn < first) return;
    this.#committed = this.#nameAt(lsn);
    const isOwn = this.#committed.epoch === this.epoch;
    assert(isOwn || first === 0, 'owner log: committed a record of another epoch');
    this.#effects.push({ type: 'committed', lsn });
    const own = this.#progress.get(this.self);
    if (this.#isPromoted && this.#phase === 'settling') this.#sendAll();
    else if (own !== undefined) this.#send(this.self, own);
  }

  #onFolded(lsn: number): void {
    if (lsn <= this.#folded) return;
    this.#folded = lsn;
    this.#effects.push({ type: 'folded', lsn });
  }

  #onGap(store: string, last: RecordName, applied: RecordName): void {
    const progress = this.#progress.get(store);
    if (progress === undefined || progress.state === 'down' || progress.state === 'copying') return;
    if (this.#phase !== 'settling' && this.#phase !== 'serving') return;
    const { lsn } = this.#base;
    // It may have lost what it acknowledged, and says so.
    progress.matched = this.#holds(last) ? Math.min(progress.matched, last.lsn) : 0;
    progress.known = Math.min(progress.known, progress.matched);
    const isKnown = this.#holds(applied) || applied.epoch > this.epoch;
    if (applied.lsn >= lsn && isKnown) this.#probeAfter(store, progress, applied);
    // The whole log is here: it replaces whatever the store has of a former life.
    else if (lsn === 0) this.#probe(store, progress, 1);
    else if (last.lsn >= lsn && progress.next > lsn + 1 && progress.state === 'streaming') {
      this.#probe(store, progress, lsn + 1);
    } else {
      assert(store !== this.self, 'owner log: the own store has a gap');
      progress.state = 'copying';
      this.#effects.push({ type: 'copy', to: store });
      // It can vow before it has the records: else its promises would count for nothing until then.
      if (!progress.isAcked) this.#effects.push({ type: 'seal', to: store });
    }
  }

  #onCopied(store: string, applied: RecordName): void {
    const progress = this.#progress.get(store);
    if (progress?.state !== 'copying') return;
    if (applied.lsn < this.#base.lsn) this.#effects.push({ type: 'copy', to: store });
    else this.#probeAfter(store, progress, applied);
  }

  /** Forgets records that no store needs, or that the limit does not allow to keep for it. */
  #trim(): void {
    if (this.#phase !== 'serving') return;
    let lsn = this.#folded;
    const excess = this.#bytesUpTo(this.#folded) - this.#droppedBytes - this.#windowBytesMax;
    if (excess <= 0) {
      for (const { matched } of this.#progress.values()) lsn = Math.min(lsn, matched);
    }
    const count = lsn - this.#base.lsn;
    // A few at a time would cost more than they hold.
    if (count <= 0 || (count < 32 && count < this.#window.length)) return;
    const dropped = this.#ends[count - 1] as number;
    this.#base = this.#nameAt(lsn);
    this.#droppedBytes += dropped;
    this.#window = this.#window.slice(count);
    this.#ends = this.#ends.slice(count).map((end) => end - dropped);
    for (const [store, progress] of this.#progress) {
      const isSending = progress.state === 'probing' || progress.state === 'streaming';
      if (!isSending || progress.next > lsn) continue;
      progress.state = 'copying';
      this.#effects.push({ type: 'copy', to: store });
    }
  }

  /**
   * All stores are asked anew. An older acknowledgement may be of a record that the store has dropped
   * since, for another owner's, while it was made complete for the new set; an older answer to a seal
   * may lack what it was given then.
   */
  #onSet(set: ReplicaSet): void {
    if (set.generation <= this.#set.generation) return;
    this.#set = set;
    const stores = new Set(storesOf(set));
    if (!votersOf(set).includes(this.self)) {
      this.#phase = 'lost';
      this.#effects = [{ type: 'left' }];
      return;
    }
    for (const store of this.#progress.keys()) {
      if (!stores.has(store)) this.#progress.delete(store);
    }
    for (const store of stores) {
      if (!this.#progress.has(store)) this.#progress.set(store, newProgress());
    }
    if (this.#phase === 'fetching') this.#phase = 'sealing';
    for (const [store, progress] of this.#progress) this.#askAnew(store, progress);
  }

  #askAnew(store: string, progress: Progress): void {
    const { state, matched } = progress;
    progress.sealed = undefined;
    progress.isAcked = false;
    progress.matched = 0;
    progress.told = progress.known;
    // A copy under way goes on: what it carries is committed.
    if (state === 'down' || state === 'copying') return;
    if (this.#phase === 'sealing') {
      progress.state = 'sealing';
      this.#effects.push({ type: 'seal', to: store });
    } else this.#probe(store, progress, Math.max(matched, this.#base.lsn) + 1);
  }

  /**
   * One that learns has no say in who owns the object. It may know nothing of it, and have forgotten
   * others of its bucket under newer epochs.
   */
  #onRefused(store: string): void {
    const progress = this.#progress.get(store);
    if (progress === undefined || votersOf(this.#set).includes(store)) {
      this.#phase = 'lost';
      this.#effects = [{ type: 'lost' }];
      return;
    }
    progress.state = 'down';
    progress.isAcked = false;
    this.#effects.push({ type: 'renew' });
  }

  #nameAt(lsn: number): RecordName {
    if (lsn === this.#base.lsn) return this.#base;
    const record = this.#window[lsn - this.#base.lsn - 1];
    assert(record !== undefined, `owner log: no record ${lsn} after ${this.#base.lsn}`);
    return record.name;
  }

  /** Of all records up to `lsn`, counted from when the log was recovered. */
  #bytesUpTo(lsn: number): number {
    const index = lsn - this.#base.lsn - 1;
    return index < 0 ? this.#droppedBytes : this.#droppedBytes + (this.#ends[index] ?? 0);
  }
}

function newProgress(): Progress {
  return {
    state: 'down',
    sealed: undefined,
    isAcked: false,
    matched: 0,
    next: 1,
    told: 0,
    known: 0,
  };
}

/** A record costs something even when it is empty. */
function recordBytes({ body }: EncodedRecord): number {
  return body.length + 64;
}

/** By newest record; among those with the same one, who has folded more in. */
function compareSealed(
  a: { readonly last: RecordName; readonly applied: RecordName },
  b: { readonly last: RecordName; readonly applied: RecordName },
): number {
  return compareRecordNames(a.last, b.last) || compareRecordNames(a.applied, b.applied);
}
