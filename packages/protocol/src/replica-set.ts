/**
 * Which stores hold a shard, and what counts as a majority of them. Before a set changes those that are
 * to join it are sent what it holds, and have no vote: learners. While it changes it has two lists, and
 * every quorum (append, seal, promise, confirm) needs a majority of both: so a decision by the old list
 * alone, the joint one, or the new one alone always meets the others'.
 */
import type { ObjectIdHex } from '@homing/base';

export interface ReplicaSet {
  /** Only grows; a replica refuses messages of a lower one. */
  readonly generation: number;
  /** Store ids; while the set changes, the old list. */
  readonly members: readonly string[];
  /** While the set changes, the new list. */
  readonly next?: readonly string[] | undefined;
  /** Before that, the list that is to be the new one; counts for no majority. */
  readonly coming?: readonly string[] | undefined;
}

/** How far a store is with a generation of two lists. */
export interface Standing {
  /** It has adopted it, and the promises that it gave before have run out. */
  readonly isSettled: boolean;
  /** It holds all that a member of the new list must. */
  readonly isComplete: boolean;
  /** A leaver that owns nothing of the shard any more. */
  readonly isVacated: boolean;
}

/** Who is to own the objects of a shard: not those that are to leave. */
export function ownersOf(set: ReplicaSet): readonly string[] {
  return set.next ?? set.members;
}

/** The list that is to be the only one in the end. */
export function targetOf({ members, next, coming }: ReplicaSet): readonly string[] {
  return next ?? coming ?? members;
}

/** Every store that is in one of the lists, once. */
export function storesOf(set: ReplicaSet): readonly string[] {
  return isChanging(set) ? [...new Set([...set.members, ...targetOf(set)])] : set.members;
}

/** Those of them that have a vote. */
export function votersOf(set: ReplicaSet): readonly string[] {
  return set.coming === undefined ? storesOf(set) : set.members;
}

/** Whether it is to become another, or is becoming it. */
export function isChanging({ next, coming }: ReplicaSet): boolean {
  return next !== undefined || coming !== undefined;
}

export function isMajority(
  members: readonly string[],
  counts: (store: string) => boolean,
): boolean {
  let count = 0;
  for (const store of members) if (counts(store)) count += 1;
  return count * 2 > members.length;
}

/** True when the stores that `counts` accepts are a majority, of both lists where there are two. */
export function isQuorum(set: ReplicaSet, counts: (store: string) => boolean): boolean {
  return (
    isMajority(set.members, counts) && (set.next === undefined || isMajority(set.next, counts))
  );
}

/**
 * True when the stores that `counts` accepts meet every majority of either list: whatever a majority
 * has acknowledged, under this set or under one of its lists alone, one of them has acknowledged too.
 */
export function meetsMajorities(set: ReplicaSet, counts: (store: string) => boolean): boolean {
  const isLeftOut = (store: string) => !counts(store);
  return ![set.members, ...(set.next === undefined ? [] : [set.next])].some((members) =>
    isMajority(members, isLeftOut),
  );
}

function majorityLsn(members: readonly string[], lsnOf: (store: string) => number): number {
  const lsns = members.map(lsnOf).sort((a, b) => b - a);
  return lsns[Math.floor(members.length / 2)] ?? 0;
}

/** The greatest LSN that a majority has reached. */
export function quorumLsn(set: ReplicaSet, lsnOf: (store: string) => number): number {
  const lsn = majorityLsn(set.members, lsnOf);
  return set.next === undefined ? lsn : Math.min(lsn, majorityLsn(set.next, lsnOf));
}

/**
 * The shard of an object among `shards`, which must never change. Taken from the second half of the
 * id, which is a keyed hash whatever the id was made of.
 */
export function shardOf(id: ObjectIdHex, shards: number): number {
  return Number.parseInt(id.slice(-8), 16) % shards;
}
