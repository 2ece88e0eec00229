/** The tools on fake nodes that keep their state in a real etcd: they must tell right from wrong. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkHistory } from '../src/check.ts';
import { Cluster } from '../src/cluster.ts';
import { measureDrain } from '../src/drain.ts';
import { isEtcdInstalled } from '../src/etcd.ts';
import { failoverText, measureFailover } from '../src/failover.ts';
import { loadHistory } from '../src/history-file.ts';
import { reportText } from '../src/report.ts';
import { runChaos } from '../src/run.ts';

const fakeNode = fileURLToPath(new URL('fixtures/fake-node.mjs', import.meta.url));
const print = () => {};

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'chaos-test-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const options = { nodes: 3, sessionTtlMs: 300, print };

describe.skipIf(!isEtcdInstalled())('on fake nodes (needs etcd)', () => {
  test('a run of faults on nodes that behave is clean', async () => {
    const report = await runChaos({
      ...options,
      directory,
      seed: 7,
      durationMs: 2000,
      faults: ['kill', 'killall', 'pause', 'etcd', 'partition', 'delay'],
      program: [fakeNode],
    });
    expect(report.violations).toEqual([]);
    expect(report.passed).toBe(true);
    expect(report.faults.length).toBeGreaterThan(0);
    expect(report.counts['append']?.['ok']).toBeGreaterThan(0);
    expect(reportText(report)).toContain('every promise was kept');
    expect(existsSync(join(directory, 'report.json'))).toBe(true);
  });

  test('nodes that serve old reads are found out, and the history shows it again', async () => {
    const report = await runChaos({
      ...options,
      directory,
      seed: 8,
      durationMs: 100,
      faults: ['pause'],
      program: [fakeNode, '--stale'],
    });
    expect(report.passed).toBe(false);
    // Of a list, or of a register: whichever was read while it was old.
    expect(report.violations.map(({ rule }) => rule)).toContainEqual(
      expect.stringMatching(/^(stale|not linearizable)$/),
    );
    expect(reportText(report)).toContain('VIOLATION');
    const again = checkHistory(loadHistory(join(directory, 'history.jsonl')));
    expect(again.length).toBe(report.violations.length);
  });

  test('failover and drain are measured', async () => {
    const cluster = await Cluster.start({ ...options, directory, program: [fakeNode] });
    try {
      const failover = await measureFailover({ cluster, rounds: 2, print });
      expect(failover).toMatchObject({ rounds: 2, lost: 0 });
      expect(failoverText(failover)).toContain('2 kills');
      const drain = await measureDrain({ cluster, seed: 9, rounds: 1, settleMs: 300, print });
      expect(drain.rounds).toMatchObject([{ node: 'n1', status: 0 }]);
      expect(drain.violations).toEqual([]);
      expect(cluster.crashed).toEqual([]);
    } finally {
      await cluster.dispose();
    }
  });
});
