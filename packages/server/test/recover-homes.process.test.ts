/**
 * An etcd of two regions that lost its memory: `homing recover` finds from the disks alone which region
 * each object is at home in, also where older copies of it lie in the other. Real processes and etcd.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { example, run } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

let cluster: TestCluster;

afterEach(() => cluster?.dispose());

async function increment(on: string, name: string): Promise<number> {
  const response = await fetch(`http://${cluster.node(on).http}/${name}`, { method: 'POST' });
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  return ((await response.json()) as { value: number }).value;
}

async function move(name: string, region: string): Promise<void> {
  if ((await describe(name)).home === region) return;
  const body = { namespace: 'COUNTER', name, region };
  const answer = await cluster.admin('n3', '/api/migrate', body);
  if (answer.status !== 200) throw new Error(await answer.text());
}

async function eventually<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await sleep(200);
    }
  }
}

async function storeOf(node: string): Promise<string> {
  const response = await fetch(`http://${cluster.node(node).admin}/api/recovery`);
  return ((await response.json()) as { storeId: string }).storeId;
}

interface Described {
  readonly home: string;
  readonly defaultHome: string;
}

async function describe(name: string): Promise<Described> {
  const query = new URLSearchParams({ namespace: 'COUNTER', name });
  const response = await fetch(`http://${cluster.node('n3').admin}/api/describe?${query}`);
  return (await response.json()) as Described;
}

test.skipIf(!hasEtcd).each([
  ['', {}],
  // Both regions have promised the same then, and are equally good where the owner is gone.
  [', with copies in the other region', { HOMING_REPLICATION_REMOTE: '{"COUNTER":["eu","us"]}' }],
])(
  'every object goes on where its newest state is%s',
  async (_copies, remote) => {
    // Nodes take the regions in turn: n1, n3 and n5 are in eu.
    const flags = ['--nodes', '6', '--regions', 'eu,us'];
    cluster = await TestCluster.startWith(
      { HOMING_MIGRATION_MODE: 'off', ...remote },
      example('counter'),
      ...flags,
    );
    const names = Array.from({ length: 12 }, (_, index) => `object-${index}`);
    const other = { eu: 'us', us: 'eu' } as Readonly<Record<string, string>>;
    const homes = new Map<string, string>();
    for (const [index, name] of names.entries()) {
      await increment('n3', name);
      const byDefault = (await describe(name)).defaultHome;
      const away = other[byDefault] ?? '';
      // They stay at their default home, leave it, or come back.
      const stops = [[byDefault], [away], [away, byDefault], [byDefault, away]][index % 4] ?? [];
      for (const [stop, region] of stops.entries()) {
        await move(name, region);
        expect(await increment('n4', name)).toBe(stop + 2);
      }
      homes.set(name, stops.at(-1) ?? '');
    }
    const killed = ['n1', 'n2'];
    const off = (await Promise.all(killed.map(storeOf))).flatMap((store) => ['--off', store]);
    for (const node of killed) cluster.signal(node, 'SIGKILL');
    await cluster.wipeEtcd();
    const left = ['n3', 'n4', 'n5', 'n6'];
    const admins = (nodes: readonly string[]) =>
      nodes.flatMap((node) => ['--admin', `http://${cluster.node(node).admin}`]);
    await eventually(async () => {
      const refused = await run('recover', ...admins(['n3', 'n5', 'n6']));
      if (!refused.stderr.includes('a majority is needed')) throw new Error(refused.stderr);
    });
    if ('HOMING_REPLICATION_REMOTE' in remote) {
      // Idle objects, equal in both regions: an owner on a node that was not named would go on.
      for (const node of left) cluster.signal(node, 'SIGKILL');
      for (const node of left) await cluster.restart(node);
      const refused = await run('recover', ...admins(left));
      expect(refused.stderr).toContain('may run on a node that was not named');
      for (const flag of off) expect(refused.stderr).toContain(flag === '--off' ? 'store' : flag);
    }
    await eventually(async () => {
      const recovered = await run('recover', ...admins(left), ...off);
      if (recovered.status !== 0) throw new Error(recovered.stderr);
    });
    for (const [index, name] of names.entries()) {
      const before = index % 4 < 2 ? 2 : 3;
      expect([name, await eventually(() => increment('n5', name))]).toEqual([name, before + 1]);
      if ('HOMING_REPLICATION_REMOTE' in remote) continue;
      expect([name, (await describe(name)).home]).toEqual([name, homes.get(name)]);
    }
  },
  240_000,
);
