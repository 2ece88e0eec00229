/**
 * `ctx.storage`. Every operation takes effect when it is called; what is returned resolves at once,
 * save where too much is unconfirmed: then the operation waits for the disk, and so do new events.
 */
import { compatibility } from '@homing/web';
import { DurableObjectTransaction, TransactionState } from './durable-object-transaction.ts';
import type { StorageAccess, WriteOptions } from './storage-access.ts';
import { badArgument } from './storage-access.ts';
import type { ListOptions } from './storage-key.ts';
import { SyncKvStorage } from './sync-kv-storage.ts';

export interface StorageHooks {
  readonly kind: 'kv' | 'sqlite';
  /** Resolves when there is room for more unconfirmed writes; holds the input gate until then. */
  readonly room: () => Promise<void> | undefined;
  /** Resolves when everything written so far is durable. */
  readonly durable: () => Promise<void>;
  /** As `blockConcurrencyWhile`, but a throw of `run` rejects and resets nothing. */
  readonly exclusive: <T>(run: () => Promise<T>) => Promise<T>;
  readonly begin: () => void;
  readonly commit: () => void;
  readonly rollback: () => void;
  /** Empties the innermost transaction, which stays open. */
  readonly undo: () => void;
}

const name = 'DurableObjectStorage';

const noKv =
  "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself (e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly, set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";
const noSql =
  "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is already deployed to production.";

export class DurableObjectStorage {
  readonly #access: StorageAccess;
  readonly #hooks: StorageHooks;
  #syncKv: SyncKvStorage | undefined;
  /** The same data at once; throws for a class that is not declared to use SQLite. */
  declare readonly kv: SyncKvStorage;
  declare readonly sql: never;

  constructor(access: StorageAccess, hooks: StorageHooks) {
    this.#access = access;
    this.#hooks = hooks;
    // Own properties, as on the platform.
    Object.defineProperties(this, {
      sql: { get: () => this.#getSql(), enumerable: false },
      kv: { get: () => this.#getKv(), enumerable: false },
    });
  }

  async get(keys: unknown, _options?: object): Promise<unknown> {
    return this.#access.get(keys, name);
  }

  async list(options?: ListOptions): Promise<Map<string, unknown>> {
    // `null` is as good as none.
    const given = options ?? undefined;
    if (given !== undefined && typeof given !== 'object') {
      throw badArgument('list', name, 1, 'ListOptions');
    }
    return new Map(this.#access.list(given));
  }

  async put(first: unknown, second?: unknown, third?: unknown): Promise<void> {
    this.#access.put(first, second, third, name);
    const room = this.#hooks.room();
    if (room !== undefined) await room;
  }

  async delete(keys: unknown, options?: WriteOptions): Promise<boolean | number> {
    const result = this.#access.delete(keys, options, name);
    const room = this.#hooks.room();
    if (room !== undefined) await room;
    return result;
  }

  async deleteAll(_options?: WriteOptions): Promise<void> {
    this.#access.deleteAll(compatibility('delete_all_deletes_alarm'));
  }

  /**
   * Runs `closure` with nothing else running in the object. What it wrote is one atomic group when
   * it returns; a throw, or `txn.rollback()`, undoes it.
   */
  async transaction<T>(closure: (txn: DurableObjectTransaction) => Promise<T>): Promise<T> {
    if (typeof closure !== 'function') throw badArgument('transaction', name, 1, 'function');
    const { exclusive, begin, commit, rollback, undo } = this.#hooks;
    return exclusive(async () => {
      const state = new TransactionState(undo);
      begin();
      try {
        const result = await closure(new DurableObjectTransaction(this.#access, state));
        if (state.end() === 'rolled-back') rollback();
        else commit();
        return result;
      } catch (error) {
        state.end();
        rollback();
        throw error;
      }
    });
  }

  /** As `transaction`, for a closure that waits for nothing. May be nested. */
  transactionSync<T>(closure: () => T): T {
    if (typeof closure !== 'function') throw badArgument('transactionSync', name, 1, 'function');
    const { begin, commit, rollback } = this.#hooks;
    begin();
    let result: T;
    try {
      result = closure();
    } catch (error) {
      rollback();
      throw error;
    }
    commit();
    return result;
  }

  async getAlarm(_options?: object): Promise<number | null> {
    return this.#access.getAlarm();
  }

  async setAlarm(time: unknown, options?: WriteOptions): Promise<void> {
    this.#access.setAlarm(time, options, name);
  }

  async deleteAlarm(options?: WriteOptions): Promise<void> {
    this.#access.deleteAlarm(options);
  }

  /** Resolves when every write made before is durable. */
  sync(): Promise<void> {
    return this.#hooks.durable();
  }

  /** Of any class: one that has none is told when it uses it, not when it looks. */
  #getKv(): SyncKvStorage {
    const checked = () => {
      if (this.#hooks.kind !== 'sqlite') throw new Error(noKv);
      return this.#access;
    };
    this.#syncKv ??= new SyncKvStorage(checked);
    return this.#syncKv;
  }

  #getSql(): never {
    if (this.#hooks.kind !== 'sqlite') throw new Error(noSql);
    throw new Error('storage.sql is not available in this version of homing: use storage.kv.');
  }

  get [Symbol.toStringTag](): string {
    return name;
  }
}
