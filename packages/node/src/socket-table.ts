/**
 * Which WebSocket belongs to whom. The client's end is held by an edge (or by an executor whose
 * code took it), the object's end by an object or by an entrypoint's memory; the table outlives
 * activations and executors, so a hibernatable socket stays open while its object sleeps, crashes
 * or moves.
 *
 * Invariants: a socket has one object side, fixed when it is made, and at most one client, attached
 * once. Frames pass in order in each direction. What the object sent before its client attached is
 * kept up to a bound; past it the socket is closed.
 *
 * Called by the node only, on its thread.
 */
import {
  type AutoResponsePair,
  type Clock,
  HomingError,
  type ObjectIdHex,
  type ObjectRef,
  type SocketEvent,
  type SocketPort,
  type SocketSink,
  type SocketState,
  type WallMs,
} from '@homing/base';
import type { SocketCopy } from './call-messages.ts';

/** Where the object's end is. */
export type SocketHome =
  /** Accepted with the hibernation API: events wake the object. */
  | { readonly kind: 'object'; readonly object: ObjectRef }
  /** In the memory of an executor; gone with it, or with the activation. */
  | {
      readonly kind: 'memory';
      readonly executor: number;
      readonly activation: number | undefined;
    }
  /** Another server, that user code connected to. */
  | { readonly kind: 'external'; readonly sink: SocketSink };

export interface SocketTableEvents {
  /** An event for a hibernatable socket's object. */
  objectEvent(object: ObjectRef, socket: string, event: SocketEvent): void;
  /** An event for an end in an executor's memory. */
  memoryEvent(executor: number, socket: string, event: SocketEvent): void;
  /** The client got an automatic answer. */
  autoResponded(object: ObjectRef, socket: string, atMs: WallMs): void;
  /** A frame to or from an object's client, which is on `node`; undefined for this one. */
  counted(object: ObjectRef, node: string | undefined, bytes: number): void;
}

export interface SocketTableOptions {
  readonly clock: Clock;
  readonly events: SocketTableEvents;
  /** Bytes the object may send before its client is attached. */
  readonly unattachedBytesMax: number;
}

/** A client that keeps a copy of what must follow the socket to another owner. */
export interface MirroringSink extends SocketSink {
  /** The client's. */
  readonly node: string;
  attachment(attachment: Uint8Array | undefined): void;
  autoResponse(pair: AutoResponsePair | undefined): void;
}

interface Socket {
  readonly id: string;
  readonly home: SocketHome;
  readonly tags: readonly string[];
  attachment: Uint8Array | undefined;
  autoResponseMs: WallMs | undefined;
  sink: SocketSink | MirroringSink | undefined;
  waiting: ((sink: SocketSink) => void)[];
  waitingBytes: number;
}

interface ObjectSockets {
  readonly sockets: Set<Socket>;
  autoResponse: AutoResponsePair | undefined;
}

function isMirroring(sink: SocketSink | MirroringSink | undefined): sink is MirroringSink {
  return sink !== undefined && 'attachment' in sink;
}

/** Close code for an end that vanished: the object's memory is gone. */
const vanishedCode = 1011;
/** Sockets whose objects have left, for clients still to be attached; past it the oldest is forgotten. */
const leftMax = 1000;

export class SocketTable {
  readonly #options: SocketTableOptions;
  readonly #sockets = new Map<string, Socket>();
  readonly #byObject = new Map<ObjectIdHex, ObjectSockets>();
  readonly #byActivation = new Map<number, Set<Socket>>();
  /** Of objects that left before the clients were attached. */
  readonly #left = new Set<Socket>();

  constructor(options: SocketTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Registers the object's end. A second registration of the same socket is ignored. */
  add(socket: string, home: SocketHome, tags: readonly string[] = []): void {
    if (this.#sockets.has(socket)) return;
    const entry: Socket = {
      id: socket,
      home,
      tags,
      attachment: undefined,
      autoResponseMs: undefined,
      sink: undefined,
      waiting: [],
      waitingBytes: 0,
    };
    this.#sockets.set(socket, entry);
    if (home.kind === 'object') this.#objectSockets(home.object.id).sockets.add(entry);
    else if (home.kind === 'memory' && home.activation !== undefined) {
      const inMemory = this.#byActivation.get(home.activation);
      if (inMemory === undefined) this.#byActivation.set(home.activation, new Set([entry]));
      else inMemory.add(entry);
    }
  }

  /** Attaches the client. Throws `not_found` when the socket is gone or has a client. */
  attach(socket: string, sink: SocketSink | MirroringSink): SocketPort {
    const entry = this.#sockets.get(socket);
    if (entry === undefined || entry.sink !== undefined) {
      throw new HomingError('not_found', 'the WebSocket was closed before it was attached');
    }
    return this.#connect(entry, sink);
  }

  has(socket: string): boolean {
    return this.#sockets.has(socket);
  }

  homeOf(socket: string): SocketHome | undefined {
    return this.#sockets.get(socket)?.home;
  }

  /** Whose socket it is, where it can outlive the object's memory, and what its client must know. */
  describe(socket: string): { object: ObjectRef | undefined; state: SocketCopy } | undefined {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return undefined;
    const object = entry.home.kind === 'object' ? entry.home.object : undefined;
    return { object, state: this.#copy(entry) };
  }

  /**
   * A socket of an object that this node has become the owner of, or whose client can be reached
   * again. Tells whether the object did not have it before.
   */
  adopt(
    object: ObjectRef,
    copy: SocketCopy,
    sink: SocketSink | MirroringSink,
  ): { readonly port: SocketPort; readonly isNew: boolean } {
    const isNew = !this.#sockets.has(copy.socket);
    this.add(copy.socket, { kind: 'object', object }, copy.tags);
    const entry = this.#sockets.get(copy.socket) as Socket;
    if (isNew) {
      entry.attachment = copy.attachment;
      entry.autoResponseMs = copy.autoResponseMs;
      const sockets = this.#objectSockets(object.id);
      sockets.autoResponse ??= copy.autoResponse;
    }
    return { port: this.#connect(entry, sink), isNew };
  }

  /** The socket is another node's, and its client hears of nothing. */
  forgetOne(socket: string): void {
    const entry = this.#sockets.get(socket);
    if (entry !== undefined) this.#remove(entry);
  }

  /**
   * The object leaves this node: its sockets are forgotten here, and returned. Those whose clients are still to
   * be attached wait for them, and follow it then.
   */
  takeAll(id: ObjectIdHex): readonly SocketCopy[] {
    const found = this.#byObject.get(id);
    if (found === undefined) return [];
    const copies: SocketCopy[] = [];
    for (const entry of [...found.sockets]) {
      if (entry.sink === undefined) this.#await(entry);
      else {
        copies.push(this.#copy(entry));
        this.#remove(entry);
      }
    }
    // The next owner's is newer.
    found.autoResponse = undefined;
    this.forget(id);
    return copies;
  }

  #await(entry: Socket): void {
    this.#left.add(entry);
    const [oldest] = this.#left;
    if (this.#left.size > leftMax && oldest !== undefined) this.#remove(oldest);
  }

  #copy(entry: Socket): SocketCopy {
    const { id, tags, attachment, autoResponseMs, home } = entry;
    const autoResponse =
      home.kind === 'object' ? this.#byObject.get(home.object.id)?.autoResponse : undefined;
    return { socket: id, tags, attachment, autoResponseMs, autoResponse };
  }

  #connect(entry: Socket, sink: SocketSink | MirroringSink): SocketPort {
    entry.sink = sink;
    this.#left.delete(entry);
    const waiting = entry.waiting;
    entry.waiting = [];
    entry.waitingBytes = 0;
    for (const deliver of waiting) deliver(sink);
    return {
      message: (data) => this.#onClientMessage(entry, data),
      closed: (code, reason, wasClean) => {
        if (!this.#remove(entry)) return;
        this.#deliver(entry, { type: 'close', code, reason, wasClean });
      },
    };
  }

  /** A frame from the object's side. */
  send(socket: string, data: string | Uint8Array): void {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return;
    if (entry.sink !== undefined) {
      this.#count(entry, data);
      entry.sink.send(data);
      return;
    }
    entry.waitingBytes += data.length;
    if (entry.waitingBytes > this.#options.unattachedBytesMax) {
      this.#remove(entry);
      this.#deliver(entry, { type: 'close', code: 1009, reason: 'too much sent', wasClean: false });
      return;
    }
    entry.waiting.push((sink) => sink.send(data));
  }

  /** The object's side closes; the client's closing handshake ends in `closed` on its port. */
  close(socket: string, code: number | undefined, reason: string | undefined): void {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return;
    if (entry.sink !== undefined) entry.sink.close(code, reason);
    else entry.waiting.push((sink) => sink.close(code, reason));
  }

  /** An external end closed: so does the client's. */
  externalClosed(socket: string, code: number, reason: string): void {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return;
    if (entry.sink !== undefined) {
      this.#remove(entry);
      entry.sink.close(code, reason);
    } else {
      entry.waiting.push((sink) => {
        this.#remove(entry);
        sink.close(code, reason);
      });
    }
  }

  setAttachment(socket: string, attachment: Uint8Array | undefined): void {
    const entry = this.#sockets.get(socket);
    if (entry === undefined) return;
    entry.attachment = attachment;
    if (isMirroring(entry.sink)) entry.sink.attachment(attachment);
  }

  setAutoResponse(id: ObjectIdHex, pair: AutoResponsePair | undefined): void {
    if (pair !== undefined) this.#objectSockets(id).autoResponse = pair;
    else {
      const sockets = this.#byObject.get(id);
      if (sockets !== undefined) sockets.autoResponse = undefined;
    }
    for (const { sink } of this.#byObject.get(id)?.sockets ?? []) {
      if (isMirroring(sink)) sink.autoResponse(pair);
    }
  }

  /** The client answered by itself, with the automatic response. */
  autoResponded(socket: string, atMs: WallMs): void {
    const entry = this.#sockets.get(socket);
    if (entry?.home.kind !== 'object') return;
    entry.autoResponseMs = atMs;
    this.#options.events.autoResponded(entry.home.object, socket, atMs);
  }

  /** What a new activation of the object starts with. */
  snapshot(id: ObjectIdHex): {
    readonly sockets: readonly SocketState[];
    readonly autoResponse: AutoResponsePair | undefined;
  } {
    const found = this.#byObject.get(id);
    if (found === undefined) return { sockets: [], autoResponse: undefined };
    const sockets = [...found.sockets].map((entry) => ({
      socket: entry.id,
      tags: entry.tags,
      attachment: entry.attachment,
      autoResponseMs: entry.autoResponseMs,
    }));
    return { sockets, autoResponse: found.autoResponse };
  }

  hasSockets(id: ObjectIdHex): boolean {
    return (this.#byObject.get(id)?.sockets.size ?? 0) > 0;
  }

  /** The memory of an activation is gone: its plain sockets close. */
  activationLost(activation: number): void {
    const lost = this.#byActivation.get(activation);
    this.#byActivation.delete(activation);
    for (const entry of lost ?? []) this.#vanish(entry);
  }

  /** The memory of an executor is gone: the plain sockets of all its code close. */
  executorLost(executor: number): void {
    for (const entry of this.#sockets.values()) {
      if (entry.home.kind === 'memory' && entry.home.executor === executor) this.#vanish(entry);
    }
  }

  #vanish(entry: Socket): void {
    this.#remove(entry);
    entry.sink?.close(vanishedCode, 'the object was reset');
  }

  #onClientMessage(entry: Socket, data: string | Uint8Array): void {
    if (!this.#sockets.has(entry.id)) return;
    if (entry.home.kind === 'object' && typeof data === 'string') {
      const pair = this.#byObject.get(entry.home.object.id)?.autoResponse;
      if (pair !== undefined && pair.request === data) {
        entry.autoResponseMs = this.#options.clock.wallMs();
        entry.sink?.send(pair.response);
        this.#options.events.autoResponded(entry.home.object, entry.id, entry.autoResponseMs);
        return;
      }
    }
    this.#count(entry, data);
    this.#deliver(entry, { type: 'message', data });
  }

  #count({ home, sink }: Socket, data: string | Uint8Array): void {
    if (home.kind !== 'object') return;
    const node = isMirroring(sink) ? sink.node : undefined;
    this.#options.events.counted(home.object, node, data.length);
  }

  #deliver(entry: Socket, event: SocketEvent): void {
    const { events } = this.#options;
    const home = entry.home;
    if (home.kind === 'object') events.objectEvent(home.object, entry.id, event);
    else if (home.kind === 'memory') events.memoryEvent(home.executor, entry.id, event);
    else if (event.type === 'message') home.sink.send(event.data);
    else home.sink.close(event.code, event.reason);
  }

  #objectSockets(id: ObjectIdHex): ObjectSockets {
    let found = this.#byObject.get(id);
    if (found === undefined) {
      found = { sockets: new Set(), autoResponse: undefined };
      this.#byObject.set(id, found);
    }
    return found;
  }

  #remove(entry: Socket): boolean {
    if (!this.#sockets.delete(entry.id)) return false;
    this.#left.delete(entry);
    if (entry.home.kind === 'object') {
      this.#byObject.get(entry.home.object.id)?.sockets.delete(entry);
    } else if (entry.home.kind === 'memory' && entry.home.activation !== undefined) {
      this.#byActivation.get(entry.home.activation)?.delete(entry);
    }
    return true;
  }

  /** Forgets what is kept for an object that has neither sockets nor an activation any more. */
  forget(id: ObjectIdHex): void {
    if (this.#byObject.get(id)?.sockets.size === 0) this.#byObject.delete(id);
  }
}
