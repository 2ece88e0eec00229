/** Replica sets that change under real processes: disks that are lost, nodes that come, nodes that are gone. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { example, fixture, run } from './program.ts';
import { hasEtcd, TestCluster, type TestNode } from './test-cluster.ts';

const quick = {
  HOMING_SESSION_TTL_MS: '2000',
  HOMING_PROMISE_MS: '1000',
  HOMING_REBUILD_DELAY_MS: '1500',
  HOMING_ASSIGN_DELAY_MS: '500',
  HOMING_REPLICATION_FACTOR: '3',
  HOMING_SHARDS_PER_REGION: '8',
};
const names = Array.from({ length: 24 }, (_, index) => `counter-${index}`);

let cluster: TestCluster;

afterEach(() => cluster.dispose());

async function call(node: TestNode, name: string, method: 'GET' | 'POST'): Promise<number> {
  const response = await fetch(`http://${node.http}/${name}`, { method });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as { value: number }).value;
}

/** Repeats what fails while a node is away; what is not answered may have happened. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const untilMs = Date.now() + 60_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > untilMs) throw error;
      await sleep(100);
    }
  }
}

async function incrementAll(node: TestNode): Promise<Map<string, number>> {
  const values = names.map((name) => eventually(() => call(node, name, 'POST')));
  return new Map((await Promise.all(values)).map((value, index) => [names[index] ?? '', value]));
}

/** Nothing that was answered is lost; an answer that did not come may stand for one more. */
async function expectAll(node: TestNode, values: ReadonlyMap<string, number>): Promise<void> {
  const expectOne = async (name: string, value: number) => {
    const found = await eventually(() => call(node, name, 'GET'));
    expect(found, `${name} on ${node.name}`).toBeGreaterThanOrEqual(value);
  };
  await Promise.all([...values].map(([name, value]) => expectOne(name, value)));
}

interface Status {
  readonly shards: number;
  readonly underReplicated: number;
  readonly changing: number;
  readonly incomplete: number;
}

async function status(node: TestNode): Promise<Status> {
  return (await (await fetch(`http://${node.admin}/api/status`)).json()) as Status;
}

/** Every set has its three stores, and each of the nodes has all that it must. */
function whole(...nodes: string[]): Promise<void> {
  return eventually(async () => {
    for (const name of nodes) {
      const { shards, underReplicated, changing, incomplete } = await status(cluster.node(name));
      const state = `${name}: ${underReplicated} ${changing} ${incomplete}`;
      if (shards !== 8 || underReplicated + changing + incomplete > 0) throw new Error(state);
    }
  });
}

interface NodeStatus {
  readonly node: string;
  readonly zone: string;
  readonly store: string;
  readonly copies: number;
}

async function nodesSeenBy(node: TestNode): Promise<readonly NodeStatus[]> {
  return (await (await fetch(`http://${node.admin}/api/nodes`)).json()) as readonly NodeStatus[];
}

/** Calls all counters, through each of the nodes, until `stop` is called; that says what failed, and the last answers. */
function underLoad(...nodes: string[]) {
  const failures: string[] = [];
  const values = new Map<string, number>();
  let isOver = false;
  const client = async (own: readonly string[], turn: number) => {
    for (let at = 0; !isOver; at++) {
      const name = own[at % own.length] as string;
      const node = nodes[(at + turn) % nodes.length] as string;
      try {
        values.set(name, await call(cluster.node(node), name, 'POST'));
      } catch (error) {
        failures.push(`${name} through ${node}: ${String(error)}`);
      }
    }
  };
  // Each counter has one client, so that its last answer is the greatest.
  const clients = [0, 1, 2].map((third) =>
    client(
      names.filter((_, index) => index % 3 === third),
      third,
    ),
  );
  return async () => {
    isOver = true;
    await Promise.all(clients);
    return { failures, values };
  };
}

/** Kills the node and loses its disk. */
function lose(name: string): void {
  cluster.signal(name, 'SIGKILL');
  rmSync(join(cluster.data, name), { recursive: true, force: true, maxRetries: 5 });
}

test.skipIf(!hasEtcd)('a lost disk is made anew, and then any other node may die', async () => {
  cluster = await TestCluster.startWith(quick, example('counter'));
  await whole('n1', 'n2', 'n3');
  const values = await incrementAll(cluster.node('n1'));
  lose('n2');
  await cluster.restart('n2');
  await whole('n1', 'n2', 'n3');
  cluster.signal('n1', 'SIGKILL');
  await expectAll(cluster.node('n2'), values);
  const later = await incrementAll(cluster.node('n2'));
  await cluster.restart('n1');
  await whole('n1', 'n2', 'n3');
  cluster.signal('n3', 'SIGKILL');
  await expectAll(cluster.node('n1'), later);
});

test.skipIf(!hasEtcd)('one node becomes three, while it serves', async () => {
  cluster = await TestCluster.startWith(quick, example('counter'), '--nodes', '1');
  const first = await incrementAll(cluster.node('n1'));
  await expectAll(cluster.node('n1'), first);
  const { underReplicated } = await status(cluster.node('n1'));
  expect(underReplicated).toBe(8);
  await cluster.add('n2');
  await cluster.add('n3');
  let values = first;
  const grown = whole('n1', 'n2', 'n3');
  let isGrown = false;
  void grown.then(() => {
    isGrown = true;
  });
  while (!isGrown) values = await incrementAll(cluster.node('n2'));
  await grown;
  cluster.signal('n1', 'SIGKILL');
  await expectAll(cluster.node('n2'), values);
  await incrementAll(cluster.node('n3'));
});

test.skipIf(!hasEtcd)(
  'nobody waits for the copies of a large object by which a set grows',
  async () => {
    const env = {
      ...quick,
      // Both copies together take eight seconds, and a write that took five would fail.
      HOMING_REPLICATION_REBUILD_BYTES_PER_SECOND: '500000',
    };
    cluster = await TestCluster.startWith(env, fixture('bulk'), '--nodes', '1');
    const n1 = cluster.node('n1');
    const filled = await fetch(`http://${n1.http}/large?chunks=32`, { method: 'PUT' });
    expect(await filled.json()).toEqual({ value: 0, chunks: 32 });
    const failures: string[] = [];
    let value = 0;
    let isGrown = false;
    const load = async () => {
      while (!isGrown) {
        try {
          value = await call(n1, 'large', 'POST');
        } catch (error) {
          failures.push(String(error));
        }
        await sleep(50);
      }
    };
    const loaded = load();
    await cluster.add('n2');
    await cluster.add('n3');
    await whole('n1', 'n2', 'n3');
    isGrown = true;
    await loaded;
    expect(failures).toEqual([]);
    // The copies are whole: each of the others can do without the first.
    cluster.signal('n1', 'SIGKILL');
    const state = await eventually(async () => {
      const response = await fetch(`http://${cluster.node('n2').http}/large`);
      if (!response.ok) throw new Error(String(response.status));
      return (await response.json()) as { value: number; chunks: number };
    });
    expect(state.chunks).toBe(32);
    expect(state.value).toBeGreaterThanOrEqual(value);
  },
);

test.skipIf(!hasEtcd)('a fourth node gets its share, and no call fails', async () => {
  cluster = await TestCluster.startWith(
    { ...quick, HOMING_BALANCE_DELAY_MS: '1000' },
    example('counter'),
  );
  await whole('n1', 'n2', 'n3');
  await incrementAll(cluster.node('n1'));
  const stop = underLoad('n1', 'n2', 'n3');
  await cluster.add('n4');
  await eventually(async () => {
    const copies = (await nodesSeenBy(cluster.node('n1'))).map((node) => node.copies);
    // Of 24 copies, each its quarter.
    if (copies.join() !== '6,6,6,6') throw new Error(`${copies}`);
  });
  await whole('n1', 'n2', 'n3', 'n4');
  const { failures, values } = await stop();
  expect(failures).toEqual([]);
  expect(values.size).toBe(names.length);
  cluster.signal('n2', 'SIGKILL');
  await expectAll(cluster.node('n4'), values);
  await incrementAll(cluster.node('n1'));
});

test.skipIf(!hasEtcd)('sets reach into each zone that comes', async () => {
  const env = { ...quick, HOMING_BALANCE_DELAY_MS: '500', HOMING_ZONE: 'x' };
  cluster = await TestCluster.startWith(env, example('counter'));
  await whole('n1', 'n2', 'n3');
  const values = await incrementAll(cluster.node('n1'));
  const lieIn = (...zones: string[]) =>
    eventually(async () => {
      const nodes = await nodesSeenBy(cluster.node('n1'));
      const held = zones.map((zone) =>
        nodes.filter((node) => node.zone === zone).reduce((sum, { copies }) => sum + copies, 0),
      );
      // One copy of each of the eight sets in every zone but the first.
      if (held.slice(1).some((copies) => copies !== 8)) throw new Error(`${held}`);
      await whole(...nodes.map(({ node }) => node));
    });
  await cluster.add('n4', { HOMING_ZONE: 'y' });
  await lieIn('x', 'y');
  await cluster.add('n5', { HOMING_ZONE: 'z' });
  await lieIn('x', 'y', 'z');
  // A whole zone goes, and nothing with it.
  for (const name of ['n1', 'n2', 'n3']) cluster.signal(name, 'SIGKILL');
  await expectAll(cluster.node('n4'), values);
});

test.skipIf(!hasEtcd)('another node takes the place of one that is gone for long', async () => {
  cluster = await TestCluster.startWith(quick, example('counter'));
  await whole('n1', 'n2', 'n3');
  await cluster.add('n4');
  const values = await incrementAll(cluster.node('n4'));
  lose('n3');
  await eventually(async () => {
    const { underReplicated } = await status(cluster.node('n1'));
    if (underReplicated === 0) throw new Error('n3 still counts');
  });
  await whole('n1', 'n2', 'n4');
  await expectAll(cluster.node('n4'), values);
  cluster.signal('n1', 'SIGKILL');
  await expectAll(cluster.node('n4'), values);
  await incrementAll(cluster.node('n2'));
});

test.skipIf(!hasEtcd)(
  'what is left goes on when an operator says that the majority is lost',
  async () => {
    cluster = await TestCluster.startWith(quick, example('counter'));
    await whole('n1', 'n2', 'n3');
    const values = await incrementAll(cluster.node('n1'));
    // The commit notices have come, and the copies are all the same.
    await sleep(1500);
    lose('n2');
    lose('n3');
    const { admin } = cluster.node('n1');
    const args = ['force-members', '--admin', `http://${admin}`];
    // Until the dead nodes' sessions have ended they count as there, and one of them may be the controller.
    const asked = await eventually(async () => {
      const answer = await run(...args);
      if (answer.stdout === '') throw new Error(answer.stderr);
      return answer;
    });
    expect(asked.status).toBe(1);
    expect(asked.stdout).toContain(`${names.length} objects`);
    expect(asked.stderr).toContain('nothing was changed');
    await expect(call(cluster.node('n1'), 'counter-0', 'POST')).rejects.toThrow();
    await eventually(async () => {
      const forced = await run(...args, '--lose-what-is-missing');
      if (forced.status !== 0) throw new Error(forced.stderr);
    });
    await expectAll(cluster.node('n1'), values);
    await incrementAll(cluster.node('n1'));
    const again = await run(...args);
    expect(again.stderr).toContain('there is nothing to force');
    // New nodes under the old names make it whole again.
    await cluster.restart('n2');
    await cluster.restart('n3');
    await whole('n1', 'n2', 'n3');
  },
);
