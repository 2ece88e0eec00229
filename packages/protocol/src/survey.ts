/**
 * What a store must hold to be *complete* for shards whose replica set changes: of every object that a
 * majority of the old list has, the greatest promise and the newest committed state among those stores;
 * and of what they have forgotten, their floors.
 * A survey gathers one page of what they have, in the order of ids, and says what follows from it.
 *
 * Invariants
 * 1. A store's page counts for a shard only where the store goes by the same generation: whatever an
 *    older one allowed is then in the page, or was never acknowledged by it.
 * 2. Nothing is concluded of a shard before a majority of its old list has answered, nor of an id that
 *    one of the answers does not reach.
 *
 * Pure; driven by the replication package.
 */
import {
  compareRecordNames,
  type Epoch,
  type ObjectIdHex,
  type ObjectRef,
  type RecordName,
} from '@homing/base';
import { isQuorum, meetsMajorities, type ReplicaSet } from './replica-set.ts';

/** What a store says of one object. */
export interface ListedHead {
  readonly object: ObjectRef;
  readonly promised: Epoch;
  readonly last: RecordName;
  readonly applied: RecordName;
  /** What it held was damaged: it has promised, and tells of no log. */
  readonly isBlank: boolean;
}

export interface ListedPage {
  /** The shards among those asked for that the store has under the generation asked for. */
  readonly current: readonly string[];
  /** In the order of their ids. */
  readonly heads: readonly ListedHead[];
  /** In the first page: what it has promised of objects that it knows nothing of, by bucket. */
  readonly floors: readonly Epoch[];
  /** How far the store has looked; undefined where it has nothing more. */
  readonly until: ObjectIdHex | undefined;
}

/** What a store must hold of an object. */
export interface Need {
  readonly object: ObjectRef;
  readonly shard: string;
  readonly promised: Epoch;
  /** The newest record that any has; it is settled once something as new is known committed. */
  readonly last: RecordName;
  readonly applied: RecordName;
  /** The store that has this state. */
  readonly source: string;
  /** Stores whose replica of it is damaged, and of which nothing can be concluded. */
  readonly blank: readonly string[];
  /** Whether those that told of a log meet every majority of the old list. */
  readonly isTold: boolean;
}

export class Survey {
  readonly #sets: ReadonlyMap<string, ReplicaSet>;
  readonly #shardOf: (object: ObjectRef) => string;
  readonly #pages = new Map<string, ListedPage>();

  constructor(sets: ReadonlyMap<string, ReplicaSet>, shardOf: (object: ObjectRef) => string) {
    this.#sets = sets;
    this.#shardOf = shardOf;
  }

  answered(store: string, page: ListedPage): void {
    this.#pages.set(store, page);
  }

  /** Whether a majority of the shard's old list has answered. */
  hasMajority(shard: string): boolean {
    const set = this.#sets.get(shard);
    if (set === undefined) return false;
    const { generation, members } = set;
    return isQuorum({ generation, members }, (store) => this.#counts(store, shard));
  }

  /** How far all that have answered have looked; undefined where nothing is left. */
  get until(): ObjectIdHex | undefined {
    let least: ObjectIdHex | undefined;
    for (const { until } of this.#pages.values()) {
      if (until !== undefined && (least === undefined || until < least)) least = until;
    }
    return least;
  }

  /** The greatest floors of all that have answered; those of a first page. */
  floors(): readonly Epoch[] {
    const greatest: Epoch[] = [];
    for (const { floors } of this.#pages.values()) {
      for (const [bucket, floor] of floors.entries()) {
        greatest[bucket] = greater(floor, greatest[bucket] ?? floor);
      }
    }
    return greatest;
  }

  /** What must be held of each object up to `until`, of the shards that have a majority. */
  needs(): readonly Need[] {
    const { until } = this;
    const needs = new Map<ObjectIdHex, Need>();
    for (const [store, { heads }] of this.#pages) {
      for (const head of heads) {
        const { id } = head.object;
        if (until !== undefined && id > until) break;
        const shard = this.#shardOf(head.object);
        if (!this.hasMajority(shard) || !this.#counts(store, shard)) continue;
        const known = needs.get(id);
        needs.set(
          id,
          known === undefined ? needOf(head, shard, store) : joined(known, head, store),
        );
      }
    }
    return [...needs.values()].map((need) => ({ ...need, isTold: this.#isTold(need) }));
  }

  /** One that has nothing of the object tells so; one that is blank tells nothing. */
  #isTold({ shard, blank }: Need): boolean {
    if (blank.length === 0) return true;
    const { generation = 0, members = [] } = this.#sets.get(shard) ?? {};
    const tells = (store: string) => this.#counts(store, shard) && !blank.includes(store);
    return meetsMajorities({ generation, members }, tells);
  }

  #counts(store: string, shard: string): boolean {
    const isMember = this.#sets.get(shard)?.members.includes(store) === true;
    return isMember && this.#pages.get(store)?.current.includes(shard) === true;
  }
}

function needOf(head: ListedHead, shard: string, source: string): Need {
  const { isBlank, ...of } = head;
  return { ...of, shard, source, blank: isBlank ? [source] : [], isTold: true };
}

function greater(one: Epoch, other: Epoch): Epoch {
  if (one > other) return one;
  return other;
}

function joined(known: Need, head: ListedHead, store: string): Need {
  const isNewer = compareRecordNames(head.applied, known.applied) > 0;
  return {
    object: known.object.name === undefined ? head.object : known.object,
    shard: known.shard,
    promised: greater(head.promised, known.promised),
    last: compareRecordNames(head.last, known.last) > 0 ? head.last : known.last,
    applied: isNewer ? head.applied : known.applied,
    source: isNewer ? store : known.source,
    blank: head.isBlank ? [...known.blank, store] : known.blank,
    isTold: true,
  };
}
