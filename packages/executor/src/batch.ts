/**
 * A batch of messages between the node's thread and an executor's, as it crosses: the messages that
 * every request brings, as bytes; the others, as the objects that they are. A structured clone of
 * the former would cost more than what they do. The bytes cross as a text of as many characters, which
 * V8 copies as it is, where a byte array needs memory and finalizing of its own on both sides.
 *
 *     batch    bytes alone, or [bytes, the others in their order]
 *     bytes    for each message its tag and its fields; the tag alone for one of the others. What is to
 *              be held has its mark before it: a tag, the activation and the group
 *
 * Both ends are one version of one process. Short byte arrays of frames and operations are views of the
 * batch that came, which is not written to again: who keeps few of them for long should copy.
 *
 * Called by the outbox of the sending thread and by the receiving thread's port.
 */
import {
  assert,
  type FromExecutor,
  type ObjectIdHex,
  type ObjectRef,
  type RecordOperation,
  type Space,
  type ToExecutor,
  type UnmarkedMessage,
  type WallMs,
  WireReader,
  WireWriter,
} from '@homing/base';

type Message = ToExecutor | FromExecutor;

export type Batch = string | readonly [string, ...Message[]];

const tags = {
  other: 0,
  frame: 1,
  closed: 2,
  openActivation: 3,
  openEntrypoint: 4,
  openObject: 5,
  committed: 6,
  appended: 7,
  append: 8,
  after: 9,
  awaits: 10,
} as const;

const operationTags = { put: 1, delete: 2, clear: 3, alarm: 4 } as const;
const noAlarm = -1;
const noActivation = 0;

/**
 * Longer frames, keys and values are cheaper to clone than to copy into the batch and out of it. Bounds
 * nothing: it is where the two ways cost the same, whatever the load is.
 */
const shortBytesMax = 4096;

type KeyOf<T> = T extends unknown ? keyof T : never;
type Written = {
  readonly object: 'namespace' | 'id' | 'name' | 'locationHint';
  readonly frame: 'session' | 'frame';
  readonly closed: 'session' | 'error';
  readonly open: 'session' | 'to' | 'target' | 'activation';
  readonly committed: 'activation' | 'count';
  readonly appended: 'activation' | 'count';
  readonly append: 'activation' | 'operations';
  readonly after: 'activation' | 'group' | 'message';
  readonly awaits: 'activation' | 'group';
};
type Held<K> = K extends 'object' ? ObjectRef : Extract<Message, { readonly type: K }>;
type Unwritten = {
  [K in keyof Written]: Exclude<KeyOf<Held<K>>, Written[K] | 'type'>;
}[keyof Written];
/** Fails to compile when one of these has a field that is not written here. */
const isAllWritten: [Unwritten] extends [never] ? true : false = true;

/** Gathers messages; `take` gives them as one batch. */
export class BatchWriter {
  readonly #writer = new WireWriter();
  #others: Message[] = [];

  get isEmpty(): boolean {
    return this.#writer.length === 0;
  }

  /** Throws what reading the message throws; the batch is then as it was. */
  push(message: Message): void {
    const { length } = this.#writer;
    let marked = message;
    try {
      if (message.type === 'after') {
        this.#writer.u8(tags.after);
        this.#writer.varint(message.activation);
        this.#writer.varint(message.group);
        marked = message.message;
      }
      if (put(this.#writer, marked)) return;
    } catch (error) {
      this.#writer.length = length;
      throw error;
    }
    this.#writer.u8(tags.other);
    this.#others.push(cloneable(marked));
  }

  take(): Batch {
    const text = this.#writer.text();
    this.#writer.reset();
    if (this.#others.length === 0) return text;
    const others = this.#others;
    this.#others = [];
    return [text, ...others];
  }
}

/** False for a message that has no bytes: then nothing was written. */
function put(writer: WireWriter, message: Message): boolean {
  switch (message.type) {
    case 'frame':
      if (message.frame.length > shortBytesMax) return false;
      writer.u8(tags.frame);
      writer.varint(message.session);
      writer.bytes(message.frame);
      return true;
    case 'closed':
      if (message.error !== undefined) return false;
      writer.u8(tags.closed);
      writer.varint(message.session);
      return true;
    case 'open':
      putOpen(writer, message);
      return true;
    case 'committed':
    case 'appended':
      writer.u8(tags[message.type]);
      writer.varint(message.activation);
      writer.varint(message.count);
      return true;
    case 'awaits':
      writer.u8(tags.awaits);
      writer.varint(message.activation);
      writer.varint(message.group);
      return true;
    case 'append':
      if (message.operations.some(isLong)) return false;
      writer.u8(tags.append);
      writer.varint(message.activation);
      writer.varint(message.operations.length);
      for (const operation of message.operations) putOperation(writer, operation);
      return true;
    default:
      return false;
  }
}

function isLong(operation: RecordOperation): boolean {
  if (operation.type === 'put' && operation.value.length > shortBytesMax) return true;
  return 'key' in operation && operation.key.length > shortBytesMax;
}

/** A clone takes the whole buffer that a byte array is a view of. */
function cloneable(message: Message): Message {
  if (message.type === 'frame') return { ...message, frame: ownBytes(message.frame) };
  if (message.type === 'append') {
    return { ...message, operations: message.operations.map(ownOperation) };
  }
  return message;
}

function ownOperation(operation: RecordOperation): RecordOperation {
  if (operation.type === 'put') {
    return { ...operation, key: ownBytes(operation.key), value: ownBytes(operation.value) };
  }
  return operation.type === 'delete' ? { ...operation, key: ownBytes(operation.key) } : operation;
}

/** `bytes`, or a copy of them that shares its buffer with nothing else. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength
    ? bytes
    : Uint8Array.prototype.slice.call(bytes);
}

function putOpen(writer: WireWriter, message: Extract<Message, { readonly type: 'open' }>): void {
  if ('to' in message) {
    const isActivation = 'activation' in message.to;
    writer.u8(isActivation ? tags.openActivation : tags.openEntrypoint);
    writer.varint(message.session);
    if ('activation' in message.to) writer.varint(message.to.activation);
    else writer.string(message.to.entrypoint);
    return;
  }
  const { session, target, activation } = message;
  writer.u8(tags.openObject);
  writer.varint(session);
  writer.varint(activation ?? noActivation);
  if (target.kind === 'entrypoint') {
    writer.u8(0);
    writer.string(target.entrypoint);
    return;
  }
  writer.u8(1);
  putObject(writer, target.object);
}

function putObject(writer: WireWriter, object: ObjectRef): void {
  assert(isAllWritten, 'batch: a field is not written');
  writer.string(object.id);
  writer.string(object.namespace);
  putText(writer, object.name);
  putText(writer, object.locationHint);
}

function putText(writer: WireWriter, text: string | undefined): void {
  writer.u8(text === undefined ? 0 : 1);
  if (text !== undefined) writer.string(text);
}

function putOperation(writer: WireWriter, operation: RecordOperation): void {
  writer.u8(operationTags[operation.type]);
  if (operation.type === 'alarm') {
    writer.double(operation.dueMs ?? noAlarm);
    return;
  }
  writer.u8(operation.space);
  if (operation.type === 'clear') return;
  writer.bytes(operation.key);
  if (operation.type === 'put') writer.bytes(operation.value);
}

/** The messages of a batch, in the order they were pushed. `M` is what the other thread sends. */
export function readBatch<M extends Message>(batch: Batch, take: (message: M) => void): void {
  const [text, ...others] = typeof batch === 'string' ? [batch] : batch;
  const reader = new WireReader(Buffer.from(text, 'latin1'));
  let next = 0;
  const unmarked = (tag: number): Message => {
    const message = tag === tags.other ? others[next++] : read(reader, tag);
    assert(message !== undefined, 'batch: a message is missing');
    return message;
  };
  while (reader.remaining > 0) {
    const tag = reader.u8();
    if (tag !== tags.after) {
      take(unmarked(tag) as M);
      continue;
    }
    const activation = reader.varint();
    const group = reader.varint();
    const message = unmarked(reader.u8()) as UnmarkedMessage;
    take({ type: 'after', activation, group, message } as FromExecutor as M);
  }
}

function read(reader: WireReader, tag: number): Message {
  const number = reader.varint();
  switch (tag) {
    case tags.frame:
      return { type: 'frame', session: number, frame: reader.raw(reader.varint()) };
    case tags.closed:
      return { type: 'closed', session: number, error: undefined };
    case tags.openActivation:
      return { type: 'open', session: number, to: { activation: reader.varint() } };
    case tags.openEntrypoint:
      return { type: 'open', session: number, to: { entrypoint: reader.string() } };
    case tags.openObject:
      return readOpen(reader, number);
    case tags.committed:
      return { type: 'committed', activation: number, count: reader.varint() };
    case tags.appended:
      return { type: 'appended', activation: number, count: reader.varint() };
    case tags.awaits:
      return { type: 'awaits', activation: number, group: reader.varint() };
    case tags.append: {
      const operations: RecordOperation[] = [];
      for (let left = reader.varint(); left > 0; left--) operations.push(readOperation(reader));
      return { type: 'append', activation: number, operations };
    }
    default:
      throw new TypeError(`batch: a message with tag ${tag}`);
  }
}

function readOpen(reader: WireReader, session: number): Message {
  const opener = reader.varint();
  const activation = opener === noActivation ? undefined : opener;
  if (reader.u8() === 0) {
    const target = { kind: 'entrypoint' as const, entrypoint: reader.string() };
    return { type: 'open', session, target, activation };
  }
  return {
    type: 'open',
    session,
    target: { kind: 'object', object: readObject(reader) },
    activation,
  };
}

function readObject(reader: WireReader): ObjectRef {
  const id = reader.string() as ObjectIdHex;
  const namespace = reader.string();
  const name = readText(reader);
  const locationHint = readText(reader);
  return { namespace, id, name, locationHint };
}

function readText(reader: WireReader): string | undefined {
  return reader.u8() === 0 ? undefined : reader.string();
}

function readOperation(reader: WireReader): RecordOperation {
  const tag = reader.u8();
  if (tag === operationTags.alarm) {
    const dueMs = reader.double();
    return { type: 'alarm', dueMs: dueMs === noAlarm ? null : (dueMs as WallMs) };
  }
  const space = reader.u8() as Space;
  if (tag === operationTags.clear) return { type: 'clear', space };
  const key = reader.raw(reader.varint());
  if (tag === operationTags.delete) return { type: 'delete', space, key };
  assert(tag === operationTags.put, 'batch: an operation of an unknown type');
  return { type: 'put', space, key, value: reader.raw(reader.varint()) };
}
