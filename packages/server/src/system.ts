/** The clock and timers of the machine, behind their ports, and how busy the event loop is. */
import { performance } from 'node:perf_hooks';
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

/** Tells the share, 0 to 1, of the time since it was last asked in which this thread's event loop was at work. */
export function eventLoopUtilisation(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}
