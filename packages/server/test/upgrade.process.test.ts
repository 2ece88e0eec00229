/** Nodes of two versions in one cluster, upgraded one after the other while clients write. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { example, run } from './program.ts';
import { hasEtcd, TestCluster, type TestNode } from './test-cluster.ts';

const anotherVersion = fileURLToPath(new URL('fixtures/another-version.mjs', import.meta.url));

const speaks = (min: number, max: number) => ({
  NODE_OPTIONS: `--import=${anotherVersion}`,
  PEER_PROTOCOL: JSON.stringify({ min, max }),
});

describe.skipIf(!hasEtcd)('versions side by side (needs etcd)', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start(example('counter'));
  });
  afterAll(() => cluster.dispose());

  /** Increments one object through the nodes given in turn, until told to end; throws at a gap. */
  async function write(name: string, nodes: readonly TestNode[], isOver: () => boolean) {
    const start = await read(nodes[0] as TestNode, name);
    let value = start;
    do {
      const node = nodes[value % nodes.length] as TestNode;
      const response = await fetch(`http://${node.http}/${name}`, { method: 'POST' });
      const text = await response.text();
      if (!response.ok) throw new Error(`${node.name}: ${response.status}: ${text}`);
      expect(JSON.parse(text)).toEqual({ name, value: ++value });
      // A node that starts needs its share of the machine.
      await sleep(5);
    } while (!isOver());
    return value - start;
  }

  async function read(node: TestNode, name: string): Promise<number> {
    const response = await fetch(`http://${node.http}/${name}`);
    return ((await response.json()) as { value: number }).value;
  }

  test('a newer version takes over node by node, and no request fails', async () => {
    for (const { name } of cluster.nodes) {
      let isOver = false;
      const others = cluster.others(name);
      const names = Array.from({ length: 8 }, (_, index) => `counter-${index}`);
      const writing = Promise.all(names.map((each) => write(each, others, () => isOver)));
      const { pid } = cluster.node(name);
      cluster.signal(name, 'SIGTERM');
      while (isAlive(pid)) await Promise.race([sleep(20), writing]);
      await cluster.restart(name, speaks(1, 2));
      isOver = true;
      for (const written of await writing) expect(written).toBeGreaterThan(0);
    }
    // The last to come links with the others a moment after it serves.
    for (const { admin } of cluster.nodes) {
      while (!(await fetch(`http://${admin}/readyz`)).ok) await sleep(50);
    }
  });

  test('one that is two versions ahead is kept out, and the log says why', async () => {
    cluster.signal('n1', 'SIGKILL');
    await cluster.restart('n1', speaks(3, 3));
    while (!/no protocol version in common/.test(cluster.output)) await sleep(20);
    expect((await fetch(`http://${cluster.node('n1').admin}/readyz`)).status).toBe(503);
  });

  test('what a cluster was made with cannot be changed: exit status 2 and why', async () => {
    cluster.signal('n2', 'SIGKILL');
    const file = join(cluster.data, 'n2.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, shardsPerRegion: 8 }));
    const { status, stderr } = await run('node', '--config', file);
    expect(stderr).toMatch(/shardsPerRegion: is 8, and this cluster was made with 64/);
    expect(status).toBe(2);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
