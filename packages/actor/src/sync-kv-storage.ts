/** `ctx.storage.kv`: the same data as the asynchronous methods, at once. */
import { badArgument, type StorageAccess, type WriteOptions } from './storage-access.ts';
import type { ListOptions } from './storage-key.ts';

export class SyncKvStorage {
  /** Throws for a class that has no such storage. */
  readonly #access: () => StorageAccess;
  /** Number of the newest `list`; only its iterator may go on. */
  #listed = 0;

  constructor(access: () => StorageAccess) {
    this.#access = access;
  }

  get(key: unknown): unknown {
    return this.#access().getOne(key);
  }

  put(key: unknown, value: unknown, options?: WriteOptions): void {
    this.#access().putOne(key, value, options);
  }

  delete(key: unknown): boolean {
    if (key === undefined) throw badArgument('delete', 'SyncKvStorage', 1, 'string');
    return this.#access().delete(String(key), undefined, 'SyncKvStorage') as boolean;
  }

  /** Pairs of key and value, read as the caller goes; a new `list` ends the one before. */
  list(options?: ListOptions): IterableIterator<[string, unknown]> {
    // The range is checked now, not at the first step.
    const entries = this.#access().list(options ?? undefined);
    const number = ++this.#listed;
    const step = () => {
      if (number !== this.#listed) {
        throw new Error(
          'kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator can exist at a time.',
        );
      }
      return entries.next();
    };
    return {
      next: step,
      return: (value) => {
        entries.return?.();
        return { done: true, value };
      },
      [Symbol.iterator]() {
        return this;
      },
    };
  }

  get [Symbol.toStringTag](): string {
    return 'SyncKvStorage';
  }
}
