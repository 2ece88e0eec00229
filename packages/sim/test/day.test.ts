/** The policy of migration over a simulated day, and against callers that pull to and fro. */
import {
  arrived,
  CallerCounts,
  decideMove,
  type Homes,
  type MigrationRules,
  moved,
  RegionNumbers,
  type Stay,
  turned,
  turnsPerWindow,
} from '@homing/protocol';
import { expect, test } from 'vitest';
import { dayRules, meanOfDay, replayAll } from '../src/day.ts';
import { SeededRandom } from '../src/random.ts';

test('follows the sun within 15 % of hindsight, and far better than any home that stays', () => {
  const results = replayAll(7);
  const mean = meanOfDay(results);
  expect(mean.moving).toBeLessThan(1.15 * mean.hourly);
  expect(mean.moving).toBeLessThan(mean.fixed / 2);
  // Each object changes hands two or three times a day; what is more is around the crossings.
  for (const { moves } of results) expect(moves).toBeLessThan(50);
}, 120_000);

test('a policy that never moves is noticed', () => {
  const still: MigrationRules = { ...dayRules, minimumStayMs: 48 * 3_600_000 };
  const mean = meanOfDay(replayAll(7, still));
  expect(mean.moving).toBeGreaterThan(1.15 * mean.hourly);
}, 120_000);

const homes: Homes = { regions: ['eu', 'us'], distance: (a, b) => (a === b ? 1 : 80) };

/** A day of two regions, whose calls in each turn `callsOf` tells. */
function tug(callsOf: (turn: number) => Readonly<Record<string, number>>): number {
  const numbers = new RegionNumbers();
  const counts = new CallerCounts(numbers, 0);
  const turnMs = dayRules.windowMs / turnsPerWindow;
  let stay: Stay = arrived('eu', 0);
  let moves = 0;
  const turns = (24 * 3_600_000) / turnMs;
  for (let turn = 1; turn <= turns; turn++) {
    for (const [region, calls] of Object.entries(callsOf(turn))) {
      for (let call = 0; call < calls; call++) counts.call(numbers.of(region));
    }
    const nowMs = turn * turnMs;
    stay = turned(stay, counts.turn(nowMs, dayRules.windowMs), homes);
    const decision = decideMove(stay, counts.shares(), homes, dayRules, nowMs);
    if (decision.kind === 'stay') continue;
    stay = moved(stay, decision.to, nowMs, dayRules);
    moves++;
  }
  return moves;
}

/** Two an hour. With stays that do not double it is 270 to 1900. */
const bouncesMax = 48;

test('a tug-of-war: two regions that call alike, noisily, move an object seldom', () => {
  const random = new SeededRandom(11);
  for (const most of [3, 10, 30, 100]) {
    const moves = tug(() => ({ eu: random.between(0, most), us: random.between(0, most) }));
    expect(moves, `up to ${most} calls`).toBeLessThanOrEqual(bouncesMax);
  }
});

test('a tug-of-war: regions that take turns of any length bounce an object ever less', () => {
  for (const spell of [3, 6, 9, 12, 18, 24, 36]) {
    const moves = tug((turn) => (Math.floor(turn / spell) % 2 === 0 ? { eu: 20 } : { us: 20 }));
    expect(moves, `spells of ${spell} turns`).toBeLessThanOrEqual(bouncesMax);
  }
});
