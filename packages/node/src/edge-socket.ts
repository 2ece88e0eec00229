/**
 * One client's end of a WebSocket, on the node that the client is connected to. See edge-sockets.ts for
 * what it is part of.
 *
 *   attaching ──▶ linked (here, or to a node) ──another owner──▶ settling ──heard──▶ none ──▶ offered,
 *   linked …
 *
 * Invariants
 * 1. One owner is heard at a time, and to its end: the next one gets the copy that it left.
 * 2. Events go to owners in the order in which they came from the client, those that an owner gave back
 *    first: none is passed while a last owner may still give something back. They wait here then, and
 *    while there is no owner, or no way to it; past the bound the client is closed.
 * 3. It is forgotten when its client is gone and its object's node was told, behind all that was sent before.
 */
import type {
  Epoch,
  MonotonicMs,
  ObjectRef,
  SocketEvent,
  SocketPort,
  SocketSink,
  WallMs,
} from '@homing/base';
import type { SocketCopy } from './call-messages.ts';

export type EdgeLink =
  | { readonly kind: 'here'; readonly port: SocketPort }
  /** `epoch`: the ownership that the node took it under, where that is known. */
  | { readonly kind: 'node'; readonly node: string; readonly epoch?: Epoch }
  | { readonly kind: 'attaching'; readonly node: string }
  /** A node that is to be the owner has been told of it, and has not said that it is. */
  | { readonly kind: 'offered'; readonly node: string }
  /** All that the last owner has sent may not have come yet. */
  | { readonly kind: 'settling'; readonly node: string }
  | { readonly kind: 'none' };

/** What a client's end needs of all of them. */
export interface EdgeHost {
  readonly bufferBytesMax: number;
  /** What the object has set of a socket that is here. */
  copyOf(socket: string): SocketCopy | undefined;
  wallMs(): WallMs;
  /** False where the node cannot be reached for now, or takes no more: `linked` follows when it does. */
  pass(edge: EdgeSocket, node: string, event: SocketEvent): boolean;
  autoResponded(node: string, socket: string, atMs: WallMs): void;
  /** Asks a last owner to give back what it did not take. `flushed` follows, or the lane's end. */
  flush(node: string, socket: string, object: ObjectRef): void;
  /** Tells a node that the client is gone. */
  tellGone(node: string, socket: string): void;
  forget(edge: EdgeSocket): void;
}

/** Close codes: the object's memory is gone; it cannot be reached for too long. */
export const vanishedCode = 1011;
export const unavailableCode = 1013;
/** What an event costs besides its bytes. */
const eventBytes = 64;

export class EdgeSocket implements SocketPort {
  readonly id: string;
  client: SocketSink;
  readonly #host: EdgeHost;
  object: ObjectRef | undefined;
  copy: SocketCopy;
  link: EdgeLink = { kind: 'none' };
  #buffer: SocketEvent[] = [];
  #returned: SocketEvent[] = [];
  #bufferBytes = 0;
  /** Last owners that may still give something back, by the answers that are to come. */
  readonly #flushing = new Map<string, number>();
  /** Last owners that were given up, and whether anything was passed to another since. */
  #givenUp: Map<string, boolean> | undefined;
  isOver = false;
  /** Since when the last owner that is asked to give back says that it is the owner. */
  ownedSinceMs: MonotonicMs | undefined;

  constructor(host: EdgeHost, id: string, client: SocketSink) {
    this.#host = host;
    this.id = id;
    this.client = client;
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
    // Where the object is here, so is its automatic response.
    if (this.link.kind === 'here' || !this.#autoRespond(data))
      this.#passNew({ type: 'message', data });
    this.#limit();
  }

  closed(code: number, reason: string, wasClean: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    // Its object may leave before it has heard.
    if (this.link.kind === 'here') this.copy = this.#host.copyOf(this.id) ?? this.copy;
    this.#passNew({ type: 'close', code, reason, wasClean });
    this.#forgetWhenDone();
  }

  /**
   * An event that its owner gave back: it was sent before all that waits here. That of an owner which was
   * given up is lost with it where later ones have gone to the next one: it would be overtaken.
   */
  again(event: SocketEvent, from?: string): void {
    const isLate = from !== undefined && !this.awaits(from) && this.#givenUp?.get(from) === true;
    if (!isLate) this.#returned.push(event);
    if (this.link.kind === 'here' || this.link.kind === 'node') this.linked(this.link);
  }

  /** The owner is another: the last one is heard to its end. */
  relink(): void {
    const { link, object } = this;
    const isLinked = link.kind === 'node' || link.kind === 'offered';
    if (!isLinked || object === undefined) return;
    this.link = { kind: 'settling', node: link.node };
    this.ownedSinceMs = undefined;
    this.#flushing.set(link.node, (this.#flushing.get(link.node) ?? 0) + 1);
    this.#host.flush(link.node, this.id, object);
  }

  /** The node has let go of the object: nothing more comes from it, but for what it gives back. */
  left(node: string): void {
    if (this.link.kind === 'node' && this.link.node === node) this.relink();
    const { link } = this;
    // One that was offered was not passed anything.
    const isLeft = link.kind === 'settling' || link.kind === 'offered';
    if (isLeft && link.node === node) this.link = { kind: 'none' };
  }

  /** A last owner has given back all there was. */
  flushed(node: string): void {
    const answers = this.#flushing.get(node);
    if (answers === undefined) return;
    if (answers > 1) this.#flushing.set(node, answers - 1);
    else this.#flushed(node);
  }

  /** A last owner has not let go of the object yet: there is more to come. */
  flushAgain(node: string): void {
    if (this.object === undefined || !this.#flushing.has(node)) return;
    this.#host.flush(node, this.id, this.object);
  }

  /**
   * A last owner does not let go: what it has may come back at any time, and nothing can be passed that
   * would not overtake it.
   */
  stuck(node: string): void {
    this.#host.tellGone(node, this.id);
    this.end(unavailableCode, 'the last owner of the object does not let go of it');
  }

  /** As `flushed`, by a node that is the next owner itself, and has the socket. */
  kept(node: string, epoch: Epoch): void {
    if (this.isSettling(node)) this.link = { kind: 'node', node, epoch };
    this.flushed(node);
  }

  #flushed(node: string): void {
    const { link } = this;
    this.#flushing.delete(node);
    if (this.isSettling(node)) this.link = { kind: 'none' };
    else if (link.kind === 'here' || link.kind === 'node') this.linked(link);
  }

  /** Nothing more comes from the node, nor is anything given back. */
  lost(node: string): void {
    const { link } = this;
    this.#givenUp ??= new Map();
    this.#givenUp.set(node, false);
    const isLinked = link.kind === 'node' || link.kind === 'offered';
    if (isLinked && link.node === node) this.link = { kind: 'none' };
    this.#flushed(node);
  }

  /** Whether all that the node has sent, as a last owner, may not have come yet. */
  isSettling(node: string): boolean {
    return this.link.kind === 'settling' && this.link.node === node;
  }

  /** Whether anything is to come from the node. */
  awaits(node: string): boolean {
    const { link } = this;
    const isOf = link.kind !== 'here' && link.kind !== 'none' && link.node === node;
    return isOf || this.#flushing.has(node);
  }

  /** There is an owner again, or for the first time, or a way to it. */
  linked(link: EdgeLink): void {
    this.link = link;
    if (this.#flushing.size > 0) return;
    const [returned, waiting] = [this.#returned, this.#buffer];
    this.#returned = [];
    this.#buffer = [];
    this.#bufferBytes = 0;
    for (const event of returned) this.#pass(event);
    for (const event of waiting) this.#passNew(event);
    this.#limit();
    this.#forgetWhenDone();
  }

  /** Whether what the node sends on the socket is to be believed. */
  hears(node: string): boolean {
    const { link } = this;
    return link.kind !== 'here' && link.kind !== 'none' && link.node === node;
  }

  /** There is no room: the client is to try again. The object gets what came before, and hears of the end. */
  giveUp(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.client.close(unavailableCode, reason);
    this.#pass({ type: 'close', code: 1006, reason: '', wasClean: false });
    this.#forgetWhenDone();
  }

  /** Ends it from this side; no object is to hear of it. */
  end(code: number, reason: string): void {
    if (!this.isOver) this.client.close(code, reason);
    this.isOver = true;
    this.link = { kind: 'none' };
    this.#host.forget(this);
  }

  #autoRespond(data: string | Uint8Array): boolean {
    const { autoResponse } = this.copy;
    if (typeof data !== 'string' || autoResponse?.request !== data) return false;
    const atMs = this.#host.wallMs();
    this.copy = { ...this.copy, autoResponseMs: atMs };
    this.client.send(autoResponse.response);
    if (this.link.kind === 'node') this.#host.autoResponded(this.link.node, this.id, atMs);
    return true;
  }

  /** What was sent after all that any owner may still give back. */
  #passNew(event: SocketEvent): void {
    this.#pass(event);
    if (this.#givenUp === undefined || this.#buffer.length > 0) return;
    for (const node of this.#givenUp.keys()) this.#givenUp.set(node, true);
  }

  #pass(event: SocketEvent): void {
    const { link } = this;
    if (this.#flushing.size === 0 && this.#buffer.length === 0) {
      if (link.kind === 'here') {
        if (event.type === 'message') link.port.message(event.data);
        else link.port.closed(event.code, event.reason, event.wasClean);
        return;
      }
      if (link.kind === 'node' && this.#host.pass(this, link.node, event)) return;
    }
    this.#buffer.push(event);
    this.#bufferBytes += eventBytes + (event.type === 'message' ? event.data.length : 0);
  }

  /** Once all that waits is in the buffer: the end comes behind it. */
  #limit(): void {
    if (this.#bufferBytes <= this.#host.bufferBytesMax) return;
    this.giveUp('the object cannot be reached, and too much was sent to it');
  }

  #forgetWhenDone(): void {
    const isWaiting = this.#buffer.length > 0 || this.#returned.length > 0;
    if (this.isOver && !isWaiting) this.#host.forget(this);
  }
}
