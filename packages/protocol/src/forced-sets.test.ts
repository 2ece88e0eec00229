/** What an operator may make of sets that have lost their majority. */
import { expect, test } from 'vitest';
import { planForcedSets } from './forced-sets.ts';

const set = (shard: number, members: string, next?: string) => ({
  region: 'main',
  shard,
  generation: 4,
  members: [...members],
  ...(next !== undefined && { next: [...next] }),
});

test('only sets without a majority are forced, one generation up', () => {
  const sets = [set(0, 'abc'), set(1, 'bcd'), set(2, 'cde')];
  const { forced, empty } = planForcedSets(sets, new Set(['a', 'b']));
  expect(forced.map(({ after }) => after)).toEqual([
    { region: 'main', shard: 1, generation: 5, members: ['b'] },
  ]);
  expect(forced[0]?.before).toEqual(sets[1]);
  expect(empty).toEqual([sets[2]]);
});

test('of two lists every store that is left counts, and each list needs its majority', () => {
  const { forced } = planForcedSets([set(0, 'abc', 'ade')], new Set(['a', 'b', 'd']));
  expect(forced).toEqual([]);
  const lost = planForcedSets([set(0, 'abc', 'ade')], new Set(['c', 'd', 'e']));
  expect(lost.forced[0]?.after.members).toEqual(['c', 'd', 'e']);
});
