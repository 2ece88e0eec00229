/**
 * Synchronous reads of committed state from RocksDB, on any thread: the storage thread writes, all
 * others read through the same open database.
 *
 * A state key contains the generation of its space, which only `clear` raises. A read guesses the
 * generation (the last one seen, else 0) and asks for the generation's own key in the same call; on
 * a wrong guess it reads again. So a read costs one native call, except the first after a clear.
 *
 * Invariant: what is returned is the state as of one moment, of the generation current then.
 */
import {
  assert,
  damagedObject,
  HomingError,
  type ListRange,
  messageOf,
  type ObjectIdHex,
  objectIdBytes,
  type ReaderHandle,
  type Space,
  type StateEntry,
  type StateReader,
} from '@homing/base';
import { afterPrefix, generationKeyOf, idHexOf, statePrefixBytes, statePrefixOf } from './keys.ts';
import { type Database, isDamage, type NativeIterator, native, noOptions } from './native.ts';

/** Generations remembered by a reader; those that are 0, nearly all, need no memory. */
const rememberedMax = 4096;
const firstPageEntries = 64;
const pageEntries = 512;
/** A page ends early when it holds so much, whatever its entries. */
const pageBytes = 256 * 1024;

/**
 * Turns what RocksDB throws on reading into the error that the node acts on. `id` is the object that
 * was read, if it was one.
 */
export function readFailure(error: unknown, id?: ObjectIdHex): HomingError {
  if (error instanceof HomingError) return error;
  const reason = messageOf(error);
  if (id !== undefined && isDamage(error)) return damagedObject(id, reason, error);
  return new HomingError('corruption', `cannot read the data directory: ${reason}`, {
    cause: error,
  });
}

function generationIn(value: Buffer | undefined): number {
  if (value === undefined) return 0;
  if (value.length !== 4) throw new HomingError('corruption', 'bad generation entry');
  return value.readUInt32BE(0);
}

/** Where one space of one object lies, as far as this reader knows. */
interface Place {
  readonly id: Buffer;
  readonly space: Space;
  readonly generationKey: Buffer;
  /** `s id space generation`. */
  prefix: Buffer;
  generation: number;
}

export class RocksStateReader implements StateReader {
  readonly #database: Database;
  readonly #closedFlag: Int32Array | undefined;
  readonly #generations = new Map<string, number>();
  #closed = false;
  #lastId: ObjectIdHex | undefined;
  #lastPlaces: (Place | undefined)[] = [];

  constructor(database: Database, closedFlag: Int32Array | undefined) {
    this.#database = database;
    this.#closedFlag = closedFlag;
  }

  get(id: ObjectIdHex, space: Space, keys: readonly Uint8Array[]): (Buffer | undefined)[] {
    this.#check();
    const place = this.#place(id, space);
    for (;;) {
      const rows = this.#read(place, keys);
      const generation = generationIn(rows.pop());
      if (generation === place.generation) return rows;
      this.#remember(place, generation);
    }
  }

  *list(id: ObjectIdHex, space: Space, range: ListRange): IterableIterator<StateEntry> {
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    if (!(limit >= 1)) throw new TypeError('limit must be at least 1');
    this.#check();
    const iterator = this.#open(this.#place(id, space), range);
    if (iterator === undefined) return;
    try {
      let left = limit;
      let count = Math.min(left, firstPageEntries);
      for (;;) {
        this.#check();
        const { rows, finished } = this.#page(iterator, count, id);
        for (let index = 0; index < rows.length; index += 2) {
          const key = rows[index] as Buffer;
          yield { key: key.subarray(statePrefixBytes), value: rows[index + 1] as Buffer };
        }
        left -= rows.length / 2;
        if (finished || left <= 0) return;
        count = Math.min(left, pageEntries);
      }
    } finally {
      // A caller that walks away without ending the loop leaves it to the garbage collector.
      if (!this.#isClosed()) native.iterator_close(iterator);
    }
  }

  close(): void {
    this.#closed = true;
  }

  /** True once the database is gone: then no native call may be made on it. */
  #isClosed(): boolean {
    return this.#closedFlag !== undefined && Atomics.load(this.#closedFlag, 0) !== 0;
  }

  #check(): void {
    if (this.#closed || this.#isClosed()) {
      throw new HomingError('unavailable', 'the store is closed');
    }
  }

  #place(id: ObjectIdHex, space: Space): Place {
    if (id !== this.#lastId) {
      this.#lastId = id;
      this.#lastPlaces = [];
    }
    const last = this.#lastPlaces[space];
    if (last !== undefined) return last;
    const bytes = Buffer.from(id, 'hex');
    assert(bytes.length === objectIdBytes, 'reader: not an object id');
    const generation = this.#generations.get(id + space) ?? 0;
    const place: Place = {
      id: bytes,
      space,
      generationKey: generationKeyOf(bytes, space),
      prefix: statePrefixOf(bytes, space, generation),
      generation,
    };
    this.#lastPlaces[space] = place;
    return place;
  }

  #remember(place: Place, generation: number): void {
    const key = place.id.toString('hex') + place.space;
    // Forgetting costs a second read, so the oldest may go without counting uses.
    this.#generations.delete(key);
    if (this.#generations.size >= rememberedMax) {
      const oldest = this.#generations.keys().next();
      if (!oldest.done) this.#generations.delete(oldest.value);
    }
    this.#generations.set(key, generation);
    place.generation = generation;
    place.prefix = statePrefixOf(place.id, place.space, generation);
  }

  /** The values of `keys`, then that of the generation key. */
  #read(place: Place, keys: readonly Uint8Array[]): (Buffer | undefined)[] {
    const wanted: Uint8Array[] = new Array(keys.length + 1);
    for (let index = 0; index < keys.length; index++) {
      wanted[index] = stateKey(place.prefix, keys[index] as Uint8Array);
    }
    wanted[keys.length] = place.generationKey;
    try {
      return native.db_get_many_sync(this.#database, wanted, noOptions);
    } catch (error) {
      throw readFailure(error, idHexOf(place.id, 0));
    }
  }

  /** An iterator over the current generation, or undefined for an empty range. */
  #open(place: Place, range: ListRange): NativeIterator | undefined {
    for (;;) {
      const { prefix } = place;
      const gte = range.start ? stateKey(prefix, range.start) : prefix;
      const lt = range.end ? stateKey(prefix, range.end) : afterPrefix(prefix);
      if (Buffer.compare(gte, lt) >= 0) return undefined;
      const iterator = native.iterator_init(this.#database, {
        gte,
        lt,
        reverse: range.reverse ?? false,
        highWaterMarkBytes: pageBytes,
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
      });
      // Read after the snapshot was taken: generations only grow, so an equal one was current then.
      const generation = generationIn(this.#read(place, []).pop());
      if (generation === place.generation) return iterator;
      native.iterator_close(iterator);
      this.#remember(place, generation);
    }
  }

  #page(
    iterator: NativeIterator,
    count: number,
    id: ObjectIdHex,
  ): { rows: Buffer[]; finished: boolean } {
    try {
      return native.iterator_nextv_sync(iterator, count);
    } catch (error) {
      throw readFailure(error, id);
    }
  }
}

function stateKey(prefix: Buffer, key: Uint8Array): Buffer {
  const full = Buffer.allocUnsafe(statePrefixBytes + key.length);
  full.set(prefix, 0);
  full.set(key, statePrefixBytes);
  return full;
}

/**
 * A reader of a store that another thread opened, at once. The store's owner must outlive it: close
 * it, or end its thread, before `Store.close`. Reads after that throw `unavailable`.
 */
export function openStateReader(handle: ReaderHandle): StateReader {
  const flag = handle.closed === undefined ? undefined : new Int32Array(handle.closed);
  return new RocksStateReader(native.db_init(handle.handle), flag);
}
