/**
 * Digests of objects' states, computed page by page: one object at a time, and no faster than so many
 * bytes per second, so that neither this thread nor the disk is held up. A digest is of the state as of
 * one record, and the same on every store that holds that state.
 *
 * Used by the scrubber, and for those who scrub elsewhere.
 */
import { createHash, type Hash } from 'node:crypto';
import {
  damagedObjectOf,
  isHomingError,
  type ObjectIdHex,
  OperationCursor,
  operationTypes,
  type RecordName,
  type Snapshot,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';

export interface StateDigest {
  /** What the state has folded in. */
  readonly applied: RecordName;
  readonly digest: Uint8Array;
}

export interface DigesterOptions {
  readonly store: Store;
  readonly timers: Timers;
  readonly bytesPerSecond: number;
  readonly pageBytes: number;
  /** Objects that wait for their turn; past it there is no answer. */
  readonly waitingMax: number;
  /** What is held of an object is damaged. */
  readonly failed: (error: unknown) => void;
}

interface Job {
  readonly id: ObjectIdHex;
  readonly done: (digest: StateDigest | undefined) => void;
}

/** What an object costs at least, whatever it holds: finding it and talking about it. */
const objectBytesMin = 4096;

export class Digester {
  readonly #options: DigesterOptions;
  readonly #waiting: Job[] = [];
  #isBusy = false;
  #timer: Timer | undefined;

  constructor(options: DigesterOptions) {
    this.#options = options;
  }

  /** Calls back once: without a digest where there is no state, it is damaged, or many are waiting. */
  digest(id: ObjectIdHex, done: (digest: StateDigest | undefined) => void): void {
    if (this.#waiting.length >= this.#options.waitingMax) {
      done(undefined);
      return;
    }
    this.#waiting.push({ id, done });
    if (!this.#isBusy) this.#next();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.length = 0;
  }

  #next(): void {
    const job = this.#waiting.shift();
    this.#isBusy = job !== undefined;
    if (job === undefined) return;
    const snapshot = this.#try(() => this.#options.store.snapshot(job.id));
    if (snapshot === undefined) {
      this.#end(job, undefined, objectBytesMin);
      return;
    }
    const { name, alarmMs } = { name: snapshot.head.applied, alarmMs: snapshot.head.alarmMs };
    this.#page(job, snapshot, createHash('sha256').update(`${name.epoch} ${name.lsn} ${alarmMs} `));
  }

  #page(job: Job, snapshot: Snapshot, hash: Hash): void {
    const { pageBytes } = this.#options;
    const page = this.#try(() => snapshot.next(pageBytes) ?? null);
    if (page === undefined || page === null) {
      snapshot.close();
      const { applied } = snapshot.head;
      const digest = page === null ? { applied, digest: hash.digest() } : undefined;
      this.#end(job, digest, objectBytesMin);
      return;
    }
    addPage(hash, page);
    this.#afterBytes(page.length, () => this.#page(job, snapshot, hash));
  }

  #end(job: Job, digest: StateDigest | undefined, bytes: number): void {
    job.done(digest);
    this.#afterBytes(bytes, () => this.#next());
  }

  #afterBytes(bytes: number, run: () => void): void {
    const { timers, bytesPerSecond } = this.#options;
    this.#timer = timers.after((1000 * bytes) / bytesPerSecond, run);
  }

  /** Undefined where the store is too busy, and where what is read is damaged, which is said. */
  #try<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (damagedObjectOf(error) !== undefined) this.#options.failed(error);
      else if (!isHomingError(error) || error.code === 'corruption') throw error;
      return undefined;
    }
  }
}

/** Entry by entry: where a page ends is the store's affair. */
function addPage(hash: Hash, page: Uint8Array): void {
  const cursor = new OperationCursor();
  const body = Buffer.from(page.buffer, page.byteOffset, page.byteLength);
  cursor.open(body, 0, body.length);
  while (cursor.next()) {
    if (cursor.type !== operationTypes.put) continue;
    const { space, keyStart, keyEnd, valueEnd } = cursor;
    hash.update(`${space} ${keyEnd - keyStart} ${valueEnd - keyEnd} `);
    hash.update(body.subarray(keyStart, valueEnd));
  }
}
