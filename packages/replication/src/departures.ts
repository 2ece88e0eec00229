/**
 * Erases what this store holds of shards that it has left: once their set is a single list without it,
 * everyone goes by that or will be refused, and nobody asks it for anything. What it knows of the set
 * itself stays for ever. Page by page, so that a disk with much to erase goes on serving.
 *
 * Owned by `Replication`.
 */
import { isHomingError, type ObjectIdHex, type Store, type Timers } from '@homing/base';
import { storesOf } from '@homing/protocol';
import type { AdoptedSets } from './adopted-sets.ts';
import type { ReplicationLimits } from './limits.ts';
import { firstId } from './listing.ts';

export interface DeparturesOptions {
  readonly self: string;
  readonly store: Store;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly sets: AdoptedSets;
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
  readonly failed: (error: unknown) => void;
}

export class Departures {
  readonly #options: DeparturesOptions;
  #isBusy = false;
  /** Another round is needed: a shard was left while one was under way. */
  #isDue = false;
  #isStopped = false;

  constructor(options: DeparturesOptions) {
    this.#options = options;
    if ([...options.sets.all().values()].some((set) => !storesOf(set).includes(options.self))) {
      // It may have been left before the last start.
      this.look();
    }
  }

  look(): void {
    this.#isDue = true;
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#round().then(() => {
      this.#isBusy = false;
    }, this.#options.failed);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #round(): Promise<void> {
    const { store, timers, limits } = this.#options;
    while (this.#isDue && !this.#isStopped) {
      this.#isDue = false;
      let after: ObjectIdHex | undefined;
      do {
        await new Promise<void>((resolve) => {
          timers.after(limits.passPauseMs, () => resolve());
        });
        if (this.#isStopped) return;
        const isMeant = (id: ObjectIdHex) => this.#isLeft(id);
        after = await store
          .erasePage({ isMeant, after, limit: limits.passHeads })
          .catch((error: unknown) => {
            if (!isHomingError(error) || error.code === 'corruption') throw error;
            // The disk has too much to write: the same page comes again.
            return after ?? firstId;
          });
      } while (after !== undefined);
    }
  }

  /** In every region whose set it could be in, that is a single list without this store. */
  #isLeft(id: ObjectIdHex): boolean {
    const { self, sets, keyOf } = this.#options;
    return [...sets.regions()].every((region) => {
      const key = keyOf(region, id);
      const set = sets.get(key);
      if (set === undefined || sets.isPending(key)) return false;
      return !storesOf(set).includes(self);
    });
  }
}
