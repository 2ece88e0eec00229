/**
 * What `storage`, its transactions and `storage.kv` do with the state: argument checks with the
 * platform's messages, conversion of keys and values. The classes that user code sees differ only
 * in how they call this.
 */
import type { WallMs } from '@homing/base';
import type { Alarms } from './alarms.ts';
import type { StateCache } from './state-cache.ts';
import {
  checkCount,
  checkKey,
  encodeKey,
  type KeyRange,
  keyRange,
  type ListOptions,
  toKey,
} from './storage-key.ts';
import { deserializeValue, serializeValue } from './stored-value.ts';

export interface StorageAccessOptions {
  readonly cache: StateCache;
  readonly alarms: Alarms;
  readonly valueBytesMax: number;
  /** Throws when the activation is over. */
  readonly check: () => void;
  /** A write was made that outputs need not wait for (`allowUnconfirmed`), or one that they do. */
  readonly written: (unconfirmed: boolean) => void;
}

export interface WriteOptions {
  readonly allowUnconfirmed?: boolean;
  readonly allowConcurrency?: boolean;
  readonly noCache?: boolean;
}

export class StorageAccess {
  readonly #options: StorageAccessOptions;
  readonly #cache: StateCache;

  constructor(options: StorageAccessOptions) {
    this.#options = options;
    this.#cache = options.cache;
  }

  get(keys: unknown, className: string): unknown {
    this.#options.check();
    if (keys === undefined) throw badArgument('get', className, 1, 'string or Array');
    if (!Array.isArray(keys)) return this.getOne(keys);
    checkCount(keys.length, 'keys');
    const found: [Uint8Array, string, Uint8Array][] = [];
    for (const key of new Set(keys.map(toKey))) {
      const bytes = this.#cache.get(key);
      if (bytes !== undefined) found.push([encodeKey(key), key, bytes]);
    }
    found.sort((a, b) => Buffer.compare(a[0], b[0]));
    return new Map(found.map(([, key, bytes]) => [key, deserializeValue(bytes)]));
  }

  getOne(key: unknown): unknown {
    this.#options.check();
    const bytes = this.#cache.get(toKey(key));
    return bytes === undefined ? undefined : deserializeValue(bytes);
  }

  /** `put(key, value, options)` or `put(entries, options)`. */
  put(first: unknown, second: unknown, third: unknown, className: string): void {
    this.#options.check();
    if (first === undefined) throw badArgument('put', className, 1, 'string or object');
    if (typeof first !== 'object' || first === null) {
      this.putOne(first, second, third as WriteOptions | undefined);
      return;
    }
    if (second !== undefined && typeof second !== 'object') {
      throw new TypeError(
        'put() may only be called with a single key-value pair and optional options as put(key, value, options) or with multiple key-value pairs and optional options as put(entries, options)',
      );
    }
    const entries = Object.entries(first).filter(([, value]) => value !== undefined);
    checkCount(entries.length, 'pairs');
    // All are serialized before the first is written: a bad one leaves nothing behind.
    const writes = entries.map(([key, value]) => this.#prepare(key, value));
    if (writes.length === 0) return;
    for (const { key, keyBytes, bytes } of writes) this.#cache.put(key, keyBytes, bytes);
    this.#written(second as WriteOptions | undefined);
  }

  putOne(key: unknown, value: unknown, options?: WriteOptions): void {
    this.#options.check();
    if (value === undefined) throw new TypeError('put() called with undefined value.');
    const write = this.#prepare(key, value);
    this.#cache.put(write.key, write.keyBytes, write.bytes);
    this.#written(options);
  }

  delete(keys: unknown, options: WriteOptions | undefined, className: string): boolean | number {
    this.#options.check();
    if (keys === undefined) throw badArgument('delete', className, 1, 'string or Array');
    if (!Array.isArray(keys)) return this.#delete(keys, options);
    checkCount(keys.length, 'keys');
    let count = 0;
    for (const key of keys) if (this.#delete(key, options)) count++;
    return count;
  }

  /** The options are checked at the call, entries are read as the caller goes. */
  list(options: ListOptions | undefined): IterableIterator<[string, unknown]> {
    this.#options.check();
    const range = keyRange(options);
    return range === undefined ? [].values() : this.#entries(range);
  }

  deleteAll(deleteAlarm: boolean): void {
    this.#options.check();
    if (this.#cache.isInTransaction)
      throw new Error('Cannot call deleteAll() within a transaction');
    this.#cache.clear();
    if (deleteAlarm) this.#options.alarms.delete();
    this.#options.written(false);
  }

  getAlarm(): number | null {
    this.#options.check();
    return this.#options.alarms.get();
  }

  setAlarm(time: unknown, options: WriteOptions | undefined, className: string): void {
    this.#options.check();
    if (typeof time !== 'number' && !(time instanceof Date)) {
      throw badArgument('setAlarm', className, 1, 'date');
    }
    const ms = Math.trunc(Number(time));
    if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) {
      throw new TypeError('The value cannot be converted because it is not a valid Date.');
    }
    if (ms <= 0) throw new TypeError('setAlarm() cannot be called with an alarm time <= 0');
    this.#options.alarms.set(ms as WallMs);
    this.#written(options);
  }

  deleteAlarm(options: WriteOptions | undefined): void {
    this.#options.check();
    this.#options.alarms.delete();
    this.#written(options);
  }

  *#entries(range: KeyRange): IterableIterator<[string, unknown]> {
    for (const [key, bytes] of this.#cache.list(range)) yield [key, deserializeValue(bytes)];
  }

  #prepare(key: unknown, value: unknown): { key: string; keyBytes: Uint8Array; bytes: Uint8Array } {
    const text = toKey(key);
    const keyBytes = encodeKey(text);
    checkKey(keyBytes);
    return { key: text, keyBytes, bytes: serializeValue(value, this.#options.valueBytesMax) };
  }

  #delete(key: unknown, options: WriteOptions | undefined): boolean {
    const text = toKey(key);
    if (this.#cache.get(text) === undefined) return false;
    this.#cache.delete(text, encodeKey(text));
    this.#written(options);
    return true;
  }

  #written(options: WriteOptions | null | undefined): void {
    this.#options.written(options?.allowUnconfirmed === true);
  }
}

export function badArgument(
  method: string,
  className: string,
  position: number,
  expected: string,
): TypeError {
  return new TypeError(
    `Failed to execute '${method}' on '${className}': parameter ${position} is not of type '${expected}'.`,
  );
}
