/**
 * Which stores hold which shard: what the controller decides. A set gets its stores in as many zones as
 * there are, from those that hold the fewest copies, and among these by rendezvous hashing. One that
 * stands is changed where it must be, or else where copies lie unevenly (balance.ts), and in three
 * steps: in generation g+1 those that join learn what the set holds, g+2 has two lists, g+3 the new one
 * alone.
 *
 * Invariants
 * 1. A generation of one list follows one of two only when a majority of the old list has settled under
 *    it, and a majority of the new list is complete.
 * 2. All generations from the first step of a change to the last share the old list.
 * 3. No list gets shorter because stores are gone: that would need more of those that are left.
 * 4. A store that is there gives its copy up to none that is away.
 *
 * Pure; called by the elected controller when nodes, assignments, standings or time have changed.
 */
import type { NodeInfo, ShardAssignment, VersionedShard } from '@homing/base';
import { copiesOf, planExchanges } from './balance.ts';
import type { DeliberateBugs } from './deliberate-bugs.ts';
import { isChanging, isMajority, type Standing, targetOf } from './replica-set.ts';

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
  /** Long enough was waited for `factor` nodes: fewer will do, though some come and go. */
  readonly takesFewer: boolean;
  /** Nodes have not come or gone for long: what lies unevenly may be moved. */
  readonly isCalm: boolean;
  /** How far from an even share stores may be: see `BalanceInput`. */
  readonly balancePercent: number;
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
  let changing = 0;
  for (const { assignment } of shards.values()) if (isChanging(assignment)) changing += 1;
  const copies = copiesOf(setsOf(input));
  for (let shard = 0; shard < shardCount; shard++) {
    const key = shardKey(region, shard);
    const present = shards.get(key);
    const revision = present?.revision ?? 0n;
    const known = present?.assignment;
    const earlier = remembered.get(key);
    if (earlier !== undefined && earlier.generation > (known?.generation ?? 0)) {
      changes.push({ assignment: earlier, revision });
    } else if (known === undefined) {
      const members = firstMembers(input, key, copies);
      if (members === undefined) continue;
      changes.push({ assignment: { region, shard, generation: 1, members }, revision });
    } else {
      const hasBegun = isChanging(known);
      const assignment = hasBegun ? goOn(input, known, copies) : begin(input, known, copies);
      if (assignment === undefined) continue;
      if (!hasBegun && ++changing > input.changesMax) continue;
      changes.push({ assignment, revision });
    }
  }
  if (changes.length === 0) return balance(input, input.changesMax - changing);
  return changes;
}

/** What is changed where nothing has to be: all shards are assigned, and their sets are whole. */
function balance(input: AssignmentInput, exchangesMax: number): readonly VersionedShard[] {
  const { nodes, shards, shardCount, factor, balancePercent: percent, isCalm, bugs } = input;
  const sets = setsOf(input);
  if (!isCalm || sets.length < shardCount) return [];
  return planExchanges({ nodes, sets, factor, percent, exchangesMax, bugs }).map(
    ({ set, next }) => {
      const revision = shards.get(keyOf(set))?.revision ?? 0n;
      return { assignment: towards(set, next), revision };
    },
  );
}

function setsOf({ shards, region, shardCount }: AssignmentInput): readonly ShardAssignment[] {
  const sets: ShardAssignment[] = [];
  for (let shard = 0; shard < shardCount; shard++) {
    const present = shards.get(shardKey(region, shard));
    if (present !== undefined) sets.push(present.assignment);
  }
  return sets;
}

/** By store. */
type Copies = Map<string, number>;

/** `factor` stores, or as many as there are where no more are to be expected. */
function firstMembers(
  input: AssignmentInput,
  key: string,
  copies: Copies,
): readonly string[] | undefined {
  if (input.isGathering && !input.takesFewer) return undefined;
  const ready = candidates(input);
  const isEnough = ready.length >= input.factor || (ready.length > 0 && input.takesFewer);
  return isEnough ? chosen(input, key, [], copies) : undefined;
}

/** The first step of a change: the present list, and the one that is wanted. */
function begin(
  input: AssignmentInput,
  known: ShardAssignment,
  copies: Copies,
): ShardAssignment | undefined {
  if (input.isGathering) return undefined;
  const wanted = wantedMembers(input, known, copies);
  return isSame(wanted, known.members) ? undefined : towards(known, wanted);
}

/** Stores that join learn first; where none does, there is nothing to learn. */
function towards(known: ShardAssignment, wanted: readonly string[]): ShardAssignment {
  const { region, shard, members } = known;
  const set = { region, shard, generation: known.generation + 1, members };
  if (isSame(wanted, members)) return set;
  const isLearning = without(wanted, members).length > 0;
  return isLearning ? { ...set, coming: wanted } : { ...set, next: wanted };
}

/** The next step; or another new list, where one of its stores is lost to it; or the first one taken back. */
function goOn(
  input: AssignmentInput,
  known: ShardAssignment,
  copies: Copies,
): ShardAssignment | undefined {
  const { region, shard, members } = known;
  const list = targetOf(known);
  const generation = known.generation + 1;
  if (known.next === undefined && isLearned(input, known, list)) {
    return { region, shard, generation, members, next: list };
  }
  if (known.next !== undefined && isFinished(input, known, list)) {
    return { region, shard, generation, members: list };
  }
  const isLost =
    known.next === undefined
      ? without(list, members).some((store) => !isThere(input, store))
      : list.some((store) => input.isGone(store)) || isForNothing(input, members, list);
  if (!isLost) return undefined;
  const wanted = wantedMembers(input, known, copies);
  return isSame(wanted, list) ? undefined : towards(known, wanted);
}

function keyOf({ region, shard }: ShardAssignment): string {
  return shardKey(region, shard);
}

/** All of them, so that once there are two lists nobody waits for a copy, or hears a store that lacks one. */
function isLearned(
  { standingOf }: AssignmentInput,
  known: ShardAssignment,
  coming: readonly string[],
): boolean {
  const isComplete = (store: string) =>
    standingOf(keyOf(known), store, known.generation).isComplete;
  return without(coming, known.members).every(isComplete);
}

/**
 * A majority of the new list would be safe. Those of it that are there are waited for as well, and so are
 * leavers, until they have handed over what they own.
 */
function isFinished(
  input: AssignmentInput,
  { region, shard, generation, members }: ShardAssignment,
  next: readonly string[],
): boolean {
  const { standingOf, bugs } = input;
  const standing = (store: string) => standingOf(shardKey(region, shard), store, generation);
  const isComplete = (store: string) => standing(store).isComplete;
  const isSettled = bugs?.['finish-early'] === true;
  return (
    (isSettled || isMajority(members, (store) => standing(store).isSettled)) &&
    isMajority(next, isComplete) &&
    next.every((store) => isComplete(store) || !isThere(input, store)) &&
    without(members, next).every((store) => standing(store).isVacated || !isThere(input, store)) &&
    !isForNothing(input, members, next)
  );
}

/** A store that is there would be exchanged for one that is not. */
function isForNothing(
  input: AssignmentInput,
  members: readonly string[],
  next: readonly string[],
): boolean {
  const joiners = without(next, members);
  const leavers = without(members, next);
  return (
    joiners.some((store) => !isThere(input, store)) &&
    leavers.some((store) => isThere(input, store))
  );
}

function without(stores: readonly string[], others: readonly string[]): readonly string[] {
  return stores.filter((store) => !others.includes(store));
}

function isThere({ nodes }: AssignmentInput, store: string): boolean {
  return nodes.some(({ storeId }) => storeId === store);
}

/** Those that stay, in their order, then those that were to join, and others for what is missing. */
function wantedMembers(
  input: AssignmentInput,
  known: ShardAssignment,
  copies: Copies,
): readonly string[] {
  const { factor, isGone } = input;
  const { members } = known;
  const ready = candidates(input).map(({ storeId }) => storeId);
  const joining = without(targetOf(known), members);
  const kept = [
    ...members.filter((store) => !isGone(store)),
    ...joining.filter((store) => ready.includes(store)),
  ].slice(0, factor);
  const wanted = chosen(input, keyOf(known), kept, copies);
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

/**
 * `kept`, and more stores up to `factor`: those that hold the fewest copies, to which these are added. The
 * first is the one that sees to due alarms first.
 */
function chosen(
  input: AssignmentInput,
  key: string,
  kept: readonly string[],
  copies: Copies,
): string[] {
  const held = (store: string) => copies.get(store) ?? 0;
  const ranked = candidates(input)
    .filter(({ storeId }) => !kept.includes(storeId))
    .map((node) => ({ node, weight: weightOf(`${key}/${node.storeId}`) }))
    .sort(
      (a, b) =>
        held(a.node.storeId) - held(b.node.storeId) ||
        a.weight - b.weight ||
        (a.node.storeId < b.node.storeId ? -1 : 1),
    );
  const stores = [...kept];
  const zones = new Set(
    input.nodes.filter(({ storeId }) => kept.includes(storeId)).map(({ zone }) => zone),
  );
  // One of each zone first, then whoever is left.
  for (const isSpread of [true, false]) {
    for (const { node } of ranked) {
      const { storeId, zone } = node;
      if (stores.length >= input.factor) break;
      if (stores.includes(storeId) || (isSpread && zones.has(zone))) continue;
      stores.push(storeId);
      zones.add(zone);
      copies.set(storeId, held(storeId) + 1);
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
