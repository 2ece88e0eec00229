/**
 * Links between simulated processes. As in production a link is reliable and in order while it
 * stands: what is lost is lost with the link. Messages are delayed; a partition holds them up in one
 * direction or both, and breaks the link after a while, as keep-alives would.
 */
import type { LinkPurpose, Network, NetworkHandler, PeerRun } from '@homing/base';
import type { SeededRandom } from './random.ts';
import type { Process, World } from './world.ts';

export interface NetworkFaults {
  /** One way, in milliseconds. */
  readonly delayMs: readonly [number, number];
  /** After so long of silence a link is given up. */
  readonly keepaliveMs: number;
  /** How long until a link that can stand does. */
  readonly reconnectMs: readonly [number, number];
}

interface End {
  readonly peer: PeerRun;
  readonly process: Process;
  readonly handlers: Map<LinkPurpose, NetworkHandler>;
  /** By the other's node and purpose. */
  readonly links: Map<string, Link>;
}

interface Link {
  readonly ends: readonly [End, End];
  readonly purpose: LinkPurpose;
  isUp: boolean;
  /** What is on its way from each end, oldest first, and when it arrives. */
  readonly onWay: readonly [Parcel[], Parcel[]];
}

interface Parcel {
  readonly atMs: number;
  readonly message: Uint8Array;
}

export class SimNetwork {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #faults: NetworkFaults;
  readonly #ends = new Map<string, End>();
  /** Directions that are cut, as `from>to`. */
  readonly #cut = new Set<string>();

  constructor(world: World, random: SeededRandom, faults: NetworkFaults) {
    this.#world = world;
    this.#random = random;
    this.#faults = faults;
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
      peer: (node, purpose) => {
        const link = end.links.get(keyOf(node, purpose));
        return link?.ends.find((other) => other !== end)?.peer;
      },
      close: async () => this.leave(peer.node),
    };
  }

  /** The node's process is gone; others notice as they would a closed connection. */
  leave(node: string): void {
    const end = this.#ends.get(node);
    if (end === undefined) return;
    this.#ends.delete(node);
    for (const link of [...end.links.values()]) this.#break(link);
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    const end = this.#ends.get(from);
    for (const purpose of ['log', 'call'] as const) {
      const link = end?.links.get(keyOf(to, purpose));
      if (link === undefined) continue;
      this.#world.at(this.#faults.keepaliveMs, () => {
        if (link.isUp && this.#isCut(link)) this.#break(link);
      });
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  #isCut({ ends: [a, b] }: Link): boolean {
    const [one, other] = [a.peer.node, b.peer.node];
    return this.#cut.has(`${one}>${other}`) || this.#cut.has(`${other}>${one}`);
  }

  #connectLater(a: End, b: End, purpose: LinkPurpose): void {
    const [low, high] = this.#faults.reconnectMs;
    this.#world.at(this.#random.between(low, high), () => this.#connect(a, b, purpose));
  }

  #connect(a: End, b: End, purpose: LinkPurpose): void {
    const isThere = (end: End) =>
      this.#ends.get(end.peer.node) === end && end.process.isAlive && end.handlers.has(purpose);
    if (!isThere(a) || !isThere(b) || a.links.has(keyOf(b.peer.node, purpose))) return;
    const link: Link = { ends: [a, b], purpose, isUp: true, onWay: [[], []] };
    if (this.#isCut(link) || !a.process.isRunning || !b.process.isRunning) {
      this.#connectLater(a, b, purpose);
      return;
    }
    a.links.set(keyOf(b.peer.node, purpose), link);
    b.links.set(keyOf(a.peer.node, purpose), link);
    a.handlers.get(purpose)?.up(b.peer);
    b.handlers.get(purpose)?.up(a.peer);
  }

  #break(link: Link): void {
    if (!link.isUp) return;
    link.isUp = false;
    const [a, b] = link.ends;
    for (const [end, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const key = keyOf(other.peer.node, link.purpose);
      if (end.links.get(key) === link) end.links.delete(key);
      end.process.run(() => end.handlers.get(link.purpose)?.down(other.peer));
    }
    this.#connectLater(a, b, link.purpose);
  }

  #send(end: End, node: string, purpose: LinkPurpose, message: Uint8Array): boolean {
    const link = end.links.get(keyOf(node, purpose));
    if (link === undefined || !link.isUp) return false;
    const side = link.ends[0] === end ? 0 : 1;
    const parcels = link.onWay[side];
    const [low, high] = this.#faults.delayMs;
    const soonestMs = this.#world.nowMs + this.#random.between(low, high);
    // Order is kept whatever the delays.
    const atMs = Math.max(parcels.at(-1)?.atMs ?? 0, soonestMs);
    parcels.push({ atMs, message });
    if (parcels.length === 1) this.#deliverLater(link, side);
    return true;
  }

  #deliverLater(link: Link, side: 0 | 1): void {
    const [first] = link.onWay[side];
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
    const parcel = link.onWay[side].shift();
    if (parcel !== undefined) {
      to.process.run(() => {
        if (link.isUp) to.handlers.get(link.purpose)?.message(from.peer, parcel.message);
      });
    }
    this.#deliverLater(link, side);
  }
}

function keyOf(node: string, purpose: LinkPurpose): string {
  return `${node}/${purpose}`;
}
