import { describe, expect, test } from 'vitest';
import { Lane } from './lane.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** Two ends, and what a link carries from one to the other until it breaks. */
class Pair {
  readonly one = new Lane();
  readonly other = new Lane();
  readonly heard: string[] = [];

  /** What the end has for the link, which may lose it. */
  carry({ isLost = false } = {}): void {
    for (let next = this.one.next(); next !== undefined; next = this.one.next()) {
      this.one.sent();
      if (!isLost && this.other.take(next.length)) this.heard.push(Buffer.from(next).toString());
    }
  }

  up(): void {
    this.one.up();
    this.other.up();
    const first = this.one.greeting;
    this.one.greeted(this.other.greeting);
    this.other.greeted(first);
  }

  down(): void {
    this.one.down();
    this.other.down();
  }
}

describe('a lane', () => {
  test('goes on where the other end was', () => {
    const pair = new Pair();
    pair.one.put(bytes('a'));
    expect(pair.one.next()).toBeUndefined();
    pair.up();
    pair.carry();
    pair.one.put(bytes('b'));
    pair.one.put(bytes('c'));
    pair.carry({ isLost: true });
    pair.down();
    pair.one.put(bytes('d'));
    pair.up();
    pair.carry();
    expect(pair.heard).toEqual(['a', 'b', 'c', 'd']);
  });

  test('keeps what is not acknowledged, and counts what waits by socket', () => {
    const { one, other } = new Pair();
    one.up();
    other.up();
    one.greeted(other.greeting);
    one.put(bytes('four'), 's');
    one.put(bytes('six'), 't');
    expect([one.keptBytes, one.waitingBytes('s')]).toEqual([7, 0]);
    one.down();
    one.put(bytes('no'), 's');
    expect([one.waitingBytes('s'), one.waitingBytes('t')]).toEqual([6, 3]);
    expect(one.acknowledge(1, 1)).toBe(true);
    expect(one.keptBytes).toBe(5);
    // Of an earlier life, and more than there is.
    expect([one.acknowledge(0, 9), one.acknowledge(1, 9)]).toEqual([true, false]);
  });

  test('begins a new life where one end gives up, and takes nothing of the old one', () => {
    const pair = new Pair();
    pair.up();
    pair.one.put(bytes('a'));
    pair.carry();
    pair.one.put(bytes('lost'));
    pair.other.renew();
    pair.carry();
    expect(pair.heard).toEqual(['a']);
    expect(pair.one.greeted(pair.other.greeting)).toBe('renewed');
    expect(pair.other.greeted(pair.one.greeting)).toBe('resumed');
    pair.one.put(bytes('b'));
    pair.carry();
    expect(pair.heard).toEqual(['a', 'b']);
  });

  test('meets in the greater life when both ends gave up', () => {
    const pair = new Pair();
    pair.one.renew();
    pair.one.renew();
    pair.other.renew();
    pair.one.up();
    pair.other.up();
    expect(pair.one.greeted(pair.other.greeting)).toBe('ignored');
    expect(pair.other.greeted(pair.one.greeting)).toBe('renewed');
    expect(pair.one.greeted(pair.other.greeting)).toBe('resumed');
    pair.one.put(bytes('a'));
    pair.carry();
    expect(pair.heard).toEqual(['a']);
  });

  test('is broken where the other end says that it took what was never sent', () => {
    const lane = new Lane();
    lane.up();
    expect(lane.greeted({ life: 1, taken: 1 })).toBe('broken');
  });
});
