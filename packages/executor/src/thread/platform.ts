/**
 * What homing's own code in an executor uses of the platform, kept before the thread's globals are
 * replaced by those that user code sees. Imported before anything that replaces them.
 */
import type { Clock, MonotonicMs, Timer, Timers, WallMs } from '@homing/base';

export const startTimer = setTimeout;
export const clearTimer = clearTimeout;
export const startInterval = setInterval;
export const immediate = setImmediate;
const now = performance.now.bind(performance);
const wall = Date.now;

export const clock: Clock = {
  monotonicMs: () => now() as MonotonicMs,
  wallMs: () => wall() as WallMs,
};

export const timers: Timers = {
  after(delayMs: number, callback: () => void): Timer {
    const timer = startTimer(callback, delayMs);
    return { cancel: () => clearTimer(timer) };
  },
};
