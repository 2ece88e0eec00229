/**
 * Sockets of objects on this node whose clients are on others: their ends in the `SocketTable` send
 * and receive by messages. `EdgeSockets` of the other node is the counterpart.
 *
 * Invariants: an object that starts under a new lease has asked every reachable node for sockets that
 * its last owner had. A client counts as gone once the lane to its node is over, not before: the link
 * may only be broken, and what the object sends waits in the lane.
 *
 * Called by the node.
 */
import type {
  Epoch,
  ObjectIdHex,
  ObjectRef,
  SocketEvent,
  SocketPort,
  SocketState,
  Timers,
} from '@homing/base';
import type { CallMessage, SocketCopy } from './call-messages.ts';
import type { SocketLanes } from './socket-lanes.ts';
import type { MirroringSink, SocketTable } from './socket-table.ts';

export interface RemoteSocketsOptions {
  readonly sockets: SocketTable;
  readonly timers: Timers;
  readonly lanes: Pick<SocketLanes, 'send' | 'keep' | 'sendOrEnd'>;
  /** Under which this node owns an object. */
  readonly epochOf: (id: ObjectIdHex) => Epoch | undefined;
  /** Nodes that can be asked. */
  readonly reachable: () => Iterable<string>;
  /** How long to wait for a node's answer when an object starts. */
  readonly gatherTimeoutMs: number;
  /** Tells a running object of sockets that it did not start with. */
  readonly adopted: (object: ObjectRef, sockets: readonly SocketState[]) => void;
}

interface Gathering {
  readonly epoch: Epoch;
  readonly waiting: Set<string>;
  readonly done: () => void;
}

/** Clients of an object that is being placed. */
export interface Offer {
  readonly node: string;
  readonly object: ObjectRef;
  /** By name. */
  readonly sockets: Map<string, SocketCopy>;
}

/** Sockets that left with their objects, for events that are still on their way here. */
const leftMax = 10_000;

interface RemoteSocket {
  readonly port: SocketPort;
  readonly object: ObjectRef | undefined;
}

export class RemoteSockets {
  readonly #options: RemoteSocketsOptions;
  /** By node, then socket. */
  readonly #byNode = new Map<string, Map<string, RemoteSocket>>();
  readonly #gathering = new Map<ObjectIdHex, Gathering>();
  readonly #offers = new Set<Offer>();
  /** The node of each. */
  readonly #left = new Map<string, string>();

  constructor(options: RemoteSocketsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when all reachable nodes have answered, or those of `known` where the last owner has said
   * which ones have sockets; or when it is too late to wait. Never rejects.
   */
  gather(
    object: ObjectRef,
    epoch: Epoch,
    known: readonly string[] | undefined = undefined,
  ): Promise<void> {
    const { lanes, reachable, timers, gatherTimeoutMs } = this.#options;
    const waiting = new Set<string>();
    for (const node of reachable()) {
      const isSent = lanes.send(node, { type: 'take', object, epoch });
      if (isSent && (known === undefined || known.includes(node))) waiting.add(node);
    }
    if (waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = timers.after(gatherTimeoutMs, () => done());
      const done = () => {
        timer.cancel();
        if (this.#gathering.get(object.id)?.done === done) this.#gathering.delete(object.id);
        resolve();
      };
      this.#gathering.set(object.id, { epoch, waiting, done });
    });
  }

  onTaken(node: string, message: Extract<CallMessage, { type: 'taken' }>): void {
    const { object, epoch, sockets } = message;
    const gathering = this.#gathering.get(object.id);
    const isAwaited = gathering?.epoch === epoch;
    if (!isAwaited && this.#options.epochOf(object.id) !== epoch) {
      // It asked long ago: the copies may be old.
      if (sockets.length > 0) this.#options.lanes.sendOrEnd(node, { type: 'not-here', object });
      return;
    }
    this.#adopt(node, object, sockets, !isAwaited);
    if (isAwaited) this.#answered(gathering, node);
  }

  onAttach(node: string, socket: string): void {
    const { sockets, lanes } = this.#options;
    const described = sockets.describe(socket);
    if (described === undefined) {
      lanes.sendOrEnd(node, { type: 'gone', socket });
      return;
    }
    const { object, state } = described;
    lanes.sendOrEnd(node, { type: 'attached', socket, object, state });
    try {
      const port = sockets.attach(socket, this.#sink(node, socket, object));
      this.#of(node).set(socket, { port, object });
      // Left before its client came.
      if (object !== undefined && this.#options.epochOf(object.id) === undefined) this.left(object);
    } catch {
      lanes.sendOrEnd(node, { type: 'gone', socket });
    }
  }

  /** A node brings its clients of an object: they are taken when this node owns it. */
  offered(node: string, object: ObjectRef, copies: readonly SocketCopy[]): Offer {
    const sockets = new Map(copies.map((copy) => [copy.socket, copy]));
    const offer = { node, object, sockets };
    this.#offers.add(offer);
    return offer;
  }

  onOwned(offer: Offer): void {
    const { node, object, sockets } = offer;
    const epoch = this.#options.epochOf(object.id);
    if (epoch === undefined) {
      this.onNotOwned(offer);
      return;
    }
    this.#offers.delete(offer);
    this.#adopt(node, object, [...sockets.values()], true);
    this.#options.lanes.sendOrEnd(node, { type: 'reattached', object, epoch });
  }

  onNotOwned(offer: Offer): void {
    const { node, object } = offer;
    this.#offers.delete(offer);
    this.#options.lanes.sendOrEnd(node, { type: 'not-here', object });
  }

  /** The client's node turns to another owner, or thinks so. */
  onFlush(node: string, { object, socket }: Extract<CallMessage, { type: 'flush' }>): void {
    for (const offer of this.#offers) {
      if (offer.node === node && offer.object.id === object.id) offer.sockets.delete(socket);
    }
    const isHere = this.#byNode.get(node)?.has(socket) === true;
    const epoch = (isHere ? this.#options.epochOf(object.id) : undefined) ?? (0n as Epoch);
    this.#options.lanes.sendOrEnd(node, { type: 'flushed', socket, epoch });
  }

  onEvent(node: string, { socket, event }: Extract<CallMessage, { type: 'event' }>): void {
    const sockets = this.#byNode.get(node);
    const remote = sockets?.get(socket);
    if (remote === undefined) {
      this.#options.lanes.sendOrEnd(node, { type: 'returned', socket, event });
      return;
    }
    if (event.type === 'message') remote.port.message(event.data);
    else {
      sockets?.delete(socket);
      // The object may leave before it has heard.
      this.#rememberLeft(socket, node);
      remote.port.closed(event.code, event.reason, event.wasClean);
    }
  }

  /** The object leaves: the nodes of its clients look for its next owner. */
  left(object: ObjectRef): void {
    for (const [node, sockets] of this.#byNode) {
      let hasAny = false;
      for (const [socket, remote] of sockets) {
        if (remote.object?.id !== object.id) continue;
        sockets.delete(socket);
        // The object may not know yet that it has left: what it sends counts no more.
        this.#options.sockets.forgetOne(socket);
        this.#rememberLeft(socket, node);
        hasAny = true;
      }
      if (hasAny) this.#options.lanes.sendOrEnd(node, { type: 'not-here', object });
    }
  }

  /**
   * Whether this node may be the owner, where one of that epoch is known. One that only looks for the owner is
   * none: should it find itself, it asks for the sockets anew.
   */
  mayOwn(id: ObjectIdHex, epoch: Epoch): boolean {
    const known = [this.#gathering.get(id)?.epoch, this.#options.epochOf(id)];
    return known.some((own) => own !== undefined && own >= epoch);
  }

  /** Nodes with clients of the object. */
  nodesOf(id: ObjectIdHex): string[] {
    const nodes: string[] = [];
    for (const [node, sockets] of this.#byNode) {
      for (const { object } of sockets.values()) {
        if (object?.id !== id) continue;
        nodes.push(node);
        break;
      }
    }
    return nodes;
  }

  /** Gives an event back that came before the object left. False where nobody is known to want it. */
  giveBack(socket: string, event: SocketEvent): boolean {
    const node = this.#left.get(socket);
    if (node !== undefined)
      this.#options.lanes.sendOrEnd(node, { type: 'returned', socket, event });
    return node !== undefined;
  }

  #rememberLeft(socket: string, node: string): void {
    this.#left.set(socket, node);
    if (this.#left.size <= leftMax) return;
    const oldest = this.#left.keys().next();
    if (!oldest.done) this.#left.delete(oldest.value);
  }

  /** The link to a node is gone: an object that starts does not wait for its answer. */
  paused(node: string): void {
    for (const gathering of [...this.#gathering.values()]) this.#answered(gathering, node);
  }

  /** The lane to a node is over: its clients are gone. */
  over(node: string): void {
    this.paused(node);
    const sockets = this.#byNode.get(node);
    this.#byNode.delete(node);
    for (const { port } of sockets?.values() ?? []) port.closed(1006, '', false);
  }

  #answered(gathering: Gathering, node: string): void {
    gathering.waiting.delete(node);
    if (gathering.waiting.size === 0) gathering.done();
  }

  #adopt(node: string, object: ObjectRef, copies: readonly SocketCopy[], isLate: boolean): void {
    const late: SocketState[] = [];
    for (const copy of copies) {
      const sink = this.#sink(node, copy.socket, object);
      const { port, isNew } = this.#options.sockets.adopt(object, copy, sink);
      this.#of(node).set(copy.socket, { port, object });
      // What came before is given back only after the node has heard that the object has left again.
      this.#left.delete(copy.socket);
      if (isNew) late.push(copy);
    }
    if (isLate && late.length > 0) this.#options.adopted(object, late);
  }

  #sink(node: string, socket: string, object: ObjectRef | undefined): MirroringSink {
    const { lanes } = this.#options;
    let isFull = false;
    return {
      node,
      send: (data) => {
        // What follows a lost frame must not be seen.
        if (isFull || lanes.keep(node, { type: 'send', socket, data }, socket)) return;
        // There is no room for more. The client is closed, and its end comes behind what it has sent.
        isFull = true;
        lanes.sendOrEnd(node, { type: 'gone', socket, isFull });
      },
      close: (code, reason) => {
        lanes.sendOrEnd(node, { type: 'close-socket', socket, code, reason });
      },
      attachment: (attachment) => {
        lanes.sendOrEnd(node, { type: 'attachment', socket, attachment });
      },
      autoResponse: (pair) => {
        if (object === undefined) return;
        lanes.sendOrEnd(node, { type: 'auto-response', object, pair });
      },
    };
  }

  #of(node: string): Map<string, RemoteSocket> {
    let sockets = this.#byNode.get(node);
    if (sockets === undefined) {
      sockets = new Map();
      this.#byNode.set(node, sockets);
    }
    return sockets;
  }
}
