/**
 * The cluster's list of regions on this node's disk: where every object is at home by default follows
 * from it, so that an etcd which has forgotten it must be given it back, and never another.
 */
import type { Coordinator, Logger, RegionList, Store } from '@homing/base';

export interface RegionNoteOptions {
  readonly store: Store;
  readonly coordinator: Coordinator;
  /** The cluster's prefix in etcd. */
  readonly cluster: string;
  readonly logger: Logger;
}

export class RegionNote {
  readonly #options: RegionNoteOptions;
  readonly #name: string;
  #written: string;

  constructor(options: RegionNoteOptions) {
    this.#options = options;
    this.#name = `regions ${options.cluster}`;
    this.#written = Buffer.from(options.store.note(this.#name) ?? []).toString();
    options.coordinator.watch(({ type }) => {
      if (type === 'regions') this.keep(options.coordinator.regions()?.list);
    });
    this.keep(options.coordinator.regions()?.list);
  }

  /** As last seen, in this run or an earlier one. */
  list(): RegionList | undefined {
    const seen = this.#options.coordinator.regions()?.list;
    if (seen !== undefined) return seen;
    return this.#written === '' ? undefined : (JSON.parse(this.#written) as RegionList);
  }

  /** Lists only grow: the longer one is the newer. */
  keep(list: RegionList | undefined): void {
    if (list === undefined) return;
    const text = JSON.stringify(list);
    if (text.length <= this.#written.length) return;
    this.#written = text;
    const { store, logger } = this.#options;
    store.putNote(this.#name, Buffer.from(text)).catch((error: unknown) => {
      logger.error('the list of regions was not written down', { error: String(error) });
    });
  }
}
