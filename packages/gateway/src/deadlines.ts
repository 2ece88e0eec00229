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
  place: Link | undefined;
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
    const untilMs = performance.now() + this.#afterMs;
    const waiting: Waiting = { untilMs, late, place: undefined };
    const place = this.#waiting.add(waiting);
    waiting.place = place;
    return place;
  }

  stop(): void {
    clearInterval(this.#looks);
  }

  #look(): void {
    const nowMs = performance.now();
    const over: Waiting[] = [];
    this.#waiting.some((waiting) => {
      if (waiting.untilMs > nowMs) return true;
      over.push(waiting);
      return false;
    });
    for (const { place, late } of over) if (place?.remove() === true) late();
  }
}
