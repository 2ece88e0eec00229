/**
 * Keeps the cluster's list of regions, on whichever node is the elected controller: begins it when the
 * nodes that start have come, and takes in regions that come later. What is decided is `nextRegions`.
 *
 * Made by the server and the simulator.
 */
import type { Coordinator, Logger, RegionList, Timer, Timers } from '@homing/base';
import { nextRegions, type RegionPlan } from '@homing/protocol';

export interface RegionKeeperOptions {
  readonly coordinator: Coordinator;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly plan: RegionPlan;
  /** How long no node must have come before the list is begun: its first regions are so for good. */
  readonly settleMs: number;
  /** The list as this node's disk knows it: it stands where the coordinator has forgotten it. */
  readonly remembered: () => RegionList | undefined;
}

const retryMs = 1000;

export class RegionKeeper {
  readonly #options: RegionKeeperOptions;
  #nodes = '';
  #timer: Timer | undefined;
  #isBusy = false;
  #isStopped = false;

  constructor(options: RegionKeeperOptions) {
    this.#options = options;
    options.coordinator.watch(({ type }) => {
      if (type === 'nodes' || type === 'controller' || type === 'regions') this.#look();
    });
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #look(): void {
    const { coordinator, plan, logger, remembered } = this.#options;
    if (this.#isBusy || this.#isStopped || !coordinator.isController) return;
    const present = coordinator.regions();
    const known = present?.list ?? remembered();
    const live = coordinator.nodes().map(({ region }) => region);
    const { list, refused } = nextRegions(known, live, plan);
    const wanted = list ?? (present === undefined ? known : undefined);
    if (wanted === undefined || !this.#hasSettled(known !== undefined)) return;
    if (refused.length > 0) {
      logger.error('regions or jurisdictions whose names clash with others: name them otherwise', {
        refused,
      });
    }
    this.#isBusy = true;
    coordinator.setRegions({ list: wanted, revision: present?.revision ?? 0n }).then(
      (isWritten) => {
        this.#isBusy = false;
        if (isWritten) logger.info('regions written', { regions: wanted.regions });
        this.#lookAfter(retryMs);
      },
      (error: unknown) => {
        this.#isBusy = false;
        logger.warn('the regions could not be written', { error: String(error) });
        this.#lookAfter(retryMs);
      },
    );
  }

  /** False, and looks again later, while nodes are still coming to begin the list. */
  #hasSettled(isBegun: boolean): boolean {
    const { coordinator, plan, settleMs } = this.#options;
    if (isBegun || plan.regions.length > 0) return true;
    const stores = coordinator.nodes().map(({ storeId }) => storeId);
    const nodes = stores.sort().join();
    if (nodes === this.#nodes) return this.#timer === undefined;
    this.#nodes = nodes;
    this.#lookAfter(settleMs);
    return false;
  }

  #lookAfter(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = this.#options.timers.after(delayMs, () => {
      this.#timer = undefined;
      this.#look();
    });
  }
}
