/**
 * What a node needs to go on with another etcd: the assignments of shards, which its disk keeps a copy
 * of, and the greatest epoch that anything on its disk may have. `homing recover` collects both from
 * the nodes, makes sure that they are enough of them, and tells each to trust the etcd there is.
 *
 * Nothing is claimed before that: an epoch granted by an etcd that has forgotten the old ones could be
 * lower than what replicas have promised, and assignments made anew could name other stores.
 */
import type {
  Coordinator,
  Epoch,
  Logger,
  ObjectIdHex,
  ShardAssignment,
  Store,
  VersionedShard,
} from '@homing/base';
import type { EtcdCoordinatorExtras } from '@homing/coordinator';
import type { DiskIdentity } from './disk-identity.ts';
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
}

export interface RecoveryOptions {
  readonly node: string;
  readonly prefix: string;
  readonly store: Store;
  readonly coordinator: Coordinator & EtcdCoordinatorExtras;
  readonly identity: DiskIdentity;
  readonly logger: Logger;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #note: string;
  #written = '';

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#note = `shards ${options.prefix}`;
    this.#written = Buffer.from(options.store.note(this.#note) ?? []).toString();
    const { coordinator } = options;
    coordinator.watch(({ type }) => {
      if (type === 'shards') this.#keep();
    });
    this.#keep();
  }

  /** Assignments as this disk remembers them. */
  remembered(): readonly ShardAssignment[] {
    return this.#written === '' ? [] : (JSON.parse(this.#written) as ShardAssignment[]);
  }

  state(): RecoveryState {
    const { node, store, coordinator } = this.#options;
    return {
      node,
      storeId: store.storeId,
      refused: coordinator.refused,
      highest: String(highestOn(store, coordinator.highestEpoch())),
      shards: this.remembered(),
    };
  }

  /** Resolves when this node claims again, under epochs greater than `highest`. */
  async recover(highest: Epoch): Promise<void> {
    const { store, coordinator, identity } = this.#options;
    const own = highestOn(store, coordinator.highestEpoch());
    await coordinator.recover(own > highest ? own : highest);
    await coordinator.registerStart(store.starts);
    await identity.trust();
  }

  #keep(): void {
    const { store, coordinator, logger } = this.#options;
    const shards = [...coordinator.shards().values()];
    if (coordinator.refused || shards.length === 0) return;
    const text = JSON.stringify(newest(shards, this.remembered()));
    if (text === this.#written) return;
    this.#written = text;
    store.putNote(this.#note, Buffer.from(text)).catch((error: unknown) => {
      logger.error('the assignment of shards was not written down', { error: String(error) });
    });
  }
}

/** Generations only grow: what etcd has forgotten is kept. */
function newest(
  shards: readonly VersionedShard[],
  remembered: readonly ShardAssignment[],
): readonly ShardAssignment[] {
  const known = new Map(remembered.map((shard) => [`${shard.region}/${shard.shard}`, shard]));
  for (const { assignment } of shards) {
    const key = `${assignment.region}/${assignment.shard}`;
    if ((known.get(key)?.generation ?? 0) <= assignment.generation) known.set(key, assignment);
  }
  return [...known.values()];
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

/**
 * The epoch to go on above, from what all asked nodes say. Throws `CommandError` when they are not a
 * majority of every shard's stores, since the ones that are missing may know more.
 */
export function planRecovery(states: readonly RecoveryState[]): Epoch {
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
  return states.reduce((highest, state) => {
    const own = BigInt(state.highest) as Epoch;
    return own > highest ? own : highest;
  }, 0n as Epoch);
}
