/** Nodes that are configured differently: copies in a second region are as the controller says. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { example } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

let cluster: TestCluster;

afterEach(() => cluster?.dispose());

/** Whatever has no copy by configuration is swept at once. */
const environment = {
  HOMING_REPLICATION_REMOTE: '{"COUNTER":["us","eu"]}',
  HOMING_MIGRATION_MODE: 'off',
  HOMING_LEFTOVER_SWEEP_MS: '200',
  HOMING_LEFTOVER_DELAY_MS: '300',
  // The controller stays the same while the machine does other work.
  HOMING_SESSION_TTL_MS: '30000',
};
const none = { ...environment, HOMING_REPLICATION_REMOTE: '{}' };

interface Status {
  readonly controller: boolean;
  readonly remote: { readonly objects: number; readonly configured: string };
}

async function get<Answer>(on: string, path: string): Promise<Answer> {
  const response = await fetch(`http://${cluster.node(on).admin}${path}`);
  return (await response.json()) as Answer;
}

const status = (on: string) => get<Status>(on, '/api/status');

async function remoteOf(name: string): Promise<object | null> {
  const query = new URLSearchParams({ namespace: 'COUNTER', name });
  const described = await get<{ remote: object | null }>('n1', `/api/describe?${query}`);
  return described.remote;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo().catch(() => false))) await sleep(100);
}

const metric = async (on: string, name: string): Promise<number> => {
  const response = await fetch(`http://${cluster.node(on).admin}/metrics`);
  const line = (await response.text()).split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? 0);
};

test.skipIf(!hasEtcd)(
  'what the controller is configured with counts on all nodes',
  async () => {
    const flags = ['--nodes', '4', '--regions', 'eu,us'];
    cluster = await TestCluster.startWith(environment, example('counter'), ...flags);
    const nodes = ['n1', 'n2', 'n3', 'n4'];
    let chief: string | undefined;
    await until(async () => {
      const statuses = await Promise.all(nodes.map(status));
      chief = nodes.find((_, index) => statuses[index]?.controller);
      return chief !== undefined;
    });
    if (chief === undefined) throw new Error('there is no controller');
    const others = nodes.filter((node) => node !== chief);
    for (const node of others) {
      cluster.signal(node, 'SIGKILL');
      await cluster.restart(node, none);
      await until(async () => (await status(node)).remote.configured.startsWith('differs'));
    }
    expect((await status(chief)).remote.configured).toBe('as agreed');
    await until(async () => {
      const ready = await Promise.all(
        nodes.map((node) => fetch(`http://${cluster.node(node).admin}/readyz`)),
      );
      return ready.every(({ ok }) => ok);
    });
    const names = Array.from({ length: 8 }, (_, index) => `object-${index}`);
    for (const name of names) {
      const response = await fetch(`http://${cluster.node('n1').http}/${name}`, { method: 'POST' });
      expect(response.status).toBe(200);
    }
    for (const name of names) {
      await until(async () => {
        const remote = (await remoteOf(name)) as { records: number } | null;
        return remote?.records === 0;
      });
    }
    // Longer than a copy that nobody wants is kept.
    await sleep(1500);
    const erased = await Promise.all(
      others.map((node) => metric(node, 'homing_leftovers_erased_total')),
    );
    expect(erased).toEqual([0, 0, 0]);
    // The next controller has none.
    const { pid } = cluster.node(chief);
    cluster.signal(chief, 'SIGTERM');
    while (existsSync(`/proc/${pid}`)) await sleep(50);
    await cluster.restart(chief, none);
    await until(async () => {
      const now = await Promise.all(nodes.map(status));
      return now.every(({ remote }) => remote.configured === 'as agreed' && remote.objects === 0);
    });
  },
  180_000,
);
