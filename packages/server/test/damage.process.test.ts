/** A disk that has changed by itself: found by scrubbing, and made anew from the other nodes' disks. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { replicationLimits } from '@homing/replication';
import { expect, test } from 'vitest';
import { hasEtcd, TestCluster, type TestNode } from './test-cluster.ts';

const counter = fileURLToPath(new URL('../../../examples/counter', import.meta.url));
const flipValues = fileURLToPath(new URL('../../storage/test/flip-values.mjs', import.meta.url));

async function value(node: TestNode, method: 'GET' | 'POST'): Promise<number> {
  const response = await fetch(`http://${node.http}/kept`, { method });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return ((await response.json()) as { value: number }).value;
}

async function metric(node: TestNode, name: string): Promise<number> {
  const text = await (await fetch(`http://${node.admin}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`homing_${name} `));
  return Number(line?.split(' ')[1]);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await isSo().catch(() => false)) return;
    await sleep(100);
  }
  throw new Error(`not so after a long time: ${what}`);
}

test.skipIf(!hasEtcd)(
  'a value that changed on one disk is found, and does not come back',
  async () => {
    const cluster = await TestCluster.start(counter, '--nodes', '3');
    try {
      const [first] = cluster.nodes as [TestNode];
      for (let n = 1; n <= 5; n++) expect(await value(first, 'POST')).toBe(n);
      const owner = await cluster.ownerOf('COUNTER', 'kept', first.name);
      const [victim] = cluster.others(owner) as [TestNode];
      const query = new URLSearchParams({ namespace: 'COUNTER', name: 'kept' });
      const described = await fetch(`http://${first.admin}/api/describe?${query}`);
      const { id } = (await described.json()) as { id: string };
      // Until the last record is folded in everywhere: it would be written over what is damaged.
      await sleep(replicationLimits.noticeMs + 4000);
      cluster.signal(victim.name, 'SIGTERM');
      const { pid } = victim;
      await until('the node has ended', async () => !existsSync(`/proc/${pid}`));
      const flipped = spawnSync(process.execPath, [
        flipValues,
        join(cluster.data, victim.name, 'store', 'db'),
        id,
      ]);
      expect(String(flipped.stderr)).toBe('');
      expect(Number(String(flipped.stdout))).toBeGreaterThan(0);
      // As if a compaction had met damage, too: the database is copied first.
      const store = join(cluster.data, victim.name, 'store');
      writeFileSync(join(store, 'DAMAGED'), 'a block\n');
      await cluster.restart(victim.name, { HOMING_SCRUB_PAUSE_MS: '200' });
      await until('the damage is found', async () => {
        return (await metric(victim, 'replicas_quarantined_total')) === 1;
      });
      await until('the replica is made anew', async () => {
        const response = await fetch(`http://${victim.admin}/api/status`);
        return ((await response.json()) as { quarantined: number }).quarantined === 0;
      });
      expect(cluster.output).toContain('is not that of a majority');
      expect(readFileSync(join(store, 'STORE'), 'utf8')).toContain('"database":"db.1"');
      // Now the disk that was damaged takes part in what is left, and may own it.
      await cluster.admin(first.name, '/api/migrate', {
        namespace: 'COUNTER',
        name: 'kept',
        to: victim.name,
      });
      await until('it has moved', async () => {
        return (await cluster.ownerOf('COUNTER', 'kept', first.name)) === victim.name;
      });
      expect(await value(victim, 'GET')).toBe(5);
      expect(await value(first, 'POST')).toBe(6);
      expect(await metric(victim, 'replicas_quarantined_total')).toBe(1);
    } finally {
      cluster.dispose();
    }
  },
);
