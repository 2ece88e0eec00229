/**
 * Time in the simulator: one queue of events in order of their time, run one after the other, with
 * everything that a promise continues done before the next. No clock of the machine is read.
 *
 * Each process of a simulated node has clocks of its own: they drift, and stop when it is paused,
 * whose events then wait until it goes on. A process that was killed runs nothing any more.
 */
import type { Clock, MonotonicMs, Timer, Timers, WallMs } from '@homing/base';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

/** When the simulation begins, for clocks on the wall. */
const epochMs = 1_700_000_000_000;

export class World {
  #nowMs = 0;
  #order = 0;
  /** A binary heap by time, then order. */
  readonly #events: Event[] = [];
  #steps = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get steps(): number {
    return this.#steps;
  }

  at(delayMs: number, run: () => void): Timer {
    const event: Event = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      run,
      isCancelled: false,
    };
    this.#push(event);
    return {
      cancel: () => {
        event.isCancelled = true;
      },
    };
  }

  /** Runs events until `untilMs` or until `isDone`. Resolves with whether it was done. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<boolean> {
    await settle();
    while (!isDone()) {
      const next = this.#events[0];
      if (next === undefined || next.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return isDone();
      }
      this.#pop();
      if (next.isCancelled) continue;
      this.#nowMs = next.atMs;
      this.#steps += 1;
      next.run();
      await settle();
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[index] = heap[parent] as Event;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** The machine's own, before a simulation forbids it. */
const { setImmediate: macrotask } = globalThis;

/** Lets everything run that promises have made ready. */
function settle(): Promise<void> {
  return new Promise((resolve) => macrotask(resolve));
}

/** One simulated process: its clocks and timers, and whether it runs. */
export class Process {
  readonly #world: World;
  /** Of its clock, against the world's. */
  readonly #rate: number;
  readonly #bornMs: number;
  #pausedSinceMs: number | undefined;
  #isAlive = true;
  #waiting: (() => void)[] = [];
  /** What waited for the process to go on, and has not run yet. */
  #late = 0;

  constructor(world: World, rate: number) {
    this.#world = world;
    this.#rate = rate;
    this.#bornMs = world.nowMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isRunning(): boolean {
    return this.#isAlive && this.#pausedSinceMs === undefined;
  }

  /** Monotonic clocks go on while a process is paused; that is what makes pauses dangerous. */
  readonly clock: Clock = {
    monotonicMs: () => ((this.#world.nowMs - this.#bornMs) * this.#rate + 1000) as MonotonicMs,
    wallMs: () => Math.floor(epochMs + this.#world.nowMs) as WallMs,
  };

  readonly timers: Timers = {
    after: (delayMs, callback) =>
      this.#world.at(delayMs / this.#rate, () => {
        this.run(callback);
      }),
  };

  /** Runs `callback` now, or when the process goes on; never after it was killed. */
  run(callback: () => void): void {
    if (!this.#isAlive) return;
    if (this.#late > 0) this.#runBehind(callback);
    else this.#runOrWait(callback);
  }

  #runOrWait(callback: () => void): void {
    if (this.#pausedSinceMs === undefined) callback();
    else this.#waiting.push(callback);
  }

  /** As an event of its own, after all that is late already. */
  #runBehind(callback: () => void): void {
    this.#late += 1;
    this.#world.at(0, () => {
      this.#late -= 1;
      if (this.#isAlive) this.#runOrWait(callback);
    });
  }

  pause(): void {
    this.#pausedSinceMs ??= this.#world.nowMs;
  }

  resume(): void {
    if (this.#pausedSinceMs === undefined) return;
    this.#pausedSinceMs = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) this.#runBehind(callback);
  }

  kill(): void {
    this.#isAlive = false;
    this.#waiting = [];
  }
}
