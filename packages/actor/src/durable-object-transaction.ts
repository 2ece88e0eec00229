/** The `txn` that a transaction's closure is given. */
import type { StorageAccess, WriteOptions } from './storage-access.ts';
import type { ListOptions } from './storage-key.ts';

const name = 'DurableObjectTransaction';

/** Whether a transaction can still be used; shared by the `txn` and whoever runs the closure. */
export class TransactionState {
  readonly #undo: () => void;
  #state: 'open' | 'rolled-back' | 'over' = 'open';
  #rolledBack = false;

  /** `undo` drops what was written so far. */
  constructor(undo: () => void) {
    this.#undo = undo;
  }

  /** Throws where the transaction takes no operation any more. */
  check(method: string): void {
    if (this.#rolledBack) throw new Error(`Cannot ${method}() on rolled back transaction`);
    if (this.#state === 'over') throw new Error(committed(method));
  }

  rollback(): void {
    if (this.#rolledBack) return;
    if (this.#state === 'over') throw new Error(committed('rollback'));
    this.#rolledBack = true;
    this.#undo();
  }

  end(): 'committed' | 'rolled-back' {
    this.#state = 'over';
    return this.#rolledBack ? 'rolled-back' : 'committed';
  }
}

function committed(method: string): string {
  return `Cannot call ${method}() on transaction that has already committed: did you move \`txn\` outside of the closure?`;
}

export class DurableObjectTransaction {
  readonly #access: StorageAccess;
  readonly #state: TransactionState;

  constructor(access: StorageAccess, state: TransactionState) {
    this.#access = access;
    this.#state = state;
  }

  async get(keys: unknown, _options?: object): Promise<unknown> {
    this.#state.check('get');
    return this.#access.get(keys, name);
  }

  async list(options?: ListOptions): Promise<Map<string, unknown>> {
    this.#state.check('list');
    return new Map(this.#access.list(options ?? undefined));
  }

  async put(first: unknown, second?: unknown, third?: unknown): Promise<void> {
    this.#state.check('put');
    this.#access.put(first, second, third, name);
  }

  async delete(keys: unknown, options?: WriteOptions): Promise<boolean | number> {
    this.#state.check('delete');
    return this.#access.delete(keys, options, name);
  }

  async deleteAll(): Promise<never> {
    throw new Error('Cannot call deleteAll() within a transaction');
  }

  /** Drops what the closure wrote. Idempotent. */
  rollback(): void {
    this.#state.rollback();
  }

  async getAlarm(_options?: object): Promise<number | null> {
    this.#state.check('getAlarm');
    return this.#access.getAlarm();
  }

  async setAlarm(time: unknown, options?: WriteOptions): Promise<void> {
    this.#state.check('setAlarm');
    this.#access.setAlarm(time, options, name);
  }

  async deleteAlarm(options?: WriteOptions): Promise<void> {
    this.#state.check('deleteAlarm');
    this.#access.deleteAlarm(options);
  }

  get [Symbol.toStringTag](): string {
    return name;
  }
}
