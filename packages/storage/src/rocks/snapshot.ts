/**
 * The committed state of one object as of one moment, in pages, to be installed at another replica.
 * Runs on the thread that asks; the storage thread goes on writing, which does not show.
 *
 * Invariant: head and entries are of the same moment. Head and generations are read before and after
 * the iterators (each a snapshot of its own) are opened, until both readings are the same.
 */
import {
  encodeBody,
  HomingError,
  type ObjectHead,
  type RecordOperation,
  type Snapshot,
  type Space,
} from '@homing/base';
import { decodeHead } from './head-codec.ts';
import {
  afterPrefix,
  generationKeyOf,
  headKeyOf,
  statePrefixBytes,
  statePrefixOf,
} from './keys.ts';
import { type Database, type NativeIterator, native, noOptions } from './native.ts';
import { spaceNumbers } from './object-cache.ts';
import { readFailure } from './state-reader.ts';

const attemptsMax = 1000;
/** Entries asked for in one native call; it ends earlier at the iterator's high-water mark. */
const rowsMax = 512;
const pageBytes = 256 * 1024;

interface OpenSpace {
  readonly space: Space;
  readonly iterator: NativeIterator;
}

function readVersion(database: Database, id: Buffer): (Buffer | undefined)[] {
  const keys = [headKeyOf(id), ...spaceNumbers.map((space) => generationKeyOf(id, space))];
  return native.db_get_many_sync(database, keys, noOptions);
}

function isSame(a: readonly (Buffer | undefined)[], b: readonly (Buffer | undefined)[]): boolean {
  return a.every((value, index) => {
    const other = b[index];
    return value === undefined || other === undefined ? value === other : value.equals(other);
  });
}

function openSpaces(database: Database, id: Buffer, version: (Buffer | undefined)[]): OpenSpace[] {
  return spaceNumbers.map((space, index) => {
    const prefix = statePrefixOf(id, space, version[index + 1]?.readUInt32BE(0) ?? 0);
    const iterator = native.iterator_init(database, {
      gte: prefix,
      lt: afterPrefix(prefix),
      highWaterMarkBytes: pageBytes,
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    });
    return { space: space as Space, iterator };
  });
}

class RocksSnapshot implements Snapshot {
  readonly head: ObjectHead;
  readonly #isStoreClosed: () => boolean;
  #open: OpenSpace[];

  constructor(head: ObjectHead, open: OpenSpace[], isStoreClosed: () => boolean) {
    this.head = head;
    this.#open = open;
    this.#isStoreClosed = isStoreClosed;
  }

  next(bytesMax: number): Uint8Array | undefined {
    if (this.#isStoreClosed()) throw new HomingError('unavailable', 'the store is closed');
    const operations: RecordOperation[] = [];
    let bytes = 0;
    while (bytes < bytesMax) {
      const current = this.#open[0];
      if (current === undefined) break;
      const { rows, finished } = this.#read(current.iterator);
      for (let index = 0; index < rows.length; index += 2) {
        const key = (rows[index] as Buffer).subarray(statePrefixBytes);
        const value = rows[index + 1] as Buffer;
        operations.push({ type: 'put', space: current.space, key, value });
        bytes += key.length + value.length;
      }
      if (finished) {
        native.iterator_close(current.iterator);
        this.#open.shift();
      }
    }
    return operations.length === 0
      ? undefined
      : encodeBody({ name: this.head.applied, operations });
  }

  #read(iterator: NativeIterator): { rows: Buffer[]; finished: boolean } {
    try {
      return native.iterator_nextv_sync(iterator, rowsMax);
    } catch (error) {
      throw readFailure(error, this.head.id);
    }
  }

  close(): void {
    const open = this.#open;
    this.#open = [];
    // After the store closed, no native call may be made; the collector takes the iterators.
    if (this.#isStoreClosed()) return;
    for (const { iterator } of open) native.iterator_close(iterator);
  }
}

/** Undefined for an object never written to. Throws what RocksDB throws. */
export function openSnapshot(
  database: Database,
  id: Buffer,
  isStoreClosed: () => boolean,
): Snapshot | undefined {
  let version = readVersion(database, id);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const [head] = version;
    if (head === undefined) return undefined;
    const open = openSpaces(database, id, version);
    const after = readVersion(database, id);
    if (isSame(version, after)) {
      return new RocksSnapshot(decodeHead(headKeyOf(id), head), open, isStoreClosed);
    }
    for (const { iterator } of open) native.iterator_close(iterator);
    version = after;
  }
  throw new HomingError('overloaded', 'the object is written to too fast to be copied');
}
