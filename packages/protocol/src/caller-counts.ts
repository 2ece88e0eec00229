/**
 * How much one object is asked for, by the region it is asked from: calls, frames of sockets and
 * streams, bytes. Old counts fade: after a window a third of them is left. Memory is constant: there
 * are `callerRegionsMax` slots, whatever calls come from more regions goes uncounted.
 *
 * Counting is on the path of every frame: it adds to numbers and allocates nothing. Everything else
 * happens at a *turn*, a fixed part of the window, for objects that were asked for since the last one.
 *
 * Pure: times are given. Driven by the node's migrator.
 */

/** Regions that callers are told apart by. */
export const callerRegionsMax = 16;
/** Turns in a window. */
export const turnsPerWindow = 6;

/** Frames go one way, so two of them are a round trip. */
const tripsPerFrame = 0.5;
/** What a far caller waits for a body of this size is about a round trip. */
const bytesPerTrip = 64 * 1024;

const perRegion = 3;

/** What came from one region, faded. */
export interface CallerShare {
  readonly region: string;
  readonly calls: number;
  readonly frames: number;
  readonly bytes: number;
  /** Round trips that its callers waited for. */
  readonly trips: number;
}

/** Names of regions as small numbers, the same for all objects of a node. */
export class RegionNumbers {
  readonly #names: string[] = [];
  readonly #numbers = new Map<string, number>();

  get names(): readonly string[] {
    return this.#names;
  }

  /** -1 for one region too many. */
  of(region: string): number {
    const known = this.#numbers.get(region);
    if (known !== undefined) return known;
    if (this.#names.length >= callerRegionsMax) return -1;
    this.#numbers.set(region, this.#names.length);
    return this.#names.push(region) - 1;
  }
}

export class CallerCounts {
  readonly #regions: RegionNumbers;
  /** Since the last turn. */
  readonly #fresh = new Float64Array(callerRegionsMax * perRegion);
  /** Until the last turn. */
  readonly #faded = new Float64Array(callerRegionsMax * perRegion);
  #turnedAtMs: number;

  constructor(regions: RegionNumbers, nowMs: number) {
    this.#regions = regions;
    this.#turnedAtMs = nowMs;
  }

  /** `region` as `RegionNumbers` has it. */
  call(region: number): void {
    if (region >= 0) add(this.#fresh, region * perRegion, 1);
  }

  /** Something on a session or socket that stands, in either direction. */
  frame(region: number, bytes: number): void {
    if (region < 0) return;
    add(this.#fresh, region * perRegion + 1, 1);
    add(this.#fresh, region * perRegion + 2, bytes);
  }

  /** What the last owner had counted. */
  add(region: string, { calls, frames, bytes }: Omit<CallerShare, 'region' | 'trips'>): void {
    const first = this.#regions.of(region) * perRegion;
    if (first < 0) return;
    add(this.#faded, first, calls);
    add(this.#faded, first + 1, frames);
    add(this.#faded, first + 2, bytes);
  }

  /** Ends a turn: what came since the last one, which from now on fades with the rest. */
  turn(nowMs: number, windowMs: number): readonly CallerShare[] {
    const fresh = shares(this.#regions.names, this.#fresh);
    const kept = Math.exp(-Math.max(0, nowMs - this.#turnedAtMs) / windowMs);
    for (let index = 0; index < this.#faded.length; index++) {
      this.#faded[index] = at(this.#faded, index) * kept + at(this.#fresh, index);
    }
    this.#fresh.fill(0);
    this.#turnedAtMs = nowMs;
    return fresh;
  }

  /** The counts as of the last turn, of regions that have any. */
  shares(): readonly CallerShare[] {
    return shares(this.#regions.names, this.#faded);
  }
}

function shares(names: readonly string[], counts: Float64Array): CallerShare[] {
  const found: CallerShare[] = [];
  for (const [number, region] of names.entries()) {
    const first = number * perRegion;
    const calls = at(counts, first);
    const frames = at(counts, first + 1);
    const bytes = at(counts, first + 2);
    const trips = calls + frames * tripsPerFrame + bytes / bytesPerTrip;
    if (trips > 0) found.push({ region, calls, frames, bytes, trips });
  }
  return found;
}

function at(counts: Float64Array, index: number): number {
  return counts[index] as number;
}

function add(counts: Float64Array, index: number, by: number): void {
  counts[index] = at(counts, index) + by;
}
