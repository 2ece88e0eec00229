/**
 * Erases generations that `clear` has left behind. Runs on the storage thread between batches, in
 * steps of bounded size, and needs no memory of its own: what is to be erased is in the database
 * (family `x`), so it goes on after a restart.
 *
 * Small generations are deleted key by key; only large ones get a range deletion, because each of
 * those slows every later read of its memtable and files a little.
 *
 * With the last generation of an object that was forgotten its generation keys go too, so that nothing
 * is left; the storage thread is told, whose memory of them is out of date then.
 *
 * Nothing here is fsynced: all writes go through one log in order, so the mark can only be lost
 * together with, or after, the deletions it stands for, and deleting again changes nothing.
 */
import { HomingError, objectIdBytes } from '@homing/base';
import {
  afterPrefix,
  families,
  garbagePrefix,
  generationKeyOf,
  generationOffset,
  headKeyOf,
  statePrefixBytes,
} from './keys.ts';
import { type Batch, type Database, isDamage, native, noOptions, readRange } from './native.ts';
import { spaceNumbers } from './object-cache.ts';

/** Keys deleted one by one in a step; a generation of more gets a range deletion. */
const stepKeys = 256;

export class Purge {
  readonly #database: Database;
  readonly #batch: Batch = native.batch_init();
  readonly #erased: (id: Buffer) => void;

  constructor(database: Database, erased: (id: Buffer) => void) {
    this.#database = database;
    this.#erased = erased;
  }

  /** Erases one generation. Returns false when there was none left. Throws what RocksDB throws. */
  step(): boolean {
    const family = Buffer.of(families.garbage);
    const [mark] = readRange(this.#database, { gte: family, lt: afterPrefix(family) }, 1);
    if (mark === undefined) return false;
    const prefix = garbagePrefix(mark);
    if (this.#isLive(mark)) throw new HomingError('corruption', 'about to erase what is in use');
    const range = { gte: prefix, lt: afterPrefix(prefix) };
    const keys = this.#keys(range);
    if (keys === undefined || keys.length > stepKeys) native.db_clear(this.#database, range);
    else for (const key of keys) native.batch_del(this.#batch, key, noOptions);
    native.batch_del(this.#batch, mark, noOptions);
    const id = mark.subarray(1, 1 + objectIdBytes);
    const isLast = this.#isLastOfForgotten(id);
    if (isLast) {
      for (const space of spaceNumbers) {
        native.batch_del(this.#batch, generationKeyOf(id, space), noOptions);
      }
    }
    native.batch_write(this.#database, this.#batch, { sync: false });
    native.batch_clear(this.#batch);
    if (isLast) this.#erased(id);
    return true;
  }

  /** Whether nothing is known of the object but the one generation that is being erased. */
  #isLastOfForgotten(id: Buffer): boolean {
    const [head] = native.db_get_many_sync(this.#database, [headKeyOf(id)], noOptions);
    if (head !== undefined) return false;
    const marks = Buffer.concat([Buffer.of(families.garbage), id]);
    const rows = readRange(this.#database, { gte: marks, lt: afterPrefix(marks) }, 2);
    return rows.length === 2;
  }

  /** What readers see must never be garbage: a defect here is to end the process, not the data. */
  #isLive(mark: Buffer): boolean {
    const id = mark.subarray(1, 1 + objectIdBytes);
    const key = generationKeyOf(id, mark[1 + objectIdBytes] as number);
    const [live] = native.db_get_many_sync(this.#database, [key], noOptions);
    return (live?.readUInt32BE(0) ?? 0) === mark.readUInt32BE(generationOffset);
  }

  /** Undefined where they cannot be read: it is garbage all the same. */
  #keys(range: { readonly gte: Buffer; readonly lt: Buffer }): Buffer[] | undefined {
    const iterator = native.iterator_init(this.#database, {
      ...range,
      values: false,
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    });
    try {
      const { rows } = native.iterator_nextv_sync(iterator, stepKeys + 1);
      return rows.filter((row) => row !== undefined && row.length >= statePrefixBytes);
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    } finally {
      native.iterator_close(iterator);
    }
  }
}
