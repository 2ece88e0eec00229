/**
 * Clients' ends of WebSockets, on the node that the clients are connected to. The object's end may be
 * here or on another node, and may change nodes: the client's stays open, with a copy of its tags,
 * attachment and automatic response for the object's next owner.
 *
 * Invariants: frames of a client reach the object's owners in the order sent; those that come while
 * there is none, or its node is away, are kept up to `bufferBytesMax`, past which the socket is closed.
 * What an owner sends, frames and attachments, is heard to its end before the next owner gets the
 * sockets: their copies are then what the last one left. A broken link ends none of this, as what is
 * said to other nodes goes by lanes; the end of a lane does. A socket that lives in the memory of one
 * activation is closed when that is gone.
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
import { type EdgeHost, EdgeSocket, unavailableCode, vanishedCode } from './edge-socket.ts';
import type { Delivery } from './object-entry.ts';
import type { SocketLanes } from './socket-lanes.ts';
import type { SocketTable } from './socket-table.ts';

export interface EdgeSocketsOptions {
  readonly sockets: SocketTable;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly lanes: Pick<SocketLanes, 'send' | 'keep' | 'sendOrEnd' | 'isStanding'>;
  /** Finds the object its owner, here or elsewhere. */
  readonly find: (object: ObjectRef, delivery: Delivery) => void;
  /** The node said that it owns the object: a claim of before is not to be believed. */
  readonly learned: (id: ObjectIdHex, node: string, epoch: Epoch) => void;
  /** Events that wait here for the object go back to their sockets. */
  readonly giveBack: (id: ObjectIdHex) => void;
  /** Of what is known of the object's owners. */
  readonly newestEpoch: (id: ObjectIdHex) => Epoch | undefined;
  /** The node said it does not own the object. */
  readonly notOwner: (id: ObjectIdHex, node: string) => void;
  /** Bytes of one client's frames kept while its object has no owner that can be reached. */
  readonly bufferBytesMax: number;
  /** How long sockets wait for an owner before they are closed. */
  readonly seekTimeoutMs: number;
  /** How long a last owner may go on saying that it is the owner; then its sockets are closed. */
  readonly settleTimeoutMs: number;
  /** Tells a running object of sockets that it did not start with. */
  readonly adopted: (object: ObjectRef, sockets: readonly SocketState[]) => void;
}

const seekAgainMs = 100;
/** A node whose link is full is tried again. */
const stalledAgainMs = 20;
/** Clients that are gone, for events that an owner gives back late; past it the oldest is forgotten. */
const departedMax = 1000;
const noClient: SocketSink = { send: () => {}, close: () => {} };

export class EdgeSockets implements EdgeHost {
  readonly #options: EdgeSocketsOptions;
  readonly #sockets = new Map<string, EdgeSocket>();
  readonly #byObject = new Map<ObjectIdHex, Set<EdgeSocket>>();
  /** Objects whose owner is being looked for, and until when. */
  readonly #seeking = new Map<ObjectIdHex, number>();
  /** Nodes that were asked to take sockets, and have not answered. */
  readonly #asked = new Map<ObjectIdHex, { readonly asked: string; readonly object: ObjectRef }>();
  /** Objects whose last owner is heard to its end, and what follows. */
  readonly #draining = new Map<ObjectIdHex, { readonly epoch: Epoch; readonly then: () => void }>();
  /** Those whose events the link to their owner had no room for. */
  readonly #stalled = new Set<EdgeSocket>();
  readonly #departed = new Map<string, EdgeSocket>();

  constructor(options: EdgeSocketsOptions) {
    this.#options = options;
  }

  /** Clients that are connected. */
  get size(): number {
    let size = 0;
    for (const { isOver } of this.#sockets.values()) if (!isOver) size += 1;
    return size;
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

  copyOf(socket: string): SocketCopy | undefined {
    return this.#options.sockets.describe(socket)?.state;
  }

  pass(edge: EdgeSocket, node: string, event: SocketEvent): boolean {
    const { lanes, timers } = this.#options;
    if (!lanes.isStanding(node)) return false;
    if (lanes.send(node, { type: 'event', socket: edge.id, event })) return true;
    if (this.#stalled.size === 0) timers.after(stalledAgainMs, () => this.#unstall());
    this.#stalled.add(edge);
    return false;
  }

  #unstall(): void {
    const edges = [...this.#stalled];
    this.#stalled.clear();
    for (const edge of edges) if (edge.link.kind === 'node') edge.linked(edge.link);
  }

  autoResponded(node: string, socket: string, atMs: WallMs): void {
    this.#options.lanes.keep(node, { type: 'auto-responded', socket, atMs }, socket);
  }

  flush(node: string, socket: string, object: ObjectRef): void {
    const epoch = this.#newestEpoch(object.id);
    this.#options.lanes.sendOrEnd(node, { type: 'flush', object, socket, epoch });
  }

  /** Of the newest owner that is known of, also one that the object is only being left for; 0 where none is. */
  #newestEpoch(id: ObjectIdHex): Epoch {
    return this.#draining.get(id)?.epoch ?? this.#options.newestEpoch(id) ?? (0n as Epoch);
  }

  tellGone(node: string, socket: string): void {
    const event = { type: 'close', code: 1006, reason: '', wasClean: false } as const;
    this.#options.lanes.sendOrEnd(node, { type: 'event', socket, event });
  }

  /** Attaches a client. `node` is where the socket was made, undefined for here. */
  attach(socket: string, client: SocketSink, node: string | undefined): SocketPort {
    const { sockets, lanes } = this.#options;
    const edge = new EdgeSocket(this, socket, client);
    if (node === undefined || sockets.has(socket)) {
      const port = sockets.attach(socket, client);
      edge.link = { kind: 'here', port };
      this.#sockets.set(socket, edge);
      this.#setObject(edge, sockets.describe(socket)?.object);
      return edge;
    }
    edge.link = { kind: 'attaching', node };
    this.#sockets.set(socket, edge);
    if (!lanes.send(node, { type: 'attach', socket })) {
      queueMicrotask(() => edge.end(vanishedCode, 'the object cannot be reached'));
    }
    return edge;
  }

  // ── What the object's node says ────────────────────────────────────────────────────────────

  onAttached(node: string, message: Extract<CallMessage, { type: 'attached' }>): void {
    const edge = this.#sockets.get(message.socket);
    if (edge === undefined) {
      this.tellGone(node, message.socket);
      return;
    }
    this.#setObject(edge, message.object);
    edge.copy = message.state;
    edge.linked({ kind: 'node', node });
  }

  onGone(socket: string, isFull: boolean): void {
    const edge = this.#sockets.get(socket);
    if (isFull) edge?.giveUp('more was sent than may wait for the client');
    else edge?.end(vanishedCode, 'the object was reset');
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
      if (edge.hears(node)) edge.copy = { ...edge.copy, autoResponse: pair };
    }
  }

  /** A new owner on another node takes the object's sockets over. */
  onTake(node: string, object: ObjectRef, epoch: Epoch): void {
    this.detached(object.id);
    // Before what follows on these sockets, which goes there directly.
    this.#options.giveBack(object.id);
    this.#drain(object, epoch, () => {
      const edges = this.#without(object.id);
      const sockets = edges.map((edge) => edge.copy);
      this.#options.lanes.sendOrEnd(node, { type: 'taken', object, epoch, sockets });
      this.#seeking.delete(object.id);
      for (const edge of edges) edge.linked({ kind: 'node', node, epoch });
    });
  }

  /**
   * This node is about to become the owner. Resolves when the last one has been heard to its end, or the
   * link to it is gone.
   */
  drained(object: ObjectRef, epoch: Epoch): Promise<void> {
    return new Promise((resolve) => {
      this.#drain(object, epoch, () => {
        resolve();
        // Where it does not become the owner the sockets need another.
        this.seek(object);
      });
    });
  }

  #drain(object: ObjectRef, epoch: Epoch, then: () => void): void {
    // Whoever waited before is not the next owner any more, and finds out by itself.
    this.#draining.set(object.id, { epoch, then });
    this.#drainLook(object.id);
  }

  #drainLook(id: ObjectIdHex): void {
    const draining = this.#draining.get(id);
    if (draining === undefined) return;
    let isHeard = true;
    for (const edge of this.#byObject.get(id) ?? []) {
      const { link } = edge;
      const isNext = link.kind === 'node' && link.epoch === draining.epoch;
      if (link.kind === 'offered' || (link.kind === 'node' && !isNext)) edge.relink();
      if (edge.link.kind === 'settling') isHeard = false;
    }
    if (!isHeard || this.#draining.get(id) !== draining) return;
    this.#draining.delete(id);
    draining.then();
  }

  onFlushed(node: string, message: Extract<CallMessage, { type: 'flushed' }>): void {
    const { socket, epoch } = message;
    const edge = this.#sockets.get(socket);
    if (edge?.object === undefined) return;
    const { id } = edge.object;
    const newest = this.#newestEpoch(id);
    if (epoch > 0n && epoch >= newest) {
      // It has become the owner after the one that it was to be left for, who finds out by itself.
      if (epoch > newest) this.#draining.delete(id);
      this.#options.learned(id, node, epoch);
      edge.kept(node, epoch);
    } else if (epoch > 0n && edge.isSettling(node)) this.#flushLater(edge, node);
    else edge.flushed(node);
    this.#drainLook(id);
    this.seek(edge.object);
  }

  /** It is the owner for all it was told: there is a newer one still, which it is told of now. */
  #flushLater(edge: EdgeSocket, node: string): void {
    const { clock, timers, settleTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    edge.ownedSinceMs ??= nowMs;
    if (nowMs - edge.ownedSinceMs > settleTimeoutMs) edge.stuck(node);
    else timers.after(seekAgainMs, () => edge.flushAgain(node));
  }

  onReturned(node: string, socket: string, event: SocketEvent): void {
    const edge = this.#sockets.get(socket) ?? this.#revived(socket, node);
    if (edge?.object === undefined) return;
    edge.again(event, node);
    this.seek(edge.object);
  }

  /** Its client is gone, and its object has not heard so. `node` let go of that, and may give back more. */
  #revived(socket: string, node?: string): EdgeSocket | undefined {
    const edge = this.#departed.get(socket);
    if (edge === undefined) return undefined;
    this.#departed.delete(socket);
    this.#sockets.set(socket, edge);
    this.#setObject(edge, edge.object);
    if (node !== undefined) edge.left(node);
    return edge;
  }

  /** This node has become the owner: its own clients' sockets go into the table. */
  takeHere(object: ObjectRef): void {
    const { sockets, adopted } = this.#options;
    this.#seeking.delete(object.id);
    const late: SocketState[] = [];
    const taken: (() => void)[] = [];
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) {
      // What is still to come from the last owner may change the copy.
      if (edge.link.kind === 'node') edge.relink();
      if (edge.link.kind !== 'none') continue;
      const { port, isNew } = sockets.adopt(object, edge.copy, edge.client);
      if (isNew) late.push(edge.copy);
      taken.push(() => edge.linked({ kind: 'here', port }));
    }
    // Before the frames that have waited: they are of sockets that the object knows.
    if (late.length > 0) adopted(object, late);
    for (const link of taken) link();
  }

  onReattached(node: string, message: Extract<CallMessage, { type: 'reattached' }>): void {
    const { object, epoch } = message;
    this.#options.learned(object.id, node, epoch);
    this.#seeking.delete(object.id);
    this.#asked.delete(object.id);
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) {
      const { link } = edge;
      if (link.kind === 'offered' && link.node === node) {
        edge.linked({ kind: 'node', node, epoch });
      }
    }
    this.seek(object);
  }

  /** The node gave the object up, or never had it. */
  onNotHere(node: string, object: ObjectRef): void {
    this.#options.notOwner(object.id, node);
    this.#asked.delete(object.id);
    for (const edge of [...(this.#byObject.get(object.id) ?? [])]) edge.left(node);
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
    const edge = this.#sockets.get(socket) ?? this.#revived(socket);
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

  /** The lane to a node stands: what has waited for that goes. */
  standing(node: string): void {
    for (const edge of [...this.#sockets.values()]) {
      if (edge.link.kind === 'node' && edge.link.node === node) edge.linked(edge.link);
    }
  }

  /** The lane to a node is over. Where it is `lost` so may be frames that both ends live to miss. */
  over(node: string, why: 'dead' | 'lost'): void {
    for (const edge of [...this.#sockets.values()]) {
      const { link, object } = edge;
      if (!edge.awaits(node)) continue;
      if (link.kind === 'attaching' || object === undefined) {
        edge.end(vanishedCode, 'the connection to the object was lost');
        continue;
      }
      if (why === 'lost') edge.end(unavailableCode, 'the node of the object cannot be reached');
      else edge.lost(node);
      this.#drainLook(object.id);
      this.seek(object);
    }
    for (const [id, { asked, object }] of [...this.#asked]) {
      if (asked !== node) continue;
      this.#asked.delete(id);
      this.#seekLater(object);
    }
  }

  forget(edge: EdgeSocket): void {
    const { id, link, object } = edge;
    if (!this.#sockets.delete(id)) return;
    this.#stalled.delete(edge);
    if (object === undefined) return;
    const edges = this.#byObject.get(object.id);
    edges?.delete(edge);
    if (edges?.size === 0) this.#byObject.delete(object.id);
    if (link.kind !== 'node' && link.kind !== 'here') return;
    edge.client = noClient;
    this.#departed.set(id, edge);
    const [oldest] = this.#departed.keys();
    if (this.#departed.size > departedMax && oldest !== undefined) this.#departed.delete(oldest);
  }

  /** Closes every client, as when the node stops. */
  closeAll(code: number, reason: string): void {
    for (const edge of [...this.#sockets.values()]) edge.client.close(code, reason);
  }

  /** Those that have no owner. */
  #without(id: ObjectIdHex): EdgeSocket[] {
    return [...(this.#byObject.get(id) ?? [])].filter(({ link }) => link.kind === 'none');
  }

  #needsOwner(id: ObjectIdHex): boolean {
    for (const edge of this.#byObject.get(id) ?? []) if (edge.link.kind === 'none') return true;
    return false;
  }

  #find(object: ObjectRef): void {
    if (!this.#seeking.has(object.id)) return;
    if (!this.#needsOwner(object.id)) {
      this.#seeking.delete(object.id);
      return;
    }
    this.#options.find(object, {
      isForwarded: false,
      // It was placed here, and took its sockets before it started; some may have come since.
      deliver: () => this.takeHere(object),
      forward: (node) => {
        const edges = this.#without(object.id);
        const sockets = edges.map(({ copy }) => copy);
        if (this.#options.lanes.send(node, { type: 'reattach', object, sockets })) {
          this.#asked.set(object.id, { asked: node, object });
          for (const edge of edges) edge.link = { kind: 'offered', node };
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
    return edge?.hears(node) === true ? edge : undefined;
  }

  #setObject(edge: EdgeSocket, object: ObjectRef | undefined): void {
    edge.object = object;
    if (object === undefined) return;
    const edges = this.#byObject.get(object.id);
    if (edges === undefined) this.#byObject.set(object.id, new Set([edge]));
    else edges.add(edge);
  }
}
