/**
 * What clients notice when a node is stopped in order: the workload runs while SIGTERM empties one
 * node after another, each of which is started again.
 */
import { type Waits, waitsBetween } from './availability.ts';
import { checkHistory } from './check.ts';
import type { Cluster, ClusterNode } from './cluster.ts';
import { History, type Violation } from './history.ts';
import { countByKind, countErrors } from './report.ts';
import { Workload } from './workload.ts';

export interface DrainOptions {
  readonly cluster: Cluster;
  readonly seed: number;
  /** Nodes drained, one after the other, in turn. */
  readonly rounds: number;
  /** Load before each drain, and a third of it after. Default 3000. */
  readonly settleMs?: number;
  readonly print: (line: string) => void;
}

interface DrainRound {
  readonly node: string;
  /** Exit status; 0 is what a node promises. */
  readonly status: number | null;
  readonly tookMs: number;
  readonly requests: number;
  /** Of requests to the node that went, and to the others. */
  readonly errorsHere: readonly (readonly [string, number])[];
  readonly errorsElsewhere: readonly (readonly [string, number])[];
  readonly waits: Waits;
}

export interface DrainReport {
  readonly rounds: readonly DrainRound[];
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly violations: readonly Violation[];
}

/** Twice what a node gives itself; then it is killed, and its status is null. */
const drainTimeoutMs = 60_000;
const finalReadTimeoutMs = 60_000;

export async function measureDrain(options: DrainOptions): Promise<DrainReport> {
  const { cluster, seed, rounds: count, settleMs = 3000, print } = options;
  const history = new History();
  const workload = new Workload({ nodes: cluster.nodes, history, seed, clients: 16 });
  const rounds: DrainRound[] = [];
  try {
    workload.start();
    for (let index = 0; index < count; index++) {
      await pause(settleMs);
      const node = cluster.nodes[index % cluster.nodes.length] as ClusterNode;
      const round = await drainOne(node, history, settleMs / 3);
      rounds.push(round);
      const elsewhere = round.errorsElsewhere.reduce((sum, [, times]) => sum + times, 0);
      print(
        `${node.node} ended with ${round.status} after ${round.tookMs.toFixed(0)} ms; ` +
          `${elsewhere} requests through other nodes were not ok`,
      );
      await node.process.start();
    }
    await workload.stop();
    await workload.readAll(finalReadTimeoutMs);
  } finally {
    workload.close();
  }
  const { operations } = history;
  return { rounds, counts: countByKind(operations), violations: checkHistory(operations) };
}

async function drainOne(node: ClusterNode, history: History, afterMs: number): Promise<DrainRound> {
  const fromNs = history.now();
  node.process.signal('SIGTERM');
  const overdue = setTimeout(() => void node.process.kill(), drainTimeoutMs);
  const status = await node.process.ended();
  clearTimeout(overdue);
  const tookMs = (history.now() - fromNs) / 1e6;
  await pause(afterMs);
  const toNs = history.now();
  const { operations } = history;
  const during = operations.filter(({ returnedNs }) => returnedNs >= fromNs);
  return {
    node: node.node,
    status,
    tookMs,
    requests: during.length,
    errorsHere: countErrors(during.filter((operation) => operation.node === node.node)),
    errorsElsewhere: countErrors(during.filter((operation) => operation.node !== node.node)),
    waits: waitsBetween(operations, fromNs, toNs),
  };
}

export function drainText({ rounds, violations }: DrainReport): string {
  const lines: string[] = [];
  for (const { node, status, tookMs, requests, waits, ...errors } of rounds) {
    lines.push(
      `${node}: status ${status} after ${tookMs.toFixed(0)} ms, ${requests} requests, ` +
        `longest wait ${waits.maxMs.toFixed(0)} ms`,
    );
    for (const [error, times] of errors.errorsHere) lines.push(`  there      ${times} × ${error}`);
    for (const [error, times] of errors.errorsElsewhere) {
      lines.push(`  elsewhere  ${times} × ${error}`);
    }
  }
  for (const { rule, object, message } of violations) {
    lines.push(`VIOLATION ${rule}, ${object}: ${message}`);
  }
  return lines.join('\n');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
