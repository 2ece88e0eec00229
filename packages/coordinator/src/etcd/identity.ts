/**
 * Whether this etcd is the one that the disk knows. An etcd that was wiped or restored from a backup
 * would grant epochs a second time, and hold records that are long out of date.
 *
 * Invariants
 * 1. `highest` is the greatest (revision + base) that any answer or the disk has shown; every epoch
 *    granted so far is at most that.
 * 2. An answer from another cluster, or of a lower revision than was known when its request left, ends
 *    trust, and so does a witness that etcd has forgotten (witness.ts): from then on nothing is claimed and nothing written, until an operator's `recover`.
 * 3. Epochs are made with the `base` that etcd holds at the very transaction: claims compare it, and
 *    readings of records read it too.
 */
import { type Epoch, epochRevision, HomingError, type Logger, makeEpoch } from '@homing/base';
import type { Inspector } from './client.ts';
import { decodeBase } from './keys.ts';
import type { Condition, KeyValue } from './transaction.ts';

/** What the disk remembers of etcd. */
export interface EtcdGuard {
  /** Undefined on a disk that never met an etcd. */
  readonly clusterId?: string | undefined;
  /** Greatest `highestEpoch()` ever written down; 0 on a new disk. */
  readonly highest: Epoch;
  /** See witness.ts; absent is 0. */
  readonly witness?: number | undefined;
}

interface Base {
  readonly value: bigint;
  readonly modRevision: bigint;
  /** etcd's revision when it was so: an older reading that comes later changes nothing. */
  readonly readAt: bigint;
}

export class Identity implements Inspector {
  readonly #logger: Logger;
  readonly #baseKey: string;
  #clusterId: string | undefined;
  #highest: bigint;
  /** Undefined until etcd was first read: until then revisions mean nothing. */
  #base: Base | undefined;
  #refusal: string | undefined;
  #history = 0;

  constructor(guard: EtcdGuard, baseKey: string, logger: Logger) {
    this.#clusterId = guard.clusterId;
    this.#highest = epochRevision(guard.highest);
    this.#baseKey = baseKey;
    this.#logger = logger;
  }

  /** Of the etcd that is trusted, or was last; empty before the first contact of a new disk. */
  get clusterId(): string {
    return this.#clusterId ?? '';
  }

  get highestEpoch(): Epoch {
    return makeEpoch(this.#highest, 0);
  }

  get refused(): boolean {
    return this.#refusal !== undefined;
  }

  /** That nobody recovered etcd since the base was read. */
  get baseUnchanged(): Condition {
    return { key: this.#baseKey, modRevision: this.#base?.modRevision ?? 0n };
  }

  /**
   * Throws where etcd is not trusted. Gives a mark of its history, and throws too where that is no
   * longer the one of `history`: revisions from before a recovery mean nothing after it.
   */
  checkTrusted(history = this.#history): number {
    if (this.#refusal !== undefined) throw new HomingError('unavailable', this.#refusal);
    if (history === this.#history) return history;
    throw new HomingError('unavailable', 'etcd was recovered meanwhile; ask again');
  }

  epochAt(revision: bigint): Epoch {
    return makeEpoch(revision + (this.#base?.value ?? 0n), 0);
  }

  floor(): bigint {
    return this.#base === undefined ? 0n : this.#highest;
  }

  inspect({ clusterId, revision }: { clusterId: string; revision: bigint }, floor: bigint): void {
    if (this.#base === undefined || this.refused) return;
    this.inspectCluster(clusterId);
    const height = revision + this.#base.value;
    if (height < floor) {
      this.refuse(`its revision is ${height}, and was ${floor} before`);
    } else if (height > this.#highest && !this.refused) {
      this.#highest = height;
    }
  }

  inspectCluster(clusterId: string): void {
    this.#clusterId ??= clusterId;
    if (clusterId === this.#clusterId) return;
    this.refuse(`its cluster id is ${clusterId}, and was ${this.#clusterId} before`);
  }

  /** The first answer of this run, with what it found under `base`. */
  begin(answer: { clusterId: string; revision: bigint }, base: KeyValue | undefined): void {
    this.setBase(base, answer.revision);
    this.inspect(answer, this.floor());
  }

  /** What etcd held under `base` at `revision`. */
  setBase(kv: KeyValue | undefined, revision: bigint): void {
    if (this.#base !== undefined && revision < this.#base.readAt) return;
    const value = kv === undefined ? 0n : decodeBase(kv);
    if (value === undefined) {
      this.refuse(`its key ${this.#baseKey} cannot be read: ${kv?.value.toString()}`);
    } else {
      this.#base = { value, modRevision: kv?.modRevision ?? 0n, readAt: revision };
    }
  }

  /** An operator vouches for this etcd, whose `base` now lifts it above every epoch known. */
  accept(clusterId: string, base: KeyValue | undefined, revision: bigint): void {
    if (this.refused) this.#history += 1;
    this.#clusterId = clusterId;
    this.#refusal = undefined;
    const value = (base && decodeBase(base)) ?? 0n;
    this.#base = { value, modRevision: base?.modRevision ?? 0n, readAt: revision };
    this.#highest = revision + value;
  }

  /** Ends trust: from now on nothing is claimed and nothing written. */
  refuse(finding: string): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = `etcd was wiped or restored: ${finding}; nothing is claimed until an operator has run \`homing recover\``;
    this.#logger.error(this.#refusal);
  }
}
