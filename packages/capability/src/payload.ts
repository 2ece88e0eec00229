/**
 * A value as it stands in a frame: a tag and what follows it.
 *
 * Primitives, strings, bytes, arrays of them and host values made of those are written as they are;
 * this is what every HTTP request takes. Anything else goes through V8's serializer (graph.ts),
 * with what that cannot carry in a table of items behind it.
 *
 * The two ends of a table are `References`: what a reference in a message stands for is the
 * session's business, not this file's.
 */
import { WireError, type WireReader, type WireWriter } from '@homing/base';
import { classify, isPlainBlob, type Outlet, valueKinds } from './classify.ts';
import { readError, writeError } from './error-value.ts';
import { deserializeGraph, serializeGraph } from './graph.ts';
import type { HostValue, HostValueCodec } from './host.ts';
import { RpcBlob } from './rpc-blob.ts';

/** How references in a message are written and read; the session's. */
export interface References {
  write(writer: WireWriter, value: object): void;
  read(reader: WireReader): unknown;
}

const tags = {
  undefined: 0,
  null: 1,
  true: 2,
  false: 3,
  integer: 4,
  double: 5,
  string: 6,
  bytes: 7,
  array: 8,
  host: 9,
  reference: 10,
  graph: 11,
} as const;

const itemKinds = { reference: 0, host: 1, error: 2 } as const;
const blobKind = '#blob';
/** Nesting of host values and arrays: what is deeper was not written by us. */
const depthMax = 32;

/** Writes the values of one message. */
export class PayloadWriter implements Outlet {
  readonly #writer: WireWriter;
  readonly #codec: HostValueCodec;
  readonly #references: References;
  /** Taking a value apart may use it up (a body), so it is done once. */
  #apart: Map<object, HostValue | undefined> | undefined;

  constructor(writer: WireWriter, codec: HostValueCodec, references: References) {
    this.#writer = writer;
    this.#codec = codec;
    this.#references = references;
  }

  reference(_value: object): number {
    return 0;
  }

  disassemble(value: object): HostValue | undefined {
    if (this.#apart?.has(value) === true) return this.#apart.get(value);
    const parts = isPlainBlob(value) ? blobParts(value) : this.#codec.disassemble(value);
    this.#apart ??= new Map();
    this.#apart.set(value, parts);
    return parts;
  }

  /** The arguments of a call. Objects among them may refer to each other, so they go as one. */
  args(args: readonly unknown[]): void {
    let objects = 0;
    for (const arg of args) {
      if ((typeof arg === 'object' && arg !== null) || typeof arg === 'function') objects++;
    }
    if (objects > 1) {
      this.value([...args]);
      return;
    }
    this.#writer.u8(tags.array);
    this.#writer.varint(args.length);
    for (const arg of args) this.value(arg);
  }

  value(value: unknown): void {
    const writer = this.#writer;
    switch (typeof value) {
      case 'undefined':
        writer.u8(tags.undefined);
        return;
      case 'boolean':
        writer.u8(value ? tags.true : tags.false);
        return;
      case 'number':
        this.#number(value);
        return;
      case 'string':
        writer.u8(tags.string);
        writer.string(value);
        return;
      case 'object':
      case 'function':
        if (value === null) writer.u8(tags.null);
        else this.#object(value);
        return;
      default:
        this.#graph(value);
    }
  }

  #number(value: number): void {
    if (value >= 0 && Number.isSafeInteger(value) && !Object.is(value, -0)) {
      this.#writer.u8(tags.integer);
      this.#writer.varint(value);
    } else {
      this.#writer.u8(tags.double);
      this.#writer.double(value);
    }
  }

  #object(value: object): void {
    const writer = this.#writer;
    switch (classify(value, this)) {
      case valueKinds.bytes:
        writer.u8(tags.bytes);
        writer.bytes(value as Uint8Array);
        return;
      case valueKinds.reference:
        writer.u8(tags.reference);
        this.#references.write(writer, value);
        return;
      case valueKinds.host:
        writer.u8(tags.host);
        this.#host(this.disassemble(value) as HostValue);
        return;
      case valueKinds.array:
        if (isFlat(value as unknown[])) {
          writer.u8(tags.array);
          writer.varint((value as unknown[]).length);
          for (const entry of value as unknown[]) this.value(entry);
          return;
        }
        this.#graph(value);
        return;
      default:
        this.#graph(value);
    }
  }

  #host({ kind, parts }: HostValue): void {
    this.#writer.string(kind);
    this.#writer.varint(parts.length);
    for (const part of parts) this.value(part);
  }

  #graph(value: unknown): void {
    const { bytes, items, errors } = serializeGraph(value, this);
    const writer = this.#writer;
    writer.u8(tags.graph);
    writer.bytes(bytes);
    writer.varint(items.length);
    writer.varint(errors);
    for (const item of items) this.#item(item);
  }

  #item(item: object): void {
    const writer = this.#writer;
    switch (classify(item, this)) {
      case valueKinds.error:
        writer.u8(itemKinds.error);
        writeError(writer, item as Error);
        return;
      case valueKinds.host:
        writer.u8(itemKinds.host);
        this.#host(this.disassemble(item) as HostValue);
        return;
      default:
        writer.u8(itemKinds.reference);
        this.#references.write(writer, item);
    }
  }
}

/** Strings and numbers only: no identity to keep, no holes. */
function isFlat(values: readonly unknown[]): boolean {
  for (let index = 0; index < values.length; index++) {
    const type = typeof values[index];
    if (type !== 'string' && type !== 'number') return false;
  }
  return Object.keys(values).length === values.length;
}

function blobParts(blob: Blob): HostValue {
  return { kind: blobKind, parts: [blob.type, blob.size, blob.stream()] };
}

/** Reads the values of one message. Throws `WireError` for what no writer writes. */
export class PayloadReader {
  readonly #reader: WireReader;
  readonly #codec: HostValueCodec;
  readonly #references: References;
  #depth = 0;

  constructor(reader: WireReader, codec: HostValueCodec, references: References) {
    this.#reader = reader;
    this.#codec = codec;
    this.#references = references;
  }

  args(): unknown[] {
    const args = this.value();
    if (!Array.isArray(args)) throw new WireError('arguments are not an array');
    return args;
  }

  value(): unknown {
    const reader = this.#reader;
    const tag = reader.u8();
    switch (tag) {
      case tags.undefined:
        return undefined;
      case tags.null:
        return null;
      case tags.true:
        return true;
      case tags.false:
        return false;
      case tags.integer:
        return reader.varint();
      case tags.double:
        return reader.double();
      case tags.string:
        return reader.string();
      case tags.bytes:
        return reader.bytes();
      case tags.reference:
        return this.#references.read(reader);
      case tags.array:
      case tags.host:
      case tags.graph:
        return this.#nested(tag);
      default:
        throw new WireError(`a value has the unknown tag ${tag}`);
    }
  }

  #nested(tag: typeof tags.array | typeof tags.host | typeof tags.graph): unknown {
    if (++this.#depth > depthMax) throw new WireError('a value is nested too deeply');
    let value: unknown;
    if (tag === tags.array) value = this.#values();
    else if (tag === tags.host) value = this.#host();
    else value = this.#graph();
    this.#depth--;
    return value;
  }

  #values(): unknown[] {
    const count = this.#count();
    const values: unknown[] = [];
    for (let index = 0; index < count; index++) values.push(this.value());
    return values;
  }

  /** A number of things that each take at least a byte. */
  #count(): number {
    const count = this.#reader.varint();
    if (count > this.#reader.remaining) throw new WireError('it ends too early');
    return count;
  }

  #host(): unknown {
    const kind = this.#reader.string();
    const parts = this.#values();
    if (kind !== blobKind) return this.#codec.assemble({ kind, parts });
    const [type, size, stream] = parts;
    if (
      typeof type !== 'string' ||
      typeof size !== 'number' ||
      !(stream instanceof ReadableStream)
    ) {
      throw new WireError('a blob is malformed');
    }
    return new RpcBlob(type, size, stream);
  }

  #graph(): unknown {
    const reader = this.#reader;
    const bytes = reader.raw(reader.varint());
    const count = this.#count();
    const errorCount = reader.varint();
    const items: unknown[] = [];
    const errors: Error[] = [];
    for (let index = 0; index < count; index++) {
      const kind = reader.u8();
      if (kind === itemKinds.error) {
        const error = readError(reader);
        errors.push(error);
        items.push(error);
      } else if (kind === itemKinds.host) items.push(this.#host());
      else if (kind === itemKinds.reference) items.push(this.#references.read(reader));
      else throw new WireError('an item has an unknown kind');
    }
    if (errors.length !== errorCount) throw new WireError('a graph has another number of errors');
    return deserializeGraph(bytes, items, errors);
  }
}
