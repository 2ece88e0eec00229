/**
 * The thread's reader of committed state, which reports objects that cannot be read before the code
 * that read them hears of it: nothing that follows from the error leaves the node then.
 */
import {
  damagedObjectOf,
  type ListRange,
  messageOf,
  type ObjectIdHex,
  type Space,
  type StateEntry,
  type StateReader,
} from '@homing/base';

export class WatchedReader implements StateReader {
  readonly #reader: StateReader;
  readonly #damaged: (id: ObjectIdHex, reason: string) => void;

  constructor(reader: StateReader, damaged: (id: ObjectIdHex, reason: string) => void) {
    this.#reader = reader;
    this.#damaged = damaged;
  }

  get(id: ObjectIdHex, space: Space, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    try {
      return this.#reader.get(id, space, keys);
    } catch (error) {
      throw this.#report(error);
    }
  }

  *list(id: ObjectIdHex, space: Space, range: ListRange): IterableIterator<StateEntry> {
    try {
      yield* this.#reader.list(id, space, range);
    } catch (error) {
      throw this.#report(error);
    }
  }

  close(): void {
    this.#reader.close();
  }

  #report(error: unknown): unknown {
    const id = damagedObjectOf(error);
    if (id !== undefined) this.#damaged(id, messageOf(error));
    return error;
  }
}
