/**
 * Where objects are at home by default, which follows from the id and from the list of the cluster's
 * regions alone: an object without a record is there, so what an id means must never change.
 *
 *   unique id      the region that made it, by the tag that the id carries
 *   name           one of the first `named` regions of the list, by a hash that the id carries
 *   jurisdiction   the same, over the regions that its own list began with; a unique id stays in the
 *                  region that made it where that is one of them
 *
 * Invariants
 * 1. Lists are only appended to, and `named` never changes: no id's default home does.
 * 2. No two regions, nor two jurisdictions, have the same tag: what would clash is not taken in.
 * 3. An object of a jurisdiction is at home only in regions of its list.
 *
 * Pure; the controller keeps the list by `nextRegions`, every node reads it.
 */
import {
  type ObjectIdHex,
  objectIdPlacement,
  placementTag,
  type RegionList,
  type RegionOrder,
} from '@homing/base';

/** What a node's configuration says of regions; what etcd has is what counts. */
export interface RegionPlan {
  /** Of the whole cluster, in the order that the list is to begin with; empty where not given. */
  readonly regions: readonly string[];
  readonly jurisdictions: Readonly<Record<string, readonly string[]>>;
}

export const noRegionPlan: RegionPlan = { regions: [], jurisdictions: {} };

function jurisdictionOf(id: ObjectIdHex, list: RegionList): RegionOrder | undefined {
  const { jurisdictionTag } = objectIdPlacement(id);
  const found = Object.entries(list.jurisdictions).find(
    ([name]) => placementTag(name) === jurisdictionTag,
  );
  return found?.[1];
}

/** Undefined where the id is of a region or jurisdiction that the list does not have. */
export function defaultHome(id: ObjectIdHex, list: RegionList): string | undefined {
  const { unique, regionTag, jurisdictionTag } = objectIdPlacement(id);
  const order = jurisdictionTag === undefined ? list : jurisdictionOf(id, list);
  if (order === undefined) return undefined;
  const byName = order.regions.slice(0, order.named);
  if (unique) {
    const made = jurisdictionTag === undefined ? order.regions : byName;
    const region = made.find((name) => placementTag(name) === regionTag);
    if (region !== undefined || jurisdictionTag === undefined) return region;
  }
  return byName[regionTag % byName.length];
}

/** Whether the object may be at home in the region. */
export function mayLiveIn(id: ObjectIdHex, region: string, list: RegionList): boolean {
  if (objectIdPlacement(id).jurisdictionTag === undefined) return list.regions.includes(region);
  return jurisdictionOf(id, list)?.regions.includes(region) === true;
}

/**
 * The list with the regions of live nodes and of the configuration taken in, and the names that could
 * not be, for their tag is another's. Undefined `list`: there is nothing to write.
 */
export function nextRegions(
  current: RegionList | undefined,
  live: readonly string[],
  plan: RegionPlan,
): { readonly list: RegionList | undefined; readonly refused: readonly string[] } {
  const refused: string[] = [];
  const isBegun = current !== undefined;
  const first = isBegun || plan.regions.length === 0 ? [...live].sort() : plan.regions;
  const regions = appended(current?.regions ?? [], [...first, ...plan.regions, ...live], refused);
  if (regions.length === 0) return { list: undefined, refused };
  const jurisdictions: Record<string, RegionOrder> = { ...current?.jurisdictions };
  const names = Object.keys(plan.jurisdictions);
  for (const name of appended(Object.keys(jurisdictions), names, refused)) {
    const known = jurisdictions[name];
    const all = appended(known?.regions ?? [], plan.jurisdictions[name] ?? [], refused);
    if (all.length > 0) jurisdictions[name] = { regions: all, named: known?.named ?? all.length };
  }
  const list = { regions, named: current?.named ?? regions.length, jurisdictions };
  return { list: isBegun && isSame(list, current) ? undefined : list, refused };
}

/** In the order given, without what clashes. */
function appended(
  names: readonly string[],
  more: readonly string[],
  refused: string[],
): readonly string[] {
  const all = [...names];
  const tags = new Map(names.map((name) => [placementTag(name), name]));
  for (const name of more) {
    const holder = tags.get(placementTag(name));
    if (holder === undefined) {
      tags.set(placementTag(name), name);
      all.push(name);
    } else if (holder !== name && !refused.includes(name)) refused.push(name);
  }
  return all;
}

function isSame(list: RegionList, other: RegionList): boolean {
  const sizes = ({ regions, jurisdictions }: RegionList) =>
    [regions, ...Object.values(jurisdictions).map((order) => order.regions)].map(
      (names) => names.length,
    );
  return String(sizes(list)) === String(sizes(other));
}
