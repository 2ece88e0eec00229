/**
 * Messages as frames, and back. A frame is one message of gRPC; its first byte says what it is:
 *
 *   batch  0, then for each message its length (u32, little-endian) and its bytes; none: a sign of life
 *   first  1, the length of a message too long for a batch (u32), and its first bytes
 *   more   2, the next bytes of that message; nothing else comes before its end
 *
 * `FrameWriter` copies a short message at once, so that what it holds is counted in bytes and not in
 * objects; a long one is kept as it was given and cut up when its turn comes. `FrameReader` trusts
 * nothing, and hands out views of frames: whoever keeps a few bytes for long should copy them.
 */
import { WireError } from '@homing/base';

const batch = 0;
const first = 1;
const more = 2;
const kindBytes = 1;
const lengthBytes = 4;
/** Up to this length a loop is cheaper than a call out of JavaScript. */
const shortBytes = 24;
const batchBytesMin = 1024;

/** What a message costs in a batch. */
export function batchedBytes(message: Uint8Array): number {
  return lengthBytes + message.length;
}

/** An empty batch. */
export function signOfLife(): Buffer {
  return Buffer.from([batch]);
}

interface LongMessage {
  readonly message: Uint8Array;
  taken: number;
}

export class FrameWriter {
  readonly #frameBytesMax: number;
  /** Full batches and long messages, oldest first; all come before the open batch. */
  readonly #ready: (Buffer | LongMessage)[] = [];
  #open: Buffer | undefined;
  #openBytes = 0;
  /** What the next batch is made with: somewhat more than the last one needed. */
  #capacity = batchBytesMin;
  #bytes = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Bytes held and not yet taken by `next`. */
  get bytes(): number {
    return this.#bytes;
  }

  push(message: Uint8Array): void {
    const { length } = message;
    const needed = lengthBytes + length;
    if (kindBytes + needed > this.#frameBytesMax) {
      this.#seal();
      this.#ready.push({ message, taken: 0 });
      this.#bytes += length;
      return;
    }
    const open = this.#reserve(needed);
    let position = this.#openBytes;
    open[position++] = length;
    open[position++] = length >>> 8;
    open[position++] = length >>> 16;
    open[position++] = length >>> 24;
    if (length <= shortBytes) {
      for (let index = 0; index < length; index++) {
        open[position + index] = message[index] as number;
      }
    } else open.set(message, position);
    this.#openBytes = position + length;
    this.#bytes += needed;
  }

  /** The next frame, or undefined when nothing is held. */
  next(): Buffer | undefined {
    const [oldest] = this.#ready;
    if (oldest === undefined) {
      if (this.#open === undefined) return undefined;
      this.#seal();
      return this.next();
    }
    if (oldest instanceof Uint8Array) {
      this.#ready.shift();
      this.#bytes -= oldest.length;
      return oldest;
    }
    const { message, taken } = oldest;
    const headBytes = taken === 0 ? kindBytes + lengthBytes : kindBytes;
    const part = message.subarray(taken, taken + this.#frameBytesMax - headBytes);
    const frame = Buffer.allocUnsafe(headBytes + part.length);
    frame[0] = taken === 0 ? first : more;
    if (taken === 0) frame.writeUInt32LE(message.length, kindBytes);
    frame.set(part, headBytes);
    oldest.taken += part.length;
    if (oldest.taken === message.length) this.#ready.shift();
    this.#bytes -= part.length;
    return frame;
  }

  /** The open batch, with room for `needed` bytes more. */
  #reserve(needed: number): Buffer {
    if (this.#openBytes + needed > this.#frameBytesMax) this.#seal();
    let open = this.#open;
    if (open === undefined) {
      open = Buffer.allocUnsafe(Math.max(this.#capacity, kindBytes + needed));
      open[0] = batch;
      this.#openBytes = kindBytes;
      this.#bytes += kindBytes;
      this.#open = open;
    } else if (this.#openBytes + needed > open.length) {
      const wanted = Math.max(this.#openBytes + needed, open.length * 2);
      const grown = Buffer.allocUnsafe(Math.min(wanted, this.#frameBytesMax));
      open.copy(grown, 0, 0, this.#openBytes);
      open = grown;
      this.#open = open;
    }
    return open;
  }

  #seal(): void {
    if (this.#open === undefined) return;
    const bytes = this.#openBytes;
    this.#ready.push(this.#open.subarray(0, bytes));
    this.#open = undefined;
    this.#openBytes = 0;
    this.#capacity = Math.min(Math.max(batchBytesMin, bytes + (bytes >>> 1)), this.#frameBytesMax);
  }
}

export class FrameReader {
  readonly #messageBytesMax: number;
  #long: { readonly message: Uint8Array; filled: number } | undefined;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Stops when `deliver` answers false. Throws `WireError` for what no `FrameWriter` writes. */
  read(frame: Buffer, deliver: (message: Uint8Array) => boolean): void {
    const kind = frame[0];
    if (kind === batch) this.#readBatch(frame, deliver);
    else if (kind === first || kind === more) this.#readPart(frame, kind, deliver);
    else throw new WireError(`a frame of kind ${kind}`);
  }

  #readBatch(frame: Buffer, deliver: (message: Uint8Array) => boolean): void {
    if (this.#long !== undefined) throw new WireError('a batch within a long message');
    const { buffer, byteOffset, length: end } = frame;
    let position = kindBytes;
    while (position < end) {
      if (end - position < lengthBytes) throw new WireError('a batch ends within a length');
      const length = frame.readUInt32LE(position);
      position += lengthBytes;
      if (length > end - position) throw new WireError('a batch ends within a message');
      const message = new Uint8Array(buffer, byteOffset + position, length);
      position += length;
      if (!deliver(message)) return;
    }
  }

  #readPart(frame: Buffer, kind: number, deliver: (message: Uint8Array) => boolean): void {
    let headBytes = kindBytes;
    if (kind === first) {
      if (this.#long !== undefined) throw new WireError('a long message within a long message');
      headBytes += lengthBytes;
      if (frame.length < headBytes) throw new WireError('a frame ends within a length');
      const total = frame.readUInt32LE(kindBytes);
      if (total > this.#messageBytesMax) {
        throw new WireError(
          `a message of ${total} bytes, where messageBytesMax is ${this.#messageBytesMax}: set it alike on all nodes`,
        );
      }
      this.#long = { message: new Uint8Array(total), filled: 0 };
    }
    const long = this.#long;
    if (long === undefined) throw new WireError('more of a message that did not begin');
    const part = frame.subarray(headBytes);
    if (part.length === 0) throw new WireError('a part without bytes');
    if (part.length > long.message.length - long.filled) throw new WireError('a part too long');
    long.message.set(part, long.filled);
    long.filled += part.length;
    if (long.filled < long.message.length) return;
    this.#long = undefined;
    deliver(long.message);
  }
}
