/** Copies that change places where no set needs it: how many, until when, and when not. */
import type { NodeInfo, ShardAssignment, VersionedShard } from '@homing/base';
import { expect, test } from 'vitest';
import { type AssignmentInput, planAssignments, shardKey } from './assignment.ts';
import { copiesOf } from './balance.ts';

const region = 'main';

/** One node for each letter; `zones` are theirs in turn, or each has its own. */
function nodesOf(names: string, zones = names): NodeInfo[] {
  return [...names].map((name, index) => ({
    node: name,
    incarnation: '1',
    storeId: name,
    region,
    zone: zones[index] ?? '',
    addresses: {},
  }));
}

/** The sets of a region as a coordinator keeps them, and a controller that looks at them. */
class Region {
  sets: ShardAssignment[];
  steps = 0;

  constructor(sets: readonly string[]) {
    this.sets = sets.map((members, shard) => ({
      region,
      shard,
      generation: 1,
      members: [...members],
    }));
  }

  plan(nodes: readonly NodeInfo[], more: Partial<AssignmentInput> = {}): ShardAssignment[] {
    const shards = new Map<string, VersionedShard>();
    for (const assignment of this.sets) {
      shards.set(shardKey(region, assignment.shard), { assignment, revision: 1n });
    }
    return planAssignments({
      nodes,
      shards,
      region,
      shardCount: this.sets.length,
      factor: 3,
      isGathering: false,
      takesFewer: true,
      isCalm: true,
      balancePercent: 100,
      isGone: () => false,
      standingOf: () => ({ isSettled: true, isComplete: true, isVacated: true }),
      changesMax: 4,
      ...more,
    }).map(({ assignment }) => assignment);
  }

  write(changes: readonly ShardAssignment[]): void {
    for (const change of changes) {
      const before = this.sets[change.shard];
      const { members, coming } = change;
      if (coming !== undefined) {
        this.steps += 1;
        // One store for another, and the first is not forgotten meanwhile.
        expect(coming.filter((store) => !members.includes(store))).toHaveLength(1);
        expect(members).toEqual(before?.members);
      }
      this.sets[change.shard] = change;
    }
  }

  /** Until nothing is left to do; says how many exchanges that took. */
  rest(nodes: readonly NodeInfo[], more: Partial<AssignmentInput> = {}): number {
    for (let look = 0; look < 1000; look++) {
      const changes = this.plan(nodes, more);
      if (changes.length === 0) return this.steps;
      this.write(changes);
    }
    throw new Error('does not come to rest');
  }

  copies(nodes: readonly NodeInfo[]): number[] {
    const copies = copiesOf(this.sets);
    return nodes.map(({ storeId }) => copies.get(storeId) ?? 0);
  }

  zones(nodes: readonly NodeInfo[]): number[] {
    const zoneOf = new Map(nodes.map(({ storeId, zone }) => [storeId, zone]));
    return this.sets.map(({ members }) => new Set(members.map((store) => zoneOf.get(store))).size);
  }
}

const repeat = (set: string, count: number) => Array.from({ length: count }, () => set);

test('a node that joins gets its share, by as many exchanges as it gets copies', () => {
  const nodes = nodesOf('abcd');
  const sets = new Region(repeat('abc', 64));
  expect(sets.rest(nodes)).toBe(48);
  expect(sets.copies(nodes)).toEqual([48, 48, 48, 48]);
});

test('what is nearly even stays, and a node far from it is brought near', () => {
  const nodes = nodesOf('abcd');
  const sets = new Region(repeat('abc', 64));
  // Nine tenths of 48, and not one more.
  expect(sets.rest(nodes, { balancePercent: 90 })).toBe(44);
  expect(sets.copies(nodes).toSorted()).toEqual([44, 49, 49, 50]);
  expect(sets.plan(nodes, { balancePercent: 90 })).toEqual([]);
  const off = new Region(repeat('abc', 64));
  expect(off.plan(nodes, { balancePercent: 0 })).toEqual([]);
});

test('new sets are even from the beginning', () => {
  const nodes = nodesOf('abcdefg', 'xxxyyyz');
  const sets = new Region(repeat('', 64));
  const changes = sets.plan(nodes, { remembered: [] }).length;
  expect(changes).toBeGreaterThan(0);
  const fresh = planAssignments({
    nodes,
    shards: new Map(),
    region,
    shardCount: 64,
    factor: 3,
    isGathering: false,
    takesFewer: true,
    isCalm: true,
    balancePercent: 100,
    isGone: () => false,
    standingOf: () => ({ isSettled: true, isComplete: true, isVacated: true }),
    changesMax: 4,
  });
  sets.sets = fresh.map(({ assignment }) => assignment);
  expect(sets.zones(nodes).every((zones) => zones === 3)).toBe(true);
  expect(sets.plan(nodes)).toEqual([]);
});

test('only so many sets change at the same time', () => {
  const nodes = nodesOf('abcd');
  const sets = new Region(repeat('abc', 64));
  const standingOf = () => ({ isSettled: true, isComplete: false, isVacated: false });
  sets.write(sets.plan(nodes));
  expect(sets.sets.filter(({ coming }) => coming !== undefined)).toHaveLength(4);
  expect(sets.plan(nodes, { standingOf })).toEqual([]);
});

test('nothing is exchanged while anything is amiss', () => {
  const nodes = nodesOf('abcd');
  const isStill = (sets: readonly string[], there: readonly NodeInfo[], more = {}) => {
    const changes = new Region(sets).plan(there, more);
    return changes.every(({ coming, members }) => (coming?.length ?? 0) > members.length);
  };
  const whole = repeat('abc', 8);
  expect(isStill(whole, nodes)).toBe(false);
  // Nodes have come or gone until just now.
  expect(isStill(whole, nodes, { isCalm: false })).toBe(true);
  // A store of one set is away, though not for long.
  expect(isStill([...whole, 'abe'], nodes)).toBe(true);
  const [a, b, c, d] = nodes as [NodeInfo, NodeInfo, NodeInfo, NodeInfo];
  expect(isStill(whole, [a, b, { ...c, draining: true }, d])).toBe(true);
  // One set is too short.
  expect(isStill([...whole, 'ab'], nodes)).toBe(true);
  // One is being repaired: the store that goes is not there.
  const repaired = new Region([...whole, 'abe']);
  repaired.sets[8] = { ...(repaired.sets[8] as ShardAssignment), next: ['a', 'b', 'c'] };
  const standingOf = () => ({ isSettled: true, isComplete: false, isVacated: false });
  expect(repaired.plan(nodes, { standingOf })).toEqual([]);
});

test('a set in two zones is changed when a third comes, and one with three stores in one', () => {
  const nodes = nodesOf('abcdef', 'xxxyzz');
  const sets = new Region(['abc', 'abd', 'ade', 'bef']);
  expect(sets.zones(nodes)).toEqual([1, 2, 3, 2]);
  sets.rest(nodes, { balancePercent: 0 });
  expect(sets.zones(nodes)).toEqual([3, 3, 3, 3]);
  // Two for the first set, one for each that lacked one.
  expect(sets.steps).toBe(4);
});

test('copies never lie in fewer zones so that they may lie more evenly', () => {
  const nodes = nodesOf('abcde', 'xxxyz');
  const sets = new Region(repeat('ade', 30));
  sets.rest(nodes);
  expect(sets.copies(nodes)).toEqual([10, 10, 10, 30, 30]);
  expect(sets.steps).toBe(20);
});

/** Any start, any zones: it comes to rest, each step is one to the better, and none is to spare. */
test('from wherever it starts it comes to rest, by the fewest steps', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let run = 0; run < 150; run++) {
    const names = 'abcdefghij'.slice(0, 4 + random(7));
    const isZoned = run % 2 === 1;
    const zones = [...names].map(() => 'xyz'[random(3)] as string).join('');
    const nodes = nodesOf(names, isZoned ? zones : names);
    const start = Array.from({ length: 4 + random(40) }, () => {
      const stores = [...names];
      return Array.from({ length: 3 }, () => stores.splice(random(stores.length), 1)).join('');
    });
    const sets = new Region(start);
    const before = sets.copies(nodes);
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    const squares = () => sum(sets.copies(nodes).map((count) => count * count));
    for (;;) {
      const [one] = sets.plan(nodes, { changesMax: 1 });
      if (one === undefined) break;
      const was = { zones: sum(sets.zones(nodes)), squares: squares() };
      sets.write([one]);
      for (const _ of ['both lists', 'the new one']) {
        sets.write(sets.plan(nodes, { changesMax: 1 }).slice(0, 1));
      }
      const isSpread = sum(sets.zones(nodes)) > was.zones;
      expect(isSpread || (sum(sets.zones(nodes)) === was.zones && squares() < was.squares)).toBe(
        true,
      );
    }
    if (isZoned) continue;
    // Every store is a zone: nothing hinders, and the fewest steps are what stores have too many.
    const copies = sets.copies(nodes);
    const share = (start.length * 3) / nodes.length;
    const over = sum(before.map((count) => Math.max(0, count - Math.ceil(share))));
    const under = sum(before.map((count) => Math.max(0, Math.floor(share) - count)));
    expect(Math.max(...copies) - Math.min(...copies)).toBeLessThan(2);
    expect(sets.steps).toBe(Math.max(over, under));
  }
});
