/**
 * Which stores hold which shard: what the controller decides. Shards are spread by rendezvous hashing,
 * so that a node that comes or goes concerns few of them, over as many zones as there are. A set that
 * stands is changed only where it must be, and through a joint step: generation g+1 has two lists, g+2
 * the new one alone.
 *
 * Invariants
 * 1. A generation of one list follows one of two only when a majority of the old list has settled under
 *    it, and a majority of the new list is complete.
 * 2. All generations between two of one list share the old one.
 * 3. No list gets shorter because stores are gone: that would need more of those that are left.
 *
 * Pure; called by the elected controller when nodes, assignments, standings or time have changed.
 */
import type { NodeInfo, ShardAssignment, VersionedShard } from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';
import { isMajority, type Standing } from './replica-set.ts';

export interface AssignmentInput {
  /** Live nodes. */
  readonly nodes: readonly NodeInfo[];
  /** By `<region>/<shard>`. */
  readonly shards: ReadonlyMap<string, VersionedShard>;
  readonly region: string;
  readonly shardCount: number;
  readonly factor: number;
  /** Assignments made earlier, of which the coordinator may have lost its record. */
  readonly remembered?: readonly ShardAssignment[] | undefined;
  /** Nodes have been coming until just now: more are to be expected. */
  readonly isGathering: boolean;
  /** Long enough was waited for `factor` nodes: fewer will do. */
  readonly takesFewer: boolean;
  /** Stores that were away for long, or whose node has another disk now. */
  readonly isGone: (store: string) => boolean;
  /** How far a store is said to be with a generation of a shard. */
  readonly standingOf: (shard: string, store: string, generation: number) => Standing;
  /** Shards that may be changing at the same time. */
  readonly changesMax: number;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

export function shardKey(region: string, shard: number): string {
  return `${region}/${shard}`;
}

/** The assignments to be written now, each on condition that its record is as given. */
export function planAssignments(input: AssignmentInput): readonly VersionedShard[] {
  const { shards, region, shardCount } = input;
  const remembered = new Map(
    input.remembered?.map((assignment) => [
      shardKey(assignment.region, assignment.shard),
      assignment,
    ]),
  );
  const changes: VersionedShard[] = [];
  let joint = 0;
  for (const { assignment } of shards.values()) if (assignment.next !== undefined) joint += 1;
  for (let shard = 0; shard < shardCount; shard++) {
    const key = shardKey(region, shard);
    const present = shards.get(key);
    const revision = present?.revision ?? 0n;
    const known = present?.assignment;
    const earlier = remembered.get(key);
    if (earlier !== undefined && earlier.generation > (known?.generation ?? 0)) {
      changes.push({ assignment: earlier, revision });
    } else if (known === undefined) {
      const members = firstMembers(input, key);
      if (members === undefined) continue;
      changes.push({ assignment: { region, shard, generation: 1, members }, revision });
    } else {
      const assignment = known.next === undefined ? begin(input, known) : goOn(input, known);
      if (assignment === undefined) continue;
      if (known.next === undefined && ++joint > input.changesMax) continue;
      changes.push({ assignment, revision });
    }
  }
  return changes;
}

/** `factor` stores, or as many as there are where no more are to be expected. */
function firstMembers(input: AssignmentInput, key: string): string[] | undefined {
  if (input.isGathering) return undefined;
  const ready = candidates(input);
  const isEnough = ready.length >= input.factor || (ready.length > 0 && input.takesFewer);
  return isEnough ? chosen(input, key, []) : undefined;
}

/** The first step of a change: the present list, and the one that is wanted. */
function begin(input: AssignmentInput, known: ShardAssignment): ShardAssignment | undefined {
  if (input.isGathering) return undefined;
  const { region, shard, generation, members } = known;
  const next = wantedMembers(input, shardKey(region, shard), members);
  if (isSame(next, members)) return undefined;
  return { region, shard, generation: generation + 1, members, next };
}

/** The second step; or another new list, where one of its stores is gone; or the step taken back. */
function goOn(input: AssignmentInput, known: ShardAssignment): ShardAssignment | undefined {
  const { region, shard, members } = known;
  const next = known.next ?? [];
  const generation = known.generation + 1;
  if (isFinished(input, known, next)) return { region, shard, generation, members: next };
  if (!next.some((store) => input.isGone(store))) return undefined;
  const wanted = wantedMembers(input, shardKey(region, shard), members);
  if (isSame(wanted, next)) return undefined;
  if (isSame(wanted, members)) return { region, shard, generation, members };
  return { region, shard, generation, members, next: wanted };
}

/** A majority of the new list would be safe; those of it that are there are waited for as well. */
function isFinished(
  { nodes, standingOf, bugs }: AssignmentInput,
  { region, shard, generation, members }: ShardAssignment,
  next: readonly string[],
): boolean {
  const standing = (store: string) => standingOf(shardKey(region, shard), store, generation);
  const isComplete = (store: string) => standing(store).isComplete;
  const isThere = (store: string) => nodes.some(({ storeId }) => storeId === store);
  const isSettled = bugs?.['finish-early'] === true;
  return (
    (isSettled || isMajority(members, (store) => standing(store).isSettled)) &&
    isMajority(next, isComplete) &&
    next.every((store) => isComplete(store) || !isThere(store))
  );
}

/** Those that stay, in their order, and others for those that are gone or missing. */
function wantedMembers(
  input: AssignmentInput,
  key: string,
  members: readonly string[],
): readonly string[] {
  const { factor, isGone } = input;
  const kept = members.filter((store) => !isGone(store)).slice(0, factor);
  const wanted = chosen(input, key, kept);
  if (wanted.length >= Math.min(factor, members.length)) return wanted;
  // As before where nobody can take the place of one that is gone.
  const places = Math.min(factor, members.length) - wanted.length;
  const gone = members.filter((store) => !wanted.includes(store)).slice(0, places);
  const all = [...wanted, ...gone];
  return isSame(all, members) ? members : all;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((store) => other.includes(store));
}

function candidates({ nodes, isGone }: AssignmentInput): readonly NodeInfo[] {
  return nodes.filter(({ draining, storeId }) => draining !== true && !isGone(storeId));
}

/** `kept`, and more stores up to `factor`. The first is the one that sees to due alarms first. */
function chosen(input: AssignmentInput, key: string, kept: readonly string[]): string[] {
  const ranked = candidates(input)
    .filter(({ storeId }) => !kept.includes(storeId))
    .map((node) => ({ node, weight: weightOf(`${key}/${node.storeId}`) }))
    .sort((a, b) => a.weight - b.weight || (a.node.storeId < b.node.storeId ? -1 : 1));
  const stores = [...kept];
  const zones = new Set(
    input.nodes.filter(({ storeId }) => kept.includes(storeId)).map(({ zone }) => zone),
  );
  // One of each zone first, then whoever is left.
  for (const isSpread of [true, false]) {
    for (const { node } of ranked) {
      if (stores.length >= input.factor) break;
      if (stores.includes(node.storeId) || (isSpread && zones.has(node.zone))) continue;
      stores.push(node.storeId);
      zones.add(node.zone);
    }
  }
  return stores;
}

/** FNV-1a with a final mix: any hash will do that is the same everywhere. */
function weightOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return (hash ^ (hash >>> 15)) >>> 0;
}
