/**
 * Looks through what this store holds for copies that nobody needs, and erases them: object by object,
 * slowly, asking the coordinator where each is at home. In a cluster of one region there are none, and
 * nothing is looked at. `Leftovers` decides; this asks, and carries out.
 *
 * Owned by `Replication`.
 */
import {
  type Clock,
  type Epoch,
  isHomingError,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  type ShardAssignment,
  type Store,
  type Timer,
  type Timers,
  type Whereabouts,
} from '@homing/base';
import { type DeliberateBugs, Leftovers, type LeftoverVerdict, storesOf } from '@homing/protocol';
import type { ReplicationLimits } from './limits.ts';

/** Rejects where that cannot be told now. */
export type Locate = (object: ObjectRef) => Promise<Whereabouts>;

export interface SweeperOptions {
  readonly self: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  /** Undefined until the node can tell. */
  readonly locate: () => Locate | undefined;
  /** Regions of which any replica set is known. */
  readonly regions: () => ReadonlySet<string>;
  /** Undefined where it is not known, or a newer one is on its way to the disk. */
  readonly setOf: (home: string, id: ObjectIdHex) => ShardAssignment | undefined;
  /** This store is to have a copy of the object, which is at home elsewhere. */
  readonly isRemote: (object: ObjectRef, home: string) => boolean;
  readonly isOwnedHere: (id: ObjectIdHex) => boolean;
  readonly askOwner: (store: string, id: ObjectIdHex, epoch: Epoch) => void;
  readonly erased: () => void;
  readonly failed: (error: unknown) => void;
  readonly bugs: DeliberateBugs;
}

/** Heads read from the store in one go. */
const pageHeads = 100;

export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #leftovers: Leftovers;
  #timer: Timer | undefined;
  #isStopped = false;
  #heldUntilMs = 0;
  #erasing: Promise<void> = Promise.resolve();
  /** Objects whose owners were asked on this round. */
  readonly #asked = new Set<ObjectIdHex>();

  constructor(options: SweeperOptions) {
    const { limits, bugs } = options;
    this.#options = options;
    this.#leftovers = new Leftovers({
      delayMs: limits.leftoverDelayMs,
      suspectsMax: limits.leftoversMax,
      bugs,
    });
    this.#arm();
  }

  /** An owner had it erased. */
  ordered(id: ObjectIdHex): void {
    if (this.#asked.delete(id)) this.#options.erased();
  }

  /** Resolves when nothing is being erased; nothing will be for a while. */
  async hold(): Promise<void> {
    const { clock, limits } = this.#options;
    this.#heldUntilMs = clock.monotonicMs() + limits.leftoverHoldMs;
    await this.#erasing;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const { timers, limits, failed } = this.#options;
    if (this.#isStopped) return;
    this.#timer = timers.after(limits.leftoverSweepMs, () => {
      this.#sweep().then(
        () => this.#arm(),
        (error: unknown) => failed(error),
      );
    });
  }

  async #sweep(): Promise<void> {
    const { store, regions } = this.#options;
    this.#asked.clear();
    let after: ObjectIdHex | undefined;
    while (!this.#isStopped && regions().size > 1) {
      const heads = store.heads({ after, limit: pageHeads });
      for (const head of heads) {
        if (this.#isStopped) return;
        if (!this.#options.isOwnedHere(head.id)) await this.#look(head);
      }
      after = heads.at(-1)?.id;
      if (heads.length < pageHeads) break;
    }
    this.#leftovers.roundOver();
  }

  async #look({ namespace, id, name }: ObjectHead): Promise<void> {
    const { clock, timers, limits, store, self, setOf, isRemote, locate } = this.#options;
    await new Promise<void>((resolve) => {
      this.#timer = timers.after(1000 / limits.leftoverLooksPerSecond, () => resolve());
    });
    const object = name === undefined ? { namespace, id } : { namespace, id, name };
    // Where it cannot be told now, the next round asks again.
    const found = await locate()?.(object).catch(() => undefined);
    if (this.#isStopped || found === undefined || this.#options.isOwnedHere(id)) return;
    const head = store.head(id);
    if (head === undefined) return;
    const set = setOf(found.home, id);
    const { promised } = head;
    const view = {
      promised,
      recordEpoch: found.epoch,
      isNeeded: set === undefined || storesOf(set).includes(self) || isRemote(object, found.home),
      isOwned: found.ownerStore !== undefined,
    };
    const verdict = this.#leftovers.look(id, view, clock.monotonicMs());
    await this.#carryOut(verdict, head, found.ownerStore);
  }

  async #carryOut(
    verdict: LeftoverVerdict,
    { id, promised }: ObjectHead,
    ownerStore: string | undefined,
  ): Promise<void> {
    if (verdict.type === 'ask-owner' && ownerStore !== undefined) {
      this.#asked.add(id);
      this.#options.askOwner(ownerStore, id, promised);
    }
    const { clock, store, erased } = this.#options;
    if (verdict.type !== 'erase' || clock.monotonicMs() < this.#heldUntilMs) return;
    const erasing = store.forget(id, verdict.below);
    this.#erasing = erasing.catch(() => {});
    try {
      await erasing;
      erased();
    } catch (error) {
      // It has been promised to somebody meanwhile, or the disk has too much to write.
      if (!isHomingError(error) || error.code === 'corruption') throw error;
    }
  }
}
