/**
 * Sockets on all nodes of one object, which moves between two of them, while the links to the third are
 * cut again and again: none is closed, and of their frames none is lost, doubled or overtaken, in either
 * direction.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster, type ClusterNode } from '../../chaos/src/cluster.ts';
import { SeededRandom } from '../../chaos/src/random.ts';
import type { Rule } from '../../chaos/src/tcp-proxy.ts';
import { Talker, talk, troubleOf, until } from './talkers.ts';
import { hasEtcd } from './test-cluster.ts';

const project = fileURLToPath(new URL('fixtures/echo', import.meta.url));
const name = 'cut';
const sockets = 45;
const cuts = 40;
/** The object is on one of these, whose link is left alone: it always has a majority. */
const owners = 2;
/** Every so many cuts it moves. */
const cutsPerMove = 4;
const timeoutMs = 180_000;
/** A node that gets no turn for a while loses no majority, which would close sockets. */
const patience = { sessionTtlMs: 20_000, promiseMs: 15_000 };

let cluster: Cluster;
const directory = mkdtempSync(join(tmpdir(), 'homing-cut-links-'));

beforeAll(async () => {
  if (hasEtcd) cluster = await Cluster.start({ directory, project, ...patience });
}, timeoutMs);

afterAll(async () => {
  await cluster?.dispose();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

const random = new SeededRandom(1);

/** Cuts the link between two nodes for a while, sometimes after it has been silent one way. */
async function cut(one: ClusterNode, other: ClusterNode): Promise<void> {
  const set = (rule: Rule) => {
    one.peerLinks.set(rule, other.node);
    other.peerLinks.set(rule, one.node);
  };
  if (random.number() < 0.5) {
    set(random.number() < 0.5 ? { holdToTarget: true } : { holdToClient: true });
    await sleep(random.between(10, 300));
  }
  set({ cut: true });
  await sleep(random.between(0, 600));
  set({});
}

async function moveTo({ node: to, admin }: ClusterNode): Promise<boolean> {
  const body = JSON.stringify({ namespace: 'ECHO', name, to });
  const response = await fetch(`${admin}/api/migrate`, { method: 'POST', body });
  return response.ok;
}

test.skipIf(!hasEtcd)(
  'cut links between nodes lose nothing',
  async () => {
    const talkers: Talker[] = [];
    for (let number = 0; number < sockets; number++) {
      const { http } = cluster.nodes[number % cluster.nodes.length] as ClusterNode;
      talkers.push(new Talker(http.replace('http://', ''), name, `s${number}`));
    }
    await until(() => talkers.every((one) => one.isOpen), 'all open');
    let isOver = false;
    const talking = talk(talkers, { everyMs: 40, isOver: () => isOver });
    const edge = cluster.nodes[owners] as ClusterNode;
    await moveTo(cluster.nodes[0] as ClusterNode);
    let moved = 0;
    for (let turn = 0; turn < cuts; turn++) {
      const cutting = cut(edge, cluster.nodes[random.below(owners)] as ClusterNode);
      const to = cluster.nodes[(turn / cutsPerMove) % owners];
      if (to !== undefined && (await moveTo(to))) moved += 1;
      await cutting;
      await sleep(random.between(0, 400));
    }
    isOver = true;
    await talking;
    const trouble = await troubleOf(talkers);
    expect(trouble.slice(0, 20)).toEqual([]);
    expect(moved).toBeGreaterThan(cuts / cutsPerMove / 2);
    expect(Math.min(...talkers.map(({ sent }) => sent))).toBeGreaterThan(cuts);
  },
  timeoutMs,
);
