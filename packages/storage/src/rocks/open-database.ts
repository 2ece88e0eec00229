/**
 * Opens the database of a data directory, formatting it first when it is new, and proves that it is
 * ours, whole and at least as new as what was last acknowledged.
 */
import { randomBytes } from 'node:crypto';
import { HomingError, readUint64, writeUint64 } from '@homing/base';
import {
  createWatermark,
  damaged,
  databasePath,
  formatVersion,
  inspectDirectory,
  readStoreFile,
  readWatermark,
  writeStoreFile,
} from './directory.ts';
import { metaKey } from './keys.ts';
import { type Database, native, noOptions } from './native.ts';

export interface DatabaseOptions {
  /** Memory for writes not yet in a table file; RocksDB may use up to twice as much in bursts. */
  readonly memtableBytes: number;
  /** Memory for blocks of table files that were read. */
  readonly blockCacheBytes: number;
}

export interface OpenedDatabase {
  readonly database: Database;
  readonly storeId: string;
  readonly starts: number;
}

function open(directory: string, isNew: boolean, options: DatabaseOptions): Promise<Database> {
  const database = native.db_init(databasePath(directory));
  return new Promise((resolve, reject) => {
    native.db_open(
      database,
      {
        createIfMissing: isNew,
        compaction: 'level',
        memtableMemoryBudget: options.memtableBytes,
        cacheSize: options.blockCacheBytes,
        // The log is short-lived and its records are small: compressing it costs more than it saves.
        walCompression: false,
        parallelism: 2,
      },
      (error) => {
        if (error) reject(openFailure(directory, error));
        else resolve(database);
      },
    );
  });
}

function openFailure(directory: string, error: Error & { code?: string }): HomingError {
  if (error.code === 'LEVEL_LOCKED') {
    return new HomingError(
      'unavailable',
      `data directory ${directory} is in use by another process, which holds RocksDB's lock on ` +
        `${databasePath(directory)}/LOCK. Stop that process, or name another directory.`,
      { cause: error },
    );
  }
  return damaged(directory, error.message, error);
}

/** Closes a database that this thread opened. Rejects with `corruption` when RocksDB does. */
export function closeDatabase(database: Database): Promise<void> {
  return new Promise((resolve, reject) => {
    native.db_close(database, (error) => {
      if (error)
        reject(new HomingError('corruption', `closing: ${error.message}`, { cause: error }));
      else resolve();
    });
  });
}

interface Meta {
  readonly format: number;
  readonly storeId: string;
  readonly starts: number;
}

function readMeta(directory: string, database: Database): Meta | undefined {
  const keys = [metaKey('format'), metaKey('store'), metaKey('starts')];
  const [format, store, starts] = native.db_get_many_sync(database, keys, noOptions);
  if (format === undefined && store === undefined && starts === undefined) return undefined;
  if (format?.length !== 4 || store?.length !== 16 || starts?.length !== 8) {
    throw damaged(directory, 'its meta entries are not complete');
  }
  return {
    format: format.readUInt32BE(0),
    storeId: store.toString('hex'),
    starts: readUint64(starts, 0),
  };
}

function writeMeta(database: Database, meta: Meta): void {
  const format = Buffer.alloc(4);
  format.writeUInt32BE(meta.format);
  const starts = Buffer.alloc(8);
  writeUint64(starts, meta.starts, 0);
  const batch = native.batch_init();
  native.batch_put(batch, metaKey('format'), format, noOptions);
  native.batch_put(batch, metaKey('store'), Buffer.from(meta.storeId, 'hex'), noOptions);
  native.batch_put(batch, metaKey('starts'), starts, noOptions);
  native.batch_write(database, batch, { sync: true });
}

/**
 * Ends the formatting of a new directory, perhaps one that an earlier process began: the database
 * first, the watermark next, STORE last, so that a STORE with an id promises the other two.
 */
function format(directory: string, database: Database): Meta {
  let meta = readMeta(directory, database);
  if (meta === undefined) {
    meta = { format: formatVersion, storeId: randomBytes(16).toString('hex'), starts: 0 };
    writeMeta(database, meta);
  }
  createWatermark(directory, native.db_get_latest_sequence(database));
  writeStoreFile(directory, { homing: 'store', format: formatVersion, id: meta.storeId });
  return meta;
}

function verify(directory: string, database: Database, storeId: string): Meta {
  const mark = readWatermark(directory);
  const sequence = native.db_get_latest_sequence(database);
  if (sequence < mark) {
    throw damaged(
      directory,
      `writes that had been acknowledged are missing (it ends at ${sequence}, had reached ${mark}); ` +
        'a file in db/ was cut off or replaced',
    );
  }
  const meta = readMeta(directory, database);
  if (meta === undefined) throw damaged(directory, 'the database is empty');
  if (meta.storeId !== storeId || meta.format !== formatVersion) {
    throw damaged(directory, `db/ belongs to another store (${meta.storeId}, not ${storeId})`);
  }
  return meta;
}

/**
 * Resolves when the directory is open, its count of starts raised on disk. Rejects with
 * `invalid_argument` (not a homing store, or of another format), `unavailable` (in use, or not
 * accessible) or `corruption` (damaged); then the directory is closed again.
 */
export async function openDatabase(
  directory: string,
  options: DatabaseOptions,
): Promise<OpenedDatabase> {
  const found = inspectDirectory(directory);
  const database = await open(directory, found.id === undefined, options);
  try {
    // Read again under the lock: another process may have finished formatting meanwhile.
    const storeId = readStoreFile(directory)?.id;
    const meta =
      storeId === undefined ? format(directory, database) : verify(directory, database, storeId);
    const starts = meta.starts + 1;
    writeMeta(database, { ...meta, starts });
    return { database, storeId: meta.storeId, starts };
  } catch (error) {
    await closeDatabase(database);
    if (error instanceof HomingError) throw error;
    throw damaged(directory, error instanceof Error ? error.message : String(error), error);
  }
}
