/**
 * Messages as gRPC puts them on an HTTP/2 stream: a byte that says whether the message is compressed,
 * its length (u32, big-endian), its bytes. `MessageReader` trusts nothing, and hands out views of what
 * came where a message came whole.
 */
import { WireError } from '@homing/base';

export const headBytes = 5;

/** Writes the head of a message of `length` bytes at the beginning of `into`. */
export function writeHead(into: Buffer, length: number): void {
  into[0] = 0;
  into.writeUInt32BE(length, 1);
}

export class MessageReader {
  readonly #bytesMax: number;
  readonly #head = Buffer.alloc(headBytes);
  #headFilled = 0;
  #message: Buffer | undefined;
  #filled = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Throws `WireError` for what is compressed, which nobody asked for, or too long. */
  read(chunk: Buffer, deliver: (message: Buffer) => void): void {
    let position = 0;
    while (position < chunk.length) {
      if (this.#message !== undefined) {
        position = this.#fill(this.#message, chunk, position, deliver);
        continue;
      }
      const headEnd = position + headBytes - this.#headFilled;
      chunk.copy(this.#head, this.#headFilled, position, headEnd);
      if (headEnd > chunk.length) {
        this.#headFilled += chunk.length - position;
        return;
      }
      this.#headFilled = 0;
      const length = this.#length();
      const end = headEnd + length;
      if (end <= chunk.length) {
        deliver(chunk.subarray(headEnd, end));
        position = end;
      } else {
        this.#message = Buffer.allocUnsafeSlow(length);
        this.#filled = 0;
        position = headEnd;
      }
    }
  }

  #length(): number {
    if (this.#head[0] !== 0) throw new WireError('a compressed message');
    const length = this.#head.readUInt32BE(1);
    if (length > this.#bytesMax) throw new WireError(`a message of ${length} bytes`);
    return length;
  }

  #fill(message: Buffer, chunk: Buffer, start: number, deliver: (message: Buffer) => void): number {
    const copied = chunk.copy(message, this.#filled, start);
    this.#filled += copied;
    if (this.#filled === message.length) {
      this.#message = undefined;
      deliver(message);
    }
    return start + copied;
  }
}
