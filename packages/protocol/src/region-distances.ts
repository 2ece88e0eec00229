/**
 * How far regions are from each other, measured: the round trips of heartbeats between nodes. Each
 * node measures its own row and tells it to the others, so that an owner in one region knows how far
 * two others are from each other.
 *
 * A peer's distance is the median of its last samples: a pause of either end, or a link that was
 * busy, leaves it as it is. A distance that nobody has measured is undefined, and nothing is moved
 * on its account.
 *
 * Pure. Fed by the node.
 */

const samplesKept = 9;

/** What one node says of its region: round trips to others, in milliseconds. */
export type DistanceRow = ReadonlyMap<string, number>;

interface Peer {
  readonly region: string;
  readonly samples: number[];
  next: number;
}

export class RegionDistances {
  readonly #self: string;
  readonly #peers = new Map<string, Peer>();
  readonly #told = new Map<string, { readonly region: string; readonly row: DistanceRow }>();

  /** `self`: the region of this node. */
  constructor(self: string) {
    this.#self = self;
  }

  /** A round trip of this node to `node`. */
  measured(node: string, region: string, roundTripMs: number): void {
    let peer = this.#peers.get(node);
    if (peer?.region !== region) {
      peer = { region, samples: [], next: 0 };
      this.#peers.set(node, peer);
    }
    peer.samples[peer.next] = roundTripMs;
    peer.next = (peer.next + 1) % samplesKept;
  }

  /** What another node has measured. */
  told(node: string, region: string, row: DistanceRow): void {
    this.#told.set(node, { region, row });
  }

  /** The node is not of the cluster any more. */
  forget(node: string): void {
    this.#peers.delete(node);
    this.#told.delete(node);
  }

  /** Those that something is known of. */
  nodes(): Set<string> {
    return new Set([...this.#peers.keys(), ...this.#told.keys()]);
  }

  /** What this node has measured: the mean of its distances to a region's nodes. */
  row(): DistanceRow {
    const sums = new Map<string, { ms: number; count: number }>();
    for (const { region, samples } of this.#peers.values()) {
      const sum = sums.get(region) ?? { ms: 0, count: 0 };
      sums.set(region, { ms: sum.ms + median(samples), count: sum.count + 1 });
    }
    return new Map([...sums].map(([region, { ms, count }]) => [region, ms / count]));
  }

  /** The round trip between two regions, or inside one; undefined where nobody has measured it. */
  between(a: string, b: string): number | undefined {
    let sum = 0;
    let count = 0;
    const take = (region: string, row: DistanceRow) => {
      const ms = region === a ? row.get(b) : region === b ? row.get(a) : undefined;
      if (ms === undefined) return;
      sum += ms;
      count++;
    };
    take(this.#self, this.row());
    for (const { region, row } of this.#told.values()) take(region, row);
    if (count > 0) return sum / count;
    // A region of one node, where an object is where its callers are.
    return a === b ? 0 : undefined;
  }
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
