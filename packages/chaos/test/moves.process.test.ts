/** Two regions of three nodes, and objects that move between them all the while. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { isEtcdInstalled } from '../src/etcd.ts';
import type { RunReport } from '../src/report.ts';

const program = fileURLToPath(new URL('../bin/chaos.js', import.meta.url));

async function chaos(...flags: string[]): Promise<RunReport> {
  const cluster = ['--nodes', '6', '--regions', 'eu,us', '--moves', '4', '--rate', '150'];
  const args = [program, '--minutes', '0.5', '--json', ...cluster, ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
  await once(child, 'close');
  if (output === '') throw new Error('it ended without a report: what it printed stands above');
  return JSON.parse(output) as RunReport;
}

describe.skipIf(!isEtcdInstalled())('objects that move between regions (needs etcd)', () => {
  test('no call fails, and nothing is lost', async () => {
    // A machine that is busy with other work may let a call or a session wait: that is no failure.
    const patience = ['--timeout-ms', '30000', '--ttl-ms', '20000'];
    const report = await chaos('--seed', '7', '--faults', 'none', ...patience);
    expect(report.violations).toEqual([]);
    expect(report.errors).toEqual([]);
    expect(report.moves.moved).toBeGreaterThan(10);
    expect(report.passed).toBe(true);
  });

  test('nothing is lost while nodes and etcd die', async () => {
    const report = await chaos('--seed', '12', '--faults', 'kill,etcd');
    expect(report.violations).toEqual([]);
    expect(report.moves.moved).toBeGreaterThan(10);
    expect(report.passed).toBe(true);
  });
});
