/**
 * Moves objects of this node to others, for whatever reason, and counts how it ended. Within a replica
 * set the object changes hands; to another region it is copied first, as `Migration` decides.
 *
 * Called by the node: for operators, drains and whoever decides that an object is better off elsewhere.
 */
import type {
  Coordinator,
  Metrics,
  NodeInfo,
  ObjectIdHex,
  ShardAssignment,
  Timers,
} from '@homing/base';
import { type DeliberateBugs, isQuorum, mayLiveIn, storesOf } from '@homing/protocol';
import { coordinatorAnswers } from './coordinator-answers.ts';
import type { MoveLimits, MoveOutcome, MoveReason, MoveTarget } from './moves.ts';
import type { ObjectTable } from './object-table.ts';
import type { PlacementCluster } from './placement.ts';
import { RegionMove } from './region-move.ts';

export interface MoverOptions {
  readonly coordinator: Coordinator;
  readonly cluster: PlacementCluster | undefined;
  readonly timers: Timers;
  readonly metrics: Metrics;
  readonly objects: ObjectTable;
  readonly limits: MoveLimits;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

/** A move within a replica set is called off when the object is on its way already. */
const attemptsMax = 5;

export class Mover {
  readonly #options: MoverOptions;
  #moving = 0;
  #firstMoves = 0;
  #turn = 0;

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  /**
   * Never rejects. What runs past its time is cut off where `isForced`; where not, the move is called
   * off, as for an object that holds connections which cannot outlive its memory.
   */
  async migrate(
    id: ObjectIdHex,
    target: MoveTarget,
    reason: MoveReason,
    isForced = false,
  ): Promise<MoveOutcome> {
    const result = await this.#move(id, target, reason, isForced);
    this.#options.metrics.increment('migrations_total', { reason, outcome: result.outcome });
    return result;
  }

  /**
   * Hands over an object whose replica here is to go, to a node with one of the stores. Never rejects; it
   * stays where none of these nodes can be reached. What runs past its time is cut off.
   */
  async vacate(id: ObjectIdHex, stores: readonly string[]): Promise<void> {
    const { coordinator, objects, metrics } = this.#options;
    const takers = coordinator
      .nodes()
      .filter((node) => node.draining !== true && stores.includes(node.storeId))
      .filter((node) => this.#reaches(node));
    const taker = takers[this.#turn++ % Math.max(1, takers.length)];
    if (taker === undefined || !(await this.#mayLeave(id))) return;
    const outcome = (await objects.move(id, taker)) ? 'moved' : 'stayed';
    metrics.increment('migrations_total', { reason: 'set_change', outcome });
  }

  /** Gives the object up once it is at rest: whoever needs it next claims it, under a newer epoch. */
  async renew(id: ObjectIdHex): Promise<void> {
    if (await this.#mayLeave(id)) await this.#options.objects.move(id, undefined, false);
  }

  async #move(
    id: ObjectIdHex,
    target: MoveTarget,
    reason: MoveReason,
    isForced: boolean,
  ): Promise<MoveOutcome> {
    const { objects } = this.#options;
    const home = objects.status(id)?.home;
    if (home === undefined) return refused('the object is not on this node');
    const to = this.#choose(id, home, target);
    if ('outcome' in to) return to;
    if (to.home !== home) return this.#moveHome(id, to, reason, isForced);
    if (!(await this.#mayLeave(id))) {
      return { outcome: 'stayed', why: 'the coordinator does not answer: try again' };
    }
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      if (await objects.move(id, to.node, isForced))
        return { outcome: 'moved', node: to.node.node };
      if (!objects.owns(id)) return { outcome: 'unknown', why: 'the object has left this node' };
    }
    return { outcome: 'stayed', why: 'the object could not be handed over: try again' };
  }

  #mayLeave(id: ObjectIdHex): Promise<boolean> {
    return coordinatorAnswers(this.#options, id).catch(() => false);
  }

  async #moveHome(
    id: ObjectIdHex,
    { node, home, set }: Destination,
    reason: MoveReason,
    isForced: boolean,
  ): Promise<MoveOutcome> {
    const { limits } = this.#options;
    const isFirst = reason === 'first_use';
    if (
      isFirst ? this.#firstMoves >= limits.firstMovesMax : this.#moving >= limits.regionMovesMax
    ) {
      return refused('as many objects are moving to other regions as may at a time: try again');
    }
    if (isFirst) this.#firstMoves += 1;
    else this.#moving += 1;
    const move = new RegionMove({ ...this.#options, id, node, home, set, isFirst, isForced });
    const outcome = await move.run();
    if (isFirst) this.#firstMoves -= 1;
    else this.#moving -= 1;
    return outcome;
  }

  #choose(id: ObjectIdHex, from: string, target: MoveTarget): Destination | MoveOutcome {
    const { coordinator, cluster } = this.#options;
    const live = coordinator.nodes();
    const named = 'node' in target ? live.find(({ node }) => node === target.node) : undefined;
    const home = 'node' in target ? named?.region : target.region;
    if ('node' in target && target.node === coordinator.self?.node) {
      return refused(`the object is on node ${target.node} already`);
    }
    if (home === undefined) return refused('there is no such node');
    if ('region' in target && home === from) {
      return refused(`the object is in region ${home} already`);
    }
    const list = cluster?.regions();
    if (list === undefined || !mayLiveIn(id, home, list)) {
      return refused(`the object may not live in region ${home}`);
    }
    const set = cluster?.setOf(home, id);
    if (set === undefined) return refused(`region ${home} has no replicas assigned`);
    const stores = cluster?.candidates(home, id) ?? [];
    const holders = live.filter(({ storeId }) => stores.includes(storeId));
    const node =
      named === undefined
        ? holders.find((holder) => holder.draining !== true && this.#reaches(holder))
        : holders.find((holder) => holder.node === named.node);
    if (node === undefined) {
      return refused(
        named === undefined
          ? `no node of region ${home} that holds a replica of the object can be reached`
          : `node ${named.node} holds no replica of the object`,
      );
    }
    return home === from ? { node, home, set } : this.#checkReach({ node, home, set }, from, id);
  }

  /** A copy needs a majority of the other set, none of which is in the object's own. */
  #checkReach(to: Destination, from: string, id: ObjectIdHex): Destination | MoveOutcome {
    const { coordinator, cluster } = this.#options;
    const own = cluster?.setOf(from, id);
    const mine = own === undefined ? [] : storesOf(own);
    if (storesOf(to.set).some((store) => mine.includes(store))) {
      return refused('a store holds replicas for both regions: its node has changed its region');
    }
    const reached = new Set(
      coordinator
        .nodes()
        .filter((node) => this.#reaches(node))
        .map(({ storeId }) => storeId),
    );
    if (isQuorum(to.set, (store) => reached.has(store))) return to;
    return refused(`no majority of the object’s replicas in region ${to.home} can be reached`);
  }

  #reaches({ node }: NodeInfo): boolean {
    return this.#options.cluster?.network.peer(node, 'log') !== undefined;
  }
}

interface Destination {
  readonly node: NodeInfo;
  readonly home: string;
  readonly set: ShardAssignment;
}

function refused(why: string): MoveOutcome {
  return { outcome: 'refused', why };
}
