/** What must hold of replica sets once nothing is amiss: they are whole, even, and change no more. */
import type { ShardAssignment } from '@homing/base';
import { isChanging, storesOf } from '@homing/protocol';

export interface Standing {
  readonly sets: readonly ShardAssignment[];
  /** Those that are there. Each of their nodes is a zone of its own. */
  readonly stores: readonly { readonly store: string; readonly region: string }[];
  readonly factor: number;
  readonly percent: number;
}

/** What is not as it should be. */
export function unrestOf({ sets, stores, factor, percent }: Standing): string | undefined {
  const isThere = (store: string) => stores.some((each) => each.store === store);
  const away = sets.flatMap((set) => storesOf(set)).find((store) => !isThere(store));
  if (away !== undefined) return `${away} is away`;
  for (const region of new Set(sets.map((set) => set.region))) {
    const own = stores.filter((each) => each.region === region).map(({ store }) => store);
    const held = sets.filter((set) => set.region === region);
    for (const set of held) {
      const { shard, members } = set;
      if (isChanging(set)) return `the set of ${region}/${shard} is changing`;
      if (members.length < Math.min(factor, own.length)) return `${region}/${shard} lacks a copy`;
    }
    const copies = own.map((store) => held.filter(({ members }) => members.includes(store)).length);
    const [most, fewest] = [Math.max(...copies), Math.min(...copies)];
    const share = copies.reduce((sum, count) => sum + count, 0) / own.length;
    const isFar = fewest * 100 < share * percent || share * 100 < most * percent;
    if (most - fewest > 1 && isFar) return `stores of ${region} hold ${copies} copies`;
  }
  return undefined;
}
