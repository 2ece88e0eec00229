/**
 * A cluster of two regions, 80 ms apart: objects move to where they are called from, and stay where
 * they are told to. Real processes and etcd.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { example } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

/** Shorter than a person would have it. */
const quick = {
  HOMING_MIGRATION_WINDOW_MS: '3000',
  HOMING_MIGRATION_MINIMUM_STAY_MS: '1000',
  HOMING_MIGRATION_PING_MS: '200',
};

const flags = ['--nodes', '4', '--regions', 'eu,us', '--rtt', '80'];

const asItIs = {};
const off = { HOMING_MIGRATION_NAMESPACES: '{"COUNTER":{"mode":"off"}}' };

let cluster: TestCluster | undefined;
let settings: object | undefined;

afterAll(() => cluster?.dispose());

/** A cluster so configured: that of the test before, where it is. */
async function start(environment: Readonly<Record<string, string>>): Promise<void> {
  if (environment === settings) return;
  cluster?.dispose();
  cluster = await TestCluster.startWith({ ...quick, ...environment }, example('counter'), ...flags);
  settings = environment;
}

interface Described {
  readonly node: string;
  readonly region: string;
  readonly callers: readonly { readonly region: string; readonly share: number }[];
  readonly stays: string | null;
}

async function describe(on: string, name: string): Promise<Described> {
  const query = new URLSearchParams({ namespace: 'COUNTER', name });
  const response = await fetch(`http://${cluster?.node(on).admin}/api/describe?${query}`);
  return (await response.json()) as Described;
}

async function increment(on: string, name: string): Promise<number> {
  const url = `http://${cluster?.node(on).http}/${name}`;
  const response = await fetch(url, { method: 'POST' });
  expect(response.status).toBe(200);
  return ((await response.json()) as { value: number }).value;
}

/** The nodes take the regions in turn: n1 and n3 are in eu. */
const regionOf = (node: string) => (Number(node.slice(1)) % 2 === 1 ? 'eu' : 'us');

/** Demands that the object does not move, though it is called from the other region for a while. */
async function staysWhenCalledFromAfar(name: string): Promise<{ region: string; far: string }> {
  const { region } = await describe('n1', name);
  const far = region === 'eu' ? 'n2' : 'n1';
  const untilMs = Date.now() + 6000;
  while (Date.now() < untilMs) {
    await increment(far, name);
    await sleep(50);
  }
  expect((await describe('n1', name)).region).toBe(region);
  return { region, far };
}

test.skipIf(!hasEtcd)(
  'objects move to their callers, with nothing lost',
  async () => {
    await start(asItIs);
    let count = 0;
    for (const caller of ['n1', 'n2', 'n1']) {
      while ((count === 0 ? '' : (await describe('n1', 'a')).region) !== regionOf(caller)) {
        for (let call = 0; call < 10; call++) expect(await increment(caller, 'a')).toBe(++count);
        await sleep(100);
      }
    }
    // Its new owner shows what it was handed from the first call on.
    expect(await increment('n1', 'a')).toBe(++count);
    const { callers } = await describe('n2', 'a');
    expect(callers.map(({ region }) => region)).toContain('eu');
    const pages = await Promise.all(
      (cluster?.nodes ?? []).map(async ({ admin }) =>
        (await fetch(`http://${admin}/metrics`)).text(),
      ),
    );
    expect(pages[0]).toMatch(/homing_region_round_trip_seconds\{to_region="us"\} 0\.[01]/);
    expect(pages.join()).toMatch(/homing_migrations_total\{reason="callers",outcome="moved"\} \d/);
  },
  120_000,
);

test.skipIf(!hasEtcd)(
  'a cap of 0 stops such moves on all nodes at once, until it is taken back',
  async () => {
    await start(asItIs);
    await cluster?.admin('n2', '/api/migrations', { cap: 0 });
    await increment('n1', 'c');
    const { region, far } = await staysWhenCalledFromAfar('c');
    const answer = await cluster?.admin('n3', '/api/migrations', { cap: 'none' });
    expect(await answer?.json()).toMatchObject({ mode: 'auto', movesMax: 4, moving: 0 });
    while ((await describe('n1', 'c')).region === region) {
      await increment(far, 'c');
      await sleep(50);
    }
  },
  120_000,
);

test.skipIf(!hasEtcd)(
  'a namespace whose mode is off stays',
  async () => {
    await start(off);
    await increment('n1', 'b');
    await staysWhenCalledFromAfar('b');
  },
  120_000,
);
