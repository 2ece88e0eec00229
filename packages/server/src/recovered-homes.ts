/**
 * The part of `homing recover` that tells where objects are at home, in a cluster of several regions: it
 * goes through what all asked nodes hold, id by id, and has one of them write down in etcd each object that
 * is at home elsewhere than by default, or whose log its next owner has to settle. Before any node trusts that
 * etcd, so that nothing is claimed in a region that the object has left.
 *
 * A region that an operator gives up is left out: its objects are given the best of the homes that are left,
 * as by `homing promote`, where a majority may hold them there.
 */
import {
  type Epoch,
  noRecord,
  type ObjectIdHex,
  type RecordName,
  type ShardAssignment,
} from '@homing/base';
import type { RecoveredHome } from '@homing/coordinator';
import {
  defaultHome,
  type HeldCopy,
  planPromotion,
  type RegionCopies,
  recoveredHome,
  shardKey,
  shardOf,
  storesOf,
} from '@homing/protocol';
import { ask } from './admin-client.ts';
import type { HeldObject, HeldPage, RecoveryPlan, RecoveryState } from './recovery.ts';
import { CommandError } from './usage-error.ts';

interface Page extends HeldPage {
  readonly storeId: string;
}

/** Where one object is at home from now on, told from what the nodes hold. */
export interface HomeFound extends RecoveredHome {
  readonly name: string | null;
  readonly byDefault: string;
  /** What every majority there finds, and the newest that any store there has. */
  readonly copy: RecordName;
  readonly newest: RecordName;
  /** By a node that was asked: nobody else has anything newer. */
  readonly isOwned: boolean;
}

export interface HomesSource {
  readonly admins: readonly string[];
  readonly states: readonly RecoveryState[];
  readonly plan: RecoveryPlan;
  /** Stores whose nodes are off, as an operator vouches. */
  readonly off: readonly string[];
}

/**
 * Whether homes are still to be written. Rejects with `CommandError` where a node trusts this etcd that
 * cannot be one of the cluster's.
 */
export function lacksHomes({ states, plan }: HomesSource): boolean {
  if (plan.regions === undefined || plan.regions.regions.length < 2) return false;
  if (states.every(({ refused }) => refused)) return true;
  checkRecovered(states, plan);
  return false;
}

/**
 * Rejects with `CommandError` where a home cannot be told; then nothing is trusted yet, and it may be run
 * again with more nodes.
 */
export async function writeHomes(source: HomesSource): Promise<void> {
  const [writer] = source.admins;
  if (writer === undefined) return;
  const highest = String(source.plan.highest);
  const { mark } = (await ask(writer, '/api/recover-homes', { highest })) as { mark: string };
  for await (const page of homesFound(source)) {
    const homes = page
      .filter(({ home, byDefault, isPromoted }) => home !== byDefault || isPromoted === true)
      .map(({ object, home, isPromoted }): RecoveredHome => ({ object, home, isPromoted }));
    if (homes.length === 0) continue;
    await ask(writer, '/api/recover-homes', { mark, homes: JSON.stringify(homes) });
  }
}

/** Those that trust etcd do so since homes were written, unless they were never of this cluster. */
function checkRecovered(states: readonly RecoveryState[], { shards }: RecoveryPlan): void {
  const known = new Set(shards.flatMap(storesOf));
  const stranger = states.find(({ refused, storeId }) => !refused && !known.has(storeId));
  if (stranger === undefined) return;
  throw new CommandError(
    `node ${stranger.node} trusts this etcd and holds no copies: stop it, run this again without it, and ` +
      'start it afterwards with an empty data directory',
  );
}

/** All objects that the nodes hold, in pages in the order of ids. */
export async function* homesFound(source: HomesSource): AsyncGenerator<readonly HomeFound[]> {
  const { admins, states } = source;
  const homeOf = finder(source);
  let after = '';
  for (;;) {
    const from = after;
    const pages = await Promise.all(
      admins.map(async (admin, index): Promise<Page> => {
        const page = (await ask(admin, '/api/held', { after: from })) as HeldPage;
        return { ...page, storeId: states[index]?.storeId ?? '' };
      }),
    );
    // Up to there all nodes have said what they hold.
    const until = pages.flatMap((page) => page.until ?? []).sort()[0];
    yield [...copiesOf(pages, until)].map(([id, copies]) => homeOf(id, copies));
    if (until === undefined) return;
    after = until;
  }
}

function finder({ states, plan, off }: HomesSource) {
  const { regions, lost } = plan;
  if (regions === undefined) throw new CommandError('none of these nodes knows of any region');
  const sets = new Map(plan.shards.map((set) => [shardKey(set.region, set.shard), set]));
  const stores = { asked: new Set(states.map(({ storeId }) => storeId)), off: new Set(off) };
  const shardsPerRegion = states[0]?.shardsPerRegion ?? 1;
  const left = regions.regions.filter((region) => !lost.includes(region));
  return (id: ObjectIdHex, copies: readonly StoreCopy[]): HomeFound => {
    const byDefault = defaultHome(id, regions) ?? '';
    const setOf = (region: string) => sets.get(shardKey(region, shardOf(id, shardsPerRegion)));
    const found = byRegion(left, setOf, copies);
    const told = recoveredHome(found, stores, byDefault);
    if (told.home === undefined) throw undecided(id, found, told.unasked);
    const { home, isLoose } = told;
    const there = found.find(({ region }) => region === home)?.copies ?? [];
    const recordEpoch = 0n as Epoch;
    const { promoted, kept } = planPromotion(
      there.map((copy) => ({ ...copy, id, region: home, recordEpoch })),
      setOf,
    );
    const [first] = copies as [StoreCopy];
    const [extent] = [...promoted, ...kept];
    return {
      object: { namespace: first.namespace, id },
      name: copies.find(({ name }) => name !== null)?.name ?? null,
      home,
      byDefault,
      isPromoted: isLoose,
      copy: extent?.copy ?? noRecord,
      newest: extent?.newest ?? noRecord,
      isOwned: there.some(({ owned }) => owned !== undefined),
    };
  };
}

interface StoreCopy extends HeldObject {
  readonly storeId: string;
}

function copiesOf(
  pages: readonly Page[],
  until: string | undefined,
): ReadonlyMap<ObjectIdHex, readonly StoreCopy[]> {
  const copies = new Map<ObjectIdHex, StoreCopy[]>();
  for (const { storeId, held } of pages) {
    for (const object of held) {
      if (until !== undefined && object.id > until) break;
      const known = copies.get(object.id);
      if (known === undefined) copies.set(object.id, [{ ...object, storeId }]);
      else known.push({ ...object, storeId });
    }
  }
  return copies;
}

/** What a store holds that is in none of the object's sets, it has left or is to leave. */
function byRegion(
  regions: readonly string[],
  setOf: (region: string) => ShardAssignment | undefined,
  copies: readonly StoreCopy[],
): readonly RegionCopies[] {
  return regions.flatMap((region) => {
    const set = setOf(region);
    if (set === undefined) return [];
    const stores = storesOf(set);
    const held = copies.filter(({ storeId }) => stores.includes(storeId)).map(heldCopy);
    return held.length === 0 ? [] : [{ region, set, copies: held }];
  });
}

function heldCopy(copy: StoreCopy): HeldCopy {
  const { storeId, promised, floor, epoch, lsn, owned, quarantined } = copy;
  return {
    store: storeId,
    promised: BigInt(promised) as Epoch,
    floor: BigInt(floor) as Epoch,
    last: { epoch: BigInt(epoch) as Epoch, lsn },
    isQuarantined: quarantined,
    owned: owned === null ? undefined : (BigInt(owned) as Epoch),
  };
}

function undecided(
  id: ObjectIdHex,
  found: readonly RegionCopies[],
  unasked: readonly string[],
): CommandError {
  const between = found.map(({ region }) => region).join(' or ');
  const what = `object ${id} is at home in ${between}, and these nodes do not tell in which`;
  if (unasked.length === 0) {
    return new CommandError(
      `${what}: its newest record is at no majority. If you know that one of the regions is lost, name it ` +
        'with --lost-region',
    );
  }
  return new CommandError(
    `${what}; an owner of it may run on a node that was not named. Start the nodes of these stores, and name ` +
      `the admin address of each with --admin; or, where one is off, its store with --off: ${unasked.join(', ')}`,
  );
}
