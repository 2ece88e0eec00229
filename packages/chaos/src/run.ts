/**
 * The whole experiment: a cluster under load while it is broken, healed, read to the end through
 * every node, and its history checked.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkHistory } from './check.ts';
import { Cluster } from './cluster.ts';
import type { FaultKind } from './faults.ts';
import { History } from './history.ts';
import { saveHistory } from './history-file.ts';
import { Moves } from './moves.ts';
import { runNemesis } from './nemesis.ts';
import { SeededRandom } from './random.ts';
import { makeReport, type RunReport } from './report.ts';
import { Workload } from './workload.ts';

export interface RunOptions {
  readonly directory: string;
  readonly seed: number;
  readonly durationMs: number;
  readonly nodes: number;
  readonly faults: readonly FaultKind[];
  readonly regions?: readonly string[];
  readonly sessionTtlMs?: number;
  readonly network?: 'proxies' | 'namespaces';
  readonly program?: readonly string[];
  readonly clients?: number;
  readonly objects?: number;
  readonly operationsPerSecond?: number;
  /** Objects that move between regions at a time, all the while. Default 0. */
  readonly moves?: number;
  /** After which a client gives a call up: its outcome is unknown then. Default 5000. */
  readonly callTimeoutMs?: number;
  readonly print: (line: string) => void;
}

/** For reads to be answered once everything is healed. */
const finalReadTimeoutMs = 120_000;
/** Stream of the seed that chooses faults; clients have those from 1 on. */
const nemesisStream = 0;
const movesStream = 1_000_000;

/**
 * Resolves with the report. Leaves `report.json`, and where something is wrong `history.jsonl` with
 * all operations on the objects concerned, in the directory beside the logs of all processes.
 */
export async function runChaos(options: RunOptions): Promise<RunReport> {
  const { directory, seed, durationMs, print } = options;
  mkdirSync(directory, { recursive: true });
  print(`seed ${seed}; logs in ${directory}`);
  const cluster = await Cluster.start(options);
  const history = new History();
  const workload = new Workload({
    nodes: cluster.nodes,
    history,
    seed,
    clients: options.clients ?? 16,
    requestTimeoutMs: options.callTimeoutMs ?? 5000,
    ...(options.objects === undefined ? {} : { objects: options.objects }),
    ...(options.operationsPerSecond === undefined
      ? {}
      : { operationsPerSecond: options.operationsPerSecond }),
  });
  const moves = new Moves({
    nodes: cluster.nodes,
    random: new SeededRandom(seed, movesStream),
    objects: () => workload.objects,
    count: options.moves ?? 0,
  });
  try {
    workload.start();
    const faults = await runNemesis({
      cluster,
      kinds: options.faults,
      random: new SeededRandom(seed, nemesisStream),
      now: () => history.now(),
      durationMs,
      onWindow: ({ kind, target, injectedNs, healedNs }) => {
        const heldS = (healedNs - injectedNs) / 1e9;
        print(
          `${(injectedNs / 1e9).toFixed(1).padStart(7)} s  ${kind} ${target}, ${heldS.toFixed(1)} s`,
        );
      },
    });
    await moves.stop();
    const loadEndNs = history.now();
    await workload.stop();
    const unanswered = await workload.readAll(finalReadTimeoutMs);
    const crashed = cluster.crashed.map(({ name }) => name);
    const { operations } = history;
    print(`checking ${operations.length} operations`);
    const violations = checkHistory(operations);
    const facts = {
      seed,
      nodes: options.nodes,
      operations,
      faults,
      loadEndNs,
      unanswered,
      crashed,
      moves: moves.counts,
    };
    const report = makeReport({ ...facts, violations });
    writeFileSync(join(directory, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
    if (violations.length > 0) {
      const concerned = new Set(violations.map(({ object }) => object));
      await saveHistory(
        join(directory, 'history.jsonl'),
        operations.filter(({ object }) => concerned.has(object)),
      );
    }
    return report;
  } finally {
    await moves.stop();
    workload.close();
    await cluster.dispose();
  }
}
