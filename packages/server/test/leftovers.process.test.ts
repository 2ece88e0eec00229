/**
 * What an object leaves behind when it moves to another region is erased there, also on a node that was
 * away meanwhile; and it comes back whole. Real processes, disks and etcd.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { example } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

let cluster: TestCluster;

afterEach(() => cluster?.dispose());

const environment = {
  HOMING_MIGRATION_MODE: 'off',
  HOMING_LEFTOVER_SWEEP_MS: '200',
  HOMING_LEFTOVER_DELAY_MS: '500',
};

async function increment(on: string, name: string): Promise<number> {
  const response = await fetch(`http://${cluster.node(on).http}/${name}`, { method: 'POST' });
  if (!response.ok)
    throw new Error(`${name} on ${on}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { value: number }).value;
}

/** Whether the node's disk holds anything of the object. */
async function holds(on: string, name: string): Promise<boolean> {
  const response = await fetch(`http://${cluster.node(on).admin}/api/objects?namespace=COUNTER`);
  const found = (await response.json()) as { name: string | null }[];
  return found.some((object) => object.name === name);
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(100);
}

/** A move that takes too long, or to a node that has just come back, is called off, and asked for again. */
async function move(name: string, region: string): Promise<void> {
  const body = { namespace: 'COUNTER', name, region };
  const query = new URLSearchParams({ namespace: 'COUNTER', name });
  await until(async () => {
    await cluster.admin('n1', '/api/migrate', body);
    const response = await fetch(`http://${cluster.node('n1').admin}/api/describe?${query}`);
    return ((await response.json()) as { home: string }).home === region;
  });
}

test.skipIf(!hasEtcd)(
  'copies that objects leave behind are erased, and objects come back whole',
  async () => {
    // Nodes take the regions in turn: n1, n3 and n5 are in eu.
    const flags = ['--nodes', '6', '--regions', 'eu,us'];
    cluster = await TestCluster.startWith(environment, example('counter'), ...flags);
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) expect(await increment('n1', name)).toBe(1);
    for (const name of names) await move(name, 'eu');
    for (const name of names) await until(() => holds('n5', name));
    cluster.signal('n5', 'SIGKILL');
    for (const name of names) {
      await move(name, 'us');
      expect(await increment('n2', name)).toBe(2);
    }
    for (const node of ['n1', 'n3']) {
      for (const name of names) await until(async () => !(await holds(node, name)));
    }
    await cluster.restart('n5', environment);
    for (const name of names) await until(async () => !(await holds('n5', name)));
    const pages = await Promise.all(
      ['n1', 'n3', 'n5'].map(async (node) =>
        (await fetch(`http://${cluster.node(node).admin}/metrics`)).text(),
      ),
    );
    for (const page of pages) expect(page).toMatch(/homing_leftovers_erased_total [1-9]/);
    for (const name of names) {
      await move(name, 'eu');
      expect(await increment('n2', name)).toBe(3);
      for (const node of ['n2', 'n4', 'n6']) await until(async () => !(await holds(node, name)));
      expect(await increment('n3', name)).toBe(4);
    }
  },
  180_000,
);
