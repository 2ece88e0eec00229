/**
 * The alarm of one activation: what user code set, and what becomes of it when it rings.
 *
 * While its handler runs an alarm is gone as far as user code can see; in storage it stays until
 * the handler is done, so that a crash runs it again. An alarm that the handler sets takes the
 * place of both the running one and of its retry.
 */
import type { AlarmOutcome, Clock, WallMs } from '@homing/base';
import type { AlarmEntry } from './alarm-entry.ts';
import type { StateCache } from './state-cache.ts';

export const alarmRetriesMax = 6;
const retryDelayMs = 2000;
/** Share of the delay that is left to chance, so that alarms that failed together spread out. */
const retryJitter = 0.25;

export interface AlarmInvocationInfo {
  readonly retryCount: number;
  readonly isRetry: boolean;
  readonly scheduledTime: number;
}

export interface AlarmsOptions {
  readonly cache: StateCache;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** The class has a handler. */
  readonly hasHandler: () => boolean;
}

export class Alarms {
  readonly #options: AlarmsOptions;
  #running: AlarmEntry | undefined;

  constructor(options: AlarmsOptions) {
    this.#options = options;
  }

  /** The time that was set, or null. */
  get(): number | null {
    const entry = this.#options.cache.alarm;
    return entry === null || entry === this.#running ? null : entry.scheduledMs;
  }

  set(time: WallMs): void {
    if (!this.#options.hasHandler()) {
      throw new TypeError(
        'Your Durable Object class must have an alarm() handler in order to call setAlarm()',
      );
    }
    this.#options.cache.alarm = { scheduledMs: time, dueMs: time, retryCount: 0 };
  }

  /** Leaves the running one alone: it cannot be stopped. */
  delete(): void {
    const { cache } = this.#options;
    if (cache.alarm === null || cache.alarm === this.#running) return;
    // Back to the running one, so that it survives a crash of its handler.
    cache.alarm = this.#running ?? null;
  }

  /** The alarm that is due now, from here on the running one; undefined if there is none. */
  begin(): AlarmInvocationInfo | undefined {
    const entry = this.#options.cache.alarm;
    if (entry === null || entry.dueMs > this.#options.clock.wallMs()) return undefined;
    this.#running = entry;
    return {
      retryCount: entry.retryCount,
      isRetry: entry.retryCount > 0,
      scheduledTime: entry.scheduledMs,
    };
  }

  /** The handler returned or threw: writes what follows. */
  end(succeeded: boolean): AlarmOutcome {
    const { cache } = this.#options;
    const entry = this.#running;
    this.#running = undefined;
    const isReplaced = cache.alarm !== entry;
    if (succeeded || entry === undefined) {
      if (!isReplaced) cache.alarm = null;
      return 'done';
    }
    if (isReplaced) return 'retry';
    if (entry.retryCount >= alarmRetriesMax) {
      cache.alarm = null;
      return 'gave-up';
    }
    cache.alarm = {
      scheduledMs: entry.scheduledMs,
      dueMs: this.#retryAt(entry.retryCount),
      retryCount: entry.retryCount + 1,
    };
    return 'retry';
  }

  #retryAt(failures: number): WallMs {
    const delayMs = retryDelayMs * 2 ** failures;
    const jitterMs = delayMs * retryJitter * this.#options.random();
    return Math.ceil(this.#options.clock.wallMs() + delayMs + jitterMs) as WallMs;
  }
}
