/** What must hold of replica sets once nothing is amiss: they are whole, even, and change no more. */
import type { ShardAssignment } from '@homing/base';
import { isChanging, storesOf } from '@homing/protocol';

interface PlacedStore {
  readonly store: string;
  readonly region: string;
  readonly zone: string;
}

export interface Resting {
  readonly sets: readonly ShardAssignment[];
  /** Those that are there. */
  readonly stores: readonly PlacedStore[];
  readonly factor: number;
  readonly percent: number;
}

/** What is not as it should be. */
export function unrestOf(resting: Resting): string | undefined {
  const { sets, stores } = resting;
  const isThere = (store: string) => stores.some((each) => each.store === store);
  const away = sets.flatMap((set) => storesOf(set)).find((store) => !isThere(store));
  if (away !== undefined) return `${away} is away`;
  for (const region of new Set(sets.map((set) => set.region))) {
    const own = stores.filter((each) => each.region === region);
    const held = sets.filter((set) => set.region === region);
    const unrest = unrestIn({ ...resting, sets: held, stores: own });
    if (unrest !== undefined) return `${region}: ${unrest}`;
  }
  return undefined;
}

function unrestIn({ sets, stores, factor, percent }: Resting): string | undefined {
  const zoneOf = new Map(stores.map(({ store, zone }) => [store, zone]));
  const zonesOf = (members: readonly string[]) => new Set(members.map((id) => zoneOf.get(id))).size;
  const zones = new Set(zoneOf.values()).size;
  for (const set of sets) {
    const { shard, members } = set;
    if (isChanging(set)) return `the set of shard ${shard} is changing`;
    if (members.length < Math.min(factor, stores.length)) return `shard ${shard} lacks a copy`;
    if (zonesOf(members) < Math.min(members.length, zones)) {
      return `shard ${shard} lies in fewer zones than it could`;
    }
  }
  const copiesOn = (store: string) => sets.filter(({ members }) => members.includes(store)).length;
  const copies = new Map(stores.map(({ store }) => [store, copiesOn(store)]));
  const share = [...copies.values()].reduce((sum, count) => sum + count, 0) / stores.length;
  for (const [most, many] of copies) {
    for (const [fewest, few] of copies) {
      const isFar = few * 100 < share * percent || share * 100 < many * percent;
      if (many - few < 2 || !isFar) continue;
      const isMovable = ({ members }: ShardAssignment) => {
        const after = members.map((store) => (store === most ? fewest : store));
        const isIn = members.includes(most) && !members.includes(fewest);
        return isIn && zonesOf(after) >= zonesOf(members);
      };
      if (sets.some(isMovable)) return `${most} holds ${many} copies, and ${fewest} ${few}`;
    }
  }
  return undefined;
}
