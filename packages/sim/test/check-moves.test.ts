/** Homes made by hand: what the check holds against them. */
import { expect, test } from 'vitest';
import { MoveChecks, type MoveRules } from '../src/check-moves.ts';

const rules: MoveRules = {
  minimumStayMs: 1000,
  movesMax: 1,
  pull: 'turns',
  isCalm: true,
  drift: 0,
};

/** Where the object is seen, and when. */
function judge(seen: readonly (readonly [number, string])[], change: Partial<MoveRules> = {}) {
  const broken: string[] = [];
  const checks = new MoveChecks({ ...rules, ...change }, (_rule, message) => broken.push(message));
  for (const [atMs, home] of seen) checks.saw('o', home, atMs);
  return broken.length;
}

test('stays are as long as is demanded, and double while they are short', () => {
  const fine = [
    [0, 'eu'],
    [100, 'us'],
    [1200, 'eu'],
    [3300, 'us'],
  ] as const;
  expect(judge(fine)).toBe(0);
  expect(judge([...fine, [6000, 'eu']])).toBe(1);
  // Who owned it last may have died with what it knew of bounces.
  expect(judge([...fine, [6000, 'eu']], { isCalm: false })).toBe(0);
  expect(judge([...fine, [4000, 'eu']], { isCalm: false })).toBe(1);
});

test('nothing moves where nothing may, or where regions pull alike', () => {
  const moved = [
    [0, 'eu'],
    [100_000, 'us'],
  ] as const;
  expect(judge(moved)).toBe(0);
  expect(judge(moved, { movesMax: 0 })).toBe(1);
  expect(judge(moved, { pull: 'alike' })).toBe(1);
  expect(judge(moved, { pull: 'alike', isCalm: false })).toBe(0);
});
