import { expect, test } from 'vitest';
import { CopyPace } from './copy-pace.ts';

const limits = {
  rebuildBytesPerSecond: 16_000,
  rebuildBusyBytesPerSecond: 4000,
  rebuildBusyPercent: 40,
};

/** A node that is at work for a share of the time. */
class Node {
  share = 0;
  asked = 0;
  nowMs = 5000;
  readonly pace: CopyPace;

  constructor(changes: Partial<typeof limits> = {}) {
    this.pace = new CopyPace({ ...limits, ...changes }, () => {
      this.asked += 1;
      return this.share;
    });
  }

  /** The bytes of pages of 100 that it sends in so long. */
  sends(lastsMs: number): number {
    let bytes = 0;
    for (const endMs = this.nowMs + lastsMs; this.nowMs < endMs; ) {
      const waitMs = this.pace.ask(this.nowMs, 100, false);
      if (waitMs === 0) bytes += 100;
      else {
        this.nowMs += waitMs;
        this.pace.cameBack(this.nowMs);
      }
    }
    return bytes;
  }
}

test('a node without other work copies at full speed', () => {
  expect(new Node().sends(10_000)).toBeGreaterThan(150_000);
});

test('a busy node copies more slowly, never slower than the least, and at full speed when it is busy no more', () => {
  const node = new Node();
  node.share = 0.5;
  node.sends(1000);
  expect(node.pace.bytesPerSecond).toBe(4000);
  node.sends(10_000);
  expect(node.pace.bytesPerSecond).toBe(4000);
  node.share = 0.3;
  node.sends(400);
  expect(node.pace.bytesPerSecond).toBeGreaterThan(4000);
  expect(node.pace.bytesPerSecond).toBeLessThan(16_000);
  node.sends(3000);
  expect(node.pace.bytesPerSecond).toBe(16_000);
});

test('it is asked once in an interval, and what was before the copy does not count', () => {
  const node = new Node();
  node.share = 1;
  node.sends(90);
  expect([node.asked, node.pace.bytesPerSecond]).toEqual([1, 16_000]);
  node.sends(1000);
  expect(node.asked).toBeGreaterThan(5);
  expect(node.asked).toBeLessThan(15);
});

test('what is urgent does not give way', () => {
  const busy = new Node();
  busy.share = 1;
  busy.sends(1000);
  const nowMs = busy.nowMs + 1000;
  expect(busy.pace.ask(nowMs, 4000, false)).toBe(0);
  expect(busy.pace.ask(nowMs, 4000, false)).toBe(1000);
  expect(busy.pace.ask(nowMs + 1000, 4000, true)).toBe(0);
  expect(busy.pace.ask(nowMs + 1000, 4000, true)).toBe(250);
});

test('a least rate above the greatest is the greatest', () => {
  const node = new Node({ rebuildBusyBytesPerSecond: 99_000 });
  node.share = 1;
  node.sends(1000);
  expect(node.pace.bytesPerSecond).toBe(16_000);
});
