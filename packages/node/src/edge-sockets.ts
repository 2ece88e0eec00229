/**
 * Clients' ends of WebSockets, on the node that the clients are connected to. The object's end may be
 * here or on another node, and may change nodes: the client's stays open, with a copy of its tags,
 * attachment and automatic response for the object's next owner.
 *
 *   attaching ──▶ linked (here, or to a node) ──owner gone──▶ settling, seeking ──▶ linked …
 *
 * Invariants: frames of a client reach the object's owners in the order sent; those that come while
 * there is none are kept up to `bufferBytesMax`, past which the socket is closed. What an owner sends,
 * frames and attachments, is heard to its end before the next owner gets the sockets: their copies are
 * then what the last one left. A socket that lives in the memory of one activation is closed when that
 * is gone.
 *
 * Called by the node. `SocketTable` is the other end: the sockets of objects that are here.
 */
import {
  type AutoResponsePair,
  type Clock,
  type Epoch,
  isHomingError,
  type ObjectIdHex,
  type ObjectRef,
  type SocketEvent,
  type SocketPort,
  type SocketSink,
  type SocketState,
  type Timers,
  type WallMs,
} from '@homing/base';
import type { CallMessage, SocketCopy } from './call-messages.ts';
import type { Delivery } from './object-entry.ts';
import type { SocketTable } from './socket-table.ts';

export interface EdgeSocketsOptions {
  readonly sockets: SocketTable;
  readonly clock: Clock;
  readonly timers: Timers;
  /** As `Network.send`, and as `Network.sendOrEnd`. */
  readonly send: (node: string, message: CallMessage) => boolean;
  readonly sendOrEnd: (node: string, message: CallMessage) => void;
  /** Finds the object its owner, here or elsewhere. */
  readonly find: (object: ObjectRef, delivery: Delivery) => void;
  /** The node said it does not own the object. */
  readonly notOwner: (id: ObjectIdHex, node: string) => void;
  /** Bytes of one client's frames kept while its object has no owner. */
  readonly bufferBytesMax: number;
  /** How long sockets wait for an owner before they are closed. */
  readonly seekTimeoutMs: number;
  /** Tells a running object of sockets that it did not start with. */
  readonly adopted: (object: ObjectRef, sockets: readonly SocketState[]) => void;
}

type Link =
  | { readonly kind: 'here'; readonly port: SocketPort }
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'attaching'; readonly node: string }
  /**
   * The last owner, `node`, gives back what it did not take; then comes `next`, if it is known.
   * `isHeard`: all that it has sent may not have come yet.
   */
  | {
      readonly kind: 'settling';
      readonly node: string;
      readonly next: Link | undefined;
      readonly isHeard: boolean;
    }
  | { readonly kind: 'none' };

const seekAgainMs = 100;
/** Close codes: the object's memory is gone; it cannot be reached for too long. */
const vanishedCode = 1011;
const unavailableCode = 1013;

class EdgeSocket implements SocketPort {
  readonly id: string;
  readonly client: SocketSink;
  readonly #edge: EdgeSockets;
  object: ObjectRef | undefined;
  copy: SocketCopy;
  link: Link;
  #buffer: SocketEvent[] = [];
  #returned: SocketEvent[] = [];
  #bufferBytes = 0;
  isOver = false;

  constructor(edge: EdgeSockets, id: string, client: SocketSink, link: Link) {
    this.#edge = edge;
    this.id = id;
    this.client = client;
    this.link = link;
    this.copy = {
      socket: id,
      tags: [],
      attachment: undefined,
      autoResponseMs: undefined,
      autoResponse: undefined,
    };
  }

  message(data: string | Uint8Array): void {
    if (this.isOver) return;
    if (this.link.kind === 'here') this.link.port.message(data);
    else if (!this.#autoRespond(data)) this.#pass({ type: 'message', data });
  }

  closed(code: number, reason: string, wasClean: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.link.kind === 'here') this.link.port.closed(code, reason, wasClean);
    else this.#pass({ type: 'close', code, reason, wasClean });
    if (this.link.kind === 'here' || this.#buffer.length === 0) this.#edge.forget(this);
  }

  /** An event that its owner gave back: it was sent before all that waits here. */
  again(event: SocketEvent): void {
    if (this.link.kind === 'here' || this.link.kind === 'node') this.#pass(event);
    else this.#returned.push(event);
  }

  /** The owner is another: what the last one gives back goes first. */
  relink(next: Link | undefined): void {
    const { link } = this;
    const { object } = this;
    if (link.kind === 'settling') {
      this.link = { ...link, next };
    } else if (
      link.kind === 'node' &&
      object !== undefined &&
      this.#edge.send(link.node, { type: 'flush', object })
    ) {
      this.link = { kind: 'settling', node: link.node, next, isHeard: true };
    } else if (next === undefined) this.link = { kind: 'none' };
    else this.linked(next);
  }

  /** Nothing more comes from the last owner, but for what it gives back. */
  unheard(): void {
    if (this.link.kind === 'settling') this.link = { ...this.link, isHeard: false };
  }

  /** The last owner has given back all there was, or is gone. */
  settled(): void {
    if (this.link.kind !== 'settling') return;
    const { next } = this.link;
    if (next === undefined) this.link = { kind: 'none' };
    else this.linked(next);
  }

  /** There is an owner again, or for the first time. */
  linked(link: Link): void {
    this.link = link;
    const events = [...this.#returned, ...this.#buffer];
    this.#returned = [];
    this.#buffer = [];
    this.#bufferBytes = 0;
    for (const event of events) this.#pass(event);
    if (this.isOver && this.#buffer.length === 0) this.#edge.forget(this);
  }

  /** Ends it from this side. */
  end(code: number, reason: string): void {
    this.isOver = true;
    this.client.close(code, reason);
    this.#edge.forget(this);
  }

  #autoRespond(data: string | Uint8Array): boolean {
    const { autoResponse } = this.copy;
    if (typeof data !== 'string' || autoResponse?.request !== data) return false;
    const atMs = this.#edge.wallMs();
    this.copy = { ...this.copy, autoResponseMs: atMs };
    this.client.send(autoResponse.response);
    if (this.link.kind === 'node') {
      this.#edge.sendOrEnd(this.link.node, { type: 'auto-responded', socket: this.id, atMs });
    }
    return true;
  }

  #pass(event: SocketEvent): void {
    const { link } = this;
    if (link.kind === 'here') {
      if (event.type === 'message') link.port.message(event.data);
      else link.port.closed(event.code, event.reason, event.wasClean);
      return;
    }
    if (link.kind === 'node' && this.#buffer.length === 0) {
      if (this.#edge.send(link.node, { type: 'event', socket: this.id, event })) return;
      this.#buffer.push(event);
      this.#edge.lost(this);
      return;
    }
    this.#buffer.push(event);
    this.#bufferBytes += event.type === 'message' ? event.data.length : 0;
    if (this.#bufferBytes > this.#edge.bufferBytesMax && !this.isOver) {
      this.end(unavailableCode, 'the object cannot be reached, and too much was sent to it');
    }
  }
}

export class EdgeSockets {
  readonly #options: EdgeSocketsOptions;
  readonly #sockets = new Map<string, EdgeSocket>();
  readonly #byObject = new Map<ObjectIdHex, Set<EdgeSocket>>();
  /** Objects whose owner is being looked for, and until when. */
  readonly #seeking = new Map<ObjectIdHex, number>();
  /** Nodes that were asked to take sockets, and have not answered. */
  readonly #asked = new Map<ObjectIdHex, { readonly asked: string; readonly object: ObjectRef }>();
  /** Objects whose last owner is heard to its end, and what follows. */
  readonly #draining = new Map<ObjectIdHex, () => void>();

  constructor(options: EdgeSocketsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sockets.size;
  }

  has(id: ObjectIdHex): boolean {
    return this.#byObject.has(id);
  }

  get bufferBytesMax(): number {
    return this.#options.bufferBytesMax;
  }

  wallMs(): WallMs {
    return this.#options.clock.wallMs();
  }

  send(node: string, message: CallMessage): boolean {
    return this.#options.send(node, message);
  }

  sendOrEnd(node: string, message: CallMessage): void {
    this.#options.sendOrEnd(node, message);
  }

  /** Attaches a client. `node` is where the socket was made, undefined for here. */
  attach(socket: string, client: SocketSink, node: string | undefined): SocketPort {
    const { sockets } = this.#options;
    if (node === undefined || sockets.has(socket)) {
      const edge = new EdgeSocket(this, socket, client, { kind: 'none' });
      const port = sockets.attach(socket, client);
      edge.link = { kind: 'here', port };
      this.#sockets.set(socket, edge);
      this.#setObject(edge, sockets.describe(socket)?.object);
      return edge;
    }
    const edge = new EdgeSocket(this, socket, client, { kind: 'attaching', node });
    this.#sockets.set(socket, edge);
    if (!this.send(node, { type: 'attach', socket })) {
      queueMicrotask(() => edge.end(vanishedCode, 'the object cannot be reached'));
    }
    return edge;
  }

  // ── What the object's node says ────────────────────────────────────────────────────────────

  onAttached(node: string, message: Extract<CallMessage, { type: 'attached' }>): void {
    const edge = this.#sockets.get(message.socket);
    if (edge === undefined) {
      const event = { type: 'close', code: 1006, reason: '', wasClean: false } as const;
      this.sendOrEnd(node, { type: 'event', socket: message.socket, event });
      return;
    }
    this.#setObject(edge, message.object);
    edge.copy = message.state;
    edge.linked({ kind: 'node', node });
  }

  onGone(socket: string): void {
    this.#sockets.get(socket)?.end(vanishedCode, 'the object was reset');
  }

  onSend(node: string, socket: string, data: string | Uint8Array): void {
    const edge = this.#of(node, socket);
    if (edge !== undefined && !edge.isOver) edge.client.send(data);
  }

  onClose(node: string, socket: string, code: number | undefined, reason: string | undefined) {
    const edge = this.#of(node, socket);
    if (edge !== undefined && !edge.isOver) edge.client.close(code, reason);
  }

  onAttachment(node: string, socket: string, attachment: Uint8Array | undefined): void {
    const edge = this.#of(node, socket);
    if (edge !== undefined) edge.copy = { ...edge.copy, attachment };
  }

  onAutoResponse(node: string, id: ObjectIdHex, pair: AutoResponsePair | undefined): void {
    for (const edge of this.#byObject.get(id) ?? []) {
      if (hears(edge, node)) edge.copy = { ...edge.copy, autoResponse: pair };
    }
  }

  /** A new owner on another node takes the object's sockets over. */
  onTake(node: string, object: ObjectRef, epoch: Epoch): void {
    this.detached(object.id);
    this.#drain(object, () => {
      const edges = [...(this.#byObject.get(object.id) ?? [])];
      const sockets = edges.map((edge) => edge.copy);
      this.sendOrEnd(node, { type: 'taken', object, epoch, sockets });
      this.#seeking.delete(object.id);
      for (const edge of edges) edge.relink({ kind: 'node', node });
    });
  }

  /**
   * This node is about to become the owner. Resolves when the last one has been heard to its end, or the
   * link to it is gone.
   */
  drained(object: ObjectRef): Promise<void> {
    return new Promise((resolve) => {
      this.#drain(object, () => {
        resolve();
        // Where it does not become the owner the sockets need another.
        this.seek(object);
      });
    });
  }

  #drain(object: ObjectRef, then: () => void): void {
    for (const edge of this.#byObject.get(object.id) ?? []) {
      if (edge.link.kind === 'node') edge.relink(undefined);
    }
    // Whoever waited before is not the next owner any more, and finds out by itself.
    this.#draining.set(object.id, then);
    this.#drainLook(object.id);
  }

  #drainLook(id: ObjectIdHex): void {
    const then = this.#draining.get(id);
    if (then === undefined) return;
    for (const { link } of this.#byObject.get(id) ?? []) {
      if (link.kind === 'settling' && link.isHeard) return;
    }
    this.#draining.delete(id);
    then();
  }

  onFlushed(node: string, object: ObjectRef): void {
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) {
      if (edge.link.kind === 'settling' && edge.link.node === node) edge.settled();
    }
    this.#drainLook(object.id);
    this.seek(object);
  }

  onReturned(socket: string, event: SocketEvent): void {
    const edge = this.#sockets.get(socket);
    if (edge === undefined || edge.object === undefined) return;
    edge.again(event);
  }

  /** This node has become the owner: its own clients' sockets go into the table. */
  takeHere(object: ObjectRef): void {
    const { sockets, adopted } = this.#options;
    this.#seeking.delete(object.id);
    const late: SocketState[] = [];
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) {
      // What is still to come from its last owner may change the copy.
      if (edge.link.kind === 'here' || (edge.link.kind === 'settling' && edge.link.isHeard))
        continue;
      const { port, isNew } = sockets.adopt(object, edge.copy, edge.client);
      if (isNew) late.push(edge.copy);
      edge.relink({ kind: 'here', port });
    }
    if (late.length > 0) adopted(object, late);
  }

  onReattached(node: string, id: ObjectIdHex): void {
    this.#seeking.delete(id);
    this.#asked.delete(id);
    for (const edge of [...(this.#byObject.get(id) ?? [])]) {
      if (edge.link.kind === 'none') edge.linked({ kind: 'node', node });
    }
  }

  /** The node gave the object up, or never had it. */
  onNotHere(node: string, object: ObjectRef): void {
    this.#options.notOwner(object.id, node);
    this.#asked.delete(object.id);
    for (const edge of this.#byObject.get(object.id) ?? []) {
      if (edge.link.kind === 'node' && edge.link.node === node) edge.relink(undefined);
      if (edge.link.kind === 'settling' && edge.link.node === node) edge.unheard();
    }
    this.#drainLook(object.id);
    if (this.#needsOwner(object.id)) this.#seekLater(object);
  }

  // ── Losing the owner ───────────────────────────────────────────────────────────────────────

  /** The object left this node: what its sockets carried is kept with the clients. */
  detached(id: ObjectIdHex): void {
    const copies = this.#options.sockets.takeAll(id);
    for (const copy of copies) {
      const edge = this.#sockets.get(copy.socket);
      if (edge?.link.kind !== 'here') continue;
      edge.copy = copy;
      edge.link = { kind: 'none' };
    }
  }

  /** An event that the object did not get before it left. False where its client is not here. */
  resend(object: ObjectRef, socket: string, event: SocketEvent): boolean {
    const edge = this.#sockets.get(socket);
    if (edge === undefined) return false;
    // It may not have heard yet that the object is not here.
    if (edge.link.kind === 'here') this.detached(object.id);
    if (edge.link.kind === 'here') edge.link = { kind: 'none' };
    edge.again(event);
    this.seek(object);
    return true;
  }

  /** Looks for the owner of an object that has clients here and none. */
  seek(object: ObjectRef): void {
    if (!this.#needsOwner(object.id) || this.#seeking.has(object.id)) return;
    if (this.#draining.has(object.id)) return;
    const { clock, seekTimeoutMs } = this.#options;
    this.#seeking.set(object.id, clock.monotonicMs() + seekTimeoutMs);
    this.#find(object);
  }

  /** The link to a node is gone. */
  down(node: string): void {
    for (const edge of [...this.#sockets.values()]) {
      if (edge.link.kind === 'attaching' && edge.link.node === node) {
        edge.end(vanishedCode, 'the connection to the object was lost');
      } else if (edge.link.kind === 'node' && edge.link.node === node) this.lost(edge);
      else if (edge.link.kind === 'settling' && edge.link.node === node) {
        edge.settled();
        if (edge.object === undefined) continue;
        this.#drainLook(edge.object.id);
        this.seek(edge.object);
      }
    }
    for (const [id, { asked, object }] of [...this.#asked]) {
      if (asked !== node) continue;
      this.#asked.delete(id);
      this.#seekLater(object);
    }
  }

  /** @internal */
  lost(edge: EdgeSocket): void {
    edge.link = { kind: 'none' };
    if (edge.object === undefined) edge.end(vanishedCode, 'the connection to the object was lost');
    else this.seek(edge.object);
  }

  /** @internal */
  forget(edge: EdgeSocket): void {
    this.#sockets.delete(edge.id);
    if (edge.object === undefined) return;
    const edges = this.#byObject.get(edge.object.id);
    edges?.delete(edge);
    if (edges?.size === 0) this.#byObject.delete(edge.object.id);
  }

  /** Closes every client, as when the node stops. */
  closeAll(code: number, reason: string): void {
    for (const edge of [...this.#sockets.values()]) edge.client.close(code, reason);
  }

  #needsOwner(id: ObjectIdHex): boolean {
    for (const edge of this.#byObject.get(id) ?? []) if (edge.link.kind === 'none') return true;
    return false;
  }

  #find(object: ObjectRef): void {
    if (!this.#seeking.has(object.id)) return;
    this.#options.find(object, {
      isForwarded: false,
      // It was placed here, and took its sockets before it started; some may have come since.
      deliver: () => this.takeHere(object),
      forward: (node) => {
        const sockets = [...(this.#byObject.get(object.id) ?? [])]
          .filter((edge) => edge.link.kind === 'none')
          .map((edge) => edge.copy);
        if (this.send(node, { type: 'reattach', object, sockets })) {
          this.#asked.set(object.id, { asked: node, object });
        } else this.#seekLater(object);
      },
      refuse: (error) => {
        const untilMs = this.#seeking.get(object.id) ?? 0;
        if (this.#options.clock.monotonicMs() < untilMs && isHomingError(error)) {
          this.#seekLater(object);
        } else this.#giveUp(object);
      },
    });
  }

  #seekLater(object: ObjectRef): void {
    const { clock, timers, seekTimeoutMs } = this.#options;
    if (!this.#seeking.has(object.id)) {
      this.#seeking.set(object.id, clock.monotonicMs() + seekTimeoutMs);
    }
    timers.after(seekAgainMs, () => this.#find(object));
  }

  #giveUp(object: ObjectRef): void {
    this.#seeking.delete(object.id);
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) {
      if (edge.link.kind === 'none') edge.end(unavailableCode, 'the object is not available');
    }
  }

  #of(node: string, socket: string): EdgeSocket | undefined {
    const edge = this.#sockets.get(socket);
    return edge !== undefined && hears(edge, node) ? edge : undefined;
  }

  #setObject(edge: EdgeSocket, object: ObjectRef | undefined): void {
    edge.object = object;
    if (object === undefined) return;
    const edges = this.#byObject.get(object.id);
    if (edges === undefined) this.#byObject.set(object.id, new Set([edge]));
    else edges.add(edge);
  }
}

/** What the node sends on the socket is to be believed. */
function hears({ link }: EdgeSocket, node: string): boolean {
  switch (link.kind) {
    case 'node':
    case 'attaching':
      return link.node === node;
    case 'settling':
      return link.isHeard && link.node === node;
    default:
      return false;
  }
}
