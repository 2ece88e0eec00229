/**
 * One object on its way to another region: carries out what `Migration` decides, on the object table,
 * the object's log and the coordinator.
 *
 * Made by `Mover` for each move.
 */
import {
  type Coordinator,
  HomingError,
  type NodeInfo,
  type ObjectIdHex,
  type OwnedLog,
  type ShardAssignment,
  type Staging,
  type Timers,
  type VersionedShard,
} from '@homing/base';
import {
  type DeliberateBugs,
  defaultHome,
  Migration,
  type MigrationEffect,
  type MigrationInput,
  shardKey,
} from '@homing/protocol';
import { coordinatorAnswers } from './coordinator-answers.ts';
import type { MoveLimits, MoveOutcome } from './moves.ts';
import type { ObjectTable } from './object-table.ts';
import type { PlacementCluster } from './placement.ts';

export interface RegionMoveOptions {
  readonly id: ObjectIdHex;
  /** The next owner. */
  readonly node: NodeInfo;
  readonly home: string;
  /** The set that the object is copied to. */
  readonly set: ShardAssignment;
  /** It was never used: it waits from the beginning. */
  readonly isFirst: boolean;
  readonly isForced: boolean;
  readonly coordinator: Coordinator;
  readonly cluster: PlacementCluster | undefined;
  readonly timers: Timers;
  readonly objects: ObjectTable;
  readonly limits: MoveLimits;
  readonly bugs?: DeliberateBugs | undefined;
}

export class RegionMove {
  readonly #options: RegionMoveOptions;
  readonly #migration: Migration;
  #log: OwnedLog | undefined;
  #staging: Staging | undefined;
  /** The other stores have forgotten objects under a newer epoch than this one's. */
  #isFenced = false;
  #ended: (outcome: MoveOutcome) => void = () => {};

  constructor(options: RegionMoveOptions) {
    const { isFirst: isFrozen, bugs } = options;
    this.#options = options;
    this.#migration = new Migration({ isFrozen, bugs });
  }

  /** Resolves when it is over. Never rejects. */
  async run(): Promise<MoveOutcome> {
    const { objects, coordinator, id, set, node, isFirst, limits } = this.#options;
    const frozen = isFirst ? await this.#freezeTable() : undefined;
    this.#log = frozen ?? objects.logOf(id);
    if (this.#log === undefined || this.#log.isOver) {
      return { outcome: 'stayed', why: 'the object is on its way already' };
    }
    const over = new Promise<MoveOutcome>((resolve) => {
      this.#ended = resolve;
    });
    this.#staging = this.#log.stage(set, node.storeId);
    const { near } = this.#staging;
    // One that was never used has nothing to copy, and its first callers wait.
    if (isFirst) this.#wait(near, limits.moveSettleTimeoutMs, { type: 'near' });
    else {
      const begins = near.then(() => this.#answered());
      this.#wait(begins, limits.moveCopyTimeoutMs, { type: 'near' });
    }
    const watching = coordinator.watch(() => this.#checkTarget());
    const outcome = await over;
    watching.stop();
    // Under its next epoch it can move: whoever needs it next claims it.
    if (this.#isFenced && outcome.outcome === 'stayed') {
      await this.#answered().then(
        () => objects.move(id, undefined, false),
        () => false,
      );
    }
    return outcome;
  }

  async #answered(): Promise<void> {
    await coordinatorAnswers(this.#options, this.#options.id);
  }

  /** Tells the migration of `met`, or of what kept it from coming. */
  #wait(promise: Promise<void>, timeoutMs: number, met: MigrationInput): void {
    const timer = this.#options.timers.after(timeoutMs, () => {
      this.#step({ type: 'failed', why: 'the other region’s stores take too long' });
    });
    promise.then(
      () => {
        timer.cancel();
        this.#step(met);
      },
      (error: unknown) => {
        timer.cancel();
        const why = error instanceof HomingError ? error.message : String(error);
        this.#isFenced ||= error instanceof HomingError && error.code === 'fenced';
        this.#step({ type: 'failed', why });
      },
    );
  }

  /** A copy that could not be switched to any more is waited for no longer. */
  #checkTarget(): void {
    if (this.#migration.phase !== 'copying') return;
    const { coordinator, node, set } = this.#options;
    const isThere = coordinator
      .nodes()
      .some((other) => other.node === node.node && other.storeId === node.storeId);
    if (!isThere) this.#step({ type: 'failed', why: `node ${node.node} is gone` });
    else if ((this.#shard?.assignment.generation ?? 0) > set.generation) {
      this.#step({ type: 'failed', why: 'the replica set there has changed' });
    }
  }

  /** That of the set which the object is copied to, as the coordinator has it. */
  get #shard(): VersionedShard | undefined {
    const { coordinator, set } = this.#options;
    return coordinator.shards().get(shardKey(set.region, set.shard));
  }

  #step(input: MigrationInput): void {
    for (const effect of this.#migration.step(input)) this.#carryOut(effect);
  }

  #carryOut(effect: MigrationEffect): void {
    const { objects, id } = this.#options;
    switch (effect.type) {
      case 'freeze':
        void this.#freeze();
        return;
      case 'settle':
        this.#settle();
        return;
      case 'switch':
        void this.#switch();
        return;
      case 'unstage':
        this.#staging?.cancel();
        return;
      case 'thaw':
        if (this.#log !== undefined) objects.thaw(id, this.#log);
        return;
      case 'end':
        this.#end(effect);
        return;
      default:
      // `leave` and `let-go` came with the hand-over.
    }
  }

  #end({ outcome, why }: Extract<MigrationEffect, { type: 'end' }>): void {
    const { node } = this.#options.node;
    this.#ended(outcome === 'moved' ? { outcome, node } : { outcome, why });
  }

  #freezeTable(): Promise<OwnedLog | undefined> {
    const { objects, id, isForced, limits } = this.#options;
    return objects.freeze(id, { timeoutMs: limits.moveFreezeTimeoutMs, isForced });
  }

  async #freeze(): Promise<void> {
    const log = await this.#freezeTable();
    if (log === this.#log) this.#step({ type: 'frozen' });
    else if (log === undefined) this.#step({ type: 'busy' });
    else {
      // Owned anew meanwhile: the copy was another log's.
      this.#options.objects.thaw(this.#options.id, log);
      this.#step({ type: 'failed', why: 'the object’s lease was renewed' });
    }
  }

  #settle(): void {
    const { limits } = this.#options;
    const log = this.#log;
    const staging = this.#staging;
    if (log === undefined || staging === undefined || log.isOver) {
      this.#step({ type: 'failed', why: 'the object’s lease was lost' });
      return;
    }
    // A copy of nothing would be older than whatever may lie there of an earlier life.
    if (log.isEmpty) log.append([]);
    const settled = log.settled().then(() => staging.settled());
    this.#wait(settled, limits.moveSettleTimeoutMs, { type: 'settled' });
  }

  async #switch(): Promise<void> {
    const { objects, id, node, home, set, cluster } = this.#options;
    const shard = this.#shard;
    const list = cluster?.regions();
    const log = this.#log;
    const isSame = shard?.assignment.generation === set.generation;
    if (log === undefined || list === undefined || shard === undefined || !isSame) {
      this.#step({ type: 'not-switched' });
      return;
    }
    const isDefault = defaultHome(id, list) === home;
    const outcome = await objects.handOver(id, log, node, { home, isDefault, shard });
    const inputs = { given: 'switched', kept: 'not-switched', unknown: 'switch-unknown' } as const;
    this.#step({ type: inputs[outcome] });
  }
}
