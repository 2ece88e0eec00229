/**
 * What a node needs to go on with another etcd: the replica sets that it has adopted, which are
 * on its disk, and the greatest epoch that anything on its disk may have. `homing recover` collects both from
 * the nodes, makes sure that they are enough of them, and tells each to trust the etcd there is. Where there
 * are several regions it has the homes of objects written first (`recovered-homes.ts`).
 *
 * Nothing is claimed before that: an epoch granted by an etcd that has forgotten the old ones could be
 * lower than what replicas have promised, and assignments made anew could name other stores.
 */
import {
  type Coordinator,
  type Epoch,
  epochRevision,
  makeEpoch,
  type ObjectIdHex,
  type ObjectRef,
  type RegionList,
  type ShardAssignment,
  type Store,
} from '@homing/base';
import type { ClusterFacts, EtcdCoordinatorExtras, RecoveredHome } from '@homing/coordinator';
import { storesOf } from '@homing/protocol';
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
  readonly shardsPerRegion: number;
}

/** What a node holds of one object; plain data, epochs in decimal digits. */
export interface HeldObject {
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly name: string | null;
  readonly promised: string;
  /** Of the store, for ids like this one. */
  readonly floor: string;
  readonly quarantined: boolean;
  readonly epoch: string;
  readonly lsn: number;
  /** Under which the node owns it, where it does. */
  readonly owned: string | null;
}

export interface HeldPage {
  /** In the order of ids. */
  readonly held: readonly HeldObject[];
  /** The last id that the page covers; null where there is no more. */
  readonly until: ObjectIdHex | null;
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
  /** Under which this node owns the object, where it does. */
  readonly ownedUnder: (object: ObjectRef) => Epoch | undefined;
  readonly shardsPerRegion: number;
}

export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** As of now: an etcd that was wiped a moment ago is refused. Rejects where etcd does not answer. */
  async report(): Promise<RecoveryState> {
    await this.#options.coordinator.inspect();
    return this.state();
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
      shardsPerRegion: this.#options.shardsPerRegion,
    };
  }

  /** What this node holds of the objects after an id. */
  held(after: ObjectIdHex | undefined): HeldPage {
    const { store, ownedUnder } = this.#options;
    const heads = store.heads({ after, limit: pageHeads });
    const held = heads.map(({ namespace, id, name, promised, last, isQuarantined }): HeldObject => {
      const owned = ownedUnder({ namespace, id });
      return {
        namespace,
        id,
        name: name ?? null,
        promised: String(promised),
        floor: String(store.floor(id)),
        quarantined: isQuarantined === true,
        epoch: String(last.epoch),
        lsn: last.lsn,
        owned: owned === undefined ? null : String(owned),
      };
    });
    return { held, until: heads.length < pageHeads ? null : (heads.at(-1)?.id ?? null) };
  }

  /** Has etcd, which is refused, forget the records of all objects. Resolves with a mark. */
  async forgetRecords(highest: Epoch): Promise<bigint> {
    return await this.#options.coordinator.forgetRecords(highest);
  }

  /** Writes some into etcd, where nobody has forgotten records since `mark`. */
  async writeHomes(mark: bigint, homes: readonly RecoveredHome[]): Promise<void> {
    await this.#options.coordinator.writeHomes(mark, homes);
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

/**
 * The greatest of what etcd granted as far as is known here, and of all promises on the disk; those for
 * objects that were forgotten are floors.
 */
function highestOn(store: Store, granted: Epoch): Epoch {
  let highest = granted;
  for (const floor of store.floors()) if (floor > highest) highest = floor;
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
  /** The longest list; undefined where none of the nodes ever heard of any. */
  readonly regions: RegionList | undefined;
  /** Regions that an operator gives up. */
  readonly lost: readonly string[];
}

/**
 * Epochs that a lost region may have seen since anybody else heard of etcd are below the highest one known by
 * fewer revisions than this.
 */
const unheardRevisions = 2n ** 32n;

/**
 * The epoch to go on above, and the assignments to go by, from what all asked nodes say. Throws
 * `CommandError` when they are not a majority of every shard's stores, since the ones that are missing
 * may know more; those of `lost` regions are given up.
 */
export function planRecovery(
  states: readonly RecoveryState[],
  lost: readonly string[] = [],
): RecoveryPlan {
  const stores = new Set(states.map(({ storeId }) => storeId));
  const shards = new Map<string, ShardAssignment>();
  for (const state of states) {
    for (const shard of state.shards) {
      const key = `${shard.region}/${shard.shard}`;
      if ((shards.get(key)?.generation ?? 0) < shard.generation) shards.set(key, shard);
    }
  }
  const lists = states.flatMap(({ regions }) => regions ?? []);
  const regions = lists.sort((a, b) => b.regions.length - a.regions.length)[0];
  for (const region of lost) checkLost(region, states, [...shards.values()], regions);
  for (const { region, members, next } of shards.values()) {
    if (lost.includes(region)) continue;
    for (const list of next === undefined ? [members] : [members, next]) {
      const present = list.filter((store) => stores.has(store)).length;
      if (present * 2 > list.length) continue;
      throw new CommandError(
        `these nodes hold ${present} of the ${list.length} replicas of some objects in region ${region}: a ` +
          'majority is needed. Start more of the nodes, and name the admin address of each with --admin; a ' +
          'region that is lost for good is given up with --lost-region',
      );
    }
  }
  const highest = states.reduce((greatest, state) => {
    const own = BigInt(state.highest) as Epoch;
    return own > greatest ? own : greatest;
  }, 0n as Epoch);
  // Those that trust this etcd do so since an earlier run, cut short, which went on above: the cluster runs.
  const isFirst = states.every(({ refused }) => refused);
  return {
    highest: lost.length > 0 && isFirst ? above(highest) : highest,
    shards: [...shards.values()],
    regions,
    lost,
  };
}

function above(highest: Epoch): Epoch {
  return makeEpoch(epochRevision(highest) + unheardRevisions, 0);
}

function checkLost(
  lost: string,
  states: readonly RecoveryState[],
  shards: readonly ShardAssignment[],
  list: RegionList | undefined,
): void {
  const regions = list?.regions ?? [];
  if (!regions.includes(lost)) {
    throw new CommandError(`there is no region ${lost}; there is ${regions.join(', ')}`);
  }
  const own = new Set(shards.filter(({ region }) => region === lost).flatMap(storesOf));
  const there = states.find(({ storeId }) => own.has(storeId));
  if (there === undefined) return;
  throw new CommandError(
    `region ${lost} is not lost: node ${there.node} is there. Name a majority of its nodes, and do not give ` +
      'it up; or stop the node, if what the region holds may be lost',
  );
}
