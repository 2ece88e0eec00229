/**
 * The files of a data directory beside RocksDB's own, and what they prove at opening:
 *
 *     STORE      one line of JSON: that this is a homing store, its format version and id
 *     WATERMARK  how far the database had got (a RocksDB sequence number) when it last said "durable"
 *     db/        the RocksDB database; db/LOCK keeps a second process out. After a rescue (rescue.ts)
 *                STORE names another folder, db.1 and so on
 *     DAMAGED    what RocksDB itself found damaged when it last wrote; there until a rescue
 *
 * STORE is readable without opening the database, so a directory of another version or another
 * program is refused before anything in it is touched.
 *
 * WATERMARK exists because RocksDB, after a crash, takes a damaged or shortened write-ahead log for
 * one that ends there, and silently comes up without the rest. The mark is written (not fsynced)
 * after each fsync of the log and before its appends are acknowledged: a database that comes up below
 * it has lost something that was acknowledged. After a mere process crash it is exact; after a power
 * failure it may be older than the log, which never accuses a healthy directory.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { HomingError, messageOf, readUint64, writeUint64 } from '@homing/base';

/** Version of everything on disk: keys, values, record bodies. */
export const formatVersion = 2;
/** Its heads have no tails; all else is the same, so it is read as it is, and becomes the present one. */
const oldestFormat = 1;

const storeFile = 'STORE';
const watermarkFile = 'WATERMARK';
const damageFile = 'DAMAGED';
const firstDatabase = 'db';
const databaseName = /^db(\.\d+)?$/;
/** What a file system itself puts at the top of a volume. */
const foreignAllowed: ReadonlySet<string> = new Set(['lost+found']);
const watermarkMagic = 0x484f_4d57;
const watermarkBytes = 16;

export interface StoreFile {
  readonly homing: 'store';
  readonly format: number;
  /** Undefined while the directory is being formatted: nothing was acknowledged yet. */
  readonly id?: string | undefined;
  /** The folder of the database in use; `db` where it is not said. */
  readonly database?: string | undefined;
}

export function databaseOf(store: StoreFile | undefined): string {
  return store?.database ?? firstDatabase;
}

/** All databases in a directory: the one in use, and those that a rescue has left. */
export function databasesIn(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => databaseName.test(name));
}

/** A name that no database of the directory has, nor had. */
export function nextDatabase(directory: string): string {
  const numbers = databasesIn(directory).map((name) => Number(name.split('.')[1] ?? 0));
  return `${firstDatabase}.${Math.max(0, ...numbers) + 1}`;
}

/** Remembers, durably, that RocksDB itself met damage, which its next compaction will meet again. */
export function writeDamage(directory: string, what: string): void {
  replaceFile(directory, damageFile, `${what}\n`);
}

/** What `writeDamage` wrote, if anything. */
export function readDamage(directory: string): string | undefined {
  const path = join(directory, damageFile);
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

export function removeDamage(directory: string): void {
  rmSync(join(directory, damageFile), { force: true });
  syncFolder(directory);
}

function syncFolder(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Replaces a file so that after any crash the old or the new content is there, whole. */
function replaceFile(directory: string, name: string, content: string | Uint8Array): void {
  const temporary = join(directory, `${name}.${process.pid}.tmp`);
  const fd = openSync(temporary, 'w', 0o600);
  try {
    const bytes = Buffer.from(content as Uint8Array);
    writeSync(fd, bytes, 0, bytes.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(directory, name));
  syncFolder(directory);
}

export function writeStoreFile(directory: string, content: StoreFile): void {
  replaceFile(directory, storeFile, `${JSON.stringify(content)}\n`);
}

function parseStoreFile(directory: string, text: string): StoreFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const file = parsed as Partial<StoreFile> | null | undefined;
  const idFits = file?.id === undefined || /^[0-9a-f]{32}$/.test(String(file.id));
  const isNamed = file?.database === undefined || databaseName.test(String(file.database));
  if (file?.homing !== 'store' || !Number.isInteger(file.format) || !idFits || !isNamed) {
    throw new HomingError(
      'corruption',
      `${join(directory, storeFile)} is damaged. Restore the directory from a backup, or move it ` +
        'away to start empty.',
    );
  }
  return file as StoreFile;
}

/** Reads STORE. Throws `corruption` when it is damaged; undefined when there is none. */
export function readStoreFile(directory: string): StoreFile | undefined {
  const path = join(directory, storeFile);
  if (!existsSync(path)) return undefined;
  return parseStoreFile(directory, readFileSync(path, 'utf8'));
}

export function isReadable(format: number): boolean {
  return format >= oldestFormat && format <= formatVersion;
}

function checkFormat(directory: string, format: number): void {
  if (isReadable(format)) return;
  const advice =
    format > formatVersion
      ? 'It was written by a newer homing: start that version, or a later one.'
      : 'No upgrade from that version exists: start the homing version that wrote it.';
  throw new HomingError(
    'invalid_argument',
    `data directory ${directory} has format ${format}, this homing reads formats ${oldestFormat} ` +
      `to ${formatVersion}. ${advice}`,
    { details: { format: String(format), supported: String(formatVersion) } },
  );
}

/**
 * Checks that `directory` is ours or may become ours, creating it when missing, and returns its
 * STORE. Throws `invalid_argument` for a directory of something else or of another format,
 * `corruption` for one of ours that is damaged, `unavailable` when it cannot be read or made.
 */
export function inspectDirectory(directory: string): StoreFile {
  try {
    mkdirSync(directory, { recursive: true });
    const known = readStoreFile(directory);
    if (known === undefined) return claimEmpty(directory);
    checkFormat(directory, known.format);
    if (known.id !== undefined) checkFiles(directory, databaseOf(known));
    return known;
  } catch (error) {
    if (error instanceof HomingError) throw error;
    const reason = messageOf(error);
    throw new HomingError('unavailable', `cannot use data directory ${directory}: ${reason}`, {
      cause: error,
    });
  }
}

/** An empty directory becomes one "being formatted": a crash from here on is resumed. */
function claimEmpty(directory: string): StoreFile {
  const isTemporary = /^STORE\.\d+\.tmp$/;
  const foreign = readdirSync(directory).filter(
    (name) => !foreignAllowed.has(name) && !isTemporary.test(name),
  );
  if (foreign.length > 0) {
    throw new HomingError(
      'invalid_argument',
      `data directory ${directory} is not empty and not a homing store (it has no ${storeFile} ` +
        `file, but ${foreign.slice(0, 3).join(', ')}). Name an empty or new directory.`,
    );
  }
  const fresh: StoreFile = { homing: 'store', format: formatVersion };
  writeStoreFile(directory, fresh);
  return fresh;
}

/** RocksDB would take a missing CURRENT for a new database and start empty. */
function checkFiles(directory: string, database: string): void {
  for (const path of [join(database, 'CURRENT'), watermarkFile]) {
    if (!existsSync(join(directory, path))) throw damaged(directory, `${path} is missing`);
  }
}

/** The error for a directory that is ours and has lost something. */
export function damaged(directory: string, what: string, cause?: unknown): HomingError {
  return new HomingError(
    'corruption',
    `data directory ${directory} is damaged: ${what}. It is left as it is. Restore it from a ` +
      'backup, or move it away to start empty.',
    { cause },
  );
}

function encodeWatermark(target: Buffer, sequence: number): void {
  target.writeUInt32BE(watermarkMagic, 0);
  writeUint64(target, sequence, 4);
  target.writeUInt32BE(crc32(target.subarray(0, 12)), 12);
}

/** Writes the first mark of a directory, durably. */
export function createWatermark(directory: string, sequence: number): void {
  const bytes = Buffer.alloc(watermarkBytes);
  encodeWatermark(bytes, sequence);
  replaceFile(directory, watermarkFile, bytes);
}

/** Throws `corruption` when the file is not a mark. */
export function readWatermark(directory: string): number {
  const bytes = readFileSync(join(directory, watermarkFile));
  const intact =
    bytes.length === watermarkBytes &&
    bytes.readUInt32BE(0) === watermarkMagic &&
    bytes.readUInt32BE(12) === crc32(bytes.subarray(0, 12));
  if (!intact) throw damaged(directory, `${watermarkFile} is not readable`);
  return readUint64(bytes, 4);
}

/** The open mark of a directory; used by the storage thread only. */
export class Watermark {
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(watermarkBytes);

  constructor(directory: string) {
    this.#fd = openSync(join(directory, watermarkFile), 'r+');
  }

  /** Overwrites 16 bytes of one sector: after a crash the old or the new mark is there. */
  write(sequence: number): void {
    encodeWatermark(this.#bytes, sequence);
    writeSync(this.#fd, this.#bytes, 0, watermarkBytes, 0);
  }

  /** Makes the last mark durable. */
  close(): void {
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}
