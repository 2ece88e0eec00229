/** What the controller writes, case by case. */
import type { NodeInfo, ShardAssignment, VersionedShard } from '@homing/base';
import { expect, test } from 'vitest';
import { type AssignmentInput, planAssignments } from './assignment.ts';
import type { Standing } from './replica-set.ts';

const key = 'main/0';

function nodeOf(name: string, more: Partial<NodeInfo> = {}): NodeInfo {
  const storeId = `s-${name}`;
  return {
    node: name,
    incarnation: '1',
    storeId,
    region: 'main',
    zone: name,
    addresses: {},
    ...more,
  };
}

const nodesOf = (names: string) => [...names].map((name) => nodeOf(name));
const stores = (names: string) => [...names].map((name) => `s-${name}`);

/** One shard, and what is decided about it. */
function plan(
  set: Partial<ShardAssignment> | undefined,
  nodes: readonly NodeInfo[],
  more: Partial<AssignmentInput> = {},
): ShardAssignment | undefined {
  const shards = new Map<string, VersionedShard>();
  if (set !== undefined) {
    const assignment = { region: 'main', shard: 0, generation: 7, members: [], ...set };
    shards.set(key, { assignment, revision: 3n });
  }
  const changes = planAssignments({
    nodes,
    shards,
    region: 'main',
    shardCount: 1,
    factor: 3,
    isGathering: false,
    takesFewer: false,
    isCalm: false,
    balancePercent: 100,
    isGone: () => false,
    standingOf: () => ({ isSettled: false, isComplete: false, isVacated: false }),
    changesMax: 4,
    ...more,
  });
  expect(changes.every(({ revision }) => revision === (set === undefined ? 0n : 3n))).toBe(true);
  return changes[0]?.assignment;
}

type Said = 'settled' | 'complete' | 'both' | 'vacated' | 'settled, vacated';

const standings = (table: Readonly<Record<string, Said>>) => ({
  standingOf: (_shard: string, store: string, generation: number): Standing => {
    const standing = generation === 7 ? table[store.slice(2)] : undefined;
    return {
      isSettled: standing?.startsWith('settled') === true || standing === 'both',
      isComplete: standing === 'complete' || standing === 'both',
      isVacated: standing?.endsWith('vacated') === true,
    };
  },
});

test('a shard is assigned when there are enough nodes and no more are coming', () => {
  expect(plan(undefined, nodesOf('ab'))).toBeUndefined();
  expect(plan(undefined, nodesOf('abc'), { isGathering: true })).toBeUndefined();
  expect(plan(undefined, nodesOf('abc'))?.members.toSorted()).toEqual(stores('abc'));
  expect(plan(undefined, nodesOf('abcd'))?.members).toHaveLength(3);
});

test('after long enough fewer nodes will do, and those that stop are not counted', () => {
  expect(plan(undefined, nodesOf('ab'), { takesFewer: true })?.members).toHaveLength(2);
  const isFlapping = { takesFewer: true, isGathering: true };
  expect(plan(undefined, nodesOf('ab'), isFlapping)?.members).toHaveLength(2);
  const nodes = [...nodesOf('ab'), nodeOf('c', { draining: true })];
  expect(plan(undefined, nodes)).toBeUndefined();
  expect(plan(undefined, nodes, { takesFewer: true })?.members.toSorted()).toEqual(stores('ab'));
});

test('zones are spread before anything else', () => {
  const zones = { a: 'x', b: 'x', c: 'x', d: 'y', e: 'z' };
  const nodes = Object.entries(zones).map(([name, zone]) => nodeOf(name, { zone }));
  const members = plan(undefined, nodes)?.members ?? [];
  expect(members).toContain('s-d');
  expect(members).toContain('s-e');
  const grown = plan({ members: stores('a') }, nodes);
  expect(grown?.coming?.toSorted()).toEqual(stores('ade'));
});

test('a set grows when nodes come, which learn first', () => {
  const grown = plan({ members: stores('a') }, nodesOf('abc'));
  expect(grown).toMatchObject({ generation: 8, members: stores('a') });
  expect(grown?.next).toBeUndefined();
  expect(grown?.coming?.[0]).toBe('s-a');
  expect(grown?.coming).toHaveLength(3);
  expect(plan({ members: stores('a') }, nodesOf('abc'), { isGathering: true })).toBeUndefined();
});

test('a store that is gone is replaced, and those that are there stay', () => {
  const isGone = (store: string) => store === 's-b';
  const change = plan({ members: stores('abc') }, nodesOf('acd'), { isGone });
  expect(change).toMatchObject({ generation: 8, members: stores('abc'), coming: stores('acd') });
  // Away, and not yet gone.
  expect(plan({ members: stores('abc') }, nodesOf('acd'))).toBeUndefined();
});

test('a set does not shrink where nobody can take the place of one that is gone', () => {
  const isGone = (store: string) => store === 's-b';
  expect(plan({ members: stores('abc') }, nodesOf('ac'), { isGone })).toBeUndefined();
  const draining = [...nodesOf('ac'), nodeOf('d', { draining: true })];
  expect(plan({ members: stores('abc') }, draining, { isGone })).toBeUndefined();
});

test('a smaller factor takes copies away', () => {
  const change = plan({ members: stores('abcde') }, nodesOf('abcde'));
  // Nobody has anything to learn.
  expect(change).toMatchObject({ members: stores('abcde'), next: stores('abc') });
});

test('there are two lists once those that join have what they need', () => {
  const set = { members: stores('a'), coming: stores('abc') };
  const joint = { region: 'main', shard: 0, generation: 8 };
  const both = { ...joint, members: stores('a'), next: stores('abc') };
  const when = (names: string, table: Parameters<typeof standings>[0]) =>
    plan(set, nodesOf(names), standings(table));
  expect(when('abc', { b: 'complete', c: 'complete' })).toEqual(both);
  expect(when('abc', { a: 'complete', b: 'complete' })).toBeUndefined();
  // One that is away is left out, or another takes its place; those that learn already go on.
  expect(when('ab', {})).toEqual({ ...joint, members: stores('a'), coming: stores('ab') });
  expect(when('abd', {})).toEqual({ ...joint, members: stores('a'), coming: stores('abd') });
  expect(when('acd', { c: 'complete' })?.coming).toEqual(stores('acd'));
  expect(when('a', {})).toEqual({ ...joint, members: stores('a') });
  const away = { members: stores('abc'), coming: stores('abd') };
  expect(plan(away, nodesOf('abc'))).toEqual({ ...joint, members: stores('abc') });
});

test('a change is finished when the old list has settled and the new one is complete', () => {
  const joint = { members: stores('abc'), next: stores('abd') };
  const nodes = nodesOf('abd');
  const finished = { generation: 8, members: stores('abd') };
  const when = (table: Parameters<typeof standings>[0]) => plan(joint, nodes, standings(table));
  expect(when({ a: 'both', b: 'both', d: 'complete' })).toEqual({
    region: 'main',
    shard: 0,
    ...finished,
  });
  // The promises of the old list may stand.
  expect(when({ a: 'both', b: 'complete', d: 'complete' })).toBeUndefined();
  // It would be safe, and the joiner has nothing yet.
  expect(when({ a: 'both', b: 'both' })).toBeUndefined();
  // A mistake on purpose: nobody has been waited for.
  const bugs = { 'finish-early': true } as const;
  const unsettled = standings({ a: 'complete', b: 'complete', d: 'complete' });
  expect(plan(joint, nodes, unsettled)).toBeUndefined();
  expect(plan(joint, nodes, { ...unsettled, bugs })?.members).toEqual(stores('abd'));
  // What was said under another generation is of no use.
  const before = { ...joint, generation: 6 };
  expect(plan(before, nodes, standings({ a: 'both', b: 'both', d: 'both' }))).toBeUndefined();
});

test('a joiner that is away is not waited for where a majority has all', () => {
  const joint = { members: stores('abc'), next: stores('abd') };
  const table = standings({ a: 'both', b: 'both' });
  expect(plan(joint, nodesOf('ab'), table)?.members).toEqual(stores('abd'));
});

test('a leaver that is there is waited for until it has handed over what it owns', () => {
  const joint = { members: stores('abc'), next: stores('abd') };
  const when = (names: string, c: Said) =>
    plan(joint, nodesOf(names), standings({ a: 'both', b: 'both', c, d: 'complete' }))?.members;
  expect(when('abcd', 'settled')).toBeUndefined();
  expect(when('abcd', 'settled, vacated')).toEqual(stores('abd'));
  expect(when('abcd', 'vacated')).toEqual(stores('abd'));
  expect(when('abd', 'settled')).toEqual(stores('abd'));
});

test('a store that is there does not give way to one that is away', () => {
  const joint = { members: stores('abc'), next: stores('abd') };
  const table = standings({ a: 'both', b: 'both', c: 'vacated', d: 'complete' });
  expect(plan(joint, nodesOf('abc'), table)).toEqual({
    region: 'main',
    shard: 0,
    generation: 8,
    members: stores('abc'),
  });
  expect(plan(joint, nodesOf('abcd'), table)?.members).toEqual(stores('abd'));
});

test('a joiner that is gone is exchanged, or the step taken back', () => {
  const joint = { members: stores('abc'), next: stores('abd') };
  const isGone = (store: string) => store === 's-c' || store === 's-d';
  expect(plan(joint, nodesOf('abe'), { isGone })).toMatchObject({
    generation: 8,
    members: stores('abc'),
    coming: stores('abe'),
  });
  const back = plan(joint, nodesOf('ab'), { isGone });
  expect(back).toEqual({ region: 'main', shard: 0, generation: 8, members: stores('abc') });
});

test('what a disk remembers is written where the coordinator knows less', () => {
  const earlier = { region: 'main', shard: 0, generation: 9, members: stores('xyz') };
  const more = { remembered: [earlier], isGathering: true };
  expect(plan(undefined, nodesOf('abc'), more)).toEqual(earlier);
  expect(plan({ members: stores('abc') }, nodesOf('abc'), more)).toEqual(earlier);
  const newer = { generation: 9, members: stores('abc') };
  expect(plan(newer, nodesOf('abc'), more)).toBeUndefined();
});

test('only so many shards change at the same time', () => {
  const shards = new Map<string, VersionedShard>();
  for (let shard = 0; shard < 10; shard++) {
    const assignment = { region: 'main', shard, generation: 1, members: stores('a') };
    shards.set(`main/${shard}`, { assignment, revision: 3n });
  }
  const changes = planAssignments({
    nodes: nodesOf('abc'),
    shards,
    region: 'main',
    shardCount: 10,
    factor: 3,
    isGathering: false,
    takesFewer: false,
    isCalm: true,
    balancePercent: 100,
    isGone: () => false,
    standingOf: () => ({ isSettled: false, isComplete: false, isVacated: false }),
    changesMax: 4,
  });
  expect(changes).toHaveLength(4);
});
