/**
 * The log of the objects owned here, as their single writer: names each write group (epoch, LSN),
 * has the store make it durable, and reports durability in order. On a single replica a record is
 * committed by its own fsync, so each append names its last record as committed.
 *
 * Invariants: LSNs of one object are gapless and follow the newest record on disk; at most one
 * journal exists per object; after `failed` nothing more is appended.
 *
 * Called by the object table. Replication takes this place's other half: the append to a majority.
 */
import {
  assert,
  type Epoch,
  type ObjectRef,
  type RecordOperation,
  type Store,
  type WallMs,
} from '@homing/base';

export interface JournalEvents {
  /** Groups up to the `count`-th are durable. */
  durable(count: number): void;
  /** A group will never be durable; the activation must end. */
  failed(error: unknown): void;
  /** The alarm index holds another time for the object, on disk. */
  alarm(dueMs: WallMs | null): void;
}

export class Journal {
  readonly #store: Store;
  readonly #object: ObjectRef;
  readonly #epoch: Epoch;
  readonly #events: JournalEvents;
  #lsn: number;
  #appended = 0;
  #durable = 0;
  #failed = false;
  #drained: (() => void)[] = [];

  constructor(store: Store, object: ObjectRef, epoch: Epoch, events: JournalEvents) {
    this.#store = store;
    this.#object = object;
    this.#epoch = epoch;
    this.#events = events;
    this.#lsn = store.head(object.id)?.last.lsn ?? 0;
  }

  append(operations: readonly RecordOperation[]): void {
    assert(operations.length > 0, 'journal: empty group');
    if (this.#failed) return;
    const name = { epoch: this.#epoch, lsn: ++this.#lsn };
    const count = ++this.#appended;
    this.#store
      .append({ object: this.#object, records: [{ name, operations }], committed: name })
      .then(
        () => this.#onDurable(count, operations),
        (error: unknown) => this.#onFailed(error),
      );
  }

  /** Resolves when nothing is on its way to the disk any more. */
  drained(): Promise<void> {
    if (this.#failed || this.#durable === this.#appended) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  #onDurable(count: number, operations: readonly RecordOperation[]): void {
    if (this.#failed) return;
    assert(count === this.#durable + 1, 'journal: appends became durable out of order');
    this.#durable = count;
    for (const operation of operations) {
      if (operation.type === 'alarm') this.#events.alarm(operation.dueMs);
    }
    this.#events.durable(count);
    if (this.#durable === this.#appended) this.#wake();
  }

  #onFailed(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#events.failed(error);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }
}
