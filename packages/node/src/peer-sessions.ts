/**
 * Sessions that cross nodes: those opened here to objects elsewhere, and those that others open to
 * objects here. Frames of one session keep their order; all sessions of two nodes share a link.
 *
 * Invariants
 * 1. A session whose link broke ends: with `unavailable` (surely not executed) where nothing had
 *    been sent, with `outcome_unknown` otherwise.
 * 2. No message of a session is left out while its link stands: where the link takes no more, the
 *    session ends if its other end can be told so, else the link.
 * 3. `closed` is never called from within `open`.
 * 4. `accepted` comes before anything else that is said of a session.
 *
 * That a session was accepted, or that its caller has closed it, is news that nobody waits for: it goes
 * with the next message to the same node, which of two that are quiet saves each a turn, and alone
 * where there is none for a while.
 *
 * Called by the node, which routes messages here.
 */
import {
  type Epoch,
  type ErrorData,
  errorFromData,
  type FramePort,
  HomingError,
  isHomingError,
  NumberTable,
  type ObjectIdHex,
  type ObjectRef,
  type PeerRun,
  type Timers,
} from '@homing/base';
import type { CallMessage } from './call-messages.ts';
import type { Activation } from './object-entry.ts';
import { errorToPeer } from './peer-error.ts';
import type { RemoteSessions, RemoteSink } from './session-router.ts';

export interface PeerSessionsOptions {
  /** As `Network.send`, and as `Network.sendOrEnd`. */
  readonly send: (node: string, message: CallMessage) => boolean;
  readonly sendOrEnd: (node: string, message: CallMessage) => void;
  readonly timers: Timers;
  /** Opens a session to an object here for another node. */
  readonly open: (
    object: ObjectRef,
    sink: { frame(frame: Uint8Array): void; closed(error: unknown): void },
    accepted: (activation: Activation) => void,
    node: string,
  ) => FramePort;
  /** A node told who owns an object, or that it does not itself. */
  readonly learned: (id: ObjectIdHex, node: string, epoch: Epoch) => void;
  readonly notOwner: (id: ObjectIdHex, node: string) => void;
  /** The owner of an object as remembered here, for those who asked the wrong node. */
  readonly ownerOf: (
    id: ObjectIdHex,
  ) => { readonly node: string; readonly epoch: Epoch } | undefined;
}

/** How long news that nobody waits for waits for other messages, and how much of it at most. */
const newsDelayMs = 5;
const newsMax = 64;

export class PeerSessions implements RemoteSessions {
  readonly #options: PeerSessionsOptions;
  readonly #outgoing = new NumberTable<Outgoing>();
  /** By node, then by its number. */
  readonly #incoming = new Map<string, NumberTable<FramePort>>();
  /** By node. */
  readonly #news = new Map<string, News>();
  #next = 1;

  constructor(options: PeerSessionsOptions) {
    this.#options = options;
  }

  open(node: string, object: ObjectRef, sink: RemoteSink): FramePort {
    const session = this.#next++;
    const outgoing = new Outgoing(this, session, node, object, sink);
    this.#outgoing.set(session, outgoing);
    if (!this.send(node, { type: 'open', session, object })) {
      outgoing.isCut = true;
      const error = new HomingError('unavailable', `node ${node} cannot be reached: try again`);
      queueMicrotask(() => this.#end(session, error));
    }
    return outgoing;
  }

  /** @internal As `Network.send`: after the news for the node. */
  send(node: string, message: CallMessage): boolean {
    this.#tellNews(node);
    return this.#options.send(node, message);
  }

  #sendOrEnd(node: string, message: CallMessage): void {
    this.#tellNews(node);
    this.#options.sendOrEnd(node, message);
  }

  #tellLater(node: string, message: CallMessage): void {
    let news = this.#news.get(node);
    if (news === undefined) {
      news = { messages: [], isDue: false };
      this.#news.set(node, news);
    }
    if (news.messages.push(message) >= newsMax) this.#tellNews(node);
    if (news.isDue) return;
    news.isDue = true;
    const due = news;
    this.#options.timers.after(newsDelayMs, () => {
      due.isDue = false;
      this.#tellNews(node);
    });
  }

  #tellNews(node: string): void {
    const news = this.#news.get(node);
    if (news === undefined || news.messages.length === 0) return;
    const { messages } = news;
    news.messages = [];
    for (const message of messages) this.#options.sendOrEnd(node, message);
  }

  /** @internal The caller closed it, who may hear nothing more of it. */
  close({ session, node, isCut }: Outgoing): void {
    if (this.#outgoing.delete(session) && !isCut) this.#tellLater(node, { type: 'close', session });
  }

  /** @internal The link took no more of what it sends. */
  cut({ session, node }: Outgoing): void {
    this.#sendOrEnd(node, { type: 'close', session });
    queueMicrotask(() => this.#end(session, unknownOutcome(node)));
  }

  onMessage(peer: PeerRun, message: SessionMessage): void {
    switch (message.type) {
      case 'open':
        this.#onOpen(peer.node, message.session, message.object);
        return;
      case 'frame':
        this.#incoming.get(peer.node)?.get(message.session)?.send(message.frame);
        return;
      case 'close': {
        const sessions = this.#incoming.get(peer.node);
        const port = sessions?.get(message.session);
        sessions?.delete(message.session);
        port?.close();
        return;
      }
      case 'accepted': {
        const outgoing = this.#find(peer, message.session);
        if (outgoing === undefined) return;
        this.#options.learned(outgoing.object.id, peer.node, message.epoch);
        outgoing.sink.accepted();
        return;
      }
      case 'reply':
        this.#find(peer, message.session)?.sink.frame(message.frame);
        return;
      case 'ended':
        this.#onEnded(peer, message.session, message.error);
    }
  }

  /** Sessions of other nodes to objects here. */
  get incomingCount(): number {
    let count = 0;
    for (const sessions of this.#incoming.values()) count += sessions.size;
    return count;
  }

  /** The link to a node is gone. */
  down(node: string): void {
    this.#news.delete(node);
    for (const { session, node: other } of this.#outgoing.values()) {
      if (other === node) this.#end(session, unknownOutcome(node));
    }
    const incoming = this.#incoming.get(node);
    this.#incoming.delete(node);
    for (const port of incoming?.values() ?? []) port.close();
  }

  #find(peer: PeerRun, session: number): Outgoing | undefined {
    const outgoing = this.#outgoing.get(session);
    return outgoing?.node === peer.node ? outgoing : undefined;
  }

  #onEnded(peer: PeerRun, session: number, data: ErrorData): void {
    const outgoing = this.#find(peer, session);
    if (outgoing === undefined) return;
    const error = errorFromData(data);
    if (isHomingError(error) && error.code === 'not_owner') {
      const { owner, epoch } = error.details;
      const { id } = outgoing.object;
      this.#options.notOwner(id, peer.node);
      if (owner !== undefined && epoch !== undefined) {
        this.#options.learned(id, owner, BigInt(epoch) as Epoch);
      }
    }
    this.#end(session, error);
  }

  #end(session: number, error: unknown): void {
    const outgoing = this.#outgoing.get(session);
    if (outgoing === undefined) return;
    this.#outgoing.delete(session);
    outgoing.ended(error);
  }

  #onOpen(node: string, session: number, object: ObjectRef): void {
    let sessions = this.#incoming.get(node);
    if (sessions === undefined) {
      sessions = new NumberTable();
      this.#incoming.set(node, sessions);
    }
    const known = sessions;
    const port = this.#options.open(
      object,
      {
        frame: (frame) => {
          // The link is full: its other end reads too slowly for what it asked.
          if (!this.send(node, { type: 'reply', session, frame })) this.#overflowed(node, session);
        },
        closed: (error) => {
          known.delete(session);
          const data = errorToPeer(this.#withOwner(object.id, error));
          this.#sendOrEnd(node, { type: 'ended', session, error: data });
        },
      },
      ({ epoch }) => this.#tellLater(node, { type: 'accepted', session, epoch }),
      node,
    );
    known.set(session, port);
  }

  #overflowed(node: string, session: number): void {
    const sessions = this.#incoming.get(node);
    const port = sessions?.get(session);
    sessions?.delete(session);
    port?.close();
    const error = errorToPeer(
      new HomingError('overloaded', 'the answer is read too slowly', { executed: 'maybe' }),
    );
    this.#sendOrEnd(node, { type: 'ended', session, error });
  }

  #withOwner(id: ObjectIdHex, error: unknown): unknown {
    if (!isHomingError(error) || error.code !== 'not_owner') return error;
    const owner = this.#options.ownerOf(id);
    if (owner === undefined) return error;
    return new HomingError('not_owner', error.message, {
      details: { owner: owner.node, epoch: String(owner.epoch) },
    });
  }
}

interface News {
  messages: CallMessage[];
  /** A timer for it is running. */
  isDue: boolean;
}

/** A session that was opened here, as its caller has it. */
class Outgoing implements FramePort {
  readonly #sessions: PeerSessions;
  readonly session: number;
  readonly node: string;
  readonly object: ObjectRef;
  readonly sink: RemoteSink;
  /** Nothing more is sent on it. */
  isCut = false;
  #isClosed = false;

  constructor(
    sessions: PeerSessions,
    session: number,
    node: string,
    object: ObjectRef,
    sink: RemoteSink,
  ) {
    this.#sessions = sessions;
    this.session = session;
    this.node = node;
    this.object = object;
    this.sink = sink;
  }

  send(frame: Uint8Array): void {
    if (this.isCut || this.#isClosed) return;
    if (this.#sessions.send(this.node, { type: 'frame', session: this.session, frame })) return;
    this.isCut = true;
    this.#sessions.cut(this);
  }

  close(): void {
    this.#isClosed = true;
    this.#sessions.close(this);
  }

  /** @internal It has ended by itself. */
  ended(error: unknown): void {
    this.#isClosed = true;
    this.sink.closed(error);
  }
}

export type SessionMessage = Extract<
  CallMessage,
  { type: 'open' | 'frame' | 'close' | 'accepted' | 'reply' | 'ended' }
>;

function unknownOutcome(node: string): HomingError {
  return new HomingError('outcome_unknown', `the connection to node ${node} was lost`);
}
