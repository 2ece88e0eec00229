/**
 * Numbers, strings and bytes as they stand in a frame.
 *
 * A varint is little-endian base 128 and carries 0 … 2^53-1. A string is a varint of its length
 * times two, plus one where it is wide: ASCII takes a byte a unit, anything else is UTF-16, so that
 * lone surrogates survive as they do in a structured clone.
 *
 * A `WireReader` trusts nothing: whatever is cut short, too long or out of range throws
 * `WireError`, and never reads outside its frame.
 */
import { assert } from './assert.ts';

/** The bytes are not what this protocol writes. The session they came on must be closed. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Kept between frames; a larger one is given back to the collector. */
const scratchBytesKept = 1024 * 1024;
/** Strings up to this length are written unit by unit: cheaper than a call out of JavaScript. */
const shortStringUnits = 24;

/** Methods of Buffer that its types leave out: they skip the lookup of an encoding by name. */
interface RawBuffer extends Buffer {
  latin1Write(text: string, offset: number): number;
  hexWrite(text: string, offset: number, length: number): number;
  ucs2Write(text: string, offset: number): number;
  latin1Slice(start: number, end: number): string;
  ucs2Slice(start: number, end: number): string;
  hexSlice(start: number, end: number): string;
}

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);

export class WireWriter {
  #bytes = Buffer.allocUnsafeSlow(16 * 1024) as unknown as RawBuffer;
  length = 0;

  #reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(
      Math.max(needed, this.#bytes.length * 2),
    ) as unknown as RawBuffer;
    this.#bytes.copy(grown, 0, 0, this.length);
    this.#bytes = grown;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.length++] = value;
  }

  varint(value: number): void {
    this.#reserve(8);
    const bytes = this.#bytes;
    let rest = value;
    while (rest > 0x7fffffff) {
      bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.length++] = rest;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.length = this.#bytes.writeUInt32LE(value, this.length);
  }

  /** Overwrites four bytes that `u32` wrote at `offset`. */
  patchU32(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset);
  }

  double(value: number): void {
    this.#reserve(8);
    float[0] = value;
    this.#bytes.set(floatBytes, this.length);
    this.length += 8;
  }

  string(value: string): void {
    const units = value.length;
    if (units <= shortStringUnits) {
      this.#reserve(units + 1);
      const bytes = this.#bytes;
      const start = this.length;
      bytes[start] = units * 2;
      let index = 0;
      for (; index < units; index++) {
        const unit = value.charCodeAt(index);
        if (unit > 0x7f) break;
        bytes[start + 1 + index] = unit;
      }
      if (index === units) {
        this.length = start + 1 + units;
        return;
      }
    } else if (Buffer.byteLength(value) === units) {
      this.varint(units * 2);
      this.#reserve(units);
      this.length += this.#bytes.latin1Write(value, this.length);
      return;
    }
    this.varint(units * 2 + 1);
    this.#reserve(units * 2);
    this.length += this.#bytes.ucs2Write(value, this.length);
  }

  /** So many bytes that are given in hex. */
  hex(text: string, count: number): void {
    this.#reserve(count);
    const written = this.#bytes.hexWrite(text, this.length, count);
    assert(written === count && text.length === 2 * count, 'wire: not as many bytes in hex');
    this.length += count;
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.length);
    this.length += value.length;
  }

  /** Length and bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  /** What was written, a character a byte: as such it crosses to another thread for less than as bytes. */
  text(): string {
    return this.#bytes.latin1Slice(0, this.length);
  }

  /** A copy of what was written since `start`, in a buffer of its own. */
  copy(start = 0): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(start, this.length));
  }

  /** The same as a part of Node's pool: for what is short and soon gone, and crosses to no other thread. */
  pooledCopy(): Uint8Array {
    const copy = Buffer.allocUnsafe(this.length);
    this.#bytes.copy(copy, 0, 0, this.length);
    return copy;
  }

  reset(): void {
    this.length = 0;
    if (this.#bytes.length > scratchBytesKept) {
      this.#bytes = Buffer.allocUnsafeSlow(16 * 1024) as unknown as RawBuffer;
    }
  }
}

const idle: WireWriter[] = [];

/**
 * An empty writer; the caller gives it back with `releaseWriter`. Serializing runs user code
 * (getters), which may make calls and so come here again: each level has its own writer.
 */
export function acquireWriter(): WireWriter {
  return idle.pop() ?? new WireWriter();
}

export function releaseWriter(writer: WireWriter): void {
  writer.reset();
  assert(!idle.includes(writer), 'wire: a writer was released twice');
  if (idle.length < 4) idle.push(writer);
}

/** The bytes that `write` puts into a writer, in a buffer of their own. */
export function frameOf(write: (writer: WireWriter) => void): Uint8Array {
  return written(write, (writer) => writer.copy());
}

/** As `frameOf`, in a part of Node's pool of buffers. */
export function pooledFrameOf(write: (writer: WireWriter) => void): Uint8Array {
  return written(write, (writer) => writer.pooledCopy());
}

function written(
  write: (writer: WireWriter) => void,
  copy: (writer: WireWriter) => Uint8Array,
): Uint8Array {
  const writer = acquireWriter();
  try {
    write(writer);
    return copy(writer);
  } finally {
    releaseWriter(writer);
  }
}

export class WireReader {
  readonly #bytes: RawBuffer;
  /** What is read, all of it. */
  readonly frame: Uint8Array;
  position: number;
  end: number;

  constructor(frame: Uint8Array, position = 0, end = frame.length) {
    const bytes = Buffer.isBuffer(frame)
      ? frame
      : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    this.#bytes = bytes as unknown as RawBuffer;
    this.frame = frame;
    this.position = position;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  #take(count: number): number {
    const start = this.position;
    if (count > this.end - start) throw new WireError('it ends too early');
    this.position = start + count;
    return start;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  varint(): number {
    const bytes = this.#bytes;
    let value = this.u8();
    if (value < 0x80) return value;
    value &= 0x7f;
    let scale = 128;
    for (;;) {
      const byte = bytes[this.#take(1)] as number;
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new WireError('a number is too large');
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  double(): number {
    const start = this.#take(8);
    for (let index = 0; index < 8; index++)
      floatBytes[index] = this.#bytes[start + index] as number;
    return float[0] as number;
  }

  string(): string {
    const head = this.varint();
    const units = Math.floor(head / 2);
    if (head % 2 === 1) {
      const start = this.#take(units * 2);
      return this.#bytes.ucs2Slice(start, start + units * 2);
    }
    const start = this.#take(units);
    return this.#bytes.latin1Slice(start, start + units);
  }

  /** The next `count` bytes in hex. */
  hex(count: number): string {
    const start = this.#take(count);
    return this.#bytes.hexSlice(start, start + count);
  }

  /** A view of the next `count` bytes of the frame. */
  raw(count: number): Uint8Array {
    const start = this.#take(count);
    return this.#bytes.subarray(start, start + count);
  }

  /** A copy, in a buffer of its own. */
  bytes(): Uint8Array {
    return new Uint8Array(this.raw(this.varint()));
  }

  /** Call where nothing may follow. */
  finish(): void {
    if (this.position !== this.end) throw new WireError('it goes on after its end');
  }
}
