/**
 * What `Request` and `Response` share: a body that is read once. It stays what it was given as
 * (text, bytes, a Blob) until someone asks for `.body`; from then on the stream is the body. No
 * body at all can be read any number of times.
 *
 * Bytes are copied when the body is made, so nothing the caller does later changes them.
 */
import * as nodeStream from 'node:stream';
import type { Headers } from './headers.ts';

/** Node's own, kept before the globals are replaced: it knows multipart bodies. */
const NativeResponse = globalThis.Response;

export type BodyInit =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream;

export type Content = null | string | Uint8Array | Blob | ReadableStream<Uint8Array>;

export interface ExtractedBody {
  readonly content: Content;
  readonly contentType: string | undefined;
}

const nothing: ExtractedBody = { content: null, contentType: undefined };
const textType = 'text/plain;charset=UTF-8';
const formTypes = ['multipart/form-data', 'application/x-www-form-urlencoded'];

const usedMessage =
  'Body has already been used. It can only be used once. Use tee() first if you need to read it twice.';
export const lockedMessage = 'This ReadableStream is currently locked to a reader.';

/** Absent from the types of Node's module. */
const { isDisturbed } = nodeStream as unknown as { isDisturbed(stream: ReadableStream): boolean };

export function streamDisturbed(stream: ReadableStream): boolean {
  return isDisturbed(stream);
}

/** Takes a body apart as a constructor was given it. */
export function extractBody(init: unknown): ExtractedBody {
  if (init === null || init === undefined) return nothing;
  if (typeof init === 'string') return { content: init, contentType: textType };
  if (init instanceof Uint8Array) return { content: init.slice(), contentType: undefined };
  if (init instanceof ReadableStream) {
    if (streamDisturbed(init)) {
      throw new TypeError(
        'This ReadableStream is disturbed (has already been read from), and cannot be used as a body.',
      );
    }
    if (init.locked) {
      throw new TypeError(
        'This ReadableStream is locked to a reader, and cannot be used as a body.',
      );
    }
    return { content: init as ReadableStream<Uint8Array>, contentType: undefined };
  }
  if (init instanceof ArrayBuffer || init instanceof SharedArrayBuffer) {
    return { content: new Uint8Array(init).slice(), contentType: undefined };
  }
  if (ArrayBuffer.isView(init)) {
    const { buffer, byteOffset, byteLength } = init;
    return {
      content: new Uint8Array(buffer, byteOffset, byteLength).slice(),
      contentType: undefined,
    };
  }
  if (init instanceof Blob) return { content: init, contentType: init.type || undefined };
  if (init instanceof URLSearchParams) {
    const contentType = 'application/x-www-form-urlencoded;charset=UTF-8';
    return { content: init.toString(), contentType };
  }
  if (init instanceof FormData) {
    const encoded = new NativeResponse(init);
    return {
      content: encoded.body as ReadableStream<Uint8Array> | null,
      contentType: encoded.headers.get('content-type') ?? undefined,
    };
  }
  return { content: `${init}`, contentType: textType };
}

/** Reads a byte stream to its end. Rejects for chunks that are not bytes. */
async function readAll(stream: ReadableStream<unknown>): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const chunk = asBytes(value);
    if (chunk === undefined) {
      const error = new TypeError('This ReadableStream did not return bytes.');
      reader.cancel(error).catch(() => {});
      throw error;
    }
    chunks.push(chunk);
    length += chunk.byteLength;
  }
  if (chunks.length === 1) return (chunks[0] as Uint8Array).slice();
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

export function asBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    type: 'bytes',
    start(controller) {
      // The stream takes the buffer it is given away from whoever held it.
      if (bytes.byteLength > 0) controller.enqueue(bytes.slice());
      controller.close();
    },
  } as UnderlyingByteSource as never) as ReadableStream<Uint8Array>;
}

interface UnderlyingByteSource {
  type: 'bytes';
  start(controller: { enqueue(chunk: Uint8Array): void; close(): void }): void;
}

let internals: { share(from: Body): Content; take(from: Body): Content };

export abstract class Body {
  #content: Content;
  #used = false;
  /** The stream that `.body` gave out. */
  #stream: ReadableStream<Uint8Array> | undefined;

  static {
    internals = { share: (from) => from.#share(), take: (from) => from.#take() };
  }

  constructor(content: Content) {
    this.#content = content;
  }

  abstract get headers(): Headers;

  get body(): ReadableStream<Uint8Array> | null {
    const content = this.#content;
    if (content === null) return null;
    if (this.#stream !== undefined) return this.#stream;
    this.#stream = toStream(content);
    // A body that was read as a whole shows as a stream that was read.
    if (this.#used && !this.#stream.locked) this.#stream.cancel().catch(() => {});
    this.#content = this.#stream;
    return this.#stream;
  }

  get bodyUsed(): boolean {
    if (this.#used) return true;
    return this.#content instanceof ReadableStream && streamDisturbed(this.#content);
  }

  /** Marks the body used and gives it to the caller. */
  #take(): Content {
    const content = this.#content;
    if (content === null) return null;
    if (this.bodyUsed) throw new TypeError(usedMessage);
    if (content instanceof ReadableStream) {
      if (content.locked) throw new TypeError(lockedMessage);
    } else {
      // Nothing needs the bytes any more.
      this.#content = '';
    }
    this.#used = true;
    return content;
  }

  async text(): Promise<string> {
    const content = this.#take();
    if (content === null) return '';
    if (typeof content === 'string') return wellFormed(content);
    return decoder.decode(await wholeBytes(content));
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async bytes(): Promise<Uint8Array> {
    return ownedBytes(await wholeBytes(this.#take()));
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return ownedBytes(await wholeBytes(this.#take())).buffer as ArrayBuffer;
  }

  async blob(): Promise<Blob> {
    const content = this.#take();
    const type = this.headers.get('content-type') ?? '';
    return new Blob([ownedBytes(await wholeBytes(content))], { type });
  }

  async formData(): Promise<FormData> {
    const type = this.headers.get('content-type');
    if (type === null) {
      throw new TypeError('Parsing a Body as FormData requires a Content-Type header.');
    }
    const essence = type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
    if (!formTypes.includes(essence)) {
      throw new TypeError(
        `Unrecognized Content-Type header value. FormData can only parse the following MIME types: ${formTypes.join(', ')}`,
      );
    }
    const bytes = await wholeBytes(this.#take());
    const native = new NativeResponse(bytes as Uint8Array<ArrayBuffer>, {
      headers: { 'content-type': type },
    });
    return (await native.formData()) as unknown as FormData;
  }

  #share(): Content {
    const content = this.#content;
    if (content === null) return null;
    if (this.#used || (content instanceof ReadableStream && content.locked)) {
      // Ends in a comma on the platform too.
      throw new TypeError('This ReadableStream is currently locked to a reader,');
    }
    if (!(content instanceof ReadableStream)) return content;
    const [mine, other] = content.tee();
    this.#content = mine;
    this.#stream = mine;
    return other;
  }
}

/** The body for a second reader; `from` keeps its own. Throws where it is being read. */
export function shareBody(from: Body): Content {
  return internals.share(from);
}

/** The body, which `from` has used from now on. Throws where it has already. */
export function takeBody(from: Body): Content {
  return internals.take(from);
}

/** A body as it travels: text is encoded, a Blob becomes a stream. */
export function contentParts(content: Content): null | Uint8Array | ReadableStream<Uint8Array> {
  if (content === null || content instanceof Uint8Array) return content;
  if (typeof content === 'string') return encoder.encode(content);
  return toStream(content);
}

function toStream(content: string | Uint8Array | Blob | ReadableStream<Uint8Array>) {
  if (content instanceof ReadableStream) return content;
  if (content instanceof Blob) return content.stream() as ReadableStream<Uint8Array>;
  return streamOf(typeof content === 'string' ? encoder.encode(content) : content);
}

async function wholeBytes(content: Content): Promise<Uint8Array> {
  if (content === null) return new Uint8Array(0);
  if (typeof content === 'string') return encoder.encode(content);
  // A clone may hold the same bytes.
  if (content instanceof Uint8Array) return content.slice();
  if (content instanceof Blob) return new Uint8Array(await content.arrayBuffer());
  return readAll(content);
}

/** The same bytes with a buffer of their own. */
function ownedBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = bytes.byteLength === bytes.buffer.byteLength && bytes.constructor === Uint8Array;
  return (whole ? bytes : new Uint8Array(bytes)) as Uint8Array<ArrayBuffer>;
}

/** Text as it would come back from UTF-8: no byte order mark, no half of a surrogate pair. */
function wellFormed(text: string): string {
  const start = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  return (start as string & { toWellFormed(): string }).toWellFormed();
}
