/**
 * The elected controller's work, on whichever node it is: assigns shards to stores when nodes come.
 * What is decided is `planAssignments`; here it meets events and time. A write that fails, or whose
 * outcome is unknown, is planned anew from what is read back.
 */
import type { Coordinator, Logger, ShardAssignment, Timer, Timers } from '@homing/base';
import { planAssignments } from '@homing/protocol';

export interface ControllerOptions {
  readonly coordinator: Coordinator;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly region: string;
  readonly shardCount: number;
  readonly factor: number;
  /**
   * How long no node must have come before shards are assigned for the first time, and for good: the
   * nodes of a cluster that starts come one after the other.
   */
  readonly settleMs: number;
  /** Assignments that this node's disk knows of: they stand where etcd has forgotten them. */
  readonly remembered: () => readonly ShardAssignment[];
}

/** Shards written at once: what a transaction takes. */
const batchMax = 64;

export class Controller {
  readonly #options: ControllerOptions;
  #isBusy = false;
  #isStopped = false;
  #nodes = '';
  #settling: Timer | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    options.coordinator.watch(({ type }) => {
      if (type === 'nodes' || type === 'controller' || type === 'shards') this.#look();
    });
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    this.#settling?.cancel();
  }

  /** False, and looks again later, while nodes are still coming. */
  #hasSettled(): boolean {
    const { coordinator, timers, settleMs } = this.#options;
    const nodes = coordinator
      .nodes()
      .map(({ storeId }) => storeId)
      .sort()
      .join();
    if (nodes === this.#nodes) return this.#settling === undefined;
    this.#nodes = nodes;
    this.#settling?.cancel();
    this.#settling = timers.after(settleMs, () => {
      this.#settling = undefined;
      this.#look();
    });
    return false;
  }

  #look(): void {
    if (this.#isBusy || this.#isStopped || !this.#options.coordinator.isController) return;
    const { coordinator, region, shardCount, factor } = this.#options;
    const changes = planAssignments({
      nodes: coordinator.nodes(),
      shards: coordinator.shards(),
      region,
      shardCount,
      factor,
      remembered: this.#options.remembered(),
    });
    if (changes.length === 0 || !this.#hasSettled()) return;
    this.#isBusy = true;
    const { logger, timers } = this.#options;
    coordinator.assign(changes.slice(0, batchMax)).then(
      (isWritten) => {
        this.#isBusy = false;
        if (isWritten) logger.info('shards assigned', { shards: changes.length });
        timers.after(100, () => this.#look());
      },
      (error: unknown) => {
        this.#isBusy = false;
        logger.warn('shards could not be assigned', { error: String(error) });
        timers.after(1000, () => this.#look());
      },
    );
  }
}
