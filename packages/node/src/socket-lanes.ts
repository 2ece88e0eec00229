/**
 * The lanes to other nodes: what is said about sockets goes by them, and is neither lost nor doubled
 * when a link breaks and comes back, as long as both processes live.
 *
 * Invariants: while the lane to a node stands, or will again, nothing that was put on it is left out and
 * nothing overtakes. Once it is over, which `over` says, whoever counted on it starts anew: the other
 * process is dead (`dead`), or it was away for too long, or too much was kept for it (`lost`).
 * What is kept for one socket while a lane does not stand is bounded, and so is all that is kept.
 *
 * Made by the peer links. `Lane` counts.
 */
import type { Network, PeerRun, Timer, Timers } from '@homing/base';
import { type DeliberateBugs, Lane, type LaneGreeting } from '@homing/protocol';
import { type CallMessage, encodeCall, encodeInLane } from './call-messages.ts';

export interface SocketLanesOptions {
  readonly network: Network;
  readonly timers: Timers;
  /** Whether a node has a session, or can be reached. */
  readonly isLive: (node: string) => boolean;
  /** Bytes kept for one node. */
  readonly keptBytesMax: number;
  /** Bytes kept for one socket while the lane does not stand. */
  readonly socketBytesMax: number;
  /** How long a node whose process lives may be away. */
  readonly awayMaxMs: number;
  readonly events: {
    /** What waited is on its way: there is room for more. */
    standing(node: string): void;
    /** The link is gone; the lane may go on with the next one. */
    paused(node: string): void;
    over(node: string, why: 'dead' | 'lost'): void;
  };
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

interface NodeLane {
  readonly node: string;
  /** The process at the other end. */
  readonly run: string;
  readonly lane: Lane;
  /** Ends the wait for a node that is away. */
  away: Timer | undefined;
  /** Looks again whether the link takes more. */
  room: Timer | undefined;
  /** Tells the other end what was taken. */
  telling: Timer | undefined;
}

/** Messages taken, or bytes, after which the other end is told at once; else within the delay. */
const tellMessages = 64;
const tellBytes = 256 * 1024;
const tellDelayMs = 200;
const roomLookMs = 20;
/** Beyond the bound of what is kept, for small messages that must not be left out. */
const reserveBytes = 1024 * 1024;

export class SocketLanes {
  readonly #options: SocketLanesOptions;
  readonly #lanes = new Map<string, NodeLane>();

  constructor(options: SocketLanesOptions) {
    this.#options = options;
  }

  // ── The link ───────────────────────────────────────────────────────────────────────────────

  /** A link stands; the first message on it is to be the greeting. */
  up({ node, run }: PeerRun): void {
    let found = this.#lanes.get(node);
    if (found?.run !== run) {
      if (found !== undefined) this.#over(found, 'dead');
      const lane = new Lane(this.#options.bugs);
      found = { node, run, lane, away: undefined, room: undefined, telling: undefined };
      this.#lanes.set(node, found);
    }
    found.lane.up();
    this.#greet(found);
  }

  down(node: string): void {
    const { isLive, timers, awayMaxMs, events } = this.#options;
    const found = this.#lanes.get(node);
    if (found === undefined || found.lane.state === 'down') return;
    found.lane.down();
    events.paused(node);
    if (!isLive(node)) {
      this.#over(found, 'dead');
      return;
    }
    found.away ??= timers.after(awayMaxMs, () => this.#over(found, 'lost'));
  }

  /** Nodes without a session or a link are dead. */
  nodesChanged(): void {
    for (const found of [...this.#lanes.values()]) {
      const isAway = found.lane.state === 'down';
      if (isAway && !this.#options.isLive(found.node)) this.#over(found, 'dead');
    }
  }

  onGreeting(node: string, greeting: LaneGreeting): void {
    const found = this.#lanes.get(node);
    if (found === undefined) return;
    const greeted = found.lane.greeted(greeting);
    if (greeted === 'ignored') return;
    if (greeted === 'broken') {
      this.#over(found, 'lost');
      return;
    }
    found.away?.cancel();
    found.away = undefined;
    if (greeted === 'renewed') {
      this.#greet(found);
      this.#options.events.over(node, 'lost');
    }
    this.#pump(found);
    this.#options.events.standing(node);
  }

  #greet({ node, lane }: NodeLane): void {
    const message = encodeCall({ type: 'lane', ...lane.greeting });
    this.#options.network.sendOrEnd(node, 'call', message);
  }

  /** What was kept is given up. The lane begins anew, at once where there is a link. */
  #over(found: NodeLane, why: 'dead' | 'lost'): void {
    const { node, lane } = found;
    for (const timer of [found.away, found.room, found.telling]) timer?.cancel();
    found.away = undefined;
    found.room = undefined;
    found.telling = undefined;
    lane.renew();
    if (lane.state !== 'down') this.#greet(found);
    this.#options.events.over(node, why);
  }

  // ── To the other node ──────────────────────────────────────────────────────────────────────

  isStanding(node: string): boolean {
    return this.#lanes.get(node)?.lane.state === 'standing';
  }

  /** False where there is no link, or no room: then it is left out. */
  send(node: string, message: CallMessage): boolean {
    const found = this.#lanes.get(node);
    if (found === undefined || found.lane.state === 'down') return false;
    return this.#put(found, encodeInLane(message), undefined);
  }

  /** As `send`, but it waits for a link. False where there is no room, in all or for the socket. */
  keep(node: string, message: CallMessage, socket?: string): boolean {
    const found = this.#lanes.get(node);
    if (found === undefined) return false;
    const bytes = encodeInLane(message);
    const { socketBytesMax } = this.#options;
    const waiting = socket === undefined ? 0 : found.lane.waitingBytes(socket) + bytes.length;
    return waiting <= socketBytesMax && this.#put(found, bytes, socket);
  }

  /** As `keep`, for a small message that must not be left out: where there is no room the lane is lost. */
  sendOrEnd(node: string, message: CallMessage): void {
    const found = this.#lanes.get(node);
    if (found === undefined) return;
    const { lane } = found;
    const bytes = encodeInLane(message);
    if (lane.keptBytes + bytes.length > this.#options.keptBytesMax + reserveBytes) {
      this.#over(found, 'lost');
      return;
    }
    const isNext = lane.state === 'standing' && lane.next() === undefined;
    lane.put(bytes);
    if (!isNext) return;
    // Where the link does not take it, it ends, and the next one does.
    this.#options.network.sendOrEnd(node, 'call', bytes);
    lane.sent();
  }

  #put(found: NodeLane, bytes: Uint8Array, socket: string | undefined): boolean {
    const { node, lane } = found;
    if (lane.keptBytes + bytes.length > this.#options.keptBytesMax) return false;
    if (lane.state !== 'standing' || lane.next() !== undefined) {
      lane.put(bytes, socket);
      return true;
    }
    if (!this.#options.network.send(node, 'call', bytes)) return false;
    lane.put(bytes, socket);
    lane.sent();
    return true;
  }

  /** Gives the link what waits, as far as it has room. */
  #pump(found: NodeLane): void {
    const { network, timers } = this.#options;
    const { node, lane } = found;
    found.room = undefined;
    for (let bytes = lane.next(); bytes !== undefined; bytes = lane.next()) {
      if (!network.send(node, 'call', bytes)) {
        found.room = timers.after(roomLookMs, () => this.#pump(found));
        return;
      }
      lane.sent();
    }
  }

  // ── From the other node ────────────────────────────────────────────────────────────────────

  /** Whether a message that came in the lane is to be heard. */
  take(node: string, bytes: number): boolean {
    const found = this.#lanes.get(node);
    if (found?.lane.take(bytes) !== true) return false;
    const { untold } = found.lane;
    if (untold.messages >= tellMessages || untold.bytes >= tellBytes) this.#tell(found);
    else found.telling ??= this.#options.timers.after(tellDelayMs, () => this.#tell(found));
    return true;
  }

  onTaken(node: string, { life, taken }: LaneGreeting): void {
    const found = this.#lanes.get(node);
    if (found === undefined) return;
    if (!found.lane.acknowledge(life, taken)) this.#over(found, 'lost');
  }

  #tell(found: NodeLane): void {
    const { node, lane } = found;
    found.telling?.cancel();
    found.telling = undefined;
    if (lane.state !== 'standing' || lane.untold.messages === 0) return;
    const message = encodeCall({ type: 'lane-taken', ...lane.greeting });
    // Where it is left out the next one says it too.
    if (this.#options.network.send(node, 'call', message)) lane.told();
  }
}
