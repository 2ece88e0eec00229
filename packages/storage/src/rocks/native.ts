/**
 * The few native calls that the adapter uses, typed. The only place that imports RocksDB.
 *
 * It goes below the package's abstract-level classes, to its binding: those add deferred opening,
 * resource tracking and an options object per call, which cost more than the reads themselves, and
 * make opening a handle asynchronous. The version is pinned exactly, so the binding is as stable as
 * the classes.
 *
 * Facts of this binding that the callers rely on:
 * - `db_init(handle)` gives a second reference to a database another thread has open; it is usable
 *   at once, may be dropped at any time, and must never be given to `db_close`, which closes the
 *   database under everyone.
 * - The thread that called `db_init(path)` owns the database: it is closed when that thread ends.
 * - Buffers passed to `batch_*` are copied during the call; buffers returned are copies.
 * - `db_clear` is a `DeleteRange` outside any batch, without fsync.
 */
import { createRequire } from 'node:module';

declare const opaque: unique symbol;
export type Database = { readonly [opaque]: 'database' };
export type Batch = { readonly [opaque]: 'batch' };
export type NativeIterator = { readonly [opaque]: 'iterator' };

export interface OpenOptions {
  readonly createIfMissing: boolean;
  readonly compaction: 'level';
  readonly memtableMemoryBudget: number;
  readonly cacheSize: number;
  readonly walCompression: boolean;
  /** With a dictionary of each file; large levels are compressed without it, too. */
  readonly compression: boolean;
  readonly parallelism: number;
}

export interface RangeOptions {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

export interface IteratorOptions extends RangeOptions {
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly keys?: boolean;
  readonly values?: boolean;
  readonly highWaterMarkBytes?: number;
  readonly keyEncoding: 'buffer';
  readonly valueEncoding: 'buffer';
}

/** Rows are key, value, key, value …; undefined in place of what the options left out. */
export interface Page {
  readonly rows: Buffer[];
  readonly finished: boolean;
}

export interface Native {
  db_init(pathOrHandle: string | bigint): Database;
  db_get_handle(database: Database): bigint;
  db_open(
    database: Database,
    options: OpenOptions,
    callback: (error: Error | null | undefined) => void,
  ): void;
  db_close(database: Database, callback: (error: Error | null | undefined) => void): void;
  db_get_latest_sequence(database: Database): number;
  /** All values as of one moment. */
  db_get_many_sync(
    database: Database,
    keys: readonly Uint8Array[],
    options: { readonly fillCache?: boolean },
  ): (Buffer | undefined)[];
  db_clear(database: Database, range: RangeOptions): void;
  batch_init(): Batch;
  batch_put(
    batch: Batch,
    key: Uint8Array,
    value: Uint8Array,
    options: Readonly<Record<string, never>>,
  ): void;
  batch_del(batch: Batch, key: Uint8Array, options: Readonly<Record<string, never>>): void;
  batch_clear(batch: Batch): void;
  batch_write(database: Database, batch: Batch, options: { readonly sync: boolean }): void;
  /** A snapshot: later writes do not show. */
  iterator_init(database: Database, options: IteratorOptions): NativeIterator;
  iterator_nextv_sync(iterator: NativeIterator, count: number): Page;
  iterator_close(iterator: NativeIterator): void;
}

export const native = createRequire(import.meta.url)('@nxtedition/rocksdb/binding') as Native;

/** Shared by calls that need no options: an object per call would be garbage. */
export const noOptions: Readonly<Record<string, never>> = Object.freeze({});

/** Whether RocksDB found something on disk that does not fit its checksum. */
export function isDamage(error: unknown): boolean {
  return (error as { readonly code?: unknown } | undefined)?.code === 'LEVEL_CORRUPTION';
}

/** All rows of a range that is known to be small. */
export function readRange(database: Database, range: RangeOptions, limit: number): Buffer[] {
  const iterator = native.iterator_init(database, {
    ...range,
    limit,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  try {
    return native.iterator_nextv_sync(iterator, limit).rows;
  } finally {
    native.iterator_close(iterator);
  }
}
