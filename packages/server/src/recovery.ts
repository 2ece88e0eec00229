/**
 * What a node needs to go on with another etcd: the replica sets that it has adopted, which are
 * on its disk, and the greatest epoch that anything on its disk may have. `homing recover` collects both from
 * the nodes, makes sure that they are enough of them, and tells each to trust the etcd there is.
 *
 * Nothing is claimed before that: an epoch granted by an etcd that has forgotten the old ones could be
 * lower than what replicas have promised, and assignments made anew could name other stores.
 */
import type {
  Coordinator,
  Epoch,
  ObjectIdHex,
  RegionList,
  ShardAssignment,
  Store,
} from '@homing/base';
import type { ClusterFacts, EtcdCoordinatorExtras } from '@homing/coordinator';
import type { Replication } from '@homing/replication';
import type { DiskIdentity } from './disk-identity.ts';
import type { RegionNote } from './region-note.ts';
import { CommandError } from './usage-error.ts';

/** What a node says of itself before a recovery; plain data. */
export interface RecoveryState {
  readonly node: string;
  readonly storeId: string;
  /** True where the node refuses the etcd it finds. */
  readonly refused: boolean;
  /** In decimal digits. */
  readonly highest: string;
  readonly shards: readonly ShardAssignment[];
  /** Undefined where it never heard of any. */
  readonly regions?: RegionList | undefined;
}

export interface RecoveryOptions {
  readonly node: string;
  readonly replication: Replication;
  readonly store: Store;
  readonly coordinator: Coordinator & EtcdCoordinatorExtras;
  readonly identity: DiskIdentity;
  /** Written again where etcd has lost them. */
  readonly facts: ClusterFacts;
  readonly regions: RegionNote;
}

export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  state(): RecoveryState {
    const { node, store, coordinator, replication } = this.#options;
    return {
      node,
      storeId: store.storeId,
      refused: coordinator.refused,
      highest: String(highestOn(store, coordinator.highestEpoch())),
      shards: [...replication.sets().values()],
      regions: this.#options.regions.list(),
    };
  }

  /**
   * Resolves when this node claims again, under epochs greater than `highest`, and goes by `shards`,
   * the newest that any of the nodes knows.
   */
  async recover(highest: Epoch, shards: readonly ShardAssignment[]): Promise<void> {
    const { store, coordinator, identity, replication } = this.#options;
    replication.adopt(shards);
    const own = highestOn(store, coordinator.highestEpoch());
    await coordinator.recover(own > highest ? own : highest);
    await coordinator.registerStart(store.starts);
    await coordinator.agreedFacts(this.#options.facts);
    await identity.trust();
  }
}

const pageHeads = 1000;

/** The greatest of what etcd granted as far as is known here, and of all promises on the disk. */
function highestOn(store: Store, granted: Epoch): Epoch {
  let highest = granted;
  let after: ObjectIdHex | undefined;
  for (;;) {
    const heads = store.heads({ after, limit: pageHeads });
    for (const { promised } of heads) if (promised > highest) highest = promised;
    after = heads.at(-1)?.id;
    if (heads.length < pageHeads) return highest;
  }
}

export interface RecoveryPlan {
  readonly highest: Epoch;
  /** Of each shard the assignment of the greatest generation. */
  readonly shards: readonly ShardAssignment[];
}

/**
 * The epoch to go on above, and the assignments to go by, from what all asked nodes say. Throws
 * `CommandError` when they are not a majority of every shard's stores, since the ones that are missing
 * may know more.
 */
export function planRecovery(states: readonly RecoveryState[]): RecoveryPlan {
  const regions = new Set(states.flatMap((state) => state.regions?.regions ?? []));
  if (regions.size > 1) {
    throw new CommandError(
      'this cluster has several regions, and only the etcd that was lost knew which objects had moved ' +
        'between them: restore a backup of etcd that is as it was when it ended, or ask for help.',
    );
  }
  const stores = new Set(states.map(({ storeId }) => storeId));
  const shards = new Map<string, ShardAssignment>();
  for (const state of states) {
    for (const shard of state.shards) {
      const key = `${shard.region}/${shard.shard}`;
      if ((shards.get(key)?.generation ?? 0) < shard.generation) shards.set(key, shard);
    }
  }
  for (const { members, next } of shards.values()) {
    for (const list of next === undefined ? [members] : [members, next]) {
      const present = list.filter((store) => stores.has(store)).length;
      if (present * 2 > list.length) continue;
      throw new CommandError(
        `these nodes hold ${present} of the ${list.length} replicas of some objects: a majority is ` +
          'needed. Start more of the nodes, and name the admin address of each with --admin.',
      );
    }
  }
  const highest = states.reduce((greatest, state) => {
    const own = BigInt(state.highest) as Epoch;
    return own > greatest ? own : greatest;
  }, 0n as Epoch);
  return { highest, shards: [...shards.values()] };
}
