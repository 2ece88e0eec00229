/**
 * The elected controller's work, on whichever node it is: assigns shards to stores when nodes come.
 * What is decided is `planAssignments`; here it meets events and time. A write that fails, or whose
 * outcome is unknown, is planned anew from what is read back.
 */
import type { Clock, Coordinator, Logger, Timers } from '@homing/base';
import { planAssignments } from '@homing/protocol';

export interface ControllerOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly region: string;
  readonly shardCount: number;
  readonly factor: number;
  /** How long to wait for `factor` nodes before shards are assigned to fewer. */
  readonly bootstrapWaitMs: number;
}

/** Shards written at once: what a transaction takes. */
const batchMax = 64;

export class Controller {
  readonly #options: ControllerOptions;
  readonly #startedMs: number;
  #isBusy = false;
  #isStopped = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
    options.coordinator.watch(({ type }) => {
      if (type === 'nodes' || type === 'controller' || type === 'shards') this.#look();
    });
    options.timers.after(options.bootstrapWaitMs, () => this.#look());
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #look(): void {
    if (this.#isBusy || this.#isStopped || !this.#options.coordinator.isController) return;
    const { coordinator, clock, region, shardCount, factor, bootstrapWaitMs } = this.#options;
    const changes = planAssignments({
      nodes: coordinator.nodes(),
      shards: coordinator.shards(),
      region,
      shardCount,
      factor,
      isComplete: clock.monotonicMs() - this.#startedMs >= bootstrapWaitMs,
    });
    if (changes.length === 0) return;
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
