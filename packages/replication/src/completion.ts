/**
 * Makes this store complete for the shards that it is to hold: page by page it surveys what a majority
 * of the old list has, and brings what it lacks. While a set changes the others are told when it is
 * done; under a set of one list, after a start or where the set went on without it, the same pass brings
 * back what the store missed and no owner sends it.
 *
 * A pass goes over all shards that need one at the same time, since objects lie in the order of their
 * ids. It begins anew after a restart, and then finds most things there.
 *
 * Invariant: a shard is complete only after every object of it was found to be held as the survey of
 * its page demands, all under one generation.
 *
 * Owned by `Replication`.
 */
import {
  compareRecordNames,
  damagedObjectOf,
  isHomingError,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  type ShardAssignment,
  type Store,
  type Timers,
} from '@homing/base';
import {
  type DeliberateBugs,
  type ListedPage,
  type Need,
  Survey,
  storesOf,
} from '@homing/protocol';
import type { AdoptedSets } from './adopted-sets.ts';
import type { ReplicationLimits } from './limits.ts';
import { firstId, idAfter, idBefore, type ListRequest } from './listing.ts';
import type { LogMessage } from './messages.ts';
import type { Replica } from './replica.ts';

export interface CompletionOptions {
  readonly self: string;
  readonly store: Store;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly sets: AdoptedSets;
  readonly replica: Replica;
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
  /** False when the store cannot be sent to now. */
  readonly send: (store: string, message: LogMessage) => boolean;
  readonly settle: Settle;
  /** Has the owner, which may be on one of these stores, write a record above what is not settled. */
  readonly tellUnsettled: (id: ObjectIdHex, stores: readonly string[]) => void;
  readonly completed: (shard: string, generation: number) => void;
  readonly failed: (error: unknown) => void;
  readonly bugs: DeliberateBugs;
}

/**
 * For an object whose newest record nobody knows to be committed: has it recovered, by whoever is to own
 * it. Resolves with false where the object is not at home in the region, so that what is left of it
 * there need not be settled. May reject: it is asked again.
 */
export type Settle = (object: ObjectRef, region: string) => Promise<boolean>;

/** Shards of a pass, all of one region: those that fail are taken out. */
type Shards = Map<string, ShardAssignment>;

interface Asked {
  readonly survey: Survey;
  /** Something was answered. */
  readonly heard: () => void;
}

export class Completion {
  readonly #options: CompletionOptions;
  /** The generation under which each shard was made complete, in this run. */
  readonly #done = new Map<string, number>();
  readonly #asked = new Map<number, Asked>();
  readonly #pulls = new Map<ObjectIdHex, { readonly source: string; readonly end: () => void }>();
  #nextRound = 1;
  #isBusy = false;
  #isStopped = false;

  constructor(options: CompletionOptions) {
    this.#options = options;
  }

  /** Sets or links have changed: there may be something to do. */
  look(): void {
    if (this.#isBusy || this.#isStopped) return;
    const shards = this.#wanted();
    if (shards.size === 0) return;
    this.#isBusy = true;
    const { timers, limits, failed } = this.#options;
    this.#pass(shards).then((isWhole) => {
      this.#isBusy = false;
      if (isWhole) this.look();
      else timers.after(limits.passRetryMs, () => this.look());
    }, failed);
  }

  isDone(shard: string): boolean {
    return this.#done.get(shard) === this.#options.sets.get(shard)?.generation;
  }

  stop(): void {
    this.#isStopped = true;
  }

  listed(store: string, round: number, page: ListedPage): void {
    const asked = this.#asked.get(round);
    asked?.survey.answered(store, page);
    asked?.heard();
  }

  /** Whether the store was asked for the object's state, and has not said that it is through with it. */
  isPulled(id: ObjectIdHex, from: string): boolean {
    return this.#pulls.get(id)?.source === from;
  }

  /** Done or not: what is here by now says so. */
  pulled(id: ObjectIdHex): void {
    this.#pulls.get(id)?.end();
  }

  /** The link is gone, and with it what was under way. */
  down(store: string): void {
    for (const { source, end } of [...this.#pulls.values()]) if (source === store) end();
  }

  #wanted(): Shards {
    const { self, sets, completed, bugs } = this.#options;
    const shards: Shards = new Map();
    for (const [key, set] of sets.all()) {
      if (!(set.next ?? storesOf(set)).includes(self)) continue;
      if (this.isDone(key)) continue;
      if (bugs['complete-early'] === true) {
        this.#done.set(key, set.generation);
        completed(key, set.generation);
      } else if (set.region === ([...shards.values()][0]?.region ?? set.region)) {
        shards.set(key, set);
      }
    }
    return shards;
  }

  /** Resolves with whether all shards were made complete. */
  async #pass(shards: Shards): Promise<boolean> {
    const { limits, completed } = this.#options;
    const count = shards.size;
    let from: ObjectIdHex | undefined = firstId;
    while (from !== undefined) {
      const survey = await this.#survey(shards, from, limits.passHeads);
      if (from === firstId && !(await this.#raiseFloors(survey))) return false;
      const needs = survey.needs();
      if (!(await this.#dropStrays(shards, needs, from, survey.until))) return false;
      await this.#meetAll(shards, needs);
      if (shards.size === 0 || this.#isStopped) return false;
      const { until } = survey;
      from = until === undefined ? undefined : idAfter(until);
      if (from !== undefined) await this.#sleep(limits.passPauseMs);
    }
    for (const [key, set] of shards) {
      if (!this.#isCurrent(key, set)) continue;
      this.#done.set(key, set.generation);
      completed(key, set.generation);
    }
    return shards.size === count;
  }

  #isCurrent(key: string, { generation }: ShardAssignment): boolean {
    return !this.#isStopped && this.#options.sets.get(key)?.generation === generation;
  }

  // ── What the others have ───────────────────────────────────────────────────────────────────

  /** Takes shards out that no majority of the old list answers for. */
  async #survey(shards: Shards, from: ObjectIdHex, limit: number): Promise<Survey> {
    const { self, send, replica, limits, timers, keyOf } = this.#options;
    const [first] = shards.values();
    const region = first?.region ?? '';
    const survey = new Survey(new Map(shards), ({ id }) => keyOf(region, id));
    const round = this.#nextRound++;
    const request: ListRequest = {
      type: 'list',
      round,
      from,
      limit,
      region,
      shards: [...shards.values()].map(({ shard, generation }) => ({ shard, generation })),
    };
    const stores = new Set([...shards.values()].flatMap(({ members }) => members));
    if (stores.delete(self)) survey.answered(self, replica.list(request));
    const hasAll = () => [...shards.keys()].every((key) => survey.hasMajority(key));
    await new Promise<void>((resolve) => {
      const timer = timers.after(limits.passRetryMs, resolve);
      const heard = () => {
        if (!hasAll()) return;
        timer.cancel();
        resolve();
      };
      this.#asked.set(round, { survey, heard });
      for (const store of stores) send(store, request);
      heard();
    });
    this.#asked.delete(round);
    for (const [key, set] of [...shards]) {
      if (!survey.hasMajority(key) || !this.#isCurrent(key, set)) shards.delete(key);
    }
    return survey;
  }

  // ── What is here and must not be ───────────────────────────────────────────────────────────

  /**
   * A store that learns may have been in the set before, and hold what was forgotten or never committed
   * since: its word would bring that back. It has no vote yet, and what it drops too much is sent again.
   * Resolves with false where the disk has too much to write.
   */
  async #dropStrays(
    shards: Shards,
    needs: readonly Need[],
    from: ObjectIdHex,
    until: ObjectIdHex | undefined,
  ): Promise<boolean> {
    const { self, store, keyOf, limits } = this.#options;
    const learning = new Map(
      [...shards].filter(
        ([, { members, coming }]) => coming !== undefined && !members.includes(self),
      ),
    );
    const [first] = learning.values();
    if (first === undefined) return true;
    const needed = new Map(needs.map((need) => [need.object.id, need]));
    const isMeant = (id: ObjectIdHex) => {
      const key = keyOf(first.region, id);
      const set = learning.get(key);
      if (set === undefined || !this.#isCurrent(key, set)) return false;
      if (until !== undefined && id > until) return false;
      if (this.#isHeldElsewhere(first.region, id)) return false;
      return isStray(store.head(id), needed.get(id));
    };
    let after = idBefore(from);
    try {
      do {
        after = await store.erasePage({ isMeant, after, limit: limits.passHeads });
      } while (after !== undefined && (until === undefined || after < until));
    } catch (error) {
      if (!isHomingError(error) || error.code === 'corruption') throw error;
      return false;
    }
    return true;
  }

  /** Whether this store, whose node has changed its region, is in the set of the former one still. */
  #isHeldElsewhere(region: string, id: ObjectIdHex): boolean {
    const { self, sets, keyOf } = this.#options;
    return [...sets.regions()].some((other) => {
      const set = other === region ? undefined : sets.get(keyOf(other, id));
      return set !== undefined && storesOf(set).includes(self);
    });
  }

  // ── What is missing here ───────────────────────────────────────────────────────────────────

  async #meetAll(shards: Shards, needs: readonly Need[]): Promise<void> {
    const left = needs.filter((need) => !this.#isMet(need) || !isSettled(need, need));
    const work = async () => {
      for (let need = left.shift(); need !== undefined; need = left.shift()) {
        const set = shards.get(need.shard);
        if (set === undefined) continue;
        if (!(await this.#meet(need, set))) shards.delete(need.shard);
      }
    };
    await Promise.all(Array.from({ length: this.#options.limits.pullsMax }, work));
  }

  async #raiseFloors(survey: Survey): Promise<boolean> {
    const floors = survey.floors();
    if (floors.length === 0) return true;
    try {
      await this.#options.store.raiseFloors(floors);
      return true;
    } catch (error) {
      if (!isHomingError(error) || error.code === 'corruption') throw error;
      return false;
    }
  }

  /** What a store forgot counts as promised: an object without a record need not be known. */
  #isMet({ object, promised, applied }: Need): boolean {
    const { store } = this.#options;
    const head = store.head(object.id);
    if (head === undefined) return applied.lsn === 0 && store.floor(object.id) >= promised;
    return head.promised >= promised && compareRecordNames(head.applied, applied) >= 0;
  }

  /** False when it did not come about, or the set is another by now. */
  async #meet(first: Need, set: ShardAssignment): Promise<boolean> {
    const { limits, settle, tellUnsettled, self } = this.#options;
    let isLeftover = false;
    for (let attempt = 0; attempt < limits.passAttemptsMax; attempt++) {
      if (!this.#isCurrent(first.shard, set)) return false;
      const need = attempt === 0 ? first : await this.#askAgain(first, set);
      if (need !== undefined && (isLeftover || isSettled(first, need))) {
        await this.#bring(need, set);
        if (this.#isMet(need)) return true;
      } else if (attempt > 0) {
        const isHere = await settle(first.object, set.region).catch(() => true);
        isLeftover = !isHere;
        const others = storesOf(set).filter((store) => store !== self);
        if (isHere) tellUnsettled(first.object.id, others);
      }
      await this.#sleep(limits.passRetryMs);
    }
    return false;
  }

  async #askAgain(first: Need, set: ShardAssignment): Promise<Need | undefined> {
    const { id } = first.object;
    const survey = await this.#survey(new Map([[first.shard, set]]), id, 1);
    return survey.needs().find(({ object }) => object.id === id);
  }

  /** Vows, folds in what is here, and has the state sent if that is not enough. */
  async #bring({ object, promised, applied, source }: Need, set: ShardAssignment): Promise<void> {
    const { store, replica, self } = this.#options;
    const { id } = object;
    try {
      // What is not known here counts as having promised the floor, and can vow no less.
      const before = store.head(id)?.promised ?? store.floor(id);
      const vow = promised > before ? promised : before;
      if (store.head(id)?.promised !== vow) await replica.raise(object, vow);
      const epoch = store.head(id)?.promised ?? vow;
      await store.append({ object, epoch, records: [], committed: applied });
      const isHere = compareRecordNames(replica.ends(id).applied, applied) >= 0;
      if (!isHere && source !== self) await this.#pull(source, object, set);
    } catch (error) {
      if (damagedObjectOf(error) !== undefined) {
        this.#options.failed(error);
        return;
      }
      // A newer owner, or a disk with too much to write: it is looked at again.
      if (!isHomingError(error) || error.code === 'corruption') throw error;
    }
  }

  async #pull(
    source: string,
    object: ObjectRef,
    { region: home, generation }: ShardAssignment,
  ): Promise<void> {
    const { store, send, timers, limits } = this.#options;
    const { id } = object;
    const epoch = store.head(id)?.promised;
    if (epoch === undefined) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        timer.cancel();
        this.#pulls.delete(id);
        resolve();
      };
      const timer = timers.after(limits.pullTimeoutMs, end);
      this.#pulls.set(id, { source, end });
      if (!send(source, { type: 'pull', object, epoch, home, generation })) end();
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.timers.after(ms, () => resolve());
    });
  }
}

/** Nobody who counts has it, or a newer owner has come and its newest record is none of theirs. */
function isStray(head: ObjectHead | undefined, need: Need | undefined): boolean {
  if (head === undefined || need === undefined) return true;
  return compareRecordNames(head.last, need.last) > 0 && head.last.epoch < need.promised;
}

/** Whether what was newest in the first survey is known committed, or is known not to be, by now. */
function isSettled(first: Need, now: Need): boolean {
  return now.isTold && compareRecordNames(now.applied, first.last) >= 0;
}
