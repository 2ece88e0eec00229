/** For how long a region's nodes have been the same, and how long ago a new one came. */
import type { MonotonicMs } from '@homing/base';
import { expect, test } from 'vitest';
import { RegionNodes } from './region-nodes.ts';

const at = (ms: number) => ms as MonotonicMs;
const node = (region: string, storeId: string) => ({ region, storeId });

test('nodes that come and go in one region do not make another one wait', () => {
  const nodes = new RegionNodes();
  nodes.observe([node('eu', 'a'), node('us', 'x')], at(0));
  nodes.observe([node('eu', 'b'), node('us', 'x'), node('eu', 'a')], at(10));
  expect(nodes.sameForMs('eu', at(20))).toBe(10);
  expect(nodes.sameForMs('us', at(20))).toBe(20);
});

test('one that restarts again and again does not hold up what waits for more nodes', () => {
  const nodes = new RegionNodes();
  nodes.observe([node('eu', 'a')], at(0));
  for (let ms = 10; ms <= 100; ms += 20) {
    nodes.observe([node('eu', 'a'), node('eu', 'b')], at(ms));
    nodes.observe([node('eu', 'a')], at(ms + 10));
  }
  expect(nodes.sameForMs('eu', at(105))).toBe(5);
  expect(nodes.notGrownForMs('eu', at(105))).toBe(95);
  nodes.observe([node('eu', 'a'), node('eu', 'c')], at(110));
  expect(nodes.notGrownForMs('eu', at(115))).toBe(5);
});

test('what is not seen has not been there', () => {
  const nodes = new RegionNodes();
  expect(nodes.notGrownForMs('eu', at(5))).toBe(0);
  nodes.observe([node('eu', 'a')], at(5));
  nodes.observe([], at(10));
  nodes.observe([node('eu', 'a')], at(20));
  expect(nodes.notGrownForMs('eu', at(25))).toBe(5);
  nodes.forget();
  expect(nodes.sameForMs('eu', at(30))).toBe(0);
});
