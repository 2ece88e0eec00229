/**
 * Wakes objects whose alarm is due. One timer for all of them: the store's alarm index is read in
 * pages when the earliest entry falls due, so a million pending alarms cost no memory here.
 *
 * The index is a hint: the object itself decides whether the alarm is real. An object being woken
 * is not woken again until it says how that went. When an object could not even be started, its
 * alarm is tried again after a delay that doubles.
 */
import type { Clock, DueAlarm, ObjectIdHex, Store, Timer, Timers, WallMs } from '@homing/base';

export interface AlarmClockOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** How long after its time this node is to see to an alarm; infinite for never. */
  readonly delayOf: (alarm: DueAlarm) => number;
  /** Wakes the object; `settled` must be called once afterwards. */
  readonly wake: (alarm: DueAlarm) => void;
  /** Alarms being run at the same time. */
  readonly concurrencyMax: number;
  /** First delay after a failure that was not the alarm handler's own; doubles. */
  readonly retryDelayMs: number;
  readonly retryDelayMaxMs: number;
  /** How often to look at least, where entries come without `set`; undefined for never. */
  readonly pollMs: number | undefined;
}

/** Timers of the platform overflow beyond this; a later alarm is looked at again then. */
const timerMaxMs = 2 ** 31 - 1;
/** Back-offs kept before old ones are looked for. */
const backoffMax = 1000;
/** Alarms of objects on other nodes that are looked past. */
const othersMax = 1000;
const forever = Number.MAX_SAFE_INTEGER as WallMs;

interface Backoff {
  readonly delayMs: number;
  readonly untilMs: number;
}

export class AlarmClock {
  readonly #options: AlarmClockOptions;
  readonly #running = new Set<ObjectIdHex>();
  readonly #backoff = new Map<ObjectIdHex, Backoff>();
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(options: AlarmClockOptions) {
    this.#options = options;
  }

  /** Runs what fell due while nobody looked, and from then on what falls due. */
  start(): void {
    this.#look();
    this.#poll();
  }

  #poll(): void {
    const { pollMs, timers } = this.#options;
    if (pollMs === undefined || this.#stopped) return;
    timers.after(pollMs, () => {
      this.#look();
      this.#poll();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** The index changed, on disk: looks earlier if this entry is the earliest. */
  set(id: ObjectIdHex, dueMs: WallMs | null): void {
    // What failed was another alarm.
    this.#backoff.delete(id);
    if (dueMs !== null) this.#arm(dueMs);
  }

  /**
   * How waking went; `failed` when the object could not be started, ended while running it, or
   * knows of no such alarm (then the index is wrong, and asking again at once would be a loop).
   */
  settled(id: ObjectIdHex, outcome: 'ran' | 'failed'): void {
    this.#running.delete(id);
    if (outcome === 'ran') {
      this.#backoff.delete(id);
    } else {
      const { clock, retryDelayMs, retryDelayMaxMs } = this.#options;
      const before = this.#backoff.get(id)?.delayMs;
      const delayMs = before === undefined ? retryDelayMs : Math.min(before * 2, retryDelayMaxMs);
      this.#backoff.set(id, { delayMs, untilMs: clock.wallMs() + delayMs });
      this.#forgetOld();
    }
    // Later: this may be called from within a look, once for each alarm.
    this.#arm(0);
  }

  /** Alarms that are gone from the index leave their back-off behind. */
  #forgetOld(): void {
    if (this.#backoff.size < backoffMax) return;
    const { clock, retryDelayMaxMs } = this.#options;
    const oldMs = clock.wallMs() - 2 * retryDelayMaxMs;
    for (const [id, { untilMs }] of this.#backoff) if (untilMs < oldMs) this.#backoff.delete(id);
  }

  #look(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const { store, clock, concurrencyMax, wake } = this.#options;
    const nowMs = clock.wallMs();
    const free = concurrencyMax - this.#running.size;
    if (free <= 0) return;
    // Entries that run or back off are still in the index, in front of what can be started.
    const skipped = this.#running.size + this.#backoff.size;
    const limit = free + skipped + 1 + (this.#options.pollMs === undefined ? 0 : othersMax);
    const page = store.dueAlarms({ untilMs: forever, limit });
    let started = 0;
    for (const alarm of page) {
      if (this.#running.has(alarm.id)) continue;
      const delayMs = this.#options.delayOf(alarm);
      if (delayMs === Number.POSITIVE_INFINITY) continue;
      const retryMs = this.#backoff.get(alarm.id)?.untilMs ?? 0;
      const dueMs = Math.max(alarm.dueMs + delayMs, retryMs);
      if (dueMs > nowMs || started === free) {
        this.#arm(dueMs);
        if (alarm.dueMs > nowMs) break;
        continue;
      }
      started++;
      this.#running.add(alarm.id);
      wake(alarm);
    }
  }

  #arm(dueMs: number): void {
    if (this.#stopped || (dueMs >= this.#timerDueMs && this.#timer !== undefined)) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    const delayMs = Math.min(Math.max(dueMs - this.#options.clock.wallMs(), 0), timerMaxMs);
    this.#timer = this.#options.timers.after(delayMs, () => this.#look());
  }
}
