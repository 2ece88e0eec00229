/**
 * Links between simulated processes. As in production a link is reliable and in order while it
 * stands: what is lost is lost with the link. Messages are delayed; a partition holds them up in one
 * direction or both, and breaks the link after a while, as keep-alives would. A process learns that
 * its link is gone only when it runs: until then it sends into the void, and reads what had arrived.
 */
import type { LinkPurpose, Network, NetworkHandler, PeerRun } from '@homing/base';
import type { SeededRandom } from './random.ts';
import type { Process, World } from './world.ts';

export interface NetworkFaults {
  /** One way, in milliseconds. */
  readonly delayMs: readonly [number, number];
  /** Share of messages that take up to `keepaliveMs` longer. */
  readonly slowShare?: number;
  /** After so long of silence a link is given up. */
  readonly keepaliveMs: number;
  /** How long until a link that can stand does. */
  readonly reconnectMs: readonly [number, number];
  /** What one direction of a link holds, and one message more; past it `send` takes nothing. */
  readonly bufferBytesMax?: number;
}

/** Hears of every message that arrives; of an empty one when a link stands, and none when it breaks. */
export type NetworkObserver = (
  from: string,
  to: string,
  purpose: LinkPurpose,
  message: Uint8Array | undefined,
) => void;

interface End {
  readonly peer: PeerRun;
  readonly process: Process;
  readonly handlers: Map<LinkPurpose, NetworkHandler>;
  /** By the other's node and purpose: what this process believes to have. */
  readonly links: Map<string, Link>;
}

interface Link {
  readonly ends: readonly [End, End];
  readonly purpose: LinkPurpose;
  isUp: boolean;
  /** A message that must not be left out was not taken: it breaks with this turn. */
  isFull: boolean;
  /** What is on its way from each end, oldest first. */
  readonly onWay: readonly [Way, Way];
}

interface Way {
  readonly parcels: Parcel[];
  bytes: number;
  /** Of these, what must not be left out. */
  keptBytes: number;
}

interface Parcel {
  readonly atMs: number;
  readonly message: Uint8Array;
  readonly isKept: boolean;
}

export class SimNetwork {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #faults: NetworkFaults;
  readonly #ends = new Map<string, End>();
  /** Directions that are cut, as `from>to`. */
  readonly #cut = new Set<string>();
  readonly #connecting = new Set<string>();
  #isHealed = false;
  readonly #observe: NetworkObserver;
  readonly #apartMs: (from: string, to: string) => number;

  constructor(
    world: World,
    random: SeededRandom,
    faults: NetworkFaults,
    observe: NetworkObserver = () => {},
    /** What a message takes longer between two nodes that are far apart. */
    apartMs: (from: string, to: string) => number = () => 0,
  ) {
    this.#world = world;
    this.#random = random;
    this.#faults = faults;
    this.#observe = observe;
    this.#apartMs = apartMs;
  }

  /** The network of a process, in place of an earlier one of the same node. */
  join(peer: PeerRun, process: Process): Network {
    this.leave(peer.node);
    const end: End = { peer, process, handlers: new Map(), links: new Map() };
    this.#ends.set(peer.node, end);
    return {
      serve: (purpose, handler) => {
        end.handlers.set(purpose, handler);
        for (const other of this.#ends.values()) {
          if (other !== end) this.#connectLater(end, other, purpose);
        }
      },
      setPeers: () => {},
      send: (node, purpose, message) => this.#send(end, node, purpose, message),
      sendOrEnd: (node, purpose, message) => this.#sendOrEnd(end, node, purpose, message),
      peer: (node, purpose) => {
        const link = end.links.get(keyOf(node, purpose));
        return link?.ends.find((other) => other !== end)?.peer;
      },
      close: async () => this.leave(peer.node),
    };
  }

  /** The node's process is gone; others notice at once, or by its silence. */
  leave(node: string): void {
    const end = this.#ends.get(node);
    if (end === undefined) return;
    this.#ends.delete(node);
    const { keepaliveMs } = this.#faults;
    for (const link of [...end.links.values()]) {
      const isHeard = this.#random.chance(0.5) && !this.#isCut(link);
      if (isHeard) this.#break(link);
      else this.#world.at(this.#random.between(0, keepaliveMs), () => this.#break(link));
    }
  }

  /** The node's process has stopped answering: others give its links up, or it goes on in time. */
  silence(node: string): void {
    const end = this.#ends.get(node);
    for (const link of [...(end?.links.values() ?? [])]) {
      this.#world.at(this.#faults.keepaliveMs, () => {
        if (end?.process.isRunning === false) this.#break(link);
      });
    }
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    const end = this.#ends.get(from);
    for (const purpose of ['log', 'call'] as const) {
      const link = end?.links.get(keyOf(to, purpose));
      if (link === undefined) continue;
      this.#world.at(this.#faults.keepaliveMs, () => {
        if (this.#isCut(link)) this.#break(link);
      });
    }
  }

  mend(from: string, to: string): void {
    this.#cut.delete(`${from}>${to}`);
  }

  /** Nothing is cut, and no message slow, from now on. */
  heal(): void {
    this.#cut.clear();
    this.#isHealed = true;
  }

  #isCut({ ends: [a, b] }: Link): boolean {
    const [one, other] = [a.peer.node, b.peer.node];
    return this.#cut.has(`${one}>${other}`) || this.#cut.has(`${other}>${one}`);
  }

  #connectLater(a: End, b: End, purpose: LinkPurpose): void {
    const key = [a.peer.run, b.peer.run].sort().join('>') + purpose;
    if (this.#connecting.has(key)) return;
    this.#connecting.add(key);
    const [low, high] = this.#faults.reconnectMs;
    this.#world.at(this.#random.between(low, high), () => {
      this.#connecting.delete(key);
      this.#connect(a, b, purpose);
    });
  }

  #connect(a: End, b: End, purpose: LinkPurpose): void {
    const isThere = (end: End) =>
      this.#ends.get(end.peer.node) === end && end.process.isAlive && end.handlers.has(purpose);
    if (!isThere(a) || !isThere(b)) return;
    const link: Link = {
      ends: [a, b],
      purpose,
      isUp: true,
      isFull: false,
      onWay: [newWay(), newWay()],
    };
    const [fromA, fromB] = [keyOf(b.peer.node, purpose), keyOf(a.peer.node, purpose)];
    const old = [a.links.get(fromA), b.links.get(fromB)];
    if (old[0] !== undefined && old[0] === old[1] && old[0].isUp) return;
    const isPossible = !this.#isCut(link) && a.process.isRunning && b.process.isRunning;
    // A link of an earlier process gives way to one of the present.
    if (isPossible) for (const before of old) if (before !== undefined) this.#break(before);
    if (!isPossible || a.links.has(fromA) || b.links.has(fromB)) {
      this.#connectLater(a, b, purpose);
      return;
    }
    a.links.set(fromA, link);
    b.links.set(fromB, link);
    this.#observe(a.peer.node, b.peer.node, purpose, noBytes);
    a.handlers.get(purpose)?.up(b.peer);
    b.handlers.get(purpose)?.up(a.peer);
  }

  #break(link: Link): void {
    if (!link.isUp) return;
    link.isUp = false;
    const [a, b] = link.ends;
    this.#observe(a.peer.node, b.peer.node, link.purpose, undefined);
    for (const [end, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const key = keyOf(other.peer.node, link.purpose);
      end.process.run(() => {
        if (end.links.get(key) !== link) return;
        end.links.delete(key);
        end.handlers.get(link.purpose)?.down(other.peer);
      });
    }
    this.#connectLater(a, b, link.purpose);
  }

  #send(
    end: End,
    node: string,
    purpose: LinkPurpose,
    message: Uint8Array,
    isKept = false,
  ): boolean {
    const link = end.links.get(keyOf(node, purpose));
    if (link === undefined) return false;
    if (link.isFull) return false;
    if (!link.isUp) return true;
    const side = link.ends[0] === end ? 0 : 1;
    const way = link.onWay[side];
    const { delayMs, slowShare, keepaliveMs } = this.#faults;
    if (!this.#hasRoom(way, isKept)) return false;
    const [low, high] = delayMs;
    const isSlow = !this.#isHealed && this.#random.chance(slowShare ?? 0);
    const extraMs = isSlow ? this.#random.between(0, keepaliveMs) : 0;
    const farMs = extraMs + this.#apartMs(end.peer.node, node);
    const soonestMs = this.#world.nowMs + this.#random.between(low, high) + farMs;
    // Order is kept whatever the delays.
    const atMs = Math.max(way.parcels.at(-1)?.atMs ?? 0, soonestMs);
    way.parcels.push({ atMs, message, isKept });
    way.bytes += message.length;
    if (isKept) way.keptBytes += message.length;
    if (way.parcels.length === 1) this.#deliverLater(link, side);
    return true;
  }

  /**
   * The reserve is for what must not be left out, and for nothing else. In production a message that would
   * take a link past its bound is not taken, unless the link is empty, and none is longer than that by more
   * than a header. Here bounds are small beside messages, and the last one goes past: it is not counted.
   * Were it, nodes that send each other pages would end their link by the answers each time, and no copy
   * would ever be whole.
   */
  #hasRoom({ bytes, keptBytes }: Way, isKept: boolean): boolean {
    const { bufferBytesMax = Number.POSITIVE_INFINITY } = this.#faults;
    if (!isKept) return bytes <= bufferBytesMax;
    return bytes <= bufferBytesMax + reserveBytes || keptBytes <= reserveBytes;
  }

  #sendOrEnd(end: End, node: string, purpose: LinkPurpose, message: Uint8Array): void {
    const link = end.links.get(keyOf(node, purpose));
    if (link === undefined || link.isFull) return;
    if (this.#send(end, node, purpose, message, true)) return;
    link.isFull = true;
    this.#world.at(0, () => this.#break(link));
  }

  #deliverLater(link: Link, side: 0 | 1): void {
    const [first] = link.onWay[side].parcels;
    if (first === undefined) return;
    this.#world.at(first.atMs - this.#world.nowMs, () => this.#deliver(link, side));
  }

  #deliver(link: Link, side: 0 | 1): void {
    if (!link.isUp) return;
    const from = link.ends[side];
    const to = link.ends[side === 0 ? 1 : 0];
    if (this.#cut.has(`${from.peer.node}>${to.peer.node}`)) {
      // Held up, not lost: it comes when the partition heals before the link is given up.
      this.#world.at(this.#faults.keepaliveMs / 4, () => this.#deliver(link, side));
      return;
    }
    const way = link.onWay[side];
    const parcel = way.parcels.shift();
    if (parcel !== undefined) {
      way.bytes -= parcel.message.length;
      if (parcel.isKept) way.keptBytes -= parcel.message.length;
      const key = keyOf(from.peer.node, link.purpose);
      to.process.run(() => {
        if (to.links.get(key) !== link) return;
        this.#observe(from.peer.node, to.peer.node, link.purpose, parcel.message);
        to.handlers.get(link.purpose)?.message(from.peer, parcel.message);
      });
    }
    this.#deliverLater(link, side);
  }
}

/** What a full link still takes of messages that must not be left out. */
const reserveBytes = 500;
const noBytes = new Uint8Array();

function newWay(): Way {
  return { parcels: [], bytes: 0, keptBytes: 0 };
}

function keyOf(node: string, purpose: LinkPurpose): string {
  return `${node}/${purpose}`;
}
