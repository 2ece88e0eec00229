/**
 * Reads, in the background and slowly, everything that this store holds, so that damage is found while
 * the others are whole: records with their checksums, the state with RocksDB's, and then whether the
 * state is that of the other members. A member says its digest of the state as of a record; where a
 * majority of the set agrees on another one than this store's, what is held here is damaged.
 *
 * A store judges itself alone, by what a majority says: nobody can be told that it is damaged.
 *
 * Owned by `Replication`.
 */
import {
  compareRecordNames,
  type Logger,
  type ObjectHead,
  type ObjectIdHex,
  type RecordName,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';
import { isQuorum, type ReplicaSet, storesOf } from '@homing/protocol';
import type { Digester, StateDigest } from './state-digest.ts';

export interface ScrubberOptions {
  readonly self: string;
  readonly store: Store;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly digester: Digester;
  /** Between the end of one round through all objects and the next. */
  readonly pauseMs: number;
  /** How long to wait for the digests of others. */
  readonly answerTimeoutMs: number;
  /** The set that holds the object; undefined where there is none that this store is in. */
  readonly setOf: (id: ObjectIdHex) => ReplicaSet | undefined;
  /** Asks a store for its digest of the state as of a record; false when it cannot be asked. */
  readonly ask: (store: string, id: ObjectIdHex, applied: RecordName) => boolean;
  readonly damaged: (id: ObjectIdHex, reason: string) => void;
  readonly failed: (error: unknown) => void;
}

interface Comparison {
  readonly id: ObjectIdHex;
  readonly set: ReplicaSet;
  readonly own: StateDigest;
  /** Hex, by store. */
  readonly digests: Map<string, string>;
  readonly awaited: Set<string>;
}

/** The first round begins no later than this after the start. */
const firstPauseMs = 60_000;

export class Scrubber {
  readonly #options: ScrubberOptions;
  #after: ObjectIdHex | undefined;
  #comparison: Comparison | undefined;
  #timer: Timer | undefined;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    const { timers, pauseMs } = options;
    this.#timer = timers.after(Math.min(pauseMs, firstPauseMs), () => this.#next());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#comparison = undefined;
  }

  /** A store's answer; an empty digest says that its state is of another record. */
  answered(store: string, id: ObjectIdHex, applied: RecordName, digest: Uint8Array): void {
    const comparison = this.#comparison;
    if (comparison?.id !== id || !comparison.awaited.delete(store)) return;
    const isOfSame = compareRecordNames(comparison.own.applied, applied) === 0;
    if (isOfSame && digest.length > 0) {
      comparison.digests.set(store, Buffer.from(digest).toString('hex'));
    }
    if (comparison.awaited.size === 0) this.#judge();
  }

  #next(): void {
    const { store, timers, pauseMs, digester } = this.#options;
    const [head] = store.heads({ after: this.#after, limit: 1 });
    this.#after = head?.id;
    if (head === undefined) {
      this.#timer = timers.after(pauseMs, () => this.#next());
      return;
    }
    if (head.isQuarantined !== true && this.#isLogWhole(head)) {
      digester.digest(head.id, (own) => this.#compare(head.id, own));
    } else digester.digest(head.id, () => this.#next());
  }

  #isLogWhole({ id }: ObjectHead): boolean {
    try {
      this.#options.store.tail(id);
      return true;
    } catch (error) {
      this.#options.failed(error);
      return false;
    }
  }

  #compare(id: ObjectIdHex, own: StateDigest | undefined): void {
    const { self, setOf, ask, timers, answerTimeoutMs } = this.#options;
    const set = own === undefined ? undefined : setOf(id);
    if (own === undefined || set === undefined || own.applied.lsn === 0) {
      this.#timer = timers.after(0, () => this.#next());
      return;
    }
    const others = storesOf(set).filter((store) => store !== self);
    const awaited = new Set(others.filter((store) => ask(store, id, own.applied)));
    const digests = new Map([[self, Buffer.from(own.digest).toString('hex')]]);
    this.#comparison = { id, set, own, digests, awaited };
    this.#timer = timers.after(awaited.size === 0 ? 0 : answerTimeoutMs, () => this.#judge());
  }

  #judge(): void {
    const { self, damaged, logger, timers } = this.#options;
    this.#timer?.cancel();
    const comparison = this.#comparison;
    this.#comparison = undefined;
    if (comparison === undefined) return;
    const { id, set, own, digests } = comparison;
    const mine = digests.get(self);
    const { epoch, lsn } = own.applied;
    for (const other of new Set(digests.values())) {
      if (other === mine) continue;
      if (isQuorum(set, (store) => digests.get(store) === other)) {
        damaged(id, `its state as of (${epoch}, ${lsn}) is not that of a majority`);
      } else {
        logger.error('replicas of an object differ, and no majority agrees', {
          object: id,
          stores: Object.fromEntries(digests),
        });
      }
    }
    this.#timer = timers.after(0, () => this.#next());
  }
}
