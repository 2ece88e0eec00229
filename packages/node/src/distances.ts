/**
 * Measures how far this node is from every other: pings on the `call` links, which carry along what
 * this node has measured so far, so that each knows the distances between all regions.
 *
 * Called by the peer links. `Migrator` reads it.
 */
import type { Clock, Coordinator, Timer, Timers } from '@homing/base';
import { RegionDistances } from '@homing/protocol';
import type { CallMessage } from './call-messages.ts';

export interface DistancesOptions {
  /** Of this node. */
  readonly region: string;
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly pingMs: number;
  readonly reachable: () => Iterable<string>;
  readonly send: (node: string, message: CallMessage) => boolean;
}

export class Distances {
  readonly regions: RegionDistances;
  readonly #options: DistancesOptions;
  #timer: Timer | undefined;

  constructor(options: DistancesOptions) {
    this.#options = options;
    this.regions = new RegionDistances(options.region);
    this.#pingAll();
  }

  /** A link stands: its distance is measured at once. */
  up(node: string): void {
    this.#ping(node);
  }

  onMessage(node: string, message: Extract<CallMessage, { type: 'ping' | 'pong' }>): void {
    const { send, clock } = this.#options;
    const region = this.#regionOf(node);
    if (message.type === 'ping') {
      // One ping that is left out is one sample less.
      send(node, { type: 'pong', sentMs: message.sentMs });
      if (region !== undefined) this.regions.told(node, region, message.row);
    } else if (region !== undefined) {
      this.regions.measured(node, region, clock.monotonicMs() - message.sentMs);
    }
  }

  /** The nodes there are have changed. */
  nodesChanged(live: ReadonlySet<string>): void {
    for (const node of this.regions.nodes()) if (!live.has(node)) this.regions.forget(node);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #pingAll(): void {
    const { timers, pingMs, reachable } = this.#options;
    for (const node of reachable()) this.#ping(node);
    this.#timer = timers.after(pingMs, () => this.#pingAll());
  }

  #ping(node: string): void {
    const { send, clock } = this.#options;
    send(node, { type: 'ping', sentMs: clock.monotonicMs(), row: this.regions.row() });
  }

  #regionOf(node: string): string | undefined {
    return this.#options.coordinator.nodes().find((other) => other.node === node)?.region;
  }
}
