/**
 * A region is killed for good: its objects come up where their copies are, one that has none begins
 * empty, and the region's nodes that come back after all have no say in them. Real processes, disks, etcd.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { namedObjectId, type RegionList } from '@homing/base';
import { defaultHome } from '@homing/protocol';
import { afterEach, expect, test } from 'vitest';
import { example, run } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

let cluster: TestCluster;

afterEach(() => cluster?.dispose());

const environment = {
  HOMING_REPLICATION_REMOTE: '{"COUNTER":["us"]}',
  HOMING_MIGRATION_MODE: 'off',
  HOMING_LEFTOVER_SWEEP_MS: '200',
  HOMING_LEFTOVER_DELAY_MS: '500',
};

/** Nodes take the regions in turn. */
const lost = ['n1', 'n3', 'n5'];
const left = ['n2', 'n4', 'n6'];

async function increment(on: string, name: string): Promise<number> {
  const response = await fetch(`http://${cluster.node(on).http}/${name}`, { method: 'POST' });
  expect(response.status).toBe(200);
  return ((await response.json()) as { value: number }).value;
}

interface Described {
  readonly home: string;
  readonly region: string;
  readonly remote: { readonly region: string; readonly records: number } | null;
}

async function describe(on: string, name: string): Promise<Described> {
  const query = new URLSearchParams({ namespace: 'COUNTER', name });
  const response = await fetch(`http://${cluster.node(on).admin}/api/describe?${query}`);
  return (await response.json()) as Described;
}

async function holds(on: string, name: string): Promise<boolean> {
  const response = await fetch(`http://${cluster.node(on).admin}/api/objects?namespace=COUNTER`);
  return ((await response.json()) as { name: string | null }[]).some((one) => one.name === name);
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(100);
}

const admins = (nodes: readonly string[]) =>
  nodes.flatMap((node) => ['--admin', `http://${cluster.node(node).admin}`]);

const promote = (...flags: string[]) => run('promote', '--region', 'eu', ...admins(left), ...flags);

/** A name that was never used, and would begin in the region that is lost. */
async function unusedName(): Promise<string> {
  const response = await fetch(`http://${cluster.node('n2').admin}/api/recovery`);
  const { regions } = (await response.json()) as { regions: RegionList };
  const names = Array.from({ length: 100 }, (_, index) => `unused${index}`);
  const found = names.find(
    (name) => defaultHome(namedObjectId('counter/Counter', name), regions) === 'eu',
  );
  if (found === undefined) throw new Error('no such name');
  return found;
}

/** Whether every node that is left has heard how old its copies of these objects are. */
async function haveHeardOf(names: readonly string[]): Promise<boolean> {
  const pages = await Promise.all(
    left.map(async (node) => (await cluster.admin(node, '/api/copies', { region: 'eu' })).json()),
  );
  return pages.every((page) => {
    const { copies } = page as { copies: { name: string | null; heard: object | null }[] };
    return names.every((name) => copies.some((copy) => copy.name === name && copy.heard !== null));
  });
}

/** Objects at home in eu, with whole copies in us; each counted to 4. */
async function atHomeInEu(names: readonly string[]): Promise<void> {
  for (const name of names) {
    for (const value of [1, 2, 3]) expect(await increment('n1', name)).toBe(value);
    const { home } = await describe('n1', name);
    if (home !== 'eu') {
      await cluster.admin('n1', '/api/migrate', { namespace: 'COUNTER', name, region: 'eu' });
    }
  }
  for (const name of names) {
    expect(await increment('n2', name)).toBe(4);
    await until(async () => (await describe('n4', name)).remote?.records === 0);
  }
  await until(() => haveHeardOf(names));
}

async function loseEu(): Promise<void> {
  for (const node of lost) cluster.signal(node, 'SIGKILL');
  for (const node of left) {
    await until(async () => {
      const response = await fetch(`http://${cluster.node(node).admin}/api/nodes`);
      return ((await response.json()) as object[]).length === left.length;
    });
  }
}

test.skipIf(!hasEtcd)(
  'a lost region’s objects come up where their copies are',
  async () => {
    const flags = ['--nodes', '6', '--regions', 'eu,us'];
    cluster = await TestCluster.startWith(environment, example('counter'), ...flags);
    const names = ['a', 'b', 'c', 'd'];
    await atHomeInEu(names);
    const early = await promote('--lose-what-is-missing');
    expect([early.status, early.stderr]).toEqual([1, expect.stringContaining('have sessions')]);
    await loseEu();
    const shown = await promote();
    const current = String.raw`\d+\.\d s at 20\d\d-\S+Z`;
    expect([shown.status, shown.stderr]).toEqual([
      1,
      expect.stringContaining('nothing was changed'),
    ]);
    for (const name of names)
      expect(shown.stdout).toMatch(new RegExp(` ${name} +us .* yes +${current}`));
    const done = await promote('--lose-what-is-missing');
    expect([done.status, done.stdout]).toEqual([
      0,
      expect.stringContaining('a majority of its new set has each of them'),
    ]);
    // Nobody has called any of them yet.
    const owners = await Promise.all(names.map((name) => cluster.ownerOf('COUNTER', name, 'n2')));
    for (const owner of owners) expect(left).toContain(owner);
    for (const name of names) expect(await increment('n2', name)).toBe(5);
    const again = await promote('--lose-what-is-missing');
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('no copy')]);

    const unused = await unusedName();
    const force = ['force-home', 'COUNTER', '--name', unused, '--region', 'us', ...admins(['n2'])];
    expect((await run(...force)).status).toBe(1);
    expect((await run(...force, '--lose-what-is-missing')).status).toBe(0);
    expect(await increment('n4', unused)).toBe(1);

    for (const node of lost) await cluster.restart(node, environment);
    for (const name of names) {
      expect(await increment('n1', name)).toBe(6);
      expect(await describe('n1', name)).toMatchObject({ home: 'us', region: 'us' });
      for (const node of lost) await until(async () => !(await holds(node, name)));
      expect(await increment('n3', name)).toBe(7);
    }
  },
  180_000,
);

test.skipIf(!hasEtcd)(
  'an etcd that is lost after a region is recovered without it, and the region comes back',
  async () => {
    const flags = ['--nodes', '6', '--regions', 'eu,us'];
    cluster = await TestCluster.startWith(environment, example('counter'), ...flags);
    // Promoted and used, promoted and not used since, and not promoted.
    const [used, unused, kept] = ['a', 'b', 'c'] as const;
    await atHomeInEu([used, unused]);
    await loseEu();
    expect((await promote('--lose-what-is-missing')).status).toBe(0);
    expect(await increment('n2', used)).toBe(5);
    for (const node of lost) await cluster.restart(node, environment);
    await atHomeInEu([kept]);
    await loseEu();
    await cluster.wipeEtcd();

    const recover = (nodes: readonly string[], ...more: string[]) =>
      run('recover', ...admins(nodes), ...more);
    await until(async () => (await recover(left)).stderr.includes('--lost-region'));
    const wrong = await recover(left, '--lost-region', 'us');
    expect(wrong.stderr).toContain('region us is not lost');
    const shown = await recover(left, '--lost-region', 'eu');
    expect([shown.status, shown.stderr]).toEqual([
      1,
      expect.stringContaining('nothing was changed'),
    ]);
    expect(shown.stdout).toMatch(new RegExp(` ${kept} +us `));
    // Owned since they were promoted.
    for (const name of [used, unused])
      expect(shown.stdout).not.toMatch(new RegExp(` ${name} +us `));
    // Sessions of before the loss may be in the new etcd for a moment.
    await until(async () => {
      const done = await recover(left, '--lost-region', 'eu', '--lose-what-is-missing');
      return done.status === 0;
    });
    await until(async () => (await fetch(`http://${cluster.node('n2').admin}/readyz`)).ok);
    expect(await increment('n2', used)).toBe(6);
    expect(await increment('n4', unused)).toBe(5);

    for (const node of lost) await cluster.restart(node, environment);
    expect((await recover([...left, ...lost])).status).toBe(0);
    await until(async () => (await fetch(`http://${cluster.node('n1').admin}/readyz`)).ok);
    // Nobody has used it since it was lost: what its region has does not count any more.
    expect(await increment('n1', kept)).toBe(5);
    for (const [name, value] of [[used, 7] as const, [unused, 6] as const]) {
      expect(await increment('n1', name)).toBe(value);
      expect(await describe('n1', name)).toMatchObject({ home: 'us', region: 'us' });
    }
    expect(await describe('n1', kept)).toMatchObject({ home: 'us', region: 'us' });
  },
  240_000,
);
