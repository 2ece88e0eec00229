/**
 * The `call` links to other nodes: sessions, sockets and alarms that cross them. Routes messages to
 * those who keep each: `PeerSessions`, `EdgeSockets` (clients here), `RemoteSockets` (clients there).
 * All that is said about sockets goes by `SocketLanes`, which outlive links.
 *
 * Made by the node where there is a cluster.
 */
import type {
  Clock,
  Coordinator,
  Epoch,
  FramePort,
  FrameSink,
  Logger,
  Metrics,
  Network,
  ObjectIdHex,
  ObjectRef,
  PeerRun,
  SocketEvent,
  SocketPort,
  SocketSink,
  SocketState,
  Timer,
  Timers,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import {
  type CallMessage,
  type CarriedCallers,
  decodeCall,
  encodeCall,
  takeInLane,
} from './call-messages.ts';
import type { Callers } from './callers.ts';
import { Distances } from './distances.ts';
import { EdgeSockets } from './edge-sockets.ts';
import { Handed } from './handed.ts';
import type { Activation } from './object-entry.ts';
import type { ObjectTable } from './object-table.ts';
import { PeerSessions } from './peer-sessions.ts';
import type { Placement } from './placement.ts';
import { RemoteSockets } from './remote-sockets.ts';
import type { RemoteSessions } from './session-router.ts';
import { SocketLanes } from './socket-lanes.ts';
import type { SocketTable } from './socket-table.ts';

export interface PeerLinksOptions {
  readonly network: Network;
  readonly placement: Placement;
  readonly coordinator: Coordinator;
  readonly sockets: SocketTable;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: {
    readonly gatherTimeoutMs: number;
    readonly socketSeekTimeoutMs: number;
    readonly socketWaitingBytesMax: number;
    readonly laneKeptBytesMax: number;
    readonly leaveTimeoutMs: number;
  };
  readonly objects: () => ObjectTable;
  readonly open: (
    object: ObjectRef,
    sink: FrameSink,
    accepted: (activation: Activation) => void,
    node: string,
  ) => FramePort;
  /** Another node needs the object's owner, and takes this one for it. */
  readonly needed: (object: ObjectRef) => void;
  /** Where objects move toward their callers. */
  readonly migration:
    | { readonly region: string; readonly pingMs: number; readonly callers: Callers }
    | undefined;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

/** Ends the part of a socket's name that names the node it was made on. */
const nodeEnd = '/';
const leaveLookMs = 10;

export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #peerSessions: PeerSessions;
  readonly #lanes: SocketLanes;
  readonly #edge: EdgeSockets;
  readonly #remote: RemoteSockets;
  readonly distances: Distances | undefined;
  readonly #handed: Handed;
  readonly #up = new Set<string>();
  readonly #regions = new Map<string, string>();
  /** Nodes that have not heard yet that this one is ending. */
  readonly #unheard = new Set<string>();

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    const { network, placement, coordinator, sockets, clock, timers, limits } = options;
    const send = (node: string, message: CallMessage) =>
      network.send(node, 'call', encodeCall(message));
    const sendOrEnd = (node: string, message: CallMessage) => this.#send(node, message);
    this.#peerSessions = new PeerSessions({
      send,
      sendOrEnd,
      timers,
      open: options.open,
      learned: (id, node, epoch) => placement.learn(id, node, epoch),
      notOwner: (id, node) => placement.forget(id, node),
      ownerOf: (id) => placement.remembered(id),
    });
    const isLive = (node: string) =>
      this.#up.has(node) || coordinator.nodes().some((other) => other.node === node);
    const lanes = new SocketLanes({
      network,
      timers,
      isLive,
      keptBytesMax: limits.laneKeptBytesMax,
      socketBytesMax: limits.socketWaitingBytesMax,
      awayMaxMs: limits.socketSeekTimeoutMs,
      events: {
        standing: (node) => this.#edge.standing(node),
        paused: (node) => this.#remote.paused(node),
        over: (node, why) => this.#onLaneOver(node, why),
      },
      bugs: options.bugs,
    });
    this.#lanes = lanes;
    this.#edge = new EdgeSockets({
      sockets,
      clock,
      timers,
      lanes,
      find: (object, delivery) => options.objects().deliver(object, 'socket', delivery),
      giveBack: (id) => options.objects().giveBackEvents(id),
      learned: (id, node, epoch) => placement.learn(id, node, epoch),
      newestEpoch: (id) => this.#newestEpoch(id),
      notOwner: (id, node) => placement.forget(id, node),
      bufferBytesMax: limits.socketWaitingBytesMax,
      seekTimeoutMs: limits.socketSeekTimeoutMs,
      settleTimeoutMs: limits.leaveTimeoutMs,
      adopted: (object, states) => this.#adopted(object, states),
    });
    this.#remote = new RemoteSockets({
      sockets,
      timers,
      lanes,
      epochOf: (id) => options.objects().status(id)?.epoch,
      reachable: () => this.#up,
      gatherTimeoutMs: limits.gatherTimeoutMs,
      adopted: (object, states) => this.#adopted(object, states),
    });
    this.#handed = new Handed(clock);
    const { migration } = options;
    this.distances =
      migration === undefined
        ? undefined
        : new Distances({
            region: migration.region,
            pingMs: migration.pingMs,
            coordinator,
            clock,
            timers,
            reachable: () => this.#up,
            send,
          });
    network.serve('call', {
      up: (peer) => {
        this.#up.add(peer.node);
        this.#lanes.up(peer);
        this.distances?.up(peer.node);
      },
      down: (peer) => this.#onDown(peer.node),
      message: (peer, bytes) => this.#onMessage(peer, bytes),
    });
    coordinator.watch((event) => {
      if (event.type !== 'nodes') return;
      this.#regions.clear();
      const live = new Set([...coordinator.nodes().map(({ node }) => node), ...this.#up]);
      this.#lanes.nodesChanged();
      this.distances?.nodesChanged(live);
    });
  }

  get sessions(): RemoteSessions {
    return {
      open: (node, object, sink) => {
        const { metrics } = this.#options;
        metrics.increment('forwarded_total', { to_region: this.#regionOf(node) });
        return this.#peerSessions.open(node, object, sink);
      },
    };
  }

  /** Remembered until the nodes change: asked for each session. */
  #regionOf(node: string): string {
    let region = this.#regions.get(node);
    if (region === undefined) {
      const { coordinator } = this.#options;
      region = coordinator.nodes().find((other) => other.node === node)?.region ?? '';
      this.#regions.set(node, region);
    }
    return region;
  }

  attach(socket: string, sink: SocketSink): SocketPort {
    const node = socket.slice(0, Math.max(0, socket.indexOf(nodeEnd)));
    const self = this.#options.coordinator.self?.node;
    const isElsewhere = node !== '' && node !== self && this.#up.has(node);
    const port = this.#edge.attach(socket, sink, isElsewhere ? node : undefined);
    const object = this.#options.sockets.describe(socket)?.object;
    // Left before its client came.
    if (object !== undefined && !this.#options.objects().owns(object.id)) this.left(object);
    return port;
  }

  /** Of the owners of an object, this node among them, as far as is known. */
  #newestEpoch(id: ObjectIdHex): Epoch | undefined {
    const own = this.#options.objects().status(id)?.epoch;
    const known = this.#options.placement.remembered(id)?.epoch;
    return own === undefined || (known !== undefined && known > own) ? known : own;
  }

  /** Before an object starts here under a new lease: its sockets, from wherever they are. */
  async gatherSockets(object: ObjectRef, epoch: Epoch): Promise<void> {
    const { timers, limits } = this.#options;
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = timers.after(limits.gatherTimeoutMs, resolve);
    });
    const own = Promise.race([this.#edge.drained(object, epoch), late]);
    const known = this.#handed.take(object.id);
    await Promise.all([this.#remote.gather(object, epoch, known), own]);
    timer?.cancel();
  }

  takeSockets(object: ObjectRef): void {
    this.#edge.takeHere(object);
  }

  /** The object is not here any more. */
  left(object: ObjectRef): void {
    this.#remote.left(object);
    this.#edge.detached(object.id);
    this.#edge.seek(object);
  }

  /**
   * Before this node ends: others are told to send nothing new, and what they have sent is answered.
   * Resolves when that is done, or has taken `leaveTimeoutMs`.
   */
  async leave(): Promise<void> {
    const { clock, timers, limits } = this.#options;
    const untilMs = clock.monotonicMs() + limits.leaveTimeoutMs;
    for (const node of this.#up) {
      this.#unheard.add(node);
      this.#send(node, { type: 'leaving' });
    }
    while (this.#unheard.size > 0 || this.#peerSessions.incomingCount > 0) {
      if (clock.monotonicMs() > untilMs) return;
      await new Promise<void>((resolve) => timers.after(leaveLookMs, resolve));
    }
  }

  /** Where the link does not take it, whoever needs the owner looks again. */
  wake(node: string, object: ObjectRef): void {
    const message = encodeCall({ type: 'wake', object, cause: 'alarm' });
    this.#options.network.send(node, 'call', message);
  }

  /** An event that waited for an object which is elsewhere by now. False where nobody knows its socket. */
  resend(object: ObjectRef, socket: string, event: SocketEvent): boolean {
    return this.#edge.resend(object, socket, event) || this.#remote.giveBack(socket, event);
  }

  /** Tells the next owner of an object what is known of it here, before the object is forgotten. */
  hand(node: string, { id }: ObjectRef, carried: CarriedCallers): void {
    const nodes = this.#remote.nodesOf(id);
    const self = this.#options.coordinator.self?.node;
    if (this.#edge.has(id) && self !== undefined) nodes.push(self);
    this.#send(node, { type: 'handing', id, nodes, carried });
  }

  get socketCount(): number {
    return this.#edge.size;
  }

  #adopted(object: ObjectRef, sockets: readonly SocketState[]): void {
    const active = this.#options.objects().activation(object.id);
    active?.executor.post({
      type: 'adopt-sockets',
      activation: active.number,
      sockets,
      autoResponse: this.#options.sockets.snapshot(object.id).autoResponse,
    });
  }

  #onDown(node: string): void {
    this.#up.delete(node);
    this.#unheard.delete(node);
    this.#options.placement.gone(node);
    this.#peerSessions.down(node);
    this.#lanes.down(node);
  }

  #onLaneOver(node: string, why: 'dead' | 'lost'): void {
    const { logger } = this.#options;
    logger.info('what was under way on sockets is given up', { peer: node, why });
    this.#remote.over(node);
    this.#edge.over(node, why);
  }

  /** What must not be left out while the link stands. */
  #send(node: string, message: CallMessage): void {
    this.#options.network.sendOrEnd(node, 'call', encodeCall(message));
  }

  #onMessage(peer: PeerRun, bytes: Uint8Array): void {
    let message: CallMessage | undefined;
    const counted = takeInLane(bytes);
    if (counted !== undefined && !this.#lanes.take(peer.node, bytes.length)) return;
    try {
      message = decodeCall(counted ?? bytes);
    } catch (error) {
      const fields = { peer: peer.node, error: String(error) };
      this.#options.logger.error('a peer sent a damaged message', fields);
      return;
    }
    if (message === undefined) return;
    switch (message.type) {
      case 'open':
      case 'frame':
      case 'close':
      case 'accepted':
      case 'reply':
      case 'ended':
        this.#peerSessions.onMessage(peer, message);
        return;
      case 'wake':
        this.#options.needed(message.object);
        return;
      case 'leaving':
        this.#options.placement.leaving(peer.node);
        this.#send(peer.node, { type: 'leaving-heard' });
        return;
      case 'leaving-heard':
        this.#unheard.delete(peer.node);
        return;
      case 'ping':
      case 'pong':
        this.distances?.onMessage(peer.node, message);
        return;
      case 'lane':
        this.#lanes.onGreeting(peer.node, message);
        return;
      case 'lane-taken':
        this.#lanes.onTaken(peer.node, message);
        return;
      case 'handing':
        this.#handed.add(message.id, message.nodes);
        this.#options.migration?.callers.expect(message.id, message.carried);
        return;
      default:
        this.#onSocketMessage(peer.node, message);
    }
  }

  #onSocketMessage(node: string, message: CallMessage): void {
    switch (message.type) {
      case 'attach':
        this.#remote.onAttach(node, message.socket);
        return;
      case 'event':
        this.#remote.onEvent(node, message);
        return;
      case 'auto-responded':
        this.#options.sockets.autoResponded(message.socket, message.atMs);
        return;
      case 'reattach':
        this.#onReattach(node, message);
        return;
      case 'taken':
        this.#remote.onTaken(node, message);
        return;
      case 'take':
        this.#onTake(node, message);
        return;
      case 'attached':
        this.#edge.onAttached(node, message);
        return;
      case 'gone':
        this.#edge.onGone(message.socket, message.isFull === true);
        return;
      case 'flush':
        this.#flush(node, message);
        return;
      case 'flushed':
        this.#edge.onFlushed(node, message);
        return;
      case 'returned':
        this.#edge.onReturned(node, message.socket, message.event);
        return;
      case 'reattached':
        this.#edge.onReattached(node, message);
        return;
      case 'not-here':
        this.#edge.onNotHere(node, message.object);
        return;
      case 'send':
        this.#edge.onSend(node, message.socket, message.data);
        return;
      case 'close-socket':
        this.#edge.onClose(node, message.socket, message.code, message.reason);
        return;
      case 'attachment':
        this.#edge.onAttachment(node, message.socket, message.attachment);
        return;
      case 'auto-response':
        this.#edge.onAutoResponse(node, message.object.id, message.pair);
        return;
      default:
    }
  }

  /**
   * Events that the object has not taken are given back first: once it has left, where it is on its way
   * out; at once, where there is a newer owner than this node, which may be the last to notice.
   */
  #flush(node: string, message: Extract<CallMessage, { type: 'flush' }>): void {
    const { object, epoch } = message;
    const objects = this.#options.objects();
    const mayOwn = this.#remote.mayOwn(object.id, epoch);
    if (mayOwn && objects.isLeaving(object.id)) {
      this.#options.timers.after(leaveLookMs, () => this.#flush(node, message));
      return;
    }
    if (!mayOwn) {
      this.#remote.left(object);
      this.#options.sockets.forget(object.id);
      objects.giveBackEvents(object.id);
    }
    this.#remote.onFlush(node, message);
  }

  /** A node that claims under an older lease than this one's gets nothing: it will find out. */
  #onTake(node: string, { object, epoch }: Extract<CallMessage, { type: 'take' }>): void {
    const newest = this.#newestEpoch(object.id);
    if (newest !== undefined && newest > epoch) {
      this.#lanes.sendOrEnd(node, { type: 'taken', object, epoch, sockets: [] });
      return;
    }
    this.#options.placement.learn(object.id, node, epoch);
    // Where this node was the owner: other nodes hear so before they are given back what waits here.
    if (this.#options.objects().status(object.id) !== undefined) this.#remote.left(object);
    this.#edge.onTake(node, object, epoch);
  }

  #onReattach(node: string, { object, sockets }: Extract<CallMessage, { type: 'reattach' }>): void {
    const offer = this.#remote.offered(node, object, sockets);
    const take = () => this.#remote.onOwned(offer);
    const notHere = () => this.#remote.onNotOwned(offer);
    if (this.#options.objects().status(object.id)?.state === 'asleep') take();
    else {
      this.#options.objects().deliver(object, 'socket', {
        isForwarded: true,
        from: node,
        deliver: take,
        forward: notHere,
        refuse: notHere,
      });
    }
  }
}
