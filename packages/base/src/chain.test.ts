import { expect, test } from 'vitest';
import { Chain } from './chain.ts';

test('a chain is as a set that keeps the order, whatever comes and goes', () => {
  const chain = new Chain<number>();
  const places = new Map<number, { remove(): boolean }>();
  let seed = 7;
  for (let next = 0; next < 2000; next++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    if (seed % 5 < 3) places.set(next, chain.add(next));
    else {
      const [value, place] = [...places][seed % Math.max(1, places.size)] ?? [];
      if (value === undefined || place === undefined) continue;
      places.delete(value);
      expect(place.remove()).toBe(true);
      expect(place.remove()).toBe(false);
    }
    expect(chain.size).toBe(places.size);
  }
  const kept = [...places.keys()];
  expect(chain.some((value) => value === kept.at(-1))).toBe(true);
  expect(chain.some((value) => value < 0)).toBe(false);
  expect(chain.drain()).toEqual(kept);
  expect(chain.size).toBe(0);
  for (const place of places.values()) expect(place.remove()).toBe(false);
});
