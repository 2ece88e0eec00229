import { expect, test } from 'vitest';
import { CopyPace } from './copy-pace.ts';

const limits = {
  rebuildBytesPerSecond: 16_000,
  rebuildBusyBytesPerSecond: 4000,
  rebuildLateMs: 3,
};

/** Sends pages of 100 bytes for so long, on a node whose timers come so late. */
function sent(pace: CopyPace, fromMs: number, lastsMs: number, lateMs: number, isUrgent = false) {
  let bytes = 0;
  for (let nowMs = fromMs; nowMs < fromMs + lastsMs; ) {
    const waitMs = pace.ask(nowMs, 100, isUrgent);
    if (waitMs === 0) bytes += 100;
    else {
      nowMs += waitMs + lateMs;
      pace.cameBack(nowMs, lateMs);
    }
  }
  return bytes;
}

test('a node without other work copies at full speed', () => {
  expect(sent(new CopyPace(limits), 0, 10_000, 0)).toBeGreaterThan(150_000);
});

test('a busy node copies more slowly, never slower than the least, and at full speed when it is busy no more', () => {
  const pace = new CopyPace(limits);
  sent(pace, 0, 1000, 20);
  expect(pace.bytesPerSecond).toBe(4000);
  sent(pace, 1000, 10_000, 20);
  expect(pace.bytesPerSecond).toBe(4000);
  sent(pace, 11_000, 400, 0);
  expect(pace.bytesPerSecond).toBeGreaterThan(4000);
  expect(pace.bytesPerSecond).toBeLessThan(16_000);
  sent(pace, 12_000, 3000, 0);
  expect(pace.bytesPerSecond).toBe(16_000);
});

test('what comes a little late does not count, nor does one that comes late among many', () => {
  const pace = new CopyPace(limits);
  sent(pace, 0, 1000, 2);
  pace.cameBack(1000, 20);
  sent(pace, 1000, 1000, 0);
  expect(pace.bytesPerSecond).toBe(16_000);
});

test('what is urgent does not give way', () => {
  const pace = new CopyPace(limits);
  sent(pace, 0, 1000, 20);
  expect(pace.ask(5000, 4000, false)).toBe(0);
  expect(pace.ask(5000, 4000, false)).toBe(1000);
  expect(pace.ask(6000, 4000, true)).toBe(0);
  expect(pace.ask(6000, 4000, true)).toBe(250);
});

test('a least rate above the greatest is the greatest', () => {
  const pace = new CopyPace({ ...limits, rebuildBusyBytesPerSecond: 99_000 });
  sent(pace, 0, 1000, 20);
  expect(pace.bytesPerSecond).toBe(16_000);
});
