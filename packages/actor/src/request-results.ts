/**
 * Results of calls that carry a request id, kept so that a retry gets the first one's result
 * instead of running again. A result lies in the object's system space and is written in the same
 * record as the last writes of its call: either both are durable or neither is.
 *
 * Bounded by count and age: the oldest go first, in the record that brings the new one. A retry
 * that comes after its result has gone would run again, so a call that was first asked longer ago
 * than results are kept is refused.
 */
import { Buffer } from 'node:buffer';
import {
  type Clock,
  HomingError,
  type ObjectIdHex,
  type RecordOperation,
  type StateReader,
  spaces,
} from '@homing/base';

export interface RequestResultLimits {
  readonly countMax: number;
  readonly ageMs: number;
}

export interface RequestResultsOptions {
  readonly reader: StateReader;
  readonly id: ObjectIdHex;
  readonly clock: Clock;
  readonly limits: RequestResultLimits;
  readonly write: (operation: RecordOperation) => void;
}

interface Kept {
  readonly atMs: number;
  readonly result: Uint8Array;
}

const prefix = 'result:';
const start = Buffer.from(prefix);
const end = Buffer.from('result;');
const timeBytes = 8;
const requestIdLengthMax = 256;

export class RequestResults {
  readonly #options: RequestResultsOptions;
  /** In order of age. Loaded at the first call that carries a request id. */
  #kept: Map<string, Kept> | undefined;
  readonly #running = new Map<string, Promise<Uint8Array>>();

  constructor(options: RequestResultsOptions) {
    this.#options = options;
  }

  async once(
    call: { readonly requestId: string; readonly elapsedMs: number },
    run: () => Promise<Uint8Array>,
  ): Promise<{ readonly result: Uint8Array; readonly replayed: boolean }> {
    const { requestId, elapsedMs } = call;
    this.#check(requestId, elapsedMs);
    const kept = this.#load().get(requestId);
    if (kept !== undefined) return { result: kept.result, replayed: true };
    const running = this.#running.get(requestId);
    if (running !== undefined) return { result: await running, replayed: true };
    const promise = run();
    this.#running.set(requestId, promise);
    try {
      const result = await promise;
      this.#keep(requestId, result);
      return { result, replayed: false };
    } finally {
      this.#running.delete(requestId);
    }
  }

  #check(requestId: string, elapsedMs: number): void {
    const { ageMs } = this.#options.limits;
    if (requestId.length > requestIdLengthMax) {
      throw new HomingError(
        'invalid_argument',
        `a request id has at most ${requestIdLengthMax} characters`,
      );
    }
    if (elapsedMs > ageMs) {
      throw new HomingError(
        'deadline_exceeded',
        `the call was first made ${elapsedMs} ms ago and results are kept for ${ageMs} ms: it cannot be known whether it ran`,
      );
    }
  }

  #load(): Map<string, Kept> {
    if (this.#kept !== undefined) return this.#kept;
    const { reader, id } = this.#options;
    const found: [string, Kept][] = [];
    for (const { key, value } of reader.list(id, spaces.system, { start, end })) {
      const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString();
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      found.push([
        text.slice(prefix.length),
        { atMs: bytes.readDoubleBE(0), result: new Uint8Array(value.subarray(timeBytes)) },
      ]);
    }
    this.#kept = new Map(found.sort(([, a], [, b]) => a.atMs - b.atMs));
    return this.#kept;
  }

  #keep(requestId: string, result: Uint8Array): void {
    const { clock, limits, write } = this.#options;
    const kept = this.#load();
    const atMs = clock.wallMs();
    kept.set(requestId, { atMs, result });
    const value = Buffer.allocUnsafeSlow(timeBytes + result.length);
    value.writeDoubleBE(atMs, 0);
    value.set(result, timeBytes);
    write({ type: 'put', space: spaces.system, key: keyOf(requestId), value });
    for (const [oldest, { atMs: since }] of kept) {
      if (kept.size <= limits.countMax && atMs - since <= limits.ageMs) return;
      kept.delete(oldest);
      write({ type: 'delete', space: spaces.system, key: keyOf(oldest) });
    }
  }
}

function keyOf(requestId: string): Uint8Array {
  return new TextEncoder().encode(prefix + requestId);
}
