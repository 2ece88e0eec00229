/**
 * `IdentityTransformStream` and `FixedLengthStream`: what is written on one side can be read as
 * bytes on the other. A write resolves when its chunk was read, so there is no buffer here.
 */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
import { asBytes } from './body.ts';
import { expectBytes } from './body-length.ts';

const encoder = new TextEncoder();

interface ByteController {
  readonly byobRequest: { respond(bytes: number): void } | null;
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
}

interface Chunk {
  readonly bytes: Uint8Array;
  taken(): void;
  refused(reason: unknown): void;
}

function toChunk(value: unknown): Uint8Array {
  if (typeof value === 'string') return encoder.encode(value);
  const bytes = asBytes(value);
  if (bytes === undefined) {
    throw new TypeError(
      'This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView type on its writable side.',
    );
  }
  // Copied: the readable side takes buffers away from their owner.
  return bytes.slice();
}

/** The two sides. `expected` is how many bytes must be written in all. */
class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<unknown>;
  readonly #expected: number | undefined;
  #written = 0;
  #reader: ByteController | undefined;
  #pulled: (() => void) | undefined;
  #waiting: Chunk | undefined;
  #writer: { error(reason: unknown): void } | undefined;
  #ended = false;

  constructor(expected: number | undefined) {
    this.#expected = expected;
    this.readable = new ReadableStream({
      type: 'bytes',
      start: (controller: ByteController) => {
        this.#reader = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason: unknown) => this.#cancelled(reason),
    } as never) as ReadableStream<Uint8Array>;
    this.writable = new WritableStream<unknown>(
      {
        start: (controller) => {
          this.#writer = controller;
        },
        write: (value) => this.#write(value),
        close: () => this.#close(),
        abort: (reason) => this.#end(reason),
      },
      { highWaterMark: 1 },
    );
  }

  /** Resolves when there is something for the reader. */
  #pull(): Promise<void> | undefined {
    if (this.#ended) return undefined;
    if (this.#waiting !== undefined) {
      this.#pass(this.#waiting);
      return undefined;
    }
    return new Promise((resolve) => {
      this.#pulled = resolve;
    });
  }

  #pass(chunk: Chunk): void {
    this.#waiting = undefined;
    this.#reader?.enqueue(chunk.bytes);
    chunk.taken();
  }

  #write(value: unknown): Promise<void> | undefined {
    let bytes: Uint8Array;
    try {
      bytes = toChunk(value);
      this.#count(bytes.byteLength);
    } catch (error) {
      this.#end(error);
      throw error;
    }
    if (bytes.byteLength === 0) return undefined;
    return new Promise((resolve, reject) => {
      const chunk = { bytes, taken: resolve, refused: reject };
      const pulled = this.#pulled;
      if (pulled === undefined) {
        this.#waiting = chunk;
        return;
      }
      this.#pulled = undefined;
      this.#pass(chunk);
      pulled();
    });
  }

  #count(bytes: number): void {
    this.#written += bytes;
    if (this.#expected !== undefined && this.#written > this.#expected) {
      throw new TypeError('Attempt to write too many bytes through a FixedLengthStream.');
    }
  }

  #close(): void {
    if (this.#expected !== undefined && this.#written < this.#expected) {
      const error = new TypeError(
        'FixedLengthStream did not see all expected bytes before close().',
      );
      this.#end(error);
      throw error;
    }
    this.#ended = true;
    this.#reader?.close();
    this.#reader?.byobRequest?.respond(0);
    this.#pulled?.();
  }

  #end(reason: unknown): void {
    this.#ended = true;
    this.#waiting?.refused(reason);
    this.#waiting = undefined;
    this.#reader?.error(reason);
    this.#pulled?.();
  }

  #cancelled(reason: unknown): void {
    this.#ended = true;
    this.#waiting?.refused(reason);
    this.#waiting = undefined;
    this.#writer?.error(reason);
  }
}

export class IdentityTransformStream extends TransformStream {
  readonly #pipe: Pipe;

  constructor() {
    super();
    const expected = arguments[0] instanceof Length ? arguments[0].bytes : undefined;
    this.#pipe = new Pipe(expected);
    if (expected !== undefined) expectBytes(this.#pipe.readable, expected);
  }

  override get readable(): ReadableStream<Uint8Array> {
    return this.#pipe.readable;
  }

  override get writable(): WritableStream<unknown> {
    return this.#pipe.writable;
  }
}

class Length {
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
}

function checkedLength(length: number | bigint): Length {
  const bytes = Number(length);
  if (!Number.isInteger(bytes)) {
    throw new TypeError('The value cannot be converted because it is not an integer.');
  }
  if (bytes < 0) {
    throw new TypeError(
      'The value cannot be converted because it is negative and this API expects a positive bigint.',
    );
  }
  if (bytes > Number.MAX_SAFE_INTEGER) {
    throw new TypeError('FixedLengthStream requires an integer expected length less than 2^53.');
  }
  return new Length(bytes);
}

export class FixedLengthStream extends IdentityTransformStream {
  constructor(expectedLength: number | bigint) {
    // @ts-expect-error only this subclass passes a length on
    super(checkedLength(expectedLength));
  }
}
