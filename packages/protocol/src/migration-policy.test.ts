import { describe, expect, test } from 'vitest';
import { CallerCounts, RegionNumbers, turnsPerWindow } from './caller-counts.ts';
import {
  arrived,
  decideMove,
  type Homes,
  type MigrationRules,
  moved,
  type Stay,
  stayMs,
  turned,
} from './migration-policy.ts';
import { RegionDistances } from './region-distances.ts';

const rules: MigrationRules = {
  windowMs: 60_000,
  minimumStayMs: 60_000,
  hysteresis: 0.25,
  tripsMin: 5,
};
const turnMs = rules.windowMs / turnsPerWindow;
const apart: Readonly<Record<string, number>> = { 'eu us': 80, 'asia eu': 180, 'asia us': 140 };

function homesOf(...regions: string[]): Homes {
  return {
    regions,
    distance: (a, b) => (a === b ? 1 : apart[[a, b].sort().join(' ')]),
  };
}

/** An object under the policy, driven turn by turn. */
class Driven {
  readonly numbers = new RegionNumbers();
  readonly counts = new CallerCounts(this.numbers, 0);
  readonly homes: Homes;
  stay: Stay = arrived('eu', 0);
  nowMs = 0;
  moves: string[] = [];
  why = '';

  constructor(homes = homesOf('eu', 'us', 'asia')) {
    this.homes = homes;
  }

  /** One turn in which each region calls so often. */
  turn(calls: Readonly<Record<string, number>>): void {
    for (const [region, count] of Object.entries(calls)) {
      for (let call = 0; call < count; call++) this.counts.call(this.numbers.of(region));
    }
    this.nowMs += turnMs;
    this.stay = turned(this.stay, this.counts.turn(this.nowMs, rules.windowMs), this.homes);
    const decision = decideMove(this.stay, this.counts.shares(), this.homes, rules, this.nowMs);
    this.why = decision.kind === 'stay' ? decision.why : 'move';
    if (decision.kind === 'stay') return;
    this.stay = moved(this.stay, decision.to, this.nowMs, rules);
    this.moves.push(decision.to);
  }

  turns(count: number, calls: Readonly<Record<string, number>>): void {
    for (let turn = 0; turn < count; turn++) this.turn(calls);
  }
}

describe('an object', () => {
  test('follows callers that move, within a window or so', () => {
    const object = new Driven();
    object.turns(30, { eu: 10 });
    expect(object.moves).toEqual([]);
    object.turns(turnsPerWindow + 1, { us: 10 });
    expect(object.moves).toEqual(['us']);
    object.turns(30, { us: 10 });
    expect(object.moves).toEqual(['us']);
  });

  test('stays where two regions call alike', () => {
    const object = new Driven();
    for (let turn = 0; turn < 1000; turn++) object.turn({ eu: 10, us: turn % 2 === 0 ? 12 : 8 });
    expect(object.moves).toEqual([]);
  });

  test('stays for a burst, however large', () => {
    const object = new Driven();
    object.turns(30, { eu: 10 });
    object.turns(2, { eu: 10, us: 100_000 });
    object.turns(100, { eu: 10 });
    expect(object.moves).toEqual([]);
  });

  test('stays while it is hardly called', () => {
    const object = new Driven();
    for (let turn = 0; turn < 100; turn++) object.turn({ us: turn % 2 === 0 ? 1 : 0 });
    expect(object.why).toBe('few');
    expect(object.moves).toEqual([]);
  });

  test('bounces less and less when two regions take turns', () => {
    const object = new Driven();
    const spell = 2 * turnsPerWindow;
    const inFirst: number[] = [];
    for (let hour = 0; hour < 24; hour++) {
      const before = object.moves.length;
      for (let spells = 0; spells < 30; spells++) {
        object.turns(spell, spells % 2 === 0 ? { us: 10 } : { eu: 10 });
      }
      inFirst.push(object.moves.length - before);
    }
    expect(inFirst[0]).toBeLessThanOrEqual(7);
    expect(Math.max(...inFirst.slice(1))).toBeLessThanOrEqual(2);
    expect(object.moves.length).toBeLessThanOrEqual(30);
  });

  test('goes to a region between its callers that calls nothing itself', () => {
    const star: Homes = {
      regions: ['eu', 'us', 'asia', 'mid'],
      distance: (a, b) => (a === b ? 1 : a === 'mid' || b === 'mid' ? 50 : 100),
    };
    const object = new Driven(star);
    object.turns(30, { eu: 10, us: 10, asia: 10 });
    expect(object.moves).toEqual(['mid']);
  });

  test('stays where a distance is not known', () => {
    const object = new Driven({ regions: ['eu', 'moon'], distance: homesOf().distance });
    object.turns(30, { moon: 100 });
    expect(object.moves).toEqual([]);
    expect(object.why).toBe('distance');
  });

  test('does not go where it may not live', () => {
    const object = new Driven(homesOf('eu'));
    object.turns(30, { us: 100 });
    expect(object.moves).toEqual([]);
    expect(object.why).toBe('best');
  });

  test('a long stay forgives half of the bounces', () => {
    let stay = arrived('eu', 0);
    stay = moved(stay, 'us', 1, rules);
    stay = moved(stay, 'eu', 2, rules);
    expect(stay.bounces).toBe(2);
    expect(stayMs(stay, rules)).toBe(4 * rules.minimumStayMs);
    expect(moved(stay, 'us', 2 + 8 * 4 * rules.minimumStayMs, rules).bounces).toBe(1);
    for (let bounce = 0; bounce < 100; bounce++) stay = moved(stay, 'us', 3, rules);
    expect(stayMs(stay, rules)).toBe(3_600_000);
  });
});

describe('counts', () => {
  test('fade to a third in a window, and are told by region', () => {
    const numbers = new RegionNumbers();
    const counts = new CallerCounts(numbers, 0);
    counts.call(numbers.of('eu'));
    counts.frame(numbers.of('us'), 65_536);
    counts.frame(numbers.of('us'), 0);
    expect(counts.turn(0, 1000)).toEqual([
      { region: 'eu', calls: 1, frames: 0, bytes: 0, trips: 1 },
      { region: 'us', calls: 0, frames: 2, bytes: 65_536, trips: 2 },
    ]);
    expect(counts.turn(1000, 1000)).toEqual([]);
    expect(counts.shares()[0]?.calls).toBeCloseTo(Math.exp(-1));
  });

  test('take what another node had counted', () => {
    const counts = new CallerCounts(new RegionNumbers(), 0);
    counts.add('eu', { calls: 3, frames: 2, bytes: 0 });
    expect(counts.shares()).toEqual([{ region: 'eu', calls: 3, frames: 2, bytes: 0, trips: 4 }]);
  });

  test('leave out regions beyond the bound', () => {
    const numbers = new RegionNumbers();
    const counts = new CallerCounts(numbers, 0);
    for (let region = 0; region < 100; region++) counts.call(numbers.of(`r${region}`));
    expect(counts.turn(0, 1000).length).toBe(16);
  });
});

describe('distances', () => {
  test('are medians of what was measured, and symmetric', () => {
    const distances = new RegionDistances('eu');
    for (const ms of [80, 81, 5000, 79, 80]) distances.measured('u1', 'us', ms);
    expect(distances.between('eu', 'us')).toBe(80);
    expect(distances.between('us', 'eu')).toBe(80);
    distances.measured('u2', 'us', 90);
    expect(distances.between('eu', 'us')).toBe(85);
  });

  test('between others are theirs to tell; nothing is guessed', () => {
    const distances = new RegionDistances('eu');
    expect(distances.between('us', 'asia')).toBeUndefined();
    distances.told('u1', 'us', new Map([['asia', 140]]));
    distances.told('a1', 'asia', new Map([['us', 150]]));
    expect(distances.between('asia', 'us')).toBe(145);
    distances.forget('a1');
    expect(distances.between('asia', 'us')).toBe(140);
  });

  test('inside a region are measured where there are two nodes, else nothing', () => {
    const distances = new RegionDistances('eu');
    expect(distances.between('eu', 'eu')).toBe(0);
    distances.measured('e2', 'eu', 0.4);
    expect(distances.between('eu', 'eu')).toBe(0.4);
  });
});
