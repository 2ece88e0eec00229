/**
 * What nodes say to each other about calls, sockets and alarms, as bytes. Sessions are numbered by
 * the node that opens them; sockets have names that are unique in the cluster.
 *
 * Every message begins with its type. Types are never used again for something else; a reader that
 * does not know one ignores it.
 */
import {
  type AutoResponsePair,
  type Epoch,
  type ErrorData,
  frameOf,
  type ObjectIdHex,
  type ObjectRef,
  putEpoch,
  putObjectId,
  type SocketEvent,
  type SocketState,
  takeEpoch,
  takeObjectId,
  type WallMs,
  WireReader,
  type WireWriter,
} from '@homing/base';
import type { CallerShare, DistanceRow, LaneGreeting } from '@homing/protocol';

/** A socket of an object, and what must follow it to the object's next owner. */
export interface SocketCopy extends SocketState {
  /** The automatic answer of the object that the socket belongs to. */
  readonly autoResponse: AutoResponsePair | undefined;
}

/** What an owner knew of an object's callers, for the next one. */
export interface CarriedCallers {
  readonly shares: readonly Omit<CallerShare, 'trips'>[];
  readonly home: string;
  /** How long the object has been there. */
  readonly stayedMs: number;
  /** Moves after short stays, which make the next stay longer. */
  readonly bounces: number;
}

export type CallMessage =
  // Sessions: from the node that opens one …
  | { readonly type: 'open'; readonly session: number; readonly object: ObjectRef }
  | { readonly type: 'frame'; readonly session: number; readonly frame: Uint8Array }
  | { readonly type: 'close'; readonly session: number }
  // … and back.
  | { readonly type: 'accepted'; readonly session: number; readonly epoch: Epoch }
  | { readonly type: 'reply'; readonly session: number; readonly frame: Uint8Array }
  | { readonly type: 'ended'; readonly session: number; readonly error: ErrorData }
  /** The object has an alarm that is due, or sockets that lost their owner. */
  | { readonly type: 'wake'; readonly object: ObjectRef; readonly cause: 'alarm' | 'socket' }
  // Sockets: from the node that the client is on, to the one of the object …
  | { readonly type: 'attach'; readonly socket: string }
  | { readonly type: 'event'; readonly socket: string; readonly event: SocketEvent }
  | { readonly type: 'auto-responded'; readonly socket: string; readonly atMs: WallMs }
  /** The node ends: nothing new is to be sent to it. Answered by `leaving-heard`. */
  | { readonly type: 'leaving' }
  | { readonly type: 'leaving-heard' }
  /** What the object did not take of what was sent on the socket is to come back, then `flushed`. */
  | {
      readonly type: 'flush';
      readonly object: ObjectRef;
      readonly socket: string;
      /** Of the newest owner that the sender knows of: one of an older epoch is none any more. */
      readonly epoch: Epoch;
    }
  /** The client's end still stands; here is what the object needs to go on with it. */
  | {
      readonly type: 'reattach';
      readonly object: ObjectRef;
      readonly sockets: readonly SocketCopy[];
    }
  | {
      readonly type: 'taken';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly sockets: readonly SocketCopy[];
    }
  // … and back.
  | {
      readonly type: 'attached';
      readonly socket: string;
      /** Undefined for a socket in the memory of one activation, which nothing outlives. */
      readonly object: ObjectRef | undefined;
      readonly state: SocketCopy;
    }
  /** `isFull`: more was said on it than may wait for its client. */
  | { readonly type: 'gone'; readonly socket: string; readonly isFull?: boolean }
  /** An event that the object did not get before it left. */
  | { readonly type: 'returned'; readonly socket: string; readonly event: SocketEvent }
  | {
      readonly type: 'flushed';
      readonly socket: string;
      /** Under which the sender owns the object and has the socket all the same; 0 where it does not. */
      readonly epoch: Epoch;
    }
  /** A new owner asks for the object's sockets. */
  | { readonly type: 'take'; readonly object: ObjectRef; readonly epoch: Epoch }
  | { readonly type: 'reattached'; readonly object: ObjectRef; readonly epoch: Epoch }
  | { readonly type: 'not-here'; readonly object: ObjectRef }
  | { readonly type: 'send'; readonly socket: string; readonly data: string | Uint8Array }
  | {
      readonly type: 'close-socket';
      readonly socket: string;
      readonly code: number | undefined;
      readonly reason: string | undefined;
    }
  | {
      readonly type: 'attachment';
      readonly socket: string;
      readonly attachment: Uint8Array | undefined;
    }
  | {
      readonly type: 'auto-response';
      readonly object: ObjectRef;
      readonly pair: AutoResponsePair | undefined;
    }
  /** Answered by `pong`: how far the two nodes are apart. `row`: from the sender to each region. */
  | { readonly type: 'ping'; readonly sentMs: number; readonly row: DistanceRow }
  | { readonly type: 'pong'; readonly sentMs: number }
  /** The object is the receiver's now, or will be: what its last owner knows of it. */
  | {
      readonly type: 'handing';
      readonly id: ObjectIdHex;
      /** Nodes with clients of it. */
      readonly nodes: readonly string[];
      readonly carried: CarriedCallers;
    }
  /** The lane between the two nodes: where it begins, or goes on; and how far it was taken. */
  | ({ readonly type: 'lane' } & LaneGreeting)
  | ({ readonly type: 'lane-taken' } & LaneGreeting);

const types = {
  open: 1,
  frame: 2,
  close: 3,
  accepted: 4,
  reply: 5,
  ended: 6,
  wake: 7,
  attach: 8,
  event: 9,
  'auto-responded': 10,
  reattach: 11,
  taken: 12,
  attached: 13,
  gone: 14,
  take: 15,
  reattached: 16,
  'not-here': 17,
  send: 18,
  'close-socket': 19,
  attachment: 20,
  'auto-response': 21,
  returned: 22,
  flush: 23,
  flushed: 24,
  leaving: 25,
  'leaving-heard': 26,
  ping: 27,
  pong: 28,
  handing: 29,
  // 30: a message in the lane.
  lane: 31,
  'lane-taken': 32,
} as const satisfies Record<CallMessage['type'], number>;

const typeNames = new Map<number, CallMessage['type']>(
  Object.entries(types).map(([name, number]) => [number, name as CallMessage['type']]),
);

/** Before the type of a message that is counted in the lane, known to the reader or not. */
const inLane = 30;

/** What stands where there is no code, as for a close without a status. */
const noCode = 0;

function putObject(writer: WireWriter, object: ObjectRef): void {
  putObjectId(writer, object.id);
  writer.string(object.namespace);
  putText(writer, object.name);
  putText(writer, object.locationHint);
}

function putText(writer: WireWriter, text: string | undefined): void {
  writer.u8(text === undefined ? 0 : 1);
  if (text !== undefined) writer.string(text);
}

function putBytes(writer: WireWriter, bytes: Uint8Array | undefined): void {
  writer.u8(bytes === undefined ? 0 : 1);
  if (bytes !== undefined) writer.bytes(bytes);
}

function putData(writer: WireWriter, data: string | Uint8Array): void {
  if (typeof data === 'string') {
    writer.u8(0);
    writer.string(data);
  } else {
    writer.u8(1);
    writer.bytes(data);
  }
}

function putPair(writer: WireWriter, pair: AutoResponsePair | undefined): void {
  writer.u8(pair === undefined ? 0 : 1);
  if (pair === undefined) return;
  writer.string(pair.request);
  writer.string(pair.response);
}

function putSocket(writer: WireWriter, socket: SocketCopy): void {
  writer.string(socket.socket);
  writer.varint(socket.tags.length);
  for (const tag of socket.tags) writer.string(tag);
  putBytes(writer, socket.attachment);
  writer.double(socket.autoResponseMs ?? -1);
  putPair(writer, socket.autoResponse);
}

function putSockets(writer: WireWriter, sockets: readonly SocketCopy[]): void {
  writer.varint(sockets.length);
  for (const socket of sockets) putSocket(writer, socket);
}

function put(writer: WireWriter, message: CallMessage): void {
  writer.u8(types[message.type]);
  switch (message.type) {
    case 'open':
      writer.varint(message.session);
      putObject(writer, message.object);
      return;
    case 'frame':
    case 'reply':
      writer.varint(message.session);
      writer.bytes(message.frame);
      return;
    case 'close':
      writer.varint(message.session);
      return;
    case 'accepted':
      writer.varint(message.session);
      putEpoch(writer, message.epoch);
      return;
    case 'ended':
      writer.varint(message.session);
      writer.string(JSON.stringify(message.error));
      return;
    case 'wake':
      putObject(writer, message.object);
      writer.u8(message.cause === 'alarm' ? 0 : 1);
      return;
    case 'ping':
      writer.double(message.sentMs);
      putRow(writer, message.row);
      return;
    case 'pong':
      writer.double(message.sentMs);
      return;
    case 'handing':
      putHanding(writer, message);
      return;
    case 'lane':
    case 'lane-taken':
      writer.varint(message.life);
      writer.varint(message.taken);
      return;
    default:
      putOfSocket(writer, message);
  }
}

function putRow(writer: WireWriter, row: DistanceRow): void {
  writer.varint(row.size);
  for (const [region, ms] of row) {
    writer.string(region);
    writer.double(ms);
  }
}

function putHanding(
  writer: WireWriter,
  { id, nodes, carried }: Extract<CallMessage, { type: 'handing' }>,
): void {
  putObjectId(writer, id);
  writer.varint(nodes.length);
  for (const node of nodes) writer.string(node);
  writer.string(carried.home);
  writer.double(carried.stayedMs);
  writer.varint(carried.bounces);
  writer.varint(carried.shares.length);
  for (const { region, calls, frames, bytes } of carried.shares) {
    writer.string(region);
    writer.double(calls);
    writer.double(frames);
    writer.double(bytes);
  }
}

type OfSocket = Exclude<
  CallMessage,
  {
    type:
      | 'open'
      | 'frame'
      | 'reply'
      | 'close'
      | 'accepted'
      | 'ended'
      | 'wake'
      | 'ping'
      | 'pong'
      | 'handing'
      | 'lane'
      | 'lane-taken';
  }
>;

function putOfSocket(writer: WireWriter, message: OfSocket): void {
  switch (message.type) {
    case 'attach':
      writer.string(message.socket);
      return;
    case 'gone':
      writer.string(message.socket);
      writer.u8(message.isFull === true ? 1 : 0);
      return;
    case 'flushed':
      writer.string(message.socket);
      putEpoch(writer, message.epoch);
      return;
    case 'event':
    case 'returned':
      writer.string(message.socket);
      putEvent(writer, message.event);
      return;
    case 'auto-responded':
      writer.string(message.socket);
      writer.double(message.atMs);
      return;
    case 'reattach':
      putObject(writer, message.object);
      putSockets(writer, message.sockets);
      return;
    case 'taken':
      putObject(writer, message.object);
      putEpoch(writer, message.epoch);
      putSockets(writer, message.sockets);
      return;
    case 'attached':
      writer.string(message.socket);
      writer.u8(message.object === undefined ? 0 : 1);
      if (message.object !== undefined) putObject(writer, message.object);
      putSocket(writer, message.state);
      return;
    case 'take':
    case 'reattached':
      putObject(writer, message.object);
      putEpoch(writer, message.epoch);
      return;
    case 'not-here':
      putObject(writer, message.object);
      return;
    case 'flush':
      putObject(writer, message.object);
      writer.string(message.socket);
      putEpoch(writer, message.epoch);
      return;
    case 'leaving':
    case 'leaving-heard':
      return;
    case 'send':
      writer.string(message.socket);
      putData(writer, message.data);
      return;
    case 'close-socket':
      writer.string(message.socket);
      writer.varint(message.code ?? noCode);
      putText(writer, message.reason);
      return;
    case 'attachment':
      writer.string(message.socket);
      putBytes(writer, message.attachment);
      return;
    case 'auto-response':
      putObject(writer, message.object);
      putPair(writer, message.pair);
  }
}

function putEvent(writer: WireWriter, event: SocketEvent): void {
  writer.u8(event.type === 'message' ? 0 : 1);
  if (event.type === 'message') {
    putData(writer, event.data);
    return;
  }
  writer.varint(event.code);
  writer.string(event.reason);
  writer.u8(event.wasClean ? 1 : 0);
}

/** The bytes of a message, in a buffer of their own. */
export function encodeCall(message: CallMessage): Uint8Array {
  return frameOf((writer) => put(writer, message));
}

/** As `encodeCall`, for a message in the lane. */
export function encodeInLane(message: CallMessage): Uint8Array {
  return frameOf((writer) => {
    writer.u8(inLane);
    put(writer, message);
  });
}

/** The message in the lane that came, to be decoded; undefined for another one. */
export function takeInLane(bytes: Uint8Array): Uint8Array | undefined {
  return bytes[0] === inLane ? bytes.subarray(1) : undefined;
}

function takeText(reader: WireReader): string | undefined {
  return reader.u8() === 0 ? undefined : reader.string();
}

function takeBytes(reader: WireReader): Uint8Array | undefined {
  return reader.u8() === 0 ? undefined : reader.bytes();
}

function takeObject(reader: WireReader): ObjectRef {
  const id = takeObjectId(reader);
  const namespace = reader.string();
  const name = takeText(reader);
  const locationHint = takeText(reader);
  return {
    namespace,
    id,
    ...(name !== undefined && { name }),
    ...(locationHint !== undefined && { locationHint }),
  };
}

function takeData(reader: WireReader): string | Uint8Array {
  return reader.u8() === 0 ? reader.string() : reader.bytes();
}

function takePair(reader: WireReader): AutoResponsePair | undefined {
  if (reader.u8() === 0) return undefined;
  return { request: reader.string(), response: reader.string() };
}

function takeSocket(reader: WireReader): SocketCopy {
  const socket = reader.string();
  const tags: string[] = [];
  for (let left = reader.varint(); left > 0; left--) tags.push(reader.string());
  const attachment = takeBytes(reader);
  const at = reader.double();
  return {
    socket,
    tags,
    attachment,
    autoResponseMs: at === -1 ? undefined : (at as WallMs),
    autoResponse: takePair(reader),
  };
}

function takeSockets(reader: WireReader): SocketCopy[] {
  const sockets: SocketCopy[] = [];
  for (let left = reader.varint(); left > 0; left--) sockets.push(takeSocket(reader));
  return sockets;
}

function takeEvent(reader: WireReader): SocketEvent {
  if (reader.u8() === 0) return { type: 'message', data: takeData(reader) };
  return {
    type: 'close',
    code: reader.varint(),
    reason: reader.string(),
    wasClean: reader.u8() === 1,
  };
}

/** Undefined for a type this version does not know. Throws `WireError` for what is damaged. */
export function decodeCall(bytes: Uint8Array): CallMessage | undefined {
  const reader = new WireReader(bytes);
  const type = typeNames.get(reader.u8());
  switch (type) {
    case undefined:
      return undefined;
    case 'open':
      return { type, session: reader.varint(), object: takeObject(reader) };
    case 'frame':
    case 'reply':
      return { type, session: reader.varint(), frame: reader.bytes() };
    case 'close':
      return { type, session: reader.varint() };
    case 'accepted':
      return { type, session: reader.varint(), epoch: takeEpoch(reader) };
    case 'ended':
      return {
        type,
        session: reader.varint(),
        error: JSON.parse(reader.string()) as ErrorData,
      };
    case 'wake':
      return {
        type,
        object: takeObject(reader),
        cause: reader.u8() === 0 ? 'alarm' : 'socket',
      };
    case 'ping':
      return { type, sentMs: reader.double(), row: takeRow(reader) };
    case 'pong':
      return { type, sentMs: reader.double() };
    case 'handing':
      return takeHanding(reader);
    case 'lane':
    case 'lane-taken':
      return { type, life: reader.varint(), taken: reader.varint() };
    default:
      return takeOfSocket(reader, type);
  }
}

function takeRow(reader: WireReader): DistanceRow {
  const row = new Map<string, number>();
  for (let left = reader.varint(); left > 0; left--) row.set(reader.string(), reader.double());
  return row;
}

function takeHanding(reader: WireReader): CallMessage {
  const id = takeObjectId(reader);
  const nodes: string[] = [];
  for (let left = reader.varint(); left > 0; left--) nodes.push(reader.string());
  return { type: 'handing', id, nodes, carried: takeCarried(reader) };
}

function takeCarried(reader: WireReader): CarriedCallers {
  const home = reader.string();
  const stayedMs = reader.double();
  const bounces = reader.varint();
  const shares: CarriedCallers['shares'][number][] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const region = reader.string();
    const calls = reader.double();
    const frames = reader.double();
    shares.push({ region, calls, frames, bytes: reader.double() });
  }
  return { home, shares, stayedMs, bounces };
}

function takeOfSocket(reader: WireReader, type: OfSocket['type']): CallMessage {
  switch (type) {
    case 'attach':
      return { type, socket: reader.string() };
    case 'gone': {
      const socket = reader.string();
      return { type, socket, isFull: reader.remaining > 0 && reader.u8() === 1 };
    }
    case 'flushed':
      return { type, socket: reader.string(), epoch: takeEpoch(reader) };
    case 'event':
    case 'returned':
      return { type, socket: reader.string(), event: takeEvent(reader) };
    case 'auto-responded':
      return { type, socket: reader.string(), atMs: reader.double() as WallMs };
    case 'reattach':
      return { type, object: takeObject(reader), sockets: takeSockets(reader) };
    case 'taken': {
      const object = takeObject(reader);
      const epoch = takeEpoch(reader);
      return { type, object, epoch, sockets: takeSockets(reader) };
    }
    case 'attached': {
      const socket = reader.string();
      const object = reader.u8() === 0 ? undefined : takeObject(reader);
      return { type, socket, object, state: takeSocket(reader) };
    }
    case 'take':
    case 'reattached':
      return { type, object: takeObject(reader), epoch: takeEpoch(reader) };
    case 'not-here':
      return { type, object: takeObject(reader) };
    case 'flush': {
      const object = takeObject(reader);
      const socket = reader.string();
      const epoch = reader.remaining > 0 ? takeEpoch(reader) : (0n as Epoch);
      return { type, object, socket, epoch };
    }
    case 'leaving':
    case 'leaving-heard':
      return { type };
    case 'send':
      return { type, socket: reader.string(), data: takeData(reader) };
    case 'close-socket': {
      const socket = reader.string();
      const code = reader.varint();
      return { type, socket, code: code === noCode ? undefined : code, reason: takeText(reader) };
    }
    case 'attachment':
      return { type, socket: reader.string(), attachment: takeBytes(reader) };
    case 'auto-response':
      return { type, object: takeObject(reader), pair: takePair(reader) };
  }
}
