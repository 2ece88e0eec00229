/**
 * Logs of a single node: its store is the only replica, so a record is committed by its own fsync,
 * and each append names its last record as committed. Nobody else can own the objects.
 *
 * Invariant: LSNs of one object are gapless and follow the newest record on disk.
 */
import {
  assert,
  type Epoch,
  epochAfter,
  HomingError,
  isHomingError,
  type LogEvents,
  type ObjectLogs,
  type ObjectRef,
  type OwnedLog,
  type RecordOperation,
  type Staging,
  type Store,
} from '@homing/base';

class LocalLog implements OwnedLog {
  readonly epoch: Epoch;
  readonly #store: Store;
  readonly #object: ObjectRef;
  readonly #events: LogEvents;
  #lsn: number;
  #appended = 0;
  #committed = 0;
  #isOver = false;
  #settled: (() => void)[] = [];

  constructor(store: Store, object: ObjectRef, epoch: Epoch, events: LogEvents) {
    this.#store = store;
    this.#object = object;
    this.epoch = epoch;
    this.#events = events;
    this.#lsn = store.head(object.id)?.last.lsn ?? 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  append(operations: readonly RecordOperation[]): number {
    assert(operations.length > 0, 'log: empty group');
    const count = ++this.#appended;
    if (this.#isOver) return count;
    const name = { epoch: this.epoch, lsn: ++this.#lsn };
    this.#store
      .append({ object: this.#object, records: [{ name, operations }], committed: name })
      .then(
        () => this.#onDurable(count),
        (error: unknown) => this.#onFailed(error),
      );
    return count;
  }

  hasMajority(): boolean {
    return !this.#isOver;
  }

  isCovered(): boolean {
    return !this.#isOver;
  }

  confirm(): Promise<void> {
    if (!this.#isOver) return Promise.resolve();
    return Promise.reject(new HomingError('fenced', 'the object was given up'));
  }

  settled(): Promise<void> {
    if (this.#isOver || this.#committed === this.#appended) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  get isEmpty(): boolean {
    return this.#lsn === 0;
  }

  /** There is nowhere to go. */
  stage(): Staging {
    throw new HomingError('unavailable', 'a single node has no other region');
  }

  get isIdle(): boolean {
    return this.isWhole;
  }

  get isCopying(): boolean {
    return false;
  }

  get isWhole(): boolean {
    return !this.#isOver && this.#committed === this.#appended;
  }

  async forget(): Promise<void> {
    this.release();
    try {
      await this.#store.forget(this.#object.id, epochAfter(this.epoch));
    } catch (error) {
      if (isHomingError(error) && error.code === 'corruption') this.#events.lost(error);
    }
  }

  release(): void {
    this.#isOver = true;
    this.#wake();
  }

  #onDurable(count: number): void {
    if (this.#isOver) return;
    assert(count === this.#committed + 1, 'log: appends became durable out of order');
    this.#committed = count;
    this.#events.folded(count);
    if (this.#committed === this.#appended) this.#wake();
  }

  #onFailed(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.lost(
      isHomingError(error) ? error : new HomingError('internal', String(error), { cause: error }),
    );
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const resolve of waiting) resolve();
  }
}

export function localLogs(store: Store): ObjectLogs {
  return {
    acquire: async (object, epoch, _home, events) => new LocalLog(store, object, epoch, events),
  };
}
