/**
 * Opens the database of a data directory, formatting it first when it is new, and proves that it is
 * ours, whole and at least as new as what was last acknowledged.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { HomingError, messageOf, readUint64, type Store, writeUint64 } from '@homing/base';
import {
  createWatermark,
  damaged,
  databaseOf,
  formatVersion,
  inspectDirectory,
  isReadable,
  nextDatabase,
  readDamage,
  readStoreFile,
  readWatermark,
  removeDamage,
  type StoreFile,
  writeStoreFile,
} from './directory.ts';
import { metaKey } from './keys.ts';
import { type Database, isDamage, native, noOptions } from './native.ts';
import { readNotes } from './notes.ts';
import { removeOtherDatabases, rescueInto } from './rescue.ts';

export interface DatabaseOptions {
  /** Memory for writes not yet in a table file; RocksDB may use up to twice as much in bursts. */
  readonly memtableBytes: number;
  /** Memory for blocks of table files that were read. */
  readonly blockCacheBytes: number;
  /** Whether objects that cannot be read whole may be given up, to be sent again by other stores. */
  readonly rescue: boolean | MayRescue;
}

/** Told from the store's id, and its notes by prefix. */
export type MayRescue = (
  storeId: string,
  notes: (prefix: string) => ReturnType<Store['notes']>,
) => boolean;

interface Started {
  readonly database: Database;
  readonly storeId: string;
  readonly starts: number;
}

export interface OpenedDatabase extends Started {
  /** So many times the database was copied without what is damaged in it. */
  readonly rescues: number;
  /** So many objects were quarantined by that. */
  readonly quarantined: number;
}

interface Place {
  readonly directory: string;
  /** Of the database, in the directory. */
  readonly folder: string;
}

function open(place: Place, isNew: boolean, options: DatabaseOptions): Promise<Database> {
  const database = native.db_init(join(place.directory, place.folder));
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
        // A dictionary trained for each file costs a compaction most of its time. Blocks are compressed without.
        compression: false,
        parallelism: 2,
      },
      (error) => {
        if (error) reject(openFailure(place, error));
        else resolve(database);
      },
    );
  });
}

function openFailure(place: Place, error: Error & { code?: string }): HomingError {
  if (error.code === 'LEVEL_LOCKED') return inUse(place, error);
  return damaged(place.directory, error.message, error);
}

function inUse({ directory, folder }: Place, cause?: unknown): HomingError {
  return new HomingError(
    'unavailable',
    `data directory ${directory} is in use by another process, which holds RocksDB's lock on ` +
      `${join(directory, folder)}/LOCK. Stop that process, or name another directory.`,
    { cause },
  );
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
  if (meta.storeId !== storeId || !isReadable(meta.format)) {
    throw damaged(directory, `db/ belongs to another store (${meta.storeId}, not ${storeId})`);
  }
  return meta;
}

/** Starts a store whose database is open. Throws what RocksDB throws where it can't be written. */
function begin(directory: string, database: Database, store: StoreFile | undefined): Started {
  const meta =
    store?.id === undefined ? format(directory, database) : verify(directory, database, store.id);
  // Before anything is written that an earlier version could not read.
  if (store?.id !== undefined && store.format !== formatVersion) {
    writeStoreFile(directory, { ...store, format: formatVersion });
  }
  const starts = meta.starts + 1;
  writeMeta(database, { ...meta, format: formatVersion, starts });
  return { database, storeId: meta.storeId, starts };
}

/**
 * Copies the database into a new one without what is damaged in it, and has STORE name that. The
 * old one stays open, and so locked, until then. Resolves with the number of objects quarantined.
 */
async function rescue(
  directory: string,
  damagedDatabase: Database,
  store: StoreFile & { readonly id: string },
  options: DatabaseOptions,
): Promise<number> {
  verify(directory, damagedDatabase, store.id);
  removeOtherDatabases(directory, databaseOf(store));
  const folder = nextDatabase(directory);
  const database = await open({ directory, folder }, true, options);
  let lost: number;
  try {
    lost = rescueInto(directory, damagedDatabase, database);
    // So many writes may be fewer than those that the old one took.
    const sequence = native.db_get_latest_sequence(database);
    createWatermark(directory, Math.min(readWatermark(directory), sequence));
  } catch (error) {
    await closeDamaged(database);
    removeOtherDatabases(directory, databaseOf(store));
    throw error;
  }
  await closeDatabase(database);
  writeStoreFile(directory, { ...store, format: formatVersion, database: folder });
  removeDamage(directory);
  return lost;
}

/** More rescues in one start mean that what was just written is damaged, too. */
const rescuesMax = 2;

/**
 * Resolves when the directory is open, its count of starts raised on disk. Rejects with
 * `invalid_argument` (not a homing store, or of another format), `unavailable` (in use, or not
 * accessible) or `corruption` (damaged); then the directory is closed again.
 */
export async function openDatabase(
  directory: string,
  options: DatabaseOptions,
): Promise<OpenedDatabase> {
  let rescues = 0;
  let quarantined = 0;
  for (;;) {
    const opened = await openInUse(directory, options, rescues < rescuesMax);
    if (typeof opened !== 'number') return { ...opened, rescues, quarantined };
    rescues += 1;
    quarantined += opened;
  }
}

/** What may be rescued: a store that is formatted, and has others to send what is given up. */
function rescuable(
  database: Database,
  store: StoreFile | undefined,
  { rescue: may }: DatabaseOptions,
) {
  const id = store?.id;
  if (id === undefined || may === false) return undefined;
  const isAllowed = may === true || may(id, (prefix) => readNotes(database, prefix));
  return isAllowed ? { ...(store as StoreFile), id } : undefined;
}

/** Opens what STORE names; or rescues it, and resolves with the number of objects quarantined. */
async function openInUse(
  directory: string,
  options: DatabaseOptions,
  mayRescue: boolean,
): Promise<Started | number> {
  const found = inspectDirectory(directory);
  const folder = databaseOf(found);
  const database = await open({ directory, folder }, found.id === undefined, options);
  try {
    // Read again under the lock: another process may have finished formatting meanwhile.
    const store = readStoreFile(directory);
    if (databaseOf(store) !== folder) throw inUse({ directory, folder });
    const rescued = mayRescue ? rescuable(database, store, options) : undefined;
    if (rescued === undefined || readDamage(directory) === undefined) {
      try {
        return begin(directory, database, store);
      } catch (error) {
        if (rescued === undefined || !isDamage(error)) throw error;
      }
    }
    const lost = await rescue(directory, database, rescued, options);
    await closeDamaged(database);
    return lost;
  } catch (error) {
    await closeDamaged(database);
    if (error instanceof HomingError) throw error;
    throw damaged(directory, messageOf(error), error);
  }
}

/** What it says in closing is why it is closed. */
async function closeDamaged(database: Database): Promise<void> {
  await closeDatabase(database).catch(() => {});
}
