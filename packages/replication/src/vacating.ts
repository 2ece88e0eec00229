/**
 * Hands over what this node owns of shards whose sets it is to leave, before it leaves them: a store in
 * no list ends its logs, and with them what runs. Others are told when nothing is left; the change is
 * finished then. What comes to be owned here later, by a claim that was under way, is handed over too.
 *
 * Invariant: an object goes to a store of the new list that has its state: one that was in the old list
 * as well, or is complete.
 *
 * Owned by `Replication`.
 */
import type { ObjectIdHex, ShardAssignment, Timers } from '@homing/base';
import type { Standing } from '@homing/protocol';
import type { AdoptedSets } from './adopted-sets.ts';
import type { ReplicationLimits } from './limits.ts';

/** Resolves when the object was given to one of the stores, or could not be. */
export type Vacate = (id: ObjectIdHex, stores: readonly string[]) => Promise<void>;

export interface VacatingOptions {
  readonly self: string;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly sets: AdoptedSets;
  readonly standingOf: (shard: string, store: string, generation: number) => Standing;
  /** Objects of the shard that are owned here. */
  readonly owned: (shard: string) => readonly ObjectIdHex[];
  readonly vacate: Vacate;
  readonly vacated: (shard: string, generation: number) => void;
  readonly failed: (error: unknown) => void;
}

interface Meant {
  readonly id: ObjectIdHex;
  readonly stores: readonly string[];
}

export class Vacating {
  readonly #options: VacatingOptions;
  #isBusy = false;
  #isStopped = false;

  constructor(options: VacatingOptions) {
    this.#options = options;
  }

  /** Sets or standings have changed. */
  look(): void {
    if (this.#isBusy || this.#isStopped || this.#left().length === 0) return;
    this.#isBusy = true;
    this.#round().then(() => {
      const { timers, limits } = this.#options;
      timers.after(limits.passRetryMs, () => {
        this.#isBusy = false;
        this.look();
      });
    }, this.#options.failed);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** The sets that this store is to leave. */
  #left(): readonly (readonly [string, ShardAssignment])[] {
    const { self, sets } = this.#options;
    return [...sets.all()].filter(
      ([, { members, next }]) =>
        next !== undefined && members.includes(self) && !next.includes(self),
    );
  }

  async #round(): Promise<void> {
    const { sets, limits, owned, vacate, vacated } = this.#options;
    const left = this.#left();
    const meant: Meant[] = [];
    for (const [shard, set] of left) {
      const stores = this.#takersOf(shard, set);
      if (stores.length > 0) meant.push(...owned(shard).map((id) => ({ id, stores })));
    }
    const work = async () => {
      for (let next = meant.shift(); next !== undefined; next = meant.shift()) {
        if (!this.#isStopped) await vacate(next.id, next.stores);
      }
    };
    await Promise.all(Array.from({ length: limits.vacatesMax }, work));
    if (this.#isStopped) return;
    for (const [shard, { generation }] of left) {
      if (sets.get(shard)?.generation !== generation || owned(shard).length > 0) continue;
      vacated(shard, generation);
    }
  }

  #takersOf(shard: string, { generation, members, next = [] }: ShardAssignment): readonly string[] {
    const { standingOf } = this.#options;
    return next.filter(
      (store) => members.includes(store) || standingOf(shard, store, generation).isComplete,
    );
  }
}
