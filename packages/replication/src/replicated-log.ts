/**
 * One owned object's log: carries out what the protocol's `OwnerLog` decides, on the own store and
 * over the network, and tells the object table what is committed.
 *
 * Invariants
 * 1. The own store is one replica among others: what it has counts when its fsync is done.
 * 2. After `lost` nothing is sent or written for the object, and no event follows.
 * 3. What was read leaves only while a quorum's promises count, or after a round to a quorum begun
 *    after the read arrived.
 *
 * Made by `Replication`, which routes answers here by object id and epoch.
 */
import {
  assert,
  compareRecordNames,
  type EncodedRecord,
  type Epoch,
  encodeBody,
  epochAfter,
  HomingError,
  isHomingError,
  type LogEvents,
  noRecord,
  type ObjectIdHex,
  type ObjectRef,
  type OwnedLog,
  type RecordName,
  type RecordOperation,
  type ShardAssignment,
  type Staging,
  stateIsAt,
} from '@homing/base';
import {
  type OwnerEffect,
  type OwnerInput,
  OwnerLog,
  type ReplicaSet,
  storesOf,
  votersOf,
} from '@homing/protocol';
import { ConfirmRounds } from './confirm-rounds.ts';
import type { LogContext, Outstanding } from './log-context.ts';
import type { LogAnswer, LogMessage } from './messages.ts';
import { Recovery } from './recovery.ts';
import { ObjectStaging, type RemoteCopy } from './staging.ts';

export interface LogOptions {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  /** The region whose replica set holds the object. */
  readonly home: string;
  readonly set: ReplicaSet;
  readonly events: LogEvents;
  /** The stores there hold copies that nobody has settled. */
  readonly isPromoted: boolean;
}

type AppendMessage = Extract<LogMessage, { readonly type: 'append' }>;

/** What a store tells that has lost what it held. */
const blank = { last: noRecord, applied: noRecord, isVote: false } as const;

const recordCopy = ({ name, body }: EncodedRecord): EncodedRecord => ({
  name,
  body: new Uint8Array(body),
});

export class ReplicatedLog implements OwnedLog {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  readonly home: string;
  readonly #context: LogContext;
  readonly #events: LogEvents;
  readonly #owner: OwnerLog;
  readonly #rounds: ConfirmRounds;
  /** The store whose log recovery takes. */
  #source: string | undefined;
  #started: Recovery | undefined;
  #firstLsn = 0;
  #appended = 0;
  #committed = 0;
  #folded = 0;
  #isFlushScheduled = false;
  /** The last append of the effects that are being carried out. */
  #sent: AppendMessage | undefined;
  /** An alarm was set: whoever watches the clock is told once it is folded in. */
  #foldsSoon = false;
  /** When the oldest group that is not committed was appended. */
  #waitingSinceMs: number | undefined;
  #lastAppendMs = 0;
  /** The record that `settle` wrote: no group of the object. */
  #settlingLsn = Number.POSITIVE_INFINITY;
  #isStalled = false;
  /** Since when a store has left something unanswered. */
  readonly #awaitedSinceMs = new Map<string, number>();
  /** Stores that have not said that they have forgotten the object, and whom to tell when all have. */
  #forgetting = new Set<string>();
  #forgotten: (() => void) | undefined;
  #isOver = false;
  #staging: ObjectStaging | undefined;
  /** The copy that is kept in another region. */
  #remote: ObjectStaging | undefined;
  /** Those that nobody has called off: what they copied may have become the object. */
  readonly #countedOn = new Set<ObjectStaging>();
  /** Stores that were told to erase what they had of this epoch. */
  readonly #orderedAway = new Set<string>();
  #settled: (() => void)[] = [];

  constructor(context: LogContext, options: LogOptions) {
    const { object, epoch, home, set, events, isPromoted } = options;
    const { self, timers, limits, bugs } = context;
    this.#context = context;
    this.object = object;
    this.epoch = epoch;
    this.home = home;
    this.#events = events;
    const { inFlightBytesMax, windowBytesMax } = limits;
    this.#owner = new OwnerLog({
      self: self.storeId,
      epoch,
      set,
      inFlightBytesMax,
      windowBytesMax,
      isPromoted,
      bugs,
    });
    this.#rounds = new ConfirmRounds({
      timers,
      timeoutMs: limits.confirmTimeoutMs,
      ask: (round) => this.#askToConfirm(round),
      isQuorum: (counts) => this.#owner.isQuorum(counts),
    });
  }

  /** Recovers. Resolves when events may be delivered; rejects with `fenced` or `unavailable`. */
  start(): Promise<void> {
    const { timers, limits, self, peers } = this.#context;
    return new Promise((resolve, reject) => {
      const expired = () => this.#end(this.#tooLate());
      const timeoutMs = limits.acquireTimeoutMs;
      this.#started = new Recovery({ timers, timeoutMs, expired, resolve, reject });
      this.#context.changed(this);
      this.#step({ type: 'up', store: self.storeId });
      for (const store of peers.stores()) this.#step({ type: 'up', store });
    });
  }

  /** What kept the object from being recovered in time. */
  #tooLate(): HomingError {
    const { self } = this.#context;
    const source = this.#source;
    if (this.#owner.phase === 'fetching' && source !== undefined && source !== self.storeId) {
      return stateIsAt(source);
    }
    return new HomingError(
      'unavailable',
      'no majority of the object’s replicas answers: try again',
    );
  }

  append(operations: readonly RecordOperation[]): number {
    const { limits, clock } = this.#context;
    const count = ++this.#appended;
    if (this.#isOver) return count;
    assert(this.#owner.phase === 'serving', 'log: appended to before it was recovered');
    this.#appendRecord(operations);
    if (operations.some(({ type }) => type === 'alarm')) {
      this.#foldsSoon = true;
      this.#context.changed(this);
    }
    this.#lastAppendMs = clock.monotonicMs();
    this.#waitingSinceMs ??= this.#lastAppendMs;
    if (this.#owner.uncommittedBytes > limits.uncommittedBytesMax) this.#stall();
    return count;
  }

  isCovered(): boolean {
    return !this.#context.limits.confirmsReads && this.hasMajority();
  }

  hasMajority(): boolean {
    const { self, promises, clock } = this.#context;
    const nowMs = clock.monotonicMs();
    return (
      !this.#isOver &&
      this.#owner.isCovered((store) => store === self.storeId || promises.counts(store, nowMs))
    );
  }

  confirm(): Promise<void> {
    return this.#isOver ? Promise.reject(lostError()) : this.#rounds.begin();
  }

  #askToConfirm(round: number): void {
    const { self, peers, store } = this.#context;
    const { id } = this.object;
    const { epoch, home } = this;
    const { generation } = this.#owner.set;
    for (const peer of peers.stores()) {
      this.#sendTo(peer, { type: 'confirm', id, epoch, home, generation, round });
    }
    if (store.head(id)?.promised === epoch) this.#rounds.confirmed(self.storeId, round);
  }

  settled(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    // The object may be about to leave: nobody would tell the other stores then.
    this.#run(this.#owner.tellCommitted());
    if (this.#folded === this.#appended) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  /**
   * Makes sure that the newest record is of this epoch: whatever a store holds of older ones, and is not
   * in this log, is then older than what is committed, and known not to be.
   */
  settle(): void {
    if (this.#isOver || this.#owner.phase !== 'serving') return;
    if (this.#owner.last.epoch === this.epoch) return;
    // A copy elsewhere may be about to become the object: it has all there is, and is to have.
    if (this.#countedOn.size > 0) return;
    this.#settlingLsn = this.#owner.nextName.lsn;
    this.#appendRecord([]);
  }

  get isEmpty(): boolean {
    return this.#owner.last.lsn === 0;
  }

  stage(set: ShardAssignment, target: string): Staging {
    this.#staging?.giveWay();
    // Its stores answer to one copy at a time.
    if (this.#remote?.meets(set) === true) this.#remote.cancel();
    const staging = this.#newStaging(set, target, false, () => {
      if (this.#staging === staging) this.#staging = undefined;
    });
    this.#countedOn.add(staging);
    if (this.#isOver) staging.cancel();
    else if (this.#isOrderedAway(set)) staging.refuse();
    else this.#staging = staging;
    return staging;
  }

  /**
   * Keeps a copy at the stores of `set`, for as long as the object is owned here. Undefined where it
   * cannot be begun now. `ended` is told why it is over, unless the log is.
   */
  copyTo(set: ShardAssignment, ended: (error: HomingError) => void): RemoteCopy | undefined {
    const [target] = storesOf(set);
    if (this.#isOver || this.#started !== undefined || target === undefined) return undefined;
    const own = storesOf(this.#owner.set);
    if (storesOf(set).some((store) => own.includes(store))) return undefined;
    if (this.#remote !== undefined || this.#staging?.meets(set) === true) return undefined;
    if (this.#isOrderedAway(set)) {
      ended(new HomingError('fenced', 'a store there has erased what it had of this epoch'));
      return undefined;
    }
    const copy = this.#newStaging(set, target, true, (error) => {
      if (this.#remote === copy) this.#remote = undefined;
      if (!this.#isOver) ended(error);
    });
    this.#remote = copy;
    return copy;
  }

  #newStaging(
    set: ShardAssignment,
    target: string,
    isLasting: boolean,
    ended: (error: HomingError) => void,
  ): ObjectStaging {
    const { epoch, home } = this;
    const staging = new ObjectStaging({
      context: this.#context,
      object: this.object,
      set,
      target,
      held: this.#owner.held,
      sender: () => ({ epoch, home, generation: this.#owner.set.generation }),
      isLasting,
      asked: () => this.#context.changed(this),
      ended,
      cancelled: () => this.#countedOn.delete(staging),
    });
    this.#context.changed(this);
    return staging;
  }

  #isOrderedAway(set: ShardAssignment): boolean {
    return storesOf(set).some((store) => this.#orderedAway.has(store));
  }

  /** The copies elsewhere that the log is told of. */
  get #copiesElsewhere(): readonly ObjectStaging[] {
    return [this.#staging, this.#remote].filter((copy) => copy !== undefined);
  }

  /**
   * A store of another region asks whether it is to keep what it has of this epoch. Not where a copy
   * there was called off. Nothing is copied to that store under this epoch again: an answer to the
   * copy that is erased could be taken for one to the next.
   */
  orderAway(store: string): void {
    const { peers } = this.#context;
    const { object, epoch, home } = this;
    const { set } = this.#owner;
    if (this.#isOver || storesOf(set).includes(store)) return;
    if ([...this.#countedOn].some((staging) => staging.holdsAt(store))) return;
    this.#orderedAway.add(store);
    const below = epochAfter(epoch);
    const { generation } = set;
    peers.send(store, { type: 'forget', object, epoch, home, generation, below });
  }

  get isIdle(): boolean {
    return !this.#isOver && this.#owner.isIdle;
  }

  get isCopying(): boolean {
    const { copies, peers } = this.#context;
    const nodes = storesOf(this.#owner.set).map((store) => peers.nodeOf(store));
    return nodes.some((node) => node !== undefined && copies.isUnderWay(node, this.object.id));
  }

  get isWhole(): boolean {
    return !this.#isOver && this.#owner.isWhole;
  }

  /** The own store comes last: as long as it knows the object, so does whoever recovers from it. */
  async forget(): Promise<void> {
    const { store, self, timers, limits, failed, isClosing } = this.#context;
    const { object, epoch, home } = this;
    const below = epochAfter(epoch);
    const { generation } = this.#owner.set;
    const others = storesOf(this.#owner.set).filter((other) => other !== self.storeId);
    // Nothing else is said of the object under this epoch.
    this.#isOver = true;
    await new Promise<void>((resolve) => {
      const timer = timers.after(limits.confirmTimeoutMs, resolve);
      const isAsked = (to: string) =>
        this.#context.peers.send(to, { type: 'forget', object, epoch, home, generation, below });
      this.#forgetting = new Set(others.filter(isAsked));
      // Nobody waits for a copy that is kept elsewhere, and nobody else would tell it.
      if (this.#remote !== undefined)
        for (const store of storesOf(this.#remote.set)) isAsked(store);
      this.#forgotten = () => {
        timer.cancel();
        resolve();
      };
      if (this.#forgetting.size === 0) this.#forgotten();
    });
    this.#close();
    await store.forget(object.id, below).catch((error: unknown) => {
      const isRefusal = isHomingError(error) && error.code !== 'corruption';
      if (!isRefusal && !isClosing()) failed(error);
    });
  }

  release(): void {
    if (!this.#isOver) this.#close();
  }

  /** The object has a newer owner. */
  lose(): void {
    this.#step({ type: 'refused', store: this.#context.self.storeId });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  up(store: string): void {
    for (const copy of this.#copiesElsewhere) {
      if (copy.isMember(store)) copy.up(store);
    }
    this.#step({ type: 'up', store });
    // Until it has answered, and knows what is committed.
    if (!this.#isOver) this.#context.changed(this);
  }

  down(store: string): void {
    for (const copy of this.#copiesElsewhere) copy.step({ type: 'down', store });
    this.#step({ type: 'down', store });
    if (this.#owner.phase === 'fetching') this.#step({ type: 'fetch-failed' });
  }

  setChanged(set: ReplicaSet): void {
    const { peers } = this.#context;
    if (set.generation <= this.#owner.set.generation) return;
    const before = new Set(storesOf(this.#owner.set));
    this.#rounds.forgetAnswers();
    this.#step({ type: 'set', set });
    for (const store of peers.stores()) if (!before.has(store)) this.up(store);
    if (this.#isOver) return;
    for (const store of before) if (!storesOf(set).includes(store)) this.#keepFrom(store);
    this.#rounds.askAgain();
    this.#context.changed(this);
  }

  /** Regularly while something is outstanding. */
  tick(): Outstanding {
    const { clock, limits } = this.#context;
    if (this.#isOver) return 'nothing';
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#lastAppendMs >= limits.noticeMs) this.#run(this.#owner.tellCommitted());
    else if (this.#foldsSoon) this.#run(this.#owner.fold());
    const isAnswered = this.#owner.isAnswered;
    if (isAnswered) this.#awaitedSinceMs.clear();
    else this.#resend(nowMs);
    for (const copy of this.#copiesElsewhere) copy.tick();
    const sinceMs = this.#waitingSinceMs;
    if (sinceMs !== undefined && nowMs - sinceMs > limits.commitTimeoutMs) this.#stall();
    const isRecovering = this.#started !== undefined;
    const isCopying = this.#staging !== undefined || this.#remote?.isIdle === false;
    if (isRecovering || isCopying) return 'soon';
    if (sinceMs === undefined && this.#owner.isIdle) return 'nothing';
    if (this.#foldsSoon) return 'soon';
    return isAnswered && sinceMs === undefined ? 'notice' : 'later';
  }

  /** An answer may be lost with a link's buffer: what a store does not answer is sent again. */
  #resend(nowMs: number): void {
    const { peers, limits } = this.#context;
    for (const store of [...peers.stores()]) {
      if (!this.#owner.isAwaited(store)) this.#awaitedSinceMs.delete(store);
      else if (nowMs - (this.#awaitedSinceMs.get(store) ?? nowMs) > limits.resendMs) {
        this.#awaitedSinceMs.set(store, nowMs);
        this.up(store);
      } else if (!this.#awaitedSinceMs.has(store)) this.#awaitedSinceMs.set(store, nowMs);
    }
  }

  /** Whether promises of the store may be counted. */
  isAckedBy(store: string): boolean {
    return this.#owner.isAckedBy(store);
  }

  lagOf(store: string): number {
    return this.#owner.lagOf(store);
  }

  onAnswer(store: string, answer: Extract<LogAnswer, { readonly id: ObjectIdHex }>): void {
    const copy = this.#copiesElsewhere.find((each) => each.isMember(store));
    if (copy !== undefined) {
      copy.onAnswer(store, answer);
      return;
    }
    // A round of reads that it took part in says nothing of what it was sent.
    if (answer.type !== 'confirmed') this.#awaitedSinceMs.delete(store);
    switch (answer.type) {
      case 'sealed':
        this.#step({ ...answer, store, isVote: true });
        return;
      case 'sealed-blank':
        this.#step({ ...answer, type: 'sealed', store, ...blank });
        return;
      case 'acked':
        this.#started?.reached('records', store, answer.lsn);
        this.#step({ ...answer, store });
        return;
      case 'gap':
        this.#step({ ...answer, store });
        return;
      case 'page-taken':
        this.#started?.reached('pages', store, answer.index + 1);
        return;
      case 'stale-generation':
        // Its own set came before this answer: once adopted here it is asked again under that.
        this.down(store);
        this.#context.blocked(this, store);
        return;
      case 'forgotten':
        this.#forgetting.delete(store);
        if (this.#forgetting.size === 0) this.#forgotten?.();
        return;
      case 'refused':
        this.#step({ type: 'refused', store });
        return;
      case 'confirmed':
        if (answer.generation === this.#owner.set.generation) {
          this.#rounds.confirmed(store, answer.round);
        }
        return;
      case 'fetched':
        this.#onFetched(answer.generation, answer.applied, answer.records.map(recordCopy));
        return;
      case 'fetch-failed':
        this.#retryFetch();
        return;
      default:
    }
  }

  // ── What the owner decided ─────────────────────────────────────────────────────────────────

  #step(input: OwnerInput): void {
    if (!this.#isOver) this.#run(this.#owner.step(input));
  }

  #run(effects: readonly OwnerEffect[]): void {
    for (const effect of effects) if (!this.#isOver) this.#carryOut(effect);
    this.#sent = undefined;
  }

  #carryOut(effect: OwnerEffect): void {
    const { self } = this.#context;
    switch (effect.type) {
      case 'seal':
        if (effect.to === self.storeId) this.#sealSelf();
        else this.#sendSeal(effect.to);
        return;
      case 'fetch':
        void this.#fetch(effect.from, effect.applied);
        return;
      case 'send':
        if (effect.to === self.storeId) this.#appendSelf(effect);
        else this.#sendAppend(effect);
        return;
      case 'copy':
        this.#copy(effect.to);
        return;
      case 'barrier':
        this.#appendRecord([]);
        return;
      case 'serve':
        this.#firstLsn = this.#owner.last.lsn + 1;
        this.#started?.resolve();
        this.#started = undefined;
        return;
      case 'committed':
        this.#onCommitted(effect.lsn);
        for (const copy of this.#copiesElsewhere) copy.step({ type: 'committed', lsn: effect.lsn });
        return;
      case 'folded':
        this.#onFolded(effect.lsn);
        return;
      case 'left':
        this.#end(
          new HomingError('unavailable', 'this node holds no replica of the object any more'),
        );
        return;
      case 'renew':
        this.#context.renew(this.object.id);
        return;
      case 'lost':
        this.#end(lostError());
    }
  }

  #appendRecord(operations: readonly RecordOperation[]): void {
    const name = this.#owner.nextName;
    const record = { name, body: encodeBody({ name, operations }) };
    const { groupBytesMax } = this.#context.limits;
    if (record.body.length > groupBytesMax) {
      const message = `${record.body.length} bytes were written at once; at most ${groupBytesMax} can be`;
      this.#end(new HomingError('overloaded', message));
      return;
    }
    this.#step({ type: 'append', record });
    for (const copy of this.#copiesElsewhere) copy.step({ type: 'append', record });
    if (this.#remote === undefined && this.#staging === undefined) this.#context.appended(this);
    else this.#context.changed(this);
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    // Groups of one turn go out together.
    queueMicrotask(() => {
      this.#isFlushScheduled = false;
      this.#step({ type: 'flush' });
    });
  }

  #sealSelf(): void {
    const { replica, self } = this.#context;
    const store = self.storeId;
    const { generation } = this.#owner.set;
    replica.seal(this.object, this.epoch, self).then(
      (sealed) => this.#step({ type: 'sealed', store, generation, ...sealed }),
      (error: unknown) => this.#onOwnFailure(error),
    );
  }

  #sendSeal(store: string): void {
    const { generation } = this.#owner.set;
    const { object, epoch, home } = this;
    this.#sendTo(store, { type: 'seal', object, epoch, home, generation });
  }

  #sendAppend({ to, previous, records, committed }: Extract<OwnerEffect, { type: 'send' }>): void {
    const { object, epoch, home } = this;
    const { generation } = this.#owner.set;
    // Stores that are equally far are sent the same: one log has one record of each LSN.
    const isSame =
      this.#sent?.generation === generation &&
      this.#sent.previous.lsn === previous.lsn &&
      this.#sent.records.length === records.length &&
      this.#sent.committed.lsn === committed.lsn;
    const message: AppendMessage =
      isSame && this.#sent !== undefined
        ? this.#sent
        : {
            type: 'append',
            object,
            epoch,
            home,
            generation,
            isStaged: false,
            previous,
            records,
            committed,
            encoded: undefined,
          };
    this.#sent = message;
    this.#sendTo(to, message);
  }

  /** A link that takes no more is treated as one that broke: it comes up again with the next tick. */
  #sendTo(store: string, message: LogMessage): void {
    const { peers } = this.#context;
    if (!peers.send(store, message) && message.type !== 'confirm') {
      queueMicrotask(() => this.down(store));
      this.#context.blocked(this, store);
    }
  }

  #appendSelf(effect: Extract<OwnerEffect, { type: 'send' }>): void {
    const { store, self } = this.#context;
    const { object, epoch } = this;
    const { previous, records, committed } = effect;
    const { generation } = this.#owner.set;
    store.append({ object, epoch, previous, records, committed }).then(
      () => {
        const { lsn } = records.at(-1)?.name ?? previous;
        this.#step({
          type: 'acked',
          store: self.storeId,
          generation,
          lsn,
          committed: committed.lsn,
        });
      },
      (error: unknown) => this.#onOwnFailure(error),
    );
  }

  #onOwnFailure(error: unknown): void {
    const { self, failed, isClosing } = this.#context;
    if (this.#isOver || isClosing()) return;
    if (isHomingError(error) && error.code === 'fenced') this.lose();
    else if (isHomingError(error) && isRetried(error.code)) {
      this.down(self.storeId);
      this.#context.blocked(this, self.storeId);
    } else failed(error);
  }

  #copy(store: string): void {
    const { copies, peers, timers, limits } = this.#context;
    const node = peers.nodeOf(store);
    if (node === undefined) return;
    if (copies.isUnderWay(node, this.object.id)) {
      // The store has asked for one itself, which brings it nearly as far.
      timers.after(limits.resendMs, () => this.#context.blocked(this, store));
      return;
    }
    copies.start({
      object: this.object,
      epoch: this.epoch,
      home: this.home,
      generation: () => this.#owner.set.generation,
      to: node,
      isPaced: !votersOf(this.#owner.set).includes(store),
      done: (applied) => this.#step({ type: 'copied', store, applied }),
      failed: () => this.#context.blocked(this, store),
    });
  }

  /** The store has left the set, and erases what it holds: a copy that waits its turn would stay there. */
  #keepFrom(store: string): void {
    const { copies, peers } = this.#context;
    const node = peers.nodeOf(store);
    if (node !== undefined) copies.giveUp(node, this.object.id, this.epoch);
  }

  // ── Recovery from another replica ──────────────────────────────────────────────────────────

  /** Folds in what is held here up to the other's `applied`, then asks for what is missing. */
  async #fetch(from: string, applied: RecordName): Promise<void> {
    const { store, self, replica } = this.#context;
    const { object, epoch, home } = this;
    const { generation } = this.#owner.set;
    this.#source = from;
    try {
      await store.append({ object, epoch, records: [], committed: applied });
    } catch (error) {
      this.#onOwnFailure(error);
      return;
    }
    if (this.#isOver) return;
    const own = replica.ends(object.id).applied;
    if (from === self.storeId) {
      try {
        this.#onFetched(generation, own, store.tail(object.id));
      } catch (error) {
        this.#onOwnFailure(error);
      }
    } else this.#sendTo(from, { type: 'fetch', object, epoch, home, generation, applied: own });
  }

  #onFetched(generation: number, theirs: RecordName, records: readonly EncodedRecord[]): void {
    const own = this.#context.replica.ends(this.object.id).applied;
    // What is applied here and not in the other's log is of a former life.
    const isOwn = records.some(({ name }) => compareRecordNames(name, own) === 0);
    const base = isOwn ? own : theirs;
    const rest = records.filter(({ name }) => name.lsn > base.lsn);
    this.#step({ type: 'fetched', generation, base, records: rest });
  }

  #retryFetch(): void {
    const { timers, limits } = this.#context;
    timers.after(limits.tickMs, () => this.#step({ type: 'fetch-failed' }));
  }

  // ── What the object table hears ────────────────────────────────────────────────────────────

  #onCommitted(lsn: number): void {
    const committed = this.#groupsUpTo(lsn);
    if (this.#firstLsn === 0 || committed <= this.#committed) return;
    this.#committed = committed;
    const isAll = committed === this.#appended;
    this.#waitingSinceMs = isAll ? undefined : this.#context.clock.monotonicMs();
    this.#isStalled = false;
    this.#events.committed(committed);
    // Somebody waits for the end of it all.
    if (isAll && this.#settled.length > 0) this.#run(this.#owner.tellCommitted());
  }

  #groupsUpTo(lsn: number): number {
    return lsn - this.#firstLsn + (lsn < this.#settlingLsn ? 1 : 0);
  }

  #onFolded(lsn: number): void {
    const folded = this.#groupsUpTo(lsn);
    if (this.#firstLsn === 0 || folded <= this.#folded) return;
    this.#folded = folded;
    this.#events.folded(folded);
    if (folded < this.#appended) return;
    this.#foldsSoon = false;
    this.#wakeSettled();
  }

  #stall(): void {
    if (this.#isStalled) return;
    this.#isStalled = true;
    this.#events.stalled(
      new HomingError(
        'outcome_unknown',
        'no majority of the object’s replicas has acknowledged what was written; it may yet be kept',
      ),
    );
  }

  #end(error: HomingError): void {
    if (this.#isOver) return;
    const started = this.#started;
    this.#started = undefined;
    this.#close();
    if (started === undefined) this.#events.lost(error);
    else started.reject(error);
  }

  #close(): void {
    this.#isOver = true;
    for (const copy of this.#copiesElsewhere) copy.cancel();
    this.#context.closed(this);
    this.#rounds.end(lostError());
    this.#wakeSettled();
  }

  #wakeSettled(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const resolve of waiting) resolve();
  }
}

/** The disk is busy, or is told again: nothing was written. */
function isRetried(code: string): boolean {
  return code === 'overloaded' || code === 'invalid_argument';
}

function lostError(): HomingError {
  return new HomingError('fenced', 'the object has another owner now');
}
