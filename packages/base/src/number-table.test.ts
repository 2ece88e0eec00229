import { expect, test } from 'vitest';
import { NumberTable } from './number-table.ts';

test('a table is as a map, whatever comes and goes', () => {
  const table = new NumberTable<string>();
  const map = new Map<number, string>();
  let seed = 11;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  let next = 2 ** 33;
  for (let step = 0; step < 20_000; step++) {
    // Grows for a while, then shrinks.
    const grows = Math.floor(step / 2500) % 2 === 0;
    if (random(10) < (grows ? 7 : 3)) {
      // In a row, or anywhere.
      const number = random(3) === 0 ? random(4000) : next + 2;
      next = Math.max(next, number);
      table.set(number, `v${step}`);
      map.set(number, `v${step}`);
    } else {
      const number = [...map.keys()][random(Math.max(1, map.size))] ?? random(100);
      expect(table.delete(number)).toBe(map.delete(number));
    }
    const asked = random(2) === 0 ? random(4000) : next - 2 * random(200);
    expect(table.get(asked)).toBe(map.get(asked));
    expect(table.size).toBe(map.size);
  }
  for (const [number, value] of map) expect(table.get(number)).toBe(value);
});
