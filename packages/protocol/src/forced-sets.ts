/**
 * Replica sets that have lost their majority for good, and what an operator may put in their place: the
 * stores that are left, one generation up. Acknowledged writes that none of these holds are lost. The
 * stores that are given up must be off: together they are still a majority to each other.
 *
 * Pure; called for `homing force-members`.
 */
import type { ShardAssignment } from '@homing/base';
import { isQuorum, votersOf } from './replica-set.ts';

export interface ForcedSet {
  readonly before: ShardAssignment;
  readonly after: ShardAssignment;
}

export interface ForcedSets {
  readonly forced: readonly ForcedSet[];
  /** Sets of which no store is left: nothing can be made of these. */
  readonly empty: readonly ShardAssignment[];
}

/** Sets that `left` is a quorum of stay as they are: they need no force. */
export function planForcedSets(
  sets: Iterable<ShardAssignment>,
  left: ReadonlySet<string>,
): ForcedSets {
  const forced: ForcedSet[] = [];
  const empty: ShardAssignment[] = [];
  for (const before of sets) {
    if (isQuorum(before, (store) => left.has(store))) continue;
    const { region, shard, generation } = before;
    const members = votersOf(before).filter((store) => left.has(store));
    if (members.length === 0) empty.push(before);
    else forced.push({ before, after: { region, shard, generation: generation + 1, members } });
  }
  return { forced, empty };
}
