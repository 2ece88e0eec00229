/**
 * The distance between regions that a trial on one machine lacks: half of `simulatedRttMs` each way,
 * on links with nodes of other regions. etcd and clients are as near as they are.
 *
 * Made by the composition root for the links; a node's region is known once etcd has told of it.
 */
import type { Coordinator } from '@homing/base';

export class RegionDelay {
  readonly #region: string;
  readonly #oneWayMs: number;
  readonly #delayMs = new Map<string, number>();

  constructor(region: string, rttMs: number) {
    this.#region = region;
    this.#oneWayMs = rttMs / 2;
  }

  follow(coordinator: Coordinator): void {
    if (this.#oneWayMs === 0) return;
    const look = () => {
      for (const { node, region } of coordinator.nodes()) {
        this.#delayMs.set(node, region === this.#region ? 0 : this.#oneWayMs);
      }
    };
    coordinator.watch(({ type }) => {
      if (type === 'nodes') look();
    });
    look();
  }

  /** Of what comes from the node, in milliseconds. */
  of(node: string): number {
    return this.#delayMs.get(node) ?? 0;
  }
}
