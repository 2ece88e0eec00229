/**
 * `homing force-members`: goes on with what is left of replica sets that have lost their majority for
 * good. The command asks every node that is left what it knows, says what would be lost, and only when
 * it was confirmed has the controller write the sets that are left.
 *
 * The node's side refuses what a single command line could get wrong: sets that changed meanwhile, and
 * giving up a store whose node is there.
 */
import {
  type Coordinator,
  HomingError,
  type ObjectIdHex,
  type ShardAssignment,
  type Store,
} from '@homing/base';
import { type ForcedSets, planForcedSets, shardKey, votersOf } from '@homing/protocol';
import type { Replication } from '@homing/replication';
import { ask } from './admin-client.ts';
import { CommandError } from './usage-error.ts';

/** What a node says of itself; plain data. */
export interface MembershipState {
  readonly node: string;
  readonly storeId: string;
  readonly controller: boolean;
  readonly shards: readonly ShardAssignment[];
}

/** The newest record that a node has of an object. */
export interface NewestRecord {
  readonly shard: string;
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly name: string | null;
  readonly epoch: string;
  readonly lsn: number;
}

export interface ForceOptions {
  readonly node: string;
  readonly store: Store;
  readonly coordinator: Coordinator;
  readonly replication: Replication;
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
}

const pageHeads = 1000;
/** Shards written in one transaction. */
const batchMax = 64;

export function membershipState({
  node,
  store,
  coordinator,
  replication,
}: ForceOptions): MembershipState {
  return {
    node,
    storeId: store.storeId,
    controller: coordinator.isController,
    shards: [...replication.sets().values()],
  };
}

/** The objects of these shards that this node holds, in pages. */
export function newestRecords(
  { store, replication, keyOf }: ForceOptions,
  shards: ReadonlySet<string>,
  after: ObjectIdHex | undefined,
): { readonly records: readonly NewestRecord[]; readonly until: ObjectIdHex | null } {
  const regions = new Set([...replication.sets().values()].map(({ region }) => region));
  const heads = store.heads({ after, limit: pageHeads });
  const records = heads.flatMap(({ namespace, id, name, last }): NewestRecord[] => {
    const shard = [...regions].map((region) => keyOf(region, id)).find((key) => shards.has(key));
    if (shard === undefined) return [];
    const { epoch, lsn } = last;
    return [{ shard, namespace, id, name: name ?? null, epoch: String(epoch), lsn }];
  });
  return { records, until: heads.length < pageHeads ? null : (heads.at(-1)?.id ?? null) };
}

/** Writes them, each one generation above the one that stands. Rejects where that cannot be. */
export async function forceMembers(
  { coordinator }: ForceOptions,
  sets: readonly ShardAssignment[],
): Promise<object> {
  if (!coordinator.isController) {
    throw new HomingError('unavailable', 'this node is not the controller any more: try again');
  }
  const live = new Map(coordinator.nodes().map(({ storeId, node }) => [storeId, node]));
  const changes = sets.map((assignment) => {
    const key = shardKey(assignment.region, assignment.shard);
    const present = coordinator.shards().get(key);
    if (present === undefined || present.assignment.generation + 1 !== assignment.generation) {
      throw new HomingError('unavailable', `the set of ${key} has changed meanwhile: try again`);
    }
    const { members } = assignment;
    const givenUp = votersOf(present.assignment).filter((store) => !members.includes(store));
    const there = givenUp.find((store) => live.has(store));
    if (there !== undefined) {
      throw new HomingError(
        'invalid_argument',
        `the store of node ${live.get(there)} would be given up, and the node is there: name it too`,
      );
    }
    return { assignment, revision: present.revision };
  });
  for (let at = 0; at < changes.length; at += batchMax) {
    if (await coordinator.assign(changes.slice(at, at + batchMax))) continue;
    throw new HomingError(
      'unavailable',
      `${at} sets were written, then one had changed: try again`,
    );
  }
  return { forced: sets.length };
}

export interface ForcePlan {
  readonly controller: string;
  readonly sets: ForcedSets;
  /** The newest record left of each object of these sets. */
  readonly records: readonly NewestRecord[];
}

/** Asks the nodes at these admin addresses. Rejects with `CommandError`. */
export async function planForce(admins: readonly string[]): Promise<ForcePlan> {
  const states = (await Promise.all(
    admins.map((admin) => ask(admin, '/api/membership')),
  )) as MembershipState[];
  const newest = new Map<string, ShardAssignment>();
  for (const set of states.flatMap(({ shards }) => shards)) {
    const key = shardKey(set.region, set.shard);
    if ((newest.get(key)?.generation ?? 0) < set.generation) newest.set(key, set);
  }
  const left = new Set(states.map(({ storeId }) => storeId));
  const sets = planForcedSets(newest.values(), left);
  const controller = admins[states.findIndex((state) => state.controller)];
  if (controller === undefined) {
    throw new CommandError(
      'none of these nodes is the controller: name the admin address of every node that is left, and ' +
        'see that they reach etcd',
    );
  }
  const keys = sets.forced.map(({ after }) => shardKey(after.region, after.shard));
  return { controller, sets, records: await recordsLeft(admins, keys) };
}

async function recordsLeft(
  admins: readonly string[],
  keys: readonly string[],
): Promise<readonly NewestRecord[]> {
  const newest = new Map<ObjectIdHex, NewestRecord>();
  if (keys.length === 0) return [];
  for (const admin of admins) {
    let after: string | null = '';
    while (after !== null) {
      const page = (await ask(admin, '/api/newest', {
        shards: keys.join(' '),
        after,
      })) as ReturnType<typeof newestRecords>;
      for (const record of page.records) {
        const known = newest.get(record.id);
        if (known === undefined || isNewer(record, known)) newest.set(record.id, record);
      }
      after = page.until;
    }
  }
  return [...newest.values()];
}

function isNewer(one: NewestRecord, other: NewestRecord): boolean {
  const [epoch, known] = [BigInt(one.epoch), BigInt(other.epoch)];
  return epoch > known || (epoch === known && one.lsn > other.lsn);
}
