/**
 * The part of `homing recover` that tells where objects are at home, in a cluster of several regions: it
 * goes through what all asked nodes hold, id by id, and has one of them write down in etcd each object that
 * is at home elsewhere than by default. Before any node trusts that etcd, so that nothing is claimed in a
 * region that the object has left.
 */
import type { Epoch, ObjectIdHex, RegionList, ShardAssignment } from '@homing/base';
import type { RecoveredHome } from '@homing/coordinator';
import {
  defaultHome,
  type HeldCopy,
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

/**
 * Rejects with `CommandError` where it cannot be told; then nothing is trusted yet, and it may be run again
 * with more nodes. Resolves with how many objects are at home elsewhere than by default.
 */
export async function recoverHomes(
  admins: readonly string[],
  states: readonly RecoveryState[],
  plan: RecoveryPlan,
): Promise<number> {
  const { regions } = plan;
  const [writer] = admins;
  if (writer === undefined || regions === undefined || regions.regions.length < 2) return 0;
  if (!states.every(({ refused }) => refused)) {
    checkRecovered(states, plan);
    return 0;
  }
  const highest = String(plan.highest);
  const { mark } = (await ask(writer, '/api/recover-homes', { highest })) as { mark: string };
  let written = 0;
  for await (const homes of homesOf(admins, states, plan, regions)) {
    if (homes.length === 0) continue;
    await ask(writer, '/api/recover-homes', { mark, homes: JSON.stringify(homes) });
    written += homes.length;
  }
  return written;
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

async function* homesOf(
  admins: readonly string[],
  states: readonly RecoveryState[],
  plan: RecoveryPlan,
  regions: RegionList,
): AsyncGenerator<readonly RecoveredHome[]> {
  const sets = new Map(plan.shards.map((set) => [shardKey(set.region, set.shard), set]));
  const asked = new Set(states.map(({ storeId }) => storeId));
  const shardsPerRegion = states[0]?.shardsPerRegion ?? 1;
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
    const homes: RecoveredHome[] = [];
    for (const [id, copies] of copiesOf(pages, until)) {
      const byDefault = defaultHome(id, regions) ?? '';
      const setOf = (region: string) => sets.get(shardKey(region, shardOf(id, shardsPerRegion)));
      const found = byRegion(regions.regions, setOf, copies);
      const home = recoveredHome(found, asked, byDefault);
      if (home === undefined) throw undecided(id, found);
      const [first] = copies;
      if (home !== byDefault && first !== undefined) {
        homes.push({ object: { namespace: first.namespace, id }, home });
      }
    }
    yield homes;
    if (until === undefined) return;
    after = until;
  }
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

function heldCopy({ storeId, promised, epoch, lsn, owned }: StoreCopy): HeldCopy {
  return {
    store: storeId,
    promised: BigInt(promised) as Epoch,
    last: { epoch: BigInt(epoch) as Epoch, lsn },
    owned: owned === null ? undefined : (BigInt(owned) as Epoch),
  };
}

function undecided(id: ObjectIdHex, found: readonly RegionCopies[]): CommandError {
  const between = found.map(({ region }) => region).join(' and ');
  return new CommandError(
    `object ${id} was moving between ${between}, and these nodes do not tell which it is in: start more ` +
      'of the nodes, and name the admin address of each with --admin',
  );
}
