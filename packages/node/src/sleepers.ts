/**
 * Objects of this node that are asleep: owned, and not in memory. Past a limit the one asleep longest is
 * released, and those that hold nothing are forgotten.
 *
 * Invariants:
 * 1. An object is given up only after the coordinator has answered, since nobody could claim it while that
 *    is away. The limit may be passed as long; nothing is added then but what was owned before.
 * 2. An owner that is bringing a replica the whole state stays until that is done, and one that is bringing it
 *    records for `forgetAfterMs`: the next owner would begin anew, and were it given up as soon, so would
 *    the one after it. Such objects do not count for the limit.
 *
 * Called by the object table, which owns the entries.
 */
import type {
  Clock,
  Coordinator,
  Epoch,
  Logger,
  Metrics,
  ObjectRef,
  OwnedLog,
  StateReader,
  Store,
} from '@homing/base';
import { isEmpty } from './emptiness.ts';
import type { Entry } from './object-entry.ts';
import type { Placement } from './placement.ts';
import type { SocketTable } from './socket-table.ts';

export interface SleepersOptions {
  readonly store: Store;
  readonly sockets: Pick<SocketTable, 'hasSockets'>;
  readonly placement: Pick<Placement, 'isDefaultHome'>;
  readonly coordinator: Pick<Coordinator, 'locate' | 'release'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly asleepMax: number;
  readonly forgetAfterMs: number;
  /** What is here of the object is damaged, or could not be read. */
  readonly unreadable: (entry: Entry, error: unknown) => void;
  /** The entry goes; what waits in it looks for the object anew. */
  readonly gone: (entry: Entry) => void;
  /** The object goes on here, with what has waited meanwhile. */
  readonly kept: (entry: Entry) => void;
}

/** Objects looked at in one go whether they are empty. */
const looksMax = 64;
/** Objects that the coordinator is asked of at a time. */
const askedMax = 64;

export class Sleepers {
  readonly #options: SleepersOptions;
  /** In the order in which they fell asleep. */
  readonly #asleep = new Set<Entry>();
  /** Asleep, too; kept since another node lacks something that it gets here. */
  readonly #needed = new Set<Entry>();
  readonly #asked = new Set<Entry>();
  /** The coordinator did not answer: it is not asked before the next look. */
  #isAway = false;
  #reader: StateReader | undefined;

  constructor(options: SleepersOptions) {
    this.#options = options;
  }

  add(entry: Entry): void {
    this.#asleep.add(entry);
    this.#releaseExcess();
  }

  delete(entry: Entry): void {
    this.#asleep.delete(entry);
    this.#needed.delete(entry);
  }

  /** Regularly: what is more than may be, and what has been asleep for long and holds nothing. */
  look(): void {
    this.#isAway = false;
    for (const entry of this.#needed) {
      if (this.#isNeeded(entry)) continue;
      this.#needed.delete(entry);
      this.#asleep.add(entry);
    }
    this.#releaseExcess();
    const untilMs = this.#options.clock.monotonicMs() - this.#options.forgetAfterMs;
    let left = looksMax;
    for (const entry of this.#asleep) {
      if (entry.since > untilMs || left === 0) return;
      if (entry.isKept || this.#asked.has(entry)) continue;
      left -= 1;
      if (this.#isForgettable(entry)) void this.#giveUp(entry);
    }
  }

  #releaseExcess(): void {
    let excess = this.#asleep.size - this.#asked.size - this.#options.asleepMax;
    for (const entry of this.#asleep) {
      if (excess <= 0 || this.#isAway || this.#asked.size >= askedMax) return;
      if (this.#asked.has(entry) || !this.#mayGo(entry)) continue;
      excess -= 1;
      if (this.#isNeeded(entry)) {
        this.#asleep.delete(entry);
        this.#needed.add(entry);
      } else void this.#giveUp(entry);
    }
  }

  async #giveUp(entry: Entry): Promise<void> {
    if (this.#isAway || this.#asked.size >= askedMax) return;
    const { coordinator } = this.#options;
    this.#asked.add(entry);
    try {
      await coordinator.locate(entry.object);
      const { log } = entry;
      const isStill = this.#asleep.has(entry) && this.#mayGo(entry);
      if (isStill && log !== undefined && !log.isOver) await this.#end(entry, log);
    } catch {
      this.#isAway = true;
    } finally {
      this.#asked.delete(entry);
    }
    this.#releaseExcess();
  }

  /** Nobody is linked to it here, and nothing that it said waits. */
  #mayGo({ object, leave, guard }: Entry): boolean {
    const isLinked = this.#options.sockets.hasSockets(object.id);
    return !isLinked && leave === undefined && guard?.isEmpty !== false;
  }

  #isNeeded({ log, since }: Entry): boolean {
    if (log === undefined || log.isOver || log.isIdle) return false;
    const { clock, forgetAfterMs } = this.#options;
    return log.isCopying || clock.monotonicMs() - since <= forgetAfterMs;
  }

  /** What comes for the object meanwhile waits. */
  async #end(entry: Entry, log: OwnedLog): Promise<void> {
    const { coordinator, asleepMax, gone, kept } = this.#options;
    if (this.#isForgettable(entry)) {
      await this.#forget(entry, log);
      return;
    }
    if (this.#asleep.size <= asleepMax || this.#isNeeded(entry)) return;
    this.#asleep.delete(entry);
    entry.leave = () => {};
    try {
      await coordinator.release(entry.object, log.epoch);
    } catch (error) {
      // Should it be released after all: another's claim ends this ownership, as any does.
      kept(entry);
      throw error;
    }
    gone(entry);
  }

  async #forget(entry: Entry, log: OwnedLog): Promise<void> {
    const { metrics, gone } = this.#options;
    const { object } = entry;
    const { epoch } = log;
    this.#asleep.delete(entry);
    entry.state = 'draining';
    await log.forget();
    metrics.increment('objects_forgotten_total');
    gone(entry);
    await this.#releaseLease(object, epoch);
  }

  async #releaseLease(object: ObjectRef, epoch: Epoch): Promise<void> {
    try {
      await this.#options.coordinator.release(object, epoch);
    } catch (error) {
      this.#options.logger.warn('an object could not be released', { error: String(error) });
    }
  }

  #isForgettable(entry: Entry): boolean {
    const { store, placement, clock, unreadable } = this.#options;
    const { object, home, log } = entry;
    if (log?.isWhole !== true || !this.#mayGo(entry)) return false;
    if (!placement.isDefaultHome(object.id, home)) return false;
    this.#reader ??= store.reader();
    try {
      entry.isKept = !isEmpty(store, this.#reader, object.id, clock.wallMs());
    } catch (error) {
      unreadable(entry, error);
      return false;
    }
    return !entry.isKept;
  }
}
