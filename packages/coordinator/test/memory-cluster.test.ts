/** The cluster in memory keeps to the port, and its fault controls do what they say. */
import type { Clock, CoordinatorEvent, MonotonicMs, Timers, WallMs } from '@homing/base';
import { expect, test } from 'vitest';
import { type MemoryCoordinator, memoryCluster } from '../src/index.ts';
import { claim, locate } from './claims.ts';
import { clusterConformance, objectNumber } from './cluster-conformance.ts';
import { coordinatorConformance } from './conformance.ts';
import { clock, timers } from './etcd.ts';

const place = (node: string) => ({ node, storeId: `store-${node}`, region: 'r', zone: 'z' });

const alone = memoryCluster();
coordinatorConformance('memory', async () => alone.node({ ...place('n1'), clock, timers }));

clusterConformance('memory', async () => {
  const cluster = memoryCluster({ sessionTtlMs: 200 });
  const nodes: MemoryCoordinator[] = [];
  return {
    async node(name) {
      const node = cluster.node({ ...place(name), clock, timers });
      nodes.push(node);
      return node;
    },
    kill: (node) => (node as MemoryCoordinator).crash(),
    async close() {
      for (const node of nodes) await node.close();
    },
  };
});

/** Time that passes only when told to. */
function handTime(): { clock: Clock; timers: Timers; pass(ms: number): void } {
  let nowMs = 0;
  let waiting: { dueMs: number; callback: () => void }[] = [];
  return {
    clock: { monotonicMs: () => nowMs as MonotonicMs, wallMs: () => nowMs as WallMs },
    timers: {
      after(delayMs, callback) {
        const timer = { dueMs: nowMs + delayMs, callback };
        waiting.push(timer);
        return { cancel: () => (waiting = waiting.filter((one) => one !== timer)) };
      },
    },
    pass(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = waiting.sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined || next.dueMs > endMs) break;
        waiting = waiting.filter((one) => one !== next);
        nowMs = next.dueMs;
        next.callback();
      }
      nowMs = endMs;
    },
  };
}

function twoNodes() {
  const time = handTime();
  const cluster = memoryCluster({ sessionTtlMs: 3000 });
  const node = (name: string) => cluster.node({ ...place(name), ...time });
  return { time, cluster, a: node('a'), b: node('b'), node };
}

test('while the cluster is away everything rejects, and nothing expires', async () => {
  const { time, cluster, a, b } = twoNodes();
  const { ownership } = await claim(a, objectNumber(1));
  cluster.setAway(true);
  const unavailable = { code: 'unavailable' };
  await expect(claim(a, objectNumber(1))).rejects.toMatchObject(unavailable);
  await expect(locate(a, objectNumber(1))).rejects.toMatchObject(unavailable);
  await expect(a.release(objectNumber(1), ownership.epoch)).rejects.toMatchObject(unavailable);
  await expect(a.setDraining(true)).rejects.toMatchObject(unavailable);
  const self = a.self;
  time.pass(60_000);
  expect(a.self).toBe(self);
  cluster.setAway(false);
  await expect(claim(a, objectNumber(2))).rejects.toMatchObject(unavailable);
  time.pass(1000);
  expect(await claim(b, objectNumber(1))).toEqual({ outcome: 'held', ownership });
  expect((await claim(a, objectNumber(2))).outcome).toBe('granted');
});

test('an expired node hears of it, claims nothing, and comes again as another', async () => {
  const { time, cluster, a, b } = twoNodes();
  await claim(a, objectNumber(1));
  const before = a.self;
  const heard: CoordinatorEvent['type'][] = [];
  a.watch(({ type }) => heard.push(type));
  cluster.expire('a');
  await expect(claim(a, objectNumber(1))).rejects.toMatchObject({ code: 'unavailable' });
  time.pass(0);
  expect(a.self).toBeUndefined();
  expect(heard).toContain('session-lost');
  expect((await claim(b, objectNumber(1))).outcome).toBe('granted');
  time.pass(1000);
  expect(heard).toContain('session');
  expect(a.self?.incarnation).not.toBe(before?.incarnation);
  expect((await claim(a, objectNumber(1))).outcome).toBe('held');
});

test('a crashed node keeps its objects for the TTL, and no more than a third longer', async () => {
  const { time, a, b } = twoNodes();
  time.pass(1000);
  await claim(a, objectNumber(1));
  a.crash();
  time.pass(3000);
  expect((await claim(b, objectNumber(1))).outcome).toBe('held');
  time.pass(2000);
  expect((await claim(b, objectNumber(1))).outcome).toBe('granted');
});

test('of two processes with one name the newer stays', async () => {
  const { time, a, node } = twoNodes();
  const newer = node('a');
  time.pass(10_000);
  expect(newer.self).toBeDefined();
  expect(a.self).toBeUndefined();
  await expect(claim(a, objectNumber(1))).rejects.toThrow(/another process runs as node a/);
});
