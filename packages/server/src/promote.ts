/**
 * `homing promote` and `homing force-home`: bring objects whose region is lost for good up in another. The
 * command asks the nodes that are left which copies they have, says how far each got, and only when it was
 * confirmed has the objects' records name their new home. From then on whoever needs one claims it there, and
 * the command has each one claimed at once: an owner serves when a majority of the set has the whole object.
 *
 * The node's side refuses what a command line could get wrong: a region that has nodes, and records that
 * changed meanwhile.
 */
import {
  type Coordinator,
  type Epoch,
  HomingError,
  messageOf,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  type RegionList,
  type Store,
} from '@homing/base';
import {
  defaultHome,
  type FoundCopy,
  mayLiveIn,
  type Promotion,
  type Promotions,
  planPromotion,
  type ReplicaSet,
  storesOf,
} from '@homing/protocol';
import type { HeardLag, Replication } from '@homing/replication';
import { ask } from './admin-client.ts';
import { CommandError } from './usage-error.ts';

export interface PromoteOptions {
  readonly region: string;
  readonly store: Store;
  readonly coordinator: Coordinator;
  readonly replication: Replication;
  readonly regions: () => RegionList | undefined;
  readonly nameOf: (namespace: string) => string;
  /** Claims and recovers it. Resolves with whether this node owns it then. */
  readonly take: (object: ObjectRef) => Promise<boolean>;
}

/** A copy on a node's disk of an object at home in the region that was asked for; plain data. */
export interface CopyHere {
  readonly namespace: string;
  readonly shownNamespace: string;
  readonly id: ObjectIdHex;
  readonly name: string | null;
  readonly store: string;
  readonly region: string;
  readonly set: ReplicaSet;
  readonly promised: string;
  readonly epoch: string;
  readonly lsn: number;
  /** What the record says; null where there is none. */
  readonly recordHome: string | null;
  readonly recordEpoch: string;
  /** What the last owner's node has last said here of its copies; null where it is not known. */
  readonly heard: HeardLag | null;
}

/** An object to be given another home. */
export interface PromotedObject {
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly to: string;
  readonly recordHome: string | null;
  readonly recordEpoch: string;
}

const pageHeads = 200;
/** Objects in one request. */
const batchMax = 100;

/** The copies here of objects at home in the region, in pages. */
export async function copiesHere(
  options: PromoteOptions,
  lost: string,
  after: ObjectIdHex | undefined,
): Promise<{ readonly copies: readonly CopyHere[]; readonly until: ObjectIdHex | null }> {
  const { store, replication } = options;
  await replication.holdLeftovers();
  const heads = store.heads({ after, limit: pageHeads });
  const copies = await Promise.all(heads.map((head) => copyHere(options, lost, head)));
  const until = heads.length < pageHeads ? null : (heads.at(-1)?.id ?? null);
  return { copies: copies.filter((copy) => copy !== undefined), until };
}

async function copyHere(
  { region, store, coordinator, replication, regions, nameOf }: PromoteOptions,
  lost: string,
  { namespace, id, name, promised, last, isQuarantined }: ObjectHead,
): Promise<CopyHere | undefined> {
  const list = regions();
  const set = replication.setOf(region, id);
  const isHolder = set !== undefined && storesOf(set).includes(store.storeId);
  if (list === undefined || !isHolder || isQuarantined === true) return undefined;
  const { home, epoch, lastOwner } = await coordinator.locate({ namespace, id });
  if ((home ?? defaultHome(id, list)) !== lost || !mayLiveIn(id, region, list)) return undefined;
  return {
    namespace,
    shownNamespace: nameOf(namespace),
    id,
    name: name ?? null,
    store: store.storeId,
    region,
    set,
    promised: String(promised),
    epoch: String(last.epoch),
    lsn: last.lsn,
    recordHome: home ?? null,
    recordEpoch: String(epoch),
    heard: (lastOwner && replication.remoteReports.lagOf(lastOwner, id, epoch)) || null,
  };
}

/** Gives objects of the lost region other homes. Names those whose records are not as they were. */
export async function promote(
  { coordinator }: PromoteOptions,
  lost: string,
  objects: readonly PromotedObject[],
  isForced: boolean,
): Promise<{ readonly promoted: number; readonly changed: readonly ObjectIdHex[] }> {
  const live = coordinator.nodes().filter(({ region }) => region === lost);
  if (live.length > 0 && !isForced) {
    const names = live.map(({ node }) => node).join(', ');
    throw new HomingError(
      'invalid_argument',
      `region ${lost} is not lost: ${names} have sessions. Their owners would go on beside the new ones`,
    );
  }
  const outcomes = await Promise.all(
    objects.map(({ namespace, id, to, recordHome, recordEpoch }) =>
      coordinator.rehome(
        { namespace, id },
        {
          located: { home: recordHome ?? undefined, epoch: BigInt(recordEpoch) as Epoch },
          from: lost,
          home: to,
          isForced,
        },
      ),
    ),
  );
  const changed = objects.filter((_, index) => outcomes[index] !== true).map(({ id }) => id);
  return { promoted: objects.length - changed.length, changed };
}

export interface Settled {
  /** Owned here now. */
  readonly settled: readonly ObjectIdHex[];
  readonly failed: readonly { readonly id: ObjectIdHex; readonly why: string }[];
}

/** Has these claimed and recovered here; those that another node owns are in neither list. */
export async function settleHere(
  { take }: Pick<PromoteOptions, 'take'>,
  objects: readonly ObjectRef[],
): Promise<Settled> {
  const failed: { id: ObjectIdHex; why: string }[] = [];
  const settled: ObjectIdHex[] = [];
  await Promise.all(
    objects.map(async ({ namespace, id }) => {
      try {
        if (await take({ namespace, id })) settled.push(id);
      } catch (error) {
        failed.push({ id, why: messageOf(error) });
      }
    }),
  );
  return { settled, failed };
}

/** The record of one object, for a new home without any copy. */
export async function recordOf(
  { coordinator, regions, replication }: PromoteOptions,
  object: ObjectRef,
  to: string,
): Promise<PromotedObject & { readonly home: string }> {
  const list = regions();
  const { home, epoch } = await coordinator.locate(object);
  const from = home ?? (list && defaultHome(object.id, list));
  if (list === undefined || from === undefined) {
    throw new HomingError('unavailable', 'the home of the object is not known');
  }
  if (!mayLiveIn(object.id, to, list) || replication.setOf(to, object.id) === undefined) {
    throw new HomingError('invalid_argument', `the object may not live in region ${to}`);
  }
  if (from === to) throw new HomingError('invalid_argument', `it is at home in ${to} already`);
  const { namespace, id } = object;
  const recordHome = home ?? null;
  return { namespace, id, to, recordHome, recordEpoch: String(epoch), home: from };
}

export interface PromotionPlan extends Promotions {
  /** By id: what any node said of it. */
  readonly copies: ReadonlyMap<ObjectIdHex, CopyHere>;
  /** By id: the latest that its last owner's node was heard to say. */
  readonly heard: ReadonlyMap<ObjectIdHex, HeardLag>;
  /** By id and region: the admin addresses of nodes that have a copy. */
  readonly holders: ReadonlyMap<string, readonly string[]>;
}

/** Asks the nodes at these admin addresses. Rejects with `CommandError`. */
export async function planPromote(admins: readonly string[], lost: string): Promise<PromotionPlan> {
  const copies = new Map<ObjectIdHex, CopyHere>();
  const found: FoundCopy[] = [];
  const sets = new Map<string, ReplicaSet>();
  const holders = new Map<string, readonly string[]>();
  const heard = new Map<ObjectIdHex, HeardLag>();
  for (const admin of admins) {
    let after: string | null = '';
    while (after !== null) {
      const page = (await ask(admin, '/api/copies', {
        region: lost,
        after,
      })) as Awaited<ReturnType<typeof copiesHere>>;
      for (const copy of page.copies) {
        copies.set(copy.id, copy);
        const isLater = (copy.heard?.atMs ?? 0) > (heard.get(copy.id)?.atMs ?? 0);
        if (copy.heard !== null && isLater) heard.set(copy.id, copy.heard);
        const key = `${copy.region} ${copy.id}`;
        holders.set(key, [...(holders.get(key) ?? []), admin]);
        if ((sets.get(key)?.generation ?? 0) < copy.set.generation) sets.set(key, copy.set);
        found.push({
          ...copy,
          promised: BigInt(copy.promised) as Epoch,
          last: { epoch: BigInt(copy.epoch) as Epoch, lsn: copy.lsn },
          recordEpoch: BigInt(copy.recordEpoch) as Epoch,
        });
      }
      after = page.until;
    }
  }
  const plan = planPromotion(found, (region, id) => sets.get(`${region} ${id}`));
  return { ...plan, copies, heard, holders };
}

/** Resolves with how many were promoted. Rejects with `CommandError` where some were not. */
export async function carryOut(
  admin: string,
  lost: string,
  objects: readonly PromotedObject[],
  isForced: boolean,
): Promise<number> {
  let promoted = 0;
  const changed: string[] = [];
  for (let at = 0; at < objects.length; at += batchMax) {
    const answer = (await ask(admin, '/api/promote', {
      region: lost,
      objects: JSON.stringify(objects.slice(at, at + batchMax)),
      ...(isForced ? { force: 'true' } : {}),
    })) as Awaited<ReturnType<typeof promote>>;
    promoted += answer.promoted;
    changed.push(...answer.changed);
  }
  if (changed.length === 0) return promoted;
  throw new CommandError(
    `${promoted} objects were promoted; ${changed.length} had changed meanwhile, or have an owner that ` +
      `lives: run it again. The first is ${changed[0]}`,
  );
}

/**
 * Has each object claimed by a node that has a copy, in turn. Resolves with those that are not settled, and
 * why: fewer than a majority of their set may have what there is of them.
 */
export async function settle(
  { holders, copies }: PromotionPlan,
  promotions: readonly Promotion[],
): Promise<ReadonlyMap<ObjectIdHex, string>> {
  const open = new Map(promotions.map(({ id }) => [id, 'no node has taken it']));
  const holdersOf = ({ id, to }: Promotion) => holders.get(`${to} ${id}`) ?? [];
  const rounds = Math.max(0, ...promotions.map((one) => holdersOf(one).length));
  for (let round = 0; round < rounds; round++) {
    const byAdmin = new Map<string, ObjectRef[]>();
    for (const [index, one] of promotions.entries()) {
      // They are spread over the nodes.
      const own = holdersOf(one);
      const admin = own[(index + round) % own.length];
      const copy = copies.get(one.id);
      if (!open.has(one.id) || admin === undefined || copy === undefined) continue;
      if (round >= own.length) continue;
      const objects = byAdmin.get(admin) ?? [];
      objects.push({ namespace: copy.namespace, id: one.id });
      byAdmin.set(admin, objects);
    }
    await Promise.all([...byAdmin].map(([admin, objects]) => settleAt(admin, objects, open)));
  }
  return open;
}

async function settleAt(
  admin: string,
  objects: readonly ObjectRef[],
  open: Map<ObjectIdHex, string>,
): Promise<void> {
  for (let at = 0; at < objects.length; at += batchMax) {
    const batch = objects.slice(at, at + batchMax);
    try {
      const body = { objects: JSON.stringify(batch) };
      const { settled, failed } = (await ask(admin, '/api/settle', body)) as Settled;
      for (const id of settled) open.delete(id);
      for (const { id, why } of failed) open.set(id, why);
    } catch (error) {
      for (const { id } of batch) open.set(id, messageOf(error));
    }
  }
}
