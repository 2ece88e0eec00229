/**
 * The elected controller's work, on whichever node it is: assigns shards to stores, and changes replica
 * sets when nodes come, are gone for long, or come back with another disk, and where their copies lie
 * unevenly. What is decided is
 * `planAssignments`; here it meets events and time. A write that fails, or whose outcome is unknown, is
 * planned anew from what is read back.
 *
 * Every node watches who is away, so that one that becomes the controller knows for how long; one that
 * has just started counts from its start.
 *
 * Made by the server and the simulator.
 */
import type {
  Clock,
  Coordinator,
  Logger,
  MonotonicMs,
  ShardAssignment,
  Timer,
  Timers,
  VersionedShard,
} from '@homing/base';
import {
  type DeliberateBugs,
  isChanging,
  planAssignments,
  shardKey,
  storesOf,
} from '@homing/protocol';
import { RegionNodes } from './region-nodes.ts';
import type { Replication } from './replication.ts';

export interface ControllerLimits {
  /** How long no node must have come before shards are assigned or sets grow: nodes come in turn. */
  readonly settleMs: number;
  /** How long no new node must have come before shards are assigned to fewer than `factor`. */
  readonly assignDelayMs: number;
  /** How long a store may be away before its copies are made anew elsewhere. */
  readonly rebuildDelayMs: number;
  /** Shards whose sets change at the same time. */
  readonly changesMax: number;
  /** How long no node must have come or gone before copies are moved that lie unevenly. */
  readonly balanceDelayMs: number;
  /** How far from an even share a store may be, as `planAssignments` has it. */
  readonly balancePercent: number;
  /** How long a leaver may take to hand over what it owns, once a set has two lists. */
  readonly vacateTimeoutMs: number;
  /** How often to look where no event says so. */
  readonly lookMs: number;
}

export interface ControllerOptions {
  readonly coordinator: Coordinator;
  readonly replication: Pick<Replication, 'sets' | 'standingOf'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Of each its nodes' stores hold the replica sets. */
  readonly regions: () => readonly string[];
  readonly shardCount: number;
  readonly factor: number;
  readonly limits: ControllerLimits;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

/** Shards written at once: what a transaction takes. */
const batchMax = 64;

export class Controller {
  readonly #options: ControllerOptions;
  #isBusy = false;
  #isStopped = false;
  readonly #nodes = new RegionNodes();
  /** Stores of replica sets that no live node has, and since when. */
  readonly #awaySinceMs = new Map<string, MonotonicMs>();
  /** The store that each node was last seen with. */
  readonly #storeOf = new Map<string, string>();
  /** Which generation of two lists each shard has, and since when. */
  readonly #joint = new Map<
    string,
    { readonly generation: number; readonly sinceMs: MonotonicMs }
  >();
  /** Stores whose node came back with another one. */
  readonly #replaced = new Set<string>();
  #timer: Timer | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    options.coordinator.watch(({ type }) => {
      if (type === 'nodes' || type === 'controller' || type === 'shards') this.look();
      if (type === 'regions') this.look();
    });
    this.#lookLater();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Something has changed that a decision may depend on. */
  look(): void {
    if (this.#isStopped) return;
    this.#observe();
    if (this.#isBusy || !this.#options.coordinator.isController) return;
    const changes = this.#plan();
    if (changes.length === 0) return;
    this.#isBusy = true;
    const { coordinator, logger, timers } = this.#options;
    coordinator.assign(changes.slice(0, batchMax)).then(
      (isWritten) => {
        this.#isBusy = false;
        if (isWritten) logger.info('replica sets written', { shards: changes.length });
        timers.after(100, () => this.look());
      },
      (error: unknown) => {
        this.#isBusy = false;
        logger.warn('replica sets could not be written', { error: String(error) });
        timers.after(1000, () => this.look());
      },
    );
  }

  #plan(): readonly VersionedShard[] {
    const { coordinator, regions, limits } = this.#options;
    const changes: VersionedShard[] = [];
    let begun = 0;
    for (const region of regions()) {
      for (const change of this.#planRegion(region, limits.changesMax - begun)) {
        changes.push(change);
        const { region: name, shard } = change.assignment;
        const present = coordinator.shards().get(shardKey(name, shard))?.assignment;
        const hasBegun = present !== undefined && isChanging(present);
        if (isChanging(change.assignment) && !hasBegun) begun += 1;
      }
    }
    return changes;
  }

  #planRegion(region: string, changesMax: number): readonly VersionedShard[] {
    const { coordinator, replication, clock, limits, bugs } = this.#options;
    const { shardCount, factor } = this.#options;
    const nowMs = clock.monotonicMs();
    const sameForMs = this.#nodes.sameForMs(region, nowMs);
    return planAssignments({
      nodes: coordinator.nodes().filter((node) => node.region === region),
      shards: coordinator.shards(),
      region,
      shardCount,
      factor,
      remembered: [...replication.sets().values()],
      isGathering: sameForMs < limits.settleMs,
      takesFewer: this.#nodes.notGrownForMs(region, nowMs) >= limits.assignDelayMs,
      isCalm: sameForMs >= Math.max(limits.settleMs, limits.balanceDelayMs),
      balancePercent: limits.balancePercent,
      isGone: (store) => {
        const sinceMs = this.#awaySinceMs.get(store);
        if (sinceMs === undefined) return false;
        return this.#replaced.has(store) || nowMs - sinceMs >= limits.rebuildDelayMs;
      },
      standingOf: (shard, store, generation) => {
        const standing = replication.standingOf(shard, store, generation);
        return { ...standing, isVacated: standing.isVacated || this.#isLate(shard, generation) };
      },
      changesMax,
      bugs,
    });
  }

  #observe(): void {
    const { coordinator, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const live = coordinator.nodes();
    // A node that is cut off from the coordinator sees nobody, and learns nothing.
    if (coordinator.self === undefined) {
      this.#awaySinceMs.clear();
      this.#nodes.forget();
      return;
    }
    this.#nodes.observe(live, nowMs);
    const stores = new Set(live.map(({ storeId }) => storeId));
    for (const { node, storeId } of live) {
      const before = this.#storeOf.get(node);
      if (before !== undefined && before !== storeId) this.#replaced.add(before);
      this.#storeOf.set(node, storeId);
    }
    for (const store of [...this.#awaySinceMs.keys()]) {
      if (stores.has(store)) this.#awaySinceMs.delete(store);
    }
    for (const store of stores) this.#replaced.delete(store);
    for (const { assignment } of coordinator.shards().values()) {
      this.#watch(assignment, stores, nowMs);
      this.#time(assignment, nowMs);
    }
  }

  #time(assignment: ShardAssignment, nowMs: MonotonicMs): void {
    const { region, shard, generation, next } = assignment;
    const key = shardKey(region, shard);
    if (next === undefined) this.#joint.delete(key);
    else if (this.#joint.get(key)?.generation !== generation) {
      this.#joint.set(key, { generation, sinceMs: nowMs });
    }
  }

  /** Whether leavers have had their time. */
  #isLate(shard: string, generation: number): boolean {
    const { clock, limits } = this.#options;
    const joint = this.#joint.get(shard);
    if (joint?.generation !== generation) return false;
    return clock.monotonicMs() - joint.sinceMs >= limits.vacateTimeoutMs;
  }

  #watch(assignment: ShardAssignment, live: ReadonlySet<string>, nowMs: MonotonicMs): void {
    for (const store of storesOf(assignment)) {
      if (!live.has(store) && !this.#awaySinceMs.has(store)) this.#awaySinceMs.set(store, nowMs);
    }
  }

  #lookLater(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.timers.after(this.#options.limits.lookMs, () => {
      this.look();
      this.#lookLater();
    });
  }
}
