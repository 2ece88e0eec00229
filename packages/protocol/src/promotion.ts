/**
 * The objects of a region that is lost for good, and where copies of them can take their place. What was
 * acknowledged there and did not reach a copy in time is lost.
 *
 * A copy counts as far as *every* quorum of the set that holds it has it: whoever claims the object there
 * recovers from any quorum, and is to find no less than what the operator was told. A copy that fewer
 * stores have is named, and the object stays as it is.
 *
 * Pure; called for `homing promote` and `homing force-home`.
 */
import {
  compareRecordNames,
  type Epoch,
  noRecord,
  type ObjectIdHex,
  type RecordName,
} from '@homing/base';
import { isMajority, type ReplicaSet } from './replica-set.ts';

export interface FoundCopy {
  readonly id: ObjectIdHex;
  readonly store: string;
  /** The store's. */
  readonly region: string;
  readonly promised: Epoch;
  readonly last: RecordName;
  /** Of the coordinator's record of the object. */
  readonly recordEpoch: Epoch;
}

export interface Promotion {
  readonly id: ObjectIdHex;
  readonly to: string;
  /** What there is at least, and what any store has. */
  readonly copy: RecordName;
  readonly newest: RecordName;
  /**
   * The stores have promised the last owner: it had begun to send them the copy, or a floor says more than
   * they were told. Where it is false the copy is from before that owner's time, or that is not known.
   */
  readonly isOfLastOwner: boolean;
}

export interface Promotions {
  readonly promoted: readonly Promotion[];
  /** Objects of which too few stores have a copy. */
  readonly kept: readonly Promotion[];
}

export function planPromotion(
  copies: readonly FoundCopy[],
  setOf: (region: string, id: ObjectIdHex) => ReplicaSet | undefined,
): Promotions {
  const byObject = groupedBy(copies, ({ id }) => id);
  const plans = [...byObject.values()].flatMap((own) => {
    const regions = [...groupedBy(own, ({ region }) => region)];
    const found = regions.flatMap(([region, there]) => promotionTo(region, there, setOf));
    return found.sort((a, b) => compareRecordNames(b.copy, a.copy))[0] ?? [];
  });
  return {
    promoted: plans.filter(({ copy }) => copy.lsn > 0),
    kept: plans.filter(({ copy }) => copy.lsn === 0),
  };
}

function promotionTo(
  to: string,
  copies: readonly FoundCopy[],
  setOf: (region: string, id: ObjectIdHex) => ReplicaSet | undefined,
): Promotion[] {
  const [first] = copies;
  const set = first && setOf(to, first.id);
  if (first === undefined || set === undefined) return [];
  const byStore = new Map(copies.map((copy) => [copy.store, copy]));
  // While the set changes the old list alone is asked for the log.
  const isEverywhere = (isTrue: (copy: FoundCopy) => boolean) => {
    const lacks = (store: string) => {
      const copy = byStore.get(store);
      return copy === undefined || !isTrue(copy);
    };
    return !isMajority(set.members, lacks);
  };
  const names = copies.map(({ last }) => last).sort((a, b) => compareRecordNames(b, a));
  const copy = names.find((name) =>
    isEverywhere(({ last }) => compareRecordNames(last, name) >= 0),
  );
  return [
    {
      id: first.id,
      to,
      copy: copy ?? noRecord,
      newest: names[0] ?? noRecord,
      isOfLastOwner: isEverywhere(({ promised, recordEpoch }) => promised >= recordEpoch),
    },
  ];
}

function groupedBy<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return groups;
}
