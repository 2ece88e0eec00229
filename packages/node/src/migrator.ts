/**
 * Moves objects toward their callers: at the end of each turn it asks the policy about those that were
 * called in it, and starts the moves that save most, as many at a time as it may.
 *
 * Invariant: a move that did not come about is not tried again before the minimum stay is over anew.
 *
 * Made by the node where there is a cluster. The policy is `@homing/protocol`'s.
 */
import type { Clock, Logger, ObjectIdHex, ObjectRef, Timer, Timers } from '@homing/base';
import {
  type DeliberateBugs,
  decideMove,
  type Homes,
  type MigrationRules,
  moved,
  turned,
  turnsPerWindow,
} from '@homing/protocol';
import type { Called, Callers } from './callers.ts';
import type { Distances } from './distances.ts';
import type { MoveOutcome } from './moves.ts';

/** How the objects of a cluster move toward their callers. */
export interface MigrationOptions {
  /** Of this node. */
  readonly region: string;
  readonly windowMs: number;
  /** The rules for a namespace, by its key; undefined where its objects stay. */
  readonly rulesOf: (namespace: string) => MigrationRules | undefined;
  /** Moves of this kind at a time. Asked at each turn: an operator may have set it to 0. */
  readonly movesMax: () => number;
  /** Where the object may live. */
  readonly regionsOf: (object: ObjectRef) => readonly string[];
  readonly pingMs: number;
}

export interface MigratorOptions extends MigrationOptions {
  readonly callers: Callers;
  readonly distances: Distances;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly migrate: (id: ObjectIdHex, region: string) => Promise<MoveOutcome>;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

interface Wish {
  readonly called: Called;
  readonly to: string;
  readonly savedMs: number;
  readonly rules: MigrationRules;
}

export class Migrator {
  readonly #options: MigratorOptions;
  #moving = 0;
  #timer: Timer | undefined;

  constructor(options: MigratorOptions) {
    this.#options = options;
    this.#wait();
  }

  /** Moves under way that callers have asked for. */
  get moving(): number {
    return this.#moving;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #wait(): void {
    const { timers, windowMs } = this.#options;
    this.#timer = timers.after(windowMs / turnsPerWindow, () => {
      this.#turn();
      this.#wait();
    });
  }

  #turn(): void {
    const { callers, movesMax } = this.#options;
    const wishes: Wish[] = [];
    for (const called of callers.takeFresh()) {
      const wish = this.#look(called);
      if (wish !== undefined) wishes.push(wish);
    }
    wishes.sort((a, b) => b.savedMs - a.savedMs);
    const free = Math.max(0, movesMax() - this.#moving);
    for (const wish of wishes.slice(0, free)) void this.#move(wish);
  }

  #look(called: Called): Wish | undefined {
    const { clock, windowMs, rulesOf, regionsOf, distances, bugs } = this.#options;
    const nowMs = clock.monotonicMs();
    const fresh = called.counts.turn(nowMs, windowMs);
    const rules = rulesOf(called.object.namespace);
    if (called.isMoving || rules === undefined) return undefined;
    const homes: Homes = {
      regions: regionsOf(called.object),
      distance: (a, b) => distances.regions.between(a, b),
    };
    called.stay = turned(called.stay, fresh, homes);
    const decision = decideMove(called.stay, called.counts.shares(), homes, rules, nowMs, bugs);
    called.why = decision.kind === 'stay' ? decision.why : undefined;
    if (decision.kind === 'stay') return undefined;
    return { called, to: decision.to, savedMs: decision.savedMs, rules };
  }

  async #move({ called, to, rules }: Wish): Promise<void> {
    const { clock, logger, migrate } = this.#options;
    const { object, stay } = called;
    const nowMs = clock.monotonicMs();
    called.isMoving = true;
    // Goes along with the object. Where the move fails, the stay begins anew, here.
    called.stay = { ...moved(stay, to, nowMs, rules), home: stay.home };
    this.#moving++;
    const { outcome, why } = await migrate(object.id, to);
    this.#moving--;
    called.isMoving = false;
    if (outcome === 'moved') return;
    called.stay = { ...stay, sinceMs: clock.monotonicMs() };
    logger.info('an object did not move to its callers', { to, outcome, why });
  }
}
