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
 *
 * Called by the node, which routes messages here.
 */
import {
  type Epoch,
  type ErrorData,
  errorFromData,
  errorToData,
  type FramePort,
  HomingError,
  isHomingError,
  type ObjectIdHex,
  type ObjectRef,
  type PeerRun,
} from '@homing/base';
import type { CallMessage } from './call-messages.ts';
import type { Activation } from './object-entry.ts';
import type { RemoteSessions, RemoteSink } from './session-router.ts';

export interface PeerSessionsOptions {
  /** As `Network.send`, and as `Network.sendOrEnd`. */
  readonly send: (node: string, message: CallMessage) => boolean;
  readonly sendOrEnd: (node: string, message: CallMessage) => void;
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

interface Outgoing {
  readonly node: string;
  readonly object: ObjectRef;
  readonly sink: RemoteSink;
}

export class PeerSessions implements RemoteSessions {
  readonly #options: PeerSessionsOptions;
  readonly #outgoing = new Map<number, Outgoing>();
  /** By node, then by its number. */
  readonly #incoming = new Map<string, Map<number, FramePort>>();
  #next = 1;

  constructor(options: PeerSessionsOptions) {
    this.#options = options;
  }

  open(node: string, object: ObjectRef, sink: RemoteSink): FramePort {
    const session = this.#next++;
    this.#outgoing.set(session, { node, object, sink });
    const isSent = this.#options.send(node, { type: 'open', session, object });
    if (!isSent) {
      const error = new HomingError('unavailable', `node ${node} cannot be reached: try again`);
      queueMicrotask(() => this.#end(session, error));
    }
    let isCut = false;
    return {
      send: (frame) => {
        if (!isSent || isCut || !this.#outgoing.has(session)) return;
        if (this.#options.send(node, { type: 'frame', session, frame })) return;
        isCut = true;
        this.#options.sendOrEnd(node, { type: 'close', session });
        queueMicrotask(() => this.#end(session, unknownOutcome(node)));
      },
      close: () => {
        if (this.#outgoing.delete(session) && isSent && !isCut) {
          this.#options.sendOrEnd(node, { type: 'close', session });
        }
      },
    };
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
    for (const [session, outgoing] of [...this.#outgoing]) {
      if (outgoing.node === node) this.#end(session, unknownOutcome(node));
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
    outgoing.sink.closed(error);
  }

  #onOpen(node: string, session: number, object: ObjectRef): void {
    const { send, sendOrEnd, open } = this.#options;
    let sessions = this.#incoming.get(node);
    if (sessions === undefined) {
      sessions = new Map();
      this.#incoming.set(node, sessions);
    }
    const known = sessions;
    const port = open(
      object,
      {
        frame: (frame) => {
          // The link is full: its other end reads too slowly for what it asked.
          if (!send(node, { type: 'reply', session, frame })) this.#overflowed(node, session);
        },
        closed: (error) => {
          known.delete(session);
          const data = errorToData(this.#withOwner(object.id, error));
          if (data !== undefined) sendOrEnd(node, { type: 'ended', session, error: data });
        },
      },
      ({ epoch }) => sendOrEnd(node, { type: 'accepted', session, epoch }),
      node,
    );
    known.set(session, port);
  }

  #overflowed(node: string, session: number): void {
    const sessions = this.#incoming.get(node);
    const port = sessions?.get(session);
    sessions?.delete(session);
    port?.close();
    const error = errorToData(
      new HomingError('overloaded', 'the answer is read too slowly', { executed: 'maybe' }),
    );
    if (error !== undefined) this.#options.sendOrEnd(node, { type: 'ended', session, error });
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

export type SessionMessage = Extract<
  CallMessage,
  { type: 'open' | 'frame' | 'close' | 'accepted' | 'reply' | 'ended' }
>;

function unknownOutcome(node: string): HomingError {
  return new HomingError('outcome_unknown', `the connection to node ${node} was lost`);
}
