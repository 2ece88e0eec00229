/**
 * Which copies change places where no set needs it: to lie in more zones, and so that no store holds far
 * more or fewer than its share. One store of a set is exchanged for another at a time, through a joint
 * step like any other change.
 *
 * Invariants
 * 1. Nothing is exchanged while a store of any set is away, drains, or is yet to get its copies.
 * 2. Each exchange either puts a set into one zone more; or leaves it in as many, and goes from a store to
 *    one that holds at least two copies fewer. The number of zones over all sets never falls, and the sum
 *    of the squares of what stores hold falls with each of the second kind: so it comes to rest.
 * 3. Copies go from the store that has the most to the one that has the fewest, where zones allow: no
 *    way to the same end has fewer steps.
 *
 * Pure; called by `planAssignments`.
 */
import type { NodeInfo, ShardAssignment } from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';
import { isChanging, storesOf, targetOf } from './replica-set.ts';

export interface BalanceInput {
  /** Live nodes of the region. */
  readonly nodes: readonly NodeInfo[];
  /** Of all shards of the region. */
  readonly sets: readonly ShardAssignment[];
  readonly factor: number;
  /**
   * A store gets copies while it has less than so much of an even share, and gives some while an even
   * share is less than so much of what it has; 0: never.
   */
  readonly percent: number;
  /** Sets that may begin to change. */
  readonly exchangesMax: number;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

/** What is to become of a set of one list. */
export interface Exchange {
  readonly set: ShardAssignment;
  readonly next: readonly string[];
}

/** How many copies each store is to hold, once what changes has changed. */
export function copiesOf(sets: Iterable<ShardAssignment>): Map<string, number> {
  const copies = new Map<string, number>();
  for (const set of sets) {
    for (const store of targetOf(set)) copies.set(store, (copies.get(store) ?? 0) + 1);
  }
  return copies;
}

/** The exchanges to begin now; none where the sets are as they should be, or anything is being repaired. */
export function planExchanges(input: BalanceInput): readonly Exchange[] {
  if (input.exchangesMax <= 0 || !isWhole(input)) return [];
  const plan = new ExchangePlan(input);
  plan.spread();
  plan.level();
  return plan.exchanges;
}

/** Whether each store of each set is there to stay, and no set is to get longer. */
function isWhole({ nodes, sets, factor }: BalanceInput): boolean {
  const staying = new Set(nodes.filter((node) => !isDraining(node)).map(({ storeId }) => storeId));
  if (nodes.some(isDraining)) return false;
  const size = Math.min(factor, staying.size);
  return sets.every((set) => {
    const { members } = set;
    const isGrowing = members.length < size || targetOf(set).length > members.length;
    return !isGrowing && storesOf(set).every((store) => staying.has(store));
  });
}

function isDraining({ draining }: NodeInfo): boolean {
  return draining === true;
}

class ExchangePlan {
  readonly exchanges: Exchange[] = [];
  readonly #input: BalanceInput;
  readonly #copies: Map<string, number>;
  readonly #zoneOf: ReadonlyMap<string, string>;
  /** Sets that may be exchanged: they do not change, and are not chosen yet. */
  readonly #idle: Set<ShardAssignment>;

  constructor(input: BalanceInput) {
    this.#input = input;
    this.#copies = copiesOf(input.sets);
    this.#zoneOf = new Map(input.nodes.map(({ storeId, zone }) => [storeId, zone]));
    this.#idle = new Set(input.sets.filter((set) => !isChanging(set)));
  }

  /** Sets that lie in fewer zones than they could. */
  spread(): void {
    const zones = new Set(this.#zoneOf.values()).size;
    for (const set of [...this.#idle]) {
      if (this.#isFull) return;
      const { members } = set;
      const own = members.map((store) => this.#zone(store));
      if (new Set(own).size >= Math.min(members.length, zones)) continue;
      const isDouble = (store: string) =>
        own.filter((zone) => zone === this.#zone(store)).length > 1;
      const [from] = this.#byCopies(members.filter(isDouble)).toReversed();
      const [to] = this.#byCopies(this.#stores.filter((store) => !own.includes(this.#zone(store))));
      if (from !== undefined && to !== undefined) this.#exchange(set, from, to);
    }
  }

  /** Stores that hold far fewer copies than others could spare. */
  level(): void {
    while (!this.#isFull && this.#levelOnce());
  }

  #levelOnce(): boolean {
    const stores = this.#byCopies(this.#stores);
    const least = this.#input.bugs?.restless === true ? 1 : 2;
    for (const to of stores) {
      for (const from of stores.toReversed()) {
        if (this.#copiesOn(from) - this.#copiesOn(to) < least) break;
        if (!this.#isFew(to) && !this.#isMany(from)) continue;
        for (const set of this.#idle) {
          if (!this.#isLevelling(set, from, to)) continue;
          this.#exchange(set, from, to);
          return true;
        }
      }
    }
    return false;
  }

  /** Whether the set can give the copy away without lying in fewer zones. */
  #isLevelling({ members }: ShardAssignment, from: string, to: string): boolean {
    if (!members.includes(from) || members.includes(to)) return false;
    const zones = new Set(members.map((store) => this.#zone(store))).size;
    const after = members.map((store) => this.#zone(store === from ? to : store));
    return new Set(after).size >= zones;
  }

  #exchange(set: ShardAssignment, from: string, to: string): void {
    this.#idle.delete(set);
    this.#copies.set(from, this.#copiesOn(from) - 1);
    this.#copies.set(to, this.#copiesOn(to) + 1);
    this.exchanges.push({ set, next: set.members.map((store) => (store === from ? to : store)) });
  }

  get #isFull(): boolean {
    return this.exchanges.length >= this.#input.exchangesMax;
  }

  get #stores(): readonly string[] {
    return this.#input.nodes.map(({ storeId }) => storeId);
  }

  /** The fewest first; in the same order on every node. */
  #byCopies(stores: readonly string[]): readonly string[] {
    return stores.toSorted(
      (a, b) => this.#copiesOn(a) - this.#copiesOn(b) || (a < b ? -1 : Number(a > b)),
    );
  }

  #copiesOn(store: string): number {
    return this.#copies.get(store) ?? 0;
  }

  get #share(): number {
    let copies = 0;
    for (const held of this.#copies.values()) copies += held;
    return copies / this.#input.nodes.length;
  }

  #isFew(store: string): boolean {
    return this.#copiesOn(store) * 100 < this.#share * this.#input.percent;
  }

  #isMany(store: string): boolean {
    return this.#share * 100 < this.#copiesOn(store) * this.#input.percent;
  }

  #zone(store: string): string {
    return this.#zoneOf.get(store) ?? '';
  }
}
