/** Keys of storage: strings to user code, UTF-8 bytes on disk, ordered as bytes. */
import { Buffer } from 'node:buffer';

export const keyBytesMax = 2048;
export const keysMax = 128;

const loneSurrogate = /\p{Surrogate}/u;

/** Well-formed, as both ends of the conversion must agree on what a key is. */
export function toKey(key: unknown): string {
  const text = typeof key === 'string' ? key : String(key);
  // A conversion there and back replaces lone surrogates, which UTF-8 does not have.
  return loneSurrogate.test(text) ? Buffer.from(text).toString() : text;
}

/** In a buffer of its own: it travels to another thread. */
export function encodeKey(key: string): Uint8Array {
  return encoder.encode(key);
}

const encoder = new TextEncoder();

export function decodeKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** Throws the platform's error for a key that is too long to be written. */
export function checkKey(bytes: Uint8Array): void {
  if (bytes.length > keyBytesMax) {
    throw new RangeError(
      `Keys cannot be larger than ${keyBytesMax} bytes. A key of size ${bytes.length} was provided.`,
    );
  }
}

export function checkCount(count: number, what: 'keys' | 'pairs'): void {
  if (count > keysMax) throw new RangeError(`Maximum number of ${what} is ${keysMax}.`);
}

export interface ListOptions {
  readonly start?: string;
  readonly startAfter?: string;
  readonly end?: string;
  readonly prefix?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface KeyRange {
  readonly start: Uint8Array;
  /** Exclusive; undefined for no bound. */
  readonly end: Uint8Array | undefined;
  readonly reverse: boolean;
  readonly limit: number;
}

/** The range that all the options together leave; undefined where that is nothing. */
export function keyRange(options: ListOptions = {}): KeyRange | undefined {
  const start = options.start ?? undefined;
  const startAfter = options.startAfter ?? undefined;
  const { end = null, prefix = null, limit = null } = options;
  if (start !== undefined && startAfter !== undefined) {
    throw new TypeError('list() cannot be called with both start and startAfter values.');
  }
  let count = Number.POSITIVE_INFINITY;
  if (limit !== null) {
    count = Math.trunc(Number(limit));
    if (!(count > 0)) throw new TypeError('List limit must be positive.');
  }
  let low: Uint8Array = new Uint8Array(0);
  if (start !== undefined) low = encodeKey(toKey(start));
  else if (startAfter !== undefined) low = successor(encodeKey(toKey(startAfter)));
  let high = end === null ? undefined : encodeKey(toKey(end));
  if (prefix !== null) {
    const first = encodeKey(toKey(prefix));
    if (Buffer.compare(first, low) > 0) low = first;
    const after = afterPrefix(first);
    if (after !== undefined && (high === undefined || Buffer.compare(after, high) < 0))
      high = after;
  }
  if (high !== undefined && Buffer.compare(low, high) >= 0) return undefined;
  return { start: low, end: high, reverse: options.reverse === true, limit: count };
}

/** The smallest key above `bytes`. */
function successor(bytes: Uint8Array): Uint8Array {
  const next = new Uint8Array(bytes.length + 1);
  next.set(bytes);
  return next;
}

/** The smallest key above all that begin with `prefix`, or undefined where there is none. */
function afterPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const after = prefix.slice(0, length);
  after[length - 1] = (after[length - 1] as number) + 1;
  return after;
}
