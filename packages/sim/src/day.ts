/**
 * A day of callers that follow the sun, replayed turn by turn against the policy that production
 * runs: what callers wait for where objects move, beside the best home that never changes, and a home
 * chosen anew for each hour by one who knows the hour. Counts come from a seed; time is simulated.
 *
 * Not simulated here: the move itself, which costs what is known of it. The cluster's simulation has
 * that.
 */
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
import { SeededRandom } from './random.ts';

export const dayRegions = ['eu', 'us', 'asia'] as const;
type Region = (typeof dayRegions)[number];

/** Round trips in milliseconds; inside a region 1. */
const roundTripsMs: Readonly<Record<string, number>> = {
  'eu us': 85,
  'asia eu': 165,
  'asia us': 150,
};
/** When it is noon there, UTC. */
const noonHour: Readonly<Record<Region, number>> = { eu: 11, us: 18, asia: 4 };

const hourMs = 3_600_000;
export const dayHours = 24;

export type Method = 'moving' | 'fixed' | 'hourly';

/** An object and how much each region likes it: calls a second at noon there. */
interface Trace {
  readonly name: string;
  readonly atNoon: Readonly<Record<Region, number>>;
}

export interface DayResult {
  readonly name: string;
  readonly moves: number;
  /** Mean of what its callers waited for, by method. */
  readonly meanMs: Readonly<Record<Method, number>>;
  /** By hour. */
  readonly hours: readonly {
    readonly calls: Readonly<Record<Region, number>>;
    readonly waitMs: Readonly<Record<Method, number>>;
  }[];
  /** Homes over the day, with the hour from which each holds. */
  readonly homes: readonly { readonly fromHour: number; readonly home: string }[];
}

export const dayRules: MigrationRules = {
  windowMs: 30_000,
  minimumStayMs: 30_000,
  hysteresis: 0.25,
  tripsMin: 5,
};

const homes: Homes = {
  regions: dayRegions,
  distance: (a, b) => (a === b ? 1 : roundTripsMs[[a, b].sort().join(' ')]),
};

/** Objects of a kind that a company of three regions has. */
export function dayTraces(random: SeededRandom): readonly Trace[] {
  const size = () => 0.2 * 2 ** (random.number() * 4);
  const traces: Trace[] = [];
  for (let number = 0; number < 10; number++) {
    const everywhere = size();
    traces.push({
      name: `everywhere ${number}`,
      atNoon: { eu: everywhere, us: everywhere, asia: everywhere },
    });
    const home = random.pick(dayRegions);
    const some = size();
    const local = { eu: some / 30, us: some / 30, asia: some / 30 };
    traces.push({ name: `local ${number}`, atNoon: { ...local, [home]: some } });
    const two = size();
    traces.push({ name: `two offices ${number}`, atNoon: { eu: two, us: two, asia: 0 } });
    const uneven = { eu: size(), us: size(), asia: size() };
    traces.push({ name: `uneven ${number}`, atNoon: uneven });
  }
  return traces;
}

/** People sleep: nearly nothing at night, most at noon. */
function activity(hour: number, noon: number): number {
  const fromNoon = Math.abs(((hour - noon + 36) % 24) - 12);
  return fromNoon > 8 ? 0.02 : 0.02 + 0.98 * Math.cos((fromNoon / 8) * (Math.PI / 2)) ** 2;
}

interface Hour {
  readonly calls: Record<Region, number>;
  movingMs: number;
}

export function replayDay(
  trace: Trace,
  random: SeededRandom,
  rules: MigrationRules = dayRules,
): DayResult {
  const numbers = new RegionNumbers();
  const counts = new CallerCounts(numbers, 0);
  const turnMs = rules.windowMs / turnsPerWindow;
  const hours: Hour[] = Array.from({ length: dayHours }, () => ({
    calls: { eu: 0, us: 0, asia: 0 },
    movingMs: 0,
  }));
  let stay: Stay = arrived('eu', 0);
  const lived = [{ fromHour: 0, home: stay.home }];
  for (let nowMs = turnMs; nowMs <= dayHours * hourMs; nowMs += turnMs) {
    const time = (nowMs - turnMs) / hourMs;
    const hour = hours[Math.floor(time)] as Hour;
    let inTurn = 0;
    for (const region of dayRegions) {
      const rate = trace.atNoon[region] * activity(time, noonHour[region]);
      const calls = poisson(random, (rate * turnMs) / 1000);
      const number = numbers.of(region);
      for (let call = 0; call < calls; call++) counts.call(number);
      hour.calls[region] += calls;
      hour.movingMs += calls * far(region, stay.home);
      inTurn += calls;
    }
    stay = turned(stay, counts.turn(nowMs, rules.windowMs), homes);
    const decision = decideMove(stay, counts.shares(), homes, rules, nowMs);
    if (decision.kind === 'stay') continue;
    // A pause of two round trips: who calls meanwhile waits for half of it.
    const pauseMs = 2 * far(stay.home, decision.to);
    hour.movingMs += ((inTurn / turnMs) * pauseMs * pauseMs) / 2;
    stay = moved(stay, decision.to, nowMs, rules);
    lived.push({ fromHour: nowMs / hourMs, home: stay.home });
  }
  return result(trace.name, hours, lived);
}

function result(name: string, hours: readonly Hour[], lived: DayResult['homes']): DayResult {
  const costOf = ({ calls }: Hour, home: string) =>
    dayRegions.reduce((sum, region) => sum + calls[region] * far(region, home), 0);
  const costsOfDay = dayRegions.map((home) => sumOf(hours, (hour) => costOf(hour, home)));
  const fixed = dayRegions[costsOfDay.indexOf(Math.min(...costsOfDay))] as Region;
  const waits = hours.map((hour) => ({
    calls: hour.calls,
    waitMs: {
      moving: hour.movingMs,
      fixed: costOf(hour, fixed),
      hourly: Math.min(...dayRegions.map((home) => costOf(hour, home))),
    },
  }));
  const calls = sumOf(hours, (hour) => sumOf(dayRegions, (region) => hour.calls[region]));
  const mean = (method: Method) => sumOf(waits, ({ waitMs }) => waitMs[method]) / calls;
  const meanMs = { moving: mean('moving'), fixed: mean('fixed'), hourly: mean('hourly') };
  return { name, moves: lived.length - 1, meanMs, hours: waits, homes: lived };
}

/** All objects of the day, weighed by their calls. */
export function meanOfDay(results: readonly DayResult[]): Readonly<Record<Method, number>> {
  const sums = { moving: 0, fixed: 0, hourly: 0, calls: 0 };
  for (const { hours } of results) {
    for (const { calls, waitMs } of hours) {
      sums.calls += sumOf(dayRegions, (region) => calls[region]);
      for (const method of ['moving', 'fixed', 'hourly'] as const) sums[method] += waitMs[method];
    }
  }
  const { calls } = sums;
  return { moving: sums.moving / calls, fixed: sums.fixed / calls, hourly: sums.hourly / calls };
}

/** A whole day of all objects. */
export function replayAll(seed: number, rules: MigrationRules = dayRules): readonly DayResult[] {
  const random = new SeededRandom(seed);
  return dayTraces(random.child('traces')).map((trace) =>
    replayDay(trace, random.child(trace.name), rules),
  );
}

function far(a: string, b: string): number {
  return homes.distance(a, b) ?? 0;
}

function sumOf<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

function poisson(random: SeededRandom, mean: number): number {
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random.number(); product > limit; product *= random.number()) count++;
  return count;
}
