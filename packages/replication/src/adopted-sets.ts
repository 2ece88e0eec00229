/**
 * The replica sets that this node goes by: of each shard the one of the greatest generation that it
 * ever heard of, from etcd or from a peer, on its disk for ever. What was heard counts from when the
 * disk has it, so that a store never votes under an older one after it has voted under this.
 *
 * Invariants
 * 1. The generation of a shard only grows, over restarts too, and also where this store is in neither
 *    list.
 * 2. `changed` runs after the set is on disk, and everything of the shard asked of the store earlier:
 *    whatever the older set allowed is there to be read.
 *
 * Owned by `Replication`; everything that asks for a replica set on this node asks here.
 */
import { isOverloaded, type ShardAssignment, type Store, type Timers } from '@homing/base';
import { shardKey, storesOf } from '@homing/protocol';

export interface AdoptedSetsOptions {
  readonly store: Store;
  readonly timers: Timers;
  /** Which cluster the sets are of: a disk that moves to another keeps none. */
  readonly cluster: string;
  /** How long to wait for a disk that has too much to write. */
  readonly retryMs: number;
  readonly changed: (key: string, set: ShardAssignment) => void;
  readonly failed: (error: unknown) => void;
}

const notesOf = (cluster: string) => `replica-set ${cluster} `;

/** Whether the store is in a set of one, by what its disk says: nobody has another copy of what it holds. */
export function holdsOnlyCopies(cluster: string, storeId: string, notes: Store['notes']): boolean {
  return notes(notesOf(cluster)).some(({ value }) => {
    const set = JSON.parse(Buffer.from(value).toString()) as ShardAssignment;
    return set.members.length === 1 && storesOf(set).includes(storeId);
  });
}

interface Pending {
  set: ShardAssignment;
  /** In the order they came. */
  readonly waiting: (() => void)[];
}

export class AdoptedSets {
  readonly #options: AdoptedSetsOptions;
  readonly #prefix: string;
  readonly #adopted = new Map<string, ShardAssignment>();
  readonly #pending = new Map<string, Pending>();

  constructor(options: AdoptedSetsOptions) {
    this.#options = options;
    this.#prefix = notesOf(options.cluster);
    for (const { name, value } of options.store.notes(this.#prefix)) {
      const set = JSON.parse(Buffer.from(value).toString()) as ShardAssignment;
      this.#adopted.set(name.slice(this.#prefix.length), set);
    }
  }

  get(key: string): ShardAssignment | undefined {
    return this.#adopted.get(key);
  }

  all(): ReadonlyMap<string, ShardAssignment> {
    return this.#adopted;
  }

  /** Regions of which any set is known. */
  regions(): ReadonlySet<string> {
    return new Set([...this.#adopted.values()].map(({ region }) => region));
  }

  /** Whether a newer set of the shard is on its way to the disk. */
  isPending(key: string): boolean {
    return this.#pending.has(key);
  }

  /** Takes what is newer than what is known. */
  adopt(sets: Iterable<ShardAssignment>): void {
    for (const set of sets) {
      const key = shardKey(set.region, set.shard);
      const pending = this.#pending.get(key);
      const known = pending?.set ?? this.#adopted.get(key);
      if (known !== undefined && known.generation >= set.generation) continue;
      if (pending === undefined) {
        this.#pending.set(key, { set, waiting: [] });
        this.#write(key, set);
      } else pending.set = set;
    }
  }

  /** Runs it now, or once what was heard of the shard is adopted; in order. */
  whenAdopted(key: string, run: () => void): void {
    const pending = this.#pending.get(key);
    if (pending === undefined) run();
    else pending.waiting.push(run);
  }

  /** The same for all shards. */
  whenAllAdopted(run: () => void): void {
    let left = this.#pending.size;
    if (left === 0) run();
    for (const { waiting } of this.#pending.values()) {
      waiting.push(() => {
        left -= 1;
        if (left === 0) run();
      });
    }
  }

  #write(key: string, set: ShardAssignment): void {
    const { store, timers, retryMs, failed } = this.#options;
    store.putNote(`${this.#prefix}${key}`, Buffer.from(JSON.stringify(set))).then(
      () => this.#written(key, set),
      (error: unknown) => {
        if (isOverloaded(error)) {
          timers.after(retryMs, () => this.#write(key, set));
        } else failed(error);
      },
    );
  }

  #written(key: string, set: ShardAssignment): void {
    const pending = this.#pending.get(key);
    this.#adopted.set(key, set);
    this.#options.changed(key, set);
    if (pending === undefined) return;
    if (pending.set.generation > set.generation) {
      // A newer one was heard of meanwhile; who waits, waits for that.
      this.#write(key, pending.set);
      return;
    }
    this.#pending.delete(key);
    for (const run of pending.waiting) run();
  }
}
