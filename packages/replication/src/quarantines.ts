/**
 * Objects whose replica on this node is damaged: gives them up at once, durably, and sees to it that
 * they are made anew from the others. An owner is told that it has nothing here to build on; an object
 * that nobody owns is woken, which makes an owner.
 *
 * Invariants
 * 1. An owner on this node whose own replica is damaged has lost the object before anything else, and
 *    none begins here before the replica is given up: it would lose the state it had built on.
 * 2. What nobody else holds is not given up: that is the end of the process, and the disk is left as
 *    it is.
 *
 * Owned by `Replication`. docs/protocol.md says why a quarantined replica has no vote.
 */
import {
  HomingError,
  isOverloaded,
  type Logger,
  type ObjectHead,
  type ObjectIdHex,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';

export interface QuarantinesOptions {
  readonly store: Store;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Between looks at what is still quarantined. */
  readonly everyMs: number;
  /** Until the disk is asked again that had no room. */
  readonly retryMs: number;
  /** Objects seen to in one look. */
  readonly atOnceMax: number;
  /** Whether no other store holds the object. */
  readonly isAlone: (id: ObjectIdHex) => boolean;
  /** An owner here stops. */
  readonly lose: (id: ObjectIdHex) => void;
  /** Tells all peers that nothing is held of the objects here. */
  readonly tell: (ids: readonly ObjectIdHex[]) => void;
  /** Makes sure that the object has an owner. */
  readonly wake: (head: ObjectHead) => void;
  readonly failed: (error: unknown) => void;
}

export class Quarantines {
  readonly #options: QuarantinesOptions;
  /** On their way to the disk, each with whoever waits until it is there. */
  readonly #pending = new Map<ObjectIdHex, (() => void)[]>();
  /** Seen in the last look: they were told of, and nothing came of it. */
  #told: ReadonlySet<ObjectIdHex> = new Set();
  #timer: Timer | undefined;

  constructor(options: QuarantinesOptions) {
    this.#options = options;
    this.#lookLater();
  }

  damaged(id: ObjectIdHex, reason: string): void {
    const { logger, isAlone, lose, failed } = this.#options;
    if (this.#pending.has(id)) return;
    if (isAlone(id)) {
      failed(new HomingError('corruption', `object ${id}, of which there is one copy: ${reason}`));
      return;
    }
    logger.error('a replica of an object is damaged, and is made anew from the others', {
      object: id,
      reason,
    });
    this.#pending.set(id, []);
    lose(id);
    this.#give(id, reason);
  }

  /** Whether what is held of the object is about to be given up: nothing may be told of it. */
  isPending(id: ObjectIdHex): boolean {
    return this.#pending.has(id);
  }

  /** Resolves when the disk knows of all that was found damaged of the object until now. */
  settled(id: ObjectIdHex): Promise<void> {
    const waiting = this.#pending.get(id);
    if (waiting === undefined) return Promise.resolve();
    return new Promise((resolve) => waiting.push(resolve));
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #give(id: ObjectIdHex, reason: string): void {
    const { store, timers, retryMs, tell, failed } = this.#options;
    store.quarantine(id, reason).then(
      () => {
        const waiting = this.#pending.get(id) ?? [];
        this.#pending.delete(id);
        for (const resolve of waiting) resolve();
        tell([id]);
      },
      (error: unknown) => {
        if (isOverloaded(error)) {
          timers.after(retryMs, () => this.#give(id, reason));
        } else failed(error);
      },
    );
  }

  #lookLater(): void {
    const { timers, everyMs } = this.#options;
    this.#timer = timers.after(everyMs, () => {
      this.#look();
      this.#lookLater();
    });
  }

  #look(): void {
    const { store, atOnceMax, tell, wake } = this.#options;
    const ids = store.quarantined(atOnceMax).map(({ id }) => id);
    const told = this.#told;
    this.#told = new Set(ids);
    if (ids.length > 0) tell(ids);
    for (const id of ids) {
      const head = told.has(id) ? store.head(id) : undefined;
      if (head !== undefined) wake(head);
    }
  }
}
