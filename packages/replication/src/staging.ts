/**
 * Carries out what `StagedCopy` decides: the copy of one owned object at another region's stores, while
 * its log goes on. Appends and pages go as the owner's other messages do, marked as staged.
 *
 * Made by `ReplicatedLog`, which tells it what it appends and commits, and passes on its stores' answers.
 */
import {
  HomingError,
  type ObjectRef,
  type RecordName,
  type ShardAssignment,
  type Staging,
} from '@homing/base';
import {
  type CopyLag,
  type ReplicaSet,
  StagedCopy,
  type StagedEffect,
  type StagedInput,
  storesOf,
} from '@homing/protocol';
import type { LogContext } from './log-context.ts';
import type { LogAnswer, LogMessage } from './messages.ts';

export interface ObjectStagingOptions {
  readonly context: LogContext;
  readonly object: ObjectRef;
  readonly set: ShardAssignment;
  readonly target: string;
  readonly held: Pick<
    ConstructorParameters<typeof StagedCopy>[0],
    'base' | 'records' | 'committed'
  >;
  /** What every message to the stores says of the owner. */
  readonly sender: () => Pick<
    Extract<LogMessage, { type: 'append' }>,
    'epoch' | 'home' | 'generation'
  >;
  /** It goes on for as long as the object is owned. */
  readonly isLasting: boolean;
  /** A store owes an answer: `tick` is to look for it. */
  readonly asked: () => void;
  readonly ended: (error: HomingError) => void;
  /** Whoever began it counts on it no more. */
  readonly cancelled: () => void;
}

interface Waiting {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: HomingError) => void;
}

/** A copy that is kept in another region. */
export interface RemoteCopy {
  readonly lag: CopyLag;
  readonly isNear: boolean;
  /** Of the records kept for it. */
  readonly bytes: number;
  cancel(): void;
}

export class ObjectStaging implements Staging, RemoteCopy {
  readonly near: Promise<void>;
  readonly #options: ObjectStagingOptions;
  readonly #copy: StagedCopy;
  readonly #waiting = new Set<Waiting>();
  /** Since when a store has left something unanswered. */
  readonly #askedSinceMs = new Map<string, number>();
  #failure: HomingError | undefined;
  #isOver = false;

  constructor(options: ObjectStagingOptions) {
    const { context, set, target, held, isLasting } = options;
    const { inFlightBytesMax, stagedBytesMax, stagedCopiesMax } = context.limits;
    const { remoteKeptBytesMax: keptBytesMax } = context.limits;
    this.#options = options;
    this.#copy = new StagedCopy({
      set,
      target,
      ...held,
      inFlightBytesMax,
      windowBytesMax: stagedBytesMax,
      copiesMax: stagedCopiesMax,
      lasting: isLasting ? { keptBytesMax } : undefined,
      bugs: context.bugs,
    });
    this.near = this.#until(() => this.#copy.isNear);
    // Whoever waits for it later hears of a failure then.
    this.near.catch(() => {});
    for (const store of context.peers.stores()) this.step({ type: 'up', store });
  }

  settled(): Promise<void> {
    return this.#until(() => this.#copy.isSettled);
  }

  cancel(): void {
    this.#end(new HomingError('unavailable', 'the move was called off'));
    this.#options.cancelled();
  }

  /** Another one begins. Its move may have come to the switch, and counts on what was copied. */
  giveWay(): void {
    this.#end(new HomingError('unavailable', 'another move was begun'));
  }

  /** A store there takes nothing of this epoch any more. */
  refuse(): void {
    this.#end(new HomingError('fenced', 'a store was told to erase what it had of this epoch'));
  }

  /** Of the set that it copies to, while it does. */
  isMember(store: string): boolean {
    return !this.#isOver && this.holdsAt(store);
  }

  get set(): ReplicaSet {
    return this.#copy.set;
  }

  /** Whether any store is of both sets. */
  meets(set: ReplicaSet): boolean {
    return storesOf(set).some((store) => this.isMember(store));
  }

  /** The same, also when it is over. */
  holdsAt(store: string): boolean {
    return this.#copy.isMember(store);
  }

  step(input: StagedInput): void {
    if (this.#isOver) return;
    for (const effect of this.#copy.step(input)) if (!this.#isOver) this.#carryOut(effect);
    for (const waiting of [...this.#waiting]) {
      if (!waiting.isMet()) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  /** The store is there, or lacks what it had. A copy that is under way brings it all, and is not begun anew. */
  up(store: string): void {
    const { peers, copies } = this.#options.context;
    const node = peers.nodeOf(store);
    const isUnderWay = node !== undefined && copies.isUnderWay(node, this.#options.object.id);
    if (!(isUnderWay && this.#copy.isCopying(store))) this.step({ type: 'up', store });
  }

  onAnswer(store: string, answer: LogAnswer): void {
    // Others, as those to pages of the state and to rounds of reads, are not to what was asked here.
    switch (answer.type) {
      case 'acked':
        this.#askedSinceMs.delete(store);
        // What it was told is committed is what it was sent.
        if (answer.committed >= answer.lsn) this.step({ type: 'acked', store, lsn: answer.lsn });
        // What was sent after it may have found no room on the disk.
        if (this.#copy.isAwaited(store) && !this.#askedSinceMs.has(store)) {
          this.#askedSinceMs.set(store, this.#options.context.clock.monotonicMs());
        }
        return;
      case 'gap':
      case 'refused':
        this.#askedSinceMs.delete(store);
        this.step({ type: answer.type, store });
        return;
      case 'stale-generation':
        this.#askedSinceMs.delete(store);
        this.step({ type: 'down', store });
        this.#later(store);
        return;
      default:
    }
  }

  get lag(): CopyLag {
    return this.#copy.lag;
  }

  /** A majority has all but a tail. */
  get isNear(): boolean {
    return this.#copy.isNear;
  }

  get bytes(): number {
    return this.#copy.bytes;
  }

  /** Nothing is waited for. */
  get isIdle(): boolean {
    return this.#askedSinceMs.size === 0;
  }

  /** Regularly: what a store does not answer may be lost with a link's buffer. */
  tick(): void {
    const { clock, limits } = this.#options.context;
    for (const [store, sinceMs] of [...this.#askedSinceMs]) {
      if (clock.monotonicMs() - sinceMs <= limits.stagedAnswerMs) continue;
      this.#askedSinceMs.delete(store);
      this.step({ type: 'up', store });
    }
  }

  #carryOut(effect: StagedEffect): void {
    switch (effect.type) {
      case 'copy':
        this.#startCopy(effect.to);
        return;
      case 'send':
        this.#send(effect.to, effect);
        return;
      case 'failed':
        this.#end(new HomingError(effect.isFenced ? 'fenced' : 'unavailable', effect.why));
    }
  }

  #startCopy(store: string): void {
    const { context, object, sender } = this.#options;
    const { epoch, home } = sender();
    const node = context.peers.nodeOf(store);
    if (node === undefined) {
      this.step({ type: 'down', store });
      return;
    }
    this.#askedSinceMs.delete(store);
    context.copies.start({
      object,
      epoch,
      home,
      generation: () => sender().generation,
      to: node,
      isPaced: true,
      isUrgent: () => 2 * this.#copy.bytes > context.limits.stagedBytesMax,
      done: ({ lsn }: RecordName) => this.step({ type: 'copied', store, lsn }),
      failed: () => this.#later(store),
    });
  }

  #send(store: string, effect: Extract<StagedEffect, { type: 'send' }>): void {
    const { context, object, sender } = this.#options;
    const { previous, records, committed } = effect;
    const said = { ...sender(), object, isStaged: true, previous, records, committed };
    if (context.peers.send(store, { type: 'append', ...said })) {
      const sinceMs = this.#askedSinceMs.get(store) ?? context.clock.monotonicMs();
      this.#askedSinceMs.set(store, sinceMs);
      this.#options.asked();
    } else {
      queueMicrotask(() => this.step({ type: 'down', store }));
      this.#later(store);
    }
  }

  #later(store: string): void {
    const { context } = this.#options;
    context.timers.after(context.limits.tickMs, () => {
      if (context.peers.nodeOf(store) !== undefined) this.step({ type: 'up', store });
    });
  }

  #until(isMet: () => boolean): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (isMet()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.add({ isMet, resolve, reject }));
  }

  #end(error: HomingError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = error;
    const { context, object, set, sender, ended } = this.#options;
    for (const store of storesOf(set)) {
      const node = context.peers.nodeOf(store);
      if (node !== undefined) context.copies.giveUp(node, object.id, sender().epoch);
    }
    ended(error);
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }
}
