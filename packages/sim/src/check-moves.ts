/**
 * Whether objects move toward their callers as they should, judged by what the coordinator has as their
 * homes and by nothing of what decides on moves.
 *
 * Invariant that it holds the cluster to: from one change of an object's home to the next at least the
 * minimum stay passes. Where nothing goes wrong a stay after a short one lasts twice as long; an object
 * that two regions pull at alike does not move; and none does where no moves are allowed.
 *
 * Made by a run whose objects move by themselves.
 */
import type { Pull } from './pull.ts';

export interface MoveRules {
  readonly minimumStayMs: number;
  readonly movesMax: number;
  readonly pull: Pull;
  /** Nothing else happens in the run than calls and moves. */
  readonly isCalm: boolean;
  /** Largest difference of a clock's rate, as a share. */
  readonly drift: number;
}

interface Seen {
  home: string;
  /** Since when; undefined where the object was there from its beginning. */
  sinceMs: number | undefined;
  /** How long this stay is to last at least. */
  stayMs: number;
  moves: number;
}

/** How long a stay may have lasted to count as a short one: well below what is forgiven. */
const shortStays = 4;

export class MoveChecks {
  readonly #rules: MoveRules;
  readonly #broken: (rule: string, message: string) => void;
  readonly #seen = new Map<string, Seen>();
  #isPulled = false;

  constructor(rules: MoveRules, broken: (rule: string, message: string) => void) {
    this.#rules = rules;
    this.#broken = broken;
  }

  /** Moves of all objects. */
  get moves(): number {
    return [...this.#seen.values()].reduce((sum, { moves }) => sum + moves, 0);
  }

  /** From now on each object is called from one region. */
  pulled(): void {
    this.#isPulled = true;
  }

  /** The home of an object that has been written to, as it is now; called often. */
  saw(name: string, home: string, nowMs: number): void {
    const { minimumStayMs } = this.#rules;
    const seen = this.#seen.get(name);
    if (seen === undefined) {
      this.#seen.set(name, { home, sinceMs: undefined, stayMs: minimumStayMs, moves: 0 });
    } else if (seen.home !== home) this.#moved(name, seen, home, nowMs);
  }

  #moved(name: string, seen: Seen, home: string, nowMs: number): void {
    const { minimumStayMs, movesMax, pull, isCalm, drift } = this.#rules;
    const broken = (why: string) => this.#broken('moves', `${name} went to ${home} ${why}`);
    if (movesMax === 0) broken('where no moves are allowed');
    if (isCalm && pull === 'alike' && !this.#isPulled) broken('where both regions call it alike');
    if (seen.sinceMs !== undefined) {
      const stayedMs = nowMs - seen.sinceMs;
      const demandedMs = isCalm ? seen.stayMs : minimumStayMs;
      if (stayedMs < demandedMs * (1 - 2 * drift) - lookMs) {
        broken(`after ${Math.round(stayedMs)} ms, and not ${demandedMs} ms at least`);
      }
      const isShort = stayedMs < shortStays * seen.stayMs;
      seen.stayMs = isShort ? 2 * seen.stayMs : minimumStayMs;
    }
    seen.home = home;
    seen.sinceMs = nowMs;
    seen.moves += 1;
  }
}

/** How often homes are to be looked at. */
export const lookMs = 50;
