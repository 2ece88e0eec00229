/**
 * Requests that the worker is to have answered within a time that is the same for all: looked at
 * regularly, oldest first, since a timer for each would cost more than it is worth. One that is late
 * is found up to an eighth of the time later, a second at most.
 */
import { Chain, type Link } from '@homing/base';

const lookEveryMaxMs = 1000;
const looksWithin = 8;

interface Waiting {
  readonly untilMs: number;
  readonly late: () => void;
}

export class Deadlines {
  readonly #afterMs: number;
  readonly #waiting = new Chain<Waiting>();
  readonly #looks: NodeJS.Timeout;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
    const everyMs = Math.min(lookEveryMaxMs, Math.ceil(afterMs / looksWithin));
    this.#looks = setInterval(() => this.#look(), everyMs).unref();
  }

  /** Calls `late` once when the time is over, unless the place is given up before. */
  add(late: () => void): Link {
    return this.#waiting.add({ untilMs: performance.now() + this.#afterMs, late });
  }

  stop(): void {
    clearInterval(this.#looks);
  }

  #look(): void {
    const nowMs = performance.now();
    while ((this.#waiting.first?.untilMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      this.#waiting.shift()?.late();
    }
  }
}
