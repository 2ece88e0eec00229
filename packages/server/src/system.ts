/** The clock and timers of the machine, behind their ports. */
import type { Clock, MonotonicMs, Timer, Timers, WallMs } from '@homing/base';

export const systemClock: Clock = {
  monotonicMs: () => performance.now() as MonotonicMs,
  wallMs: () => Date.now() as WallMs,
};

export const systemTimers: Timers = {
  after(delayMs: number, callback: () => void): Timer {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
