/** Pauses of a loop that can be cut short, and repeats of one operation within its time. */
import type { Clock, Timers } from '@homing/base';
import { isAway } from './client.ts';
import type { EtcdLimits } from './limits.ts';

export class Pacer {
  readonly #timers: Timers;
  readonly #pauses = new Set<() => void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = () => {
        timer.cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const timer = this.#timers.after(ms, end);
      this.#pauses.add(end);
    });
  }

  /** Ends the pauses under way. */
  wake(): void {
    for (const end of [...this.#pauses]) end();
  }
}

/** Pauses that double from `retryMs` to `retryMaxMs`. */
export function backOff(limits: EtcdLimits, failures: number): number {
  return Math.min(limits.retryMs * 2 ** Math.min(failures, 20), limits.retryMaxMs);
}

export interface RepeatContext {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: EtcdLimits;
}

/**
 * Calls `attempt` until etcd answers it, within `operationTimeoutMs`; then rejects as the last attempt
 * did. Only for what may be applied twice, or is made so by its conditions.
 */
export async function untilAnswered<Result>(
  { clock, timers, limits }: RepeatContext,
  attempt: (timeoutMs: number) => Promise<Result>,
): Promise<Result> {
  const pacer = new Pacer(timers);
  const endMs = clock.monotonicMs() + limits.operationTimeoutMs;
  for (let failures = 0; ; failures++) {
    const leftMs = endMs - clock.monotonicMs();
    try {
      return await attempt(Math.max(1, Math.min(limits.requestTimeoutMs, leftMs)));
    } catch (error) {
      const pauseMs = backOff(limits, failures);
      if (!isAway(error) || clock.monotonicMs() + pauseMs >= endMs) throw error;
      await pacer.pause(pauseMs);
    }
  }
}
