/**
 * Which nodes each region has, for how long they have been the same, and how long ago a new one came.
 * What comes and goes in one region does not disturb what is decided of another.
 *
 * Owned by the controller.
 */
import type { MonotonicMs } from '@homing/base';

interface Members {
  readonly stores: string;
  /** Since when these are there, and no others. */
  readonly sameSinceMs: MonotonicMs;
  /** All that were there since the region last had none. */
  readonly known: Set<string>;
  /** When one came that was not known. */
  readonly grownAtMs: MonotonicMs;
}

export class RegionNodes {
  readonly #regions = new Map<string, Members>();

  /** All live nodes, whenever they may have changed. */
  observe(
    live: readonly { readonly region: string; readonly storeId: string }[],
    nowMs: MonotonicMs,
  ): void {
    const storesOf = new Map<string, string[]>();
    for (const { region, storeId } of live) {
      const stores = storesOf.get(region);
      if (stores === undefined) storesOf.set(region, [storeId]);
      else stores.push(storeId);
    }
    for (const region of [...this.#regions.keys()]) {
      if (!storesOf.has(region)) this.#regions.delete(region);
    }
    for (const [region, list] of storesOf) {
      const stores = list.sort().join();
      const before = this.#regions.get(region);
      if (before?.stores === stores) continue;
      const known = before?.known ?? new Set();
      const isGrown = list.some((store) => !known.has(store));
      for (const store of list) known.add(store);
      const grownAtMs = before === undefined || isGrown ? nowMs : before.grownAtMs;
      this.#regions.set(region, { stores, sameSinceMs: nowMs, known, grownAtMs });
    }
  }

  /** This node does not see who is there. */
  forget(): void {
    this.#regions.clear();
  }

  /** How long the region’s nodes have been the same; 0 where there is none. */
  sameForMs(region: string, nowMs: MonotonicMs): number {
    return nowMs - (this.#regions.get(region)?.sameSinceMs ?? nowMs);
  }

  /** How long the region has had a node, and no new one; 0 where there is none. */
  notGrownForMs(region: string, nowMs: MonotonicMs): number {
    return nowMs - (this.#regions.get(region)?.grownAtMs ?? nowMs);
  }
}
