/**
 * Moves objects of this node to others, for whatever reason, and counts how it ended.
 *
 * Called by the node: for operators, drains and whoever decides that an object is better off elsewhere.
 */
import type { Coordinator, Metrics, NodeInfo, ObjectIdHex } from '@homing/base';
import type { ObjectTable } from './object-table.ts';
import type { PlacementCluster } from './placement.ts';

/** Why an object moves; a label of `homing_migrations_total`. */
export type MoveReason = 'operator' | 'callers' | 'first_use' | 'drain';

/** To that node, or to whichever node of the region is best. */
export type MoveTarget = { readonly node: string } | { readonly region: string };

export interface MoveOutcome {
  /**
   * moved: another node owns the object; stayed: it was called off, and the object goes on here;
   * unknown: it may be there or here, and the next call finds out; refused: it was not tried.
   */
  readonly outcome: 'moved' | 'stayed' | 'unknown' | 'refused';
  /** The node it was moved to. */
  readonly node?: string | undefined;
  /** For people: why it was not moved. */
  readonly why?: string | undefined;
}

export interface MoverOptions {
  readonly coordinator: Coordinator;
  readonly cluster: PlacementCluster | undefined;
  readonly metrics: Metrics;
  readonly objects: ObjectTable;
}

/** A move within a replica set is called off when the object is on its way already. */
const attemptsMax = 5;

export class Mover {
  readonly #options: MoverOptions;

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async migrate(id: ObjectIdHex, target: MoveTarget, reason: MoveReason): Promise<MoveOutcome> {
    const result = await this.#move(id, target);
    this.#options.metrics.increment('migrations_total', { reason, outcome: result.outcome });
    return result;
  }

  async #move(id: ObjectIdHex, target: MoveTarget): Promise<MoveOutcome> {
    const { objects } = this.#options;
    if (!objects.owns(id)) return refused('the object is not on this node');
    const to = this.#choose(id, target);
    if ('outcome' in to) return to;
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      if (await objects.move(id, to)) return { outcome: 'moved', node: to.node };
      if (!objects.owns(id)) return { outcome: 'unknown', why: 'the object has left this node' };
    }
    return { outcome: 'stayed', why: 'the object could not be handed over: try again' };
  }

  #choose(id: ObjectIdHex, target: MoveTarget): NodeInfo | MoveOutcome {
    const { coordinator, cluster } = this.#options;
    const { self } = coordinator;
    const stores = cluster?.candidates(id) ?? [];
    const holders = coordinator.nodes().filter(({ storeId }) => stores.includes(storeId));
    if ('node' in target) {
      if (target.node === self?.node)
        return refused(`the object is on node ${target.node} already`);
      const node = holders.find((holder) => holder.node === target.node);
      return node ?? refused(`node ${target.node} holds no replica of the object`);
    }
    if (target.region === self?.region) {
      return refused(`the object is in region ${target.region} already`);
    }
    const node = holders.find(
      (holder) => holder.region === target.region && holder.draining !== true,
    );
    return node ?? refused(`no node of region ${target.region} holds a replica of the object`);
  }
}

function refused(why: string): MoveOutcome {
  return { outcome: 'refused', why };
}
