/**
 * Keeps what repeats every few milliseconds out of the log: the same trouble is let through once in
 * `repeatMs`. What it remembers is bounded, since peers choose the words; when it is full, new
 * trouble waits for old to be forgotten.
 */
import type { LogFields, Logger, Timer, Timers } from '@homing/base';

const rememberedMax = 1000;

export class OccasionalLog {
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #repeatMs: number;
  readonly #remembered = new Map<string, Timer>();

  constructor(logger: Logger, timers: Timers, repeatMs: number) {
    this.#logger = logger;
    this.#timers = timers;
    this.#repeatMs = repeatMs;
  }

  /** A line at `warn`, unless one with the same message and `about` came a while ago. */
  warn(message: string, about: string, fields: LogFields): void {
    const key = `${message} ${about}`;
    if (this.#remembered.has(key) || this.#remembered.size >= rememberedMax) return;
    const timer = this.#timers.after(this.#repeatMs, () => this.#remembered.delete(key));
    this.#remembered.set(key, timer);
    this.#logger.warn(message, fields);
  }

  close(): void {
    for (const timer of this.#remembered.values()) timer.cancel();
    this.#remembered.clear();
  }
}
