/** What a run found, as data for programs and as text for people. */
import { quantiles, type Waits, waitsBetween } from './availability.ts';
import { describeOperation, type Operation, type Violation } from './history.ts';
import type { MoveCounts } from './moves.ts';
import type { FaultWindow } from './nemesis.ts';

export interface RunFacts {
  readonly seed: number;
  readonly nodes: number;
  readonly operations: readonly Operation[];
  readonly faults: readonly FaultWindow[];
  /** When the load ended and everything was healed, in the time of the history. */
  readonly loadEndNs: number;
  readonly violations: readonly Violation[];
  /** Final reads that were never answered. */
  readonly unanswered: readonly string[];
  /** Processes that ended by themselves. */
  readonly crashed: readonly string[];
  readonly moves: MoveCounts;
}

interface FaultReport {
  readonly kind: string;
  readonly target: string;
  readonly atS: number;
  readonly heldS: number;
  readonly waits: Waits;
}

export interface RunReport {
  readonly passed: boolean;
  readonly seed: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly objects: number;
  readonly operationsPerSecond: number;
  /** By kind and outcome. */
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Most frequent first. */
  readonly errors: readonly (readonly [string, number])[];
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly quiet: Waits;
  readonly faults: readonly FaultReport[];
  readonly violations: readonly {
    readonly rule: string;
    readonly object: string;
    readonly message: string;
    readonly operations: readonly string[];
  }[];
  readonly unanswered: readonly string[];
  readonly crashed: readonly string[];
  readonly moves: MoveCounts;
}

const errorsMax = 20;
const shownMax = 20;

export function makeReport(facts: RunFacts): RunReport {
  const { operations, faults, loadEndNs, violations, unanswered, crashed } = facts;
  const load = operations.filter(({ invokedNs }) => invokedNs < loadEndNs);
  const answered = load.filter(({ outcome }) => outcome === 'ok');
  const latency = quantiles(answered.map((one) => (one.returnedNs - one.invokedNs) / 1e6));
  const firstFaultNs = faults[0]?.injectedNs ?? loadEndNs;
  return {
    passed: violations.length + unanswered.length + crashed.length === 0 && answered.length > 0,
    seed: facts.seed,
    nodes: facts.nodes,
    seconds: loadEndNs / 1e9,
    objects: new Set(operations.map(({ object }) => object)).size,
    operationsPerSecond: answered.length / (loadEndNs / 1e9),
    counts: countByKind(load),
    errors: countErrors(load),
    latencyMs: { p50: latency(0.5), p99: latency(0.99), max: latency(1) },
    quiet: waitsBetween(load, 0, firstFaultNs),
    faults: faults.map((fault, index) => ({
      kind: fault.kind,
      target: fault.target,
      atS: fault.injectedNs / 1e9,
      heldS: (fault.healedNs - fault.injectedNs) / 1e9,
      waits: waitsBetween(load, fault.injectedNs, faults[index + 1]?.injectedNs ?? loadEndNs),
    })),
    violations: violations.map(({ rule, object, message, operations: concerned }) => ({
      rule,
      object,
      message,
      operations: concerned.map(describeOperation),
    })),
    unanswered,
    crashed,
    moves: facts.moves,
  };
}

export function countByKind(
  operations: readonly Operation[],
): Record<string, Record<string, number>> {
  const counts: Record<string, Record<string, number>> = {};
  for (const { kind, outcome } of operations) {
    const own = counts[kind] ?? { ok: 0, fail: 0, info: 0 };
    own[outcome] = (own[outcome] ?? 0) + 1;
    counts[kind] = own;
  }
  return counts;
}

/** `outcome: error` and how often, most frequent first. */
export function countErrors(operations: readonly Operation[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { outcome, error } of operations) {
    if (outcome === 'ok') continue;
    const key = `${outcome}: ${error ?? 'no answer'}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, errorsMax);
}

export function reportText(report: RunReport): string {
  const lines = [
    `seed ${report.seed}, ${report.nodes} nodes, ${report.seconds.toFixed(0)} s, ${report.objects} objects, ` +
      `${report.operationsPerSecond.toFixed(0)} answers/s`,
    `latency p50 ${ms(report.latencyMs.p50)}, p99 ${ms(report.latencyMs.p99)}, max ${ms(report.latencyMs.max)}`,
    '',
    row('operation', 'ok', 'fail', 'info'),
    ...Object.entries(report.counts).map(([kind, { ok = 0, fail = 0, info = 0 }]) =>
      row(kind, String(ok), String(fail), String(info)),
    ),
  ];
  const { moved, notMoved } = report.moves;
  if (moved + notMoved > 0) lines.push('', `objects moved ${moved} times, not moved ${notMoved}`);
  if (report.errors.length > 0) {
    lines.push('', 'not ok, by cause:');
    lines.push(...report.errors.map(([error, count]) => `${String(count).padStart(8)}  ${error}`));
  }
  lines.push(
    '',
    'waits until an answer, retries included (longest; 99 %; longest of the best object):',
  );
  lines.push(`  before any fault: ${waitsText(report.quiet)}`);
  for (const { kind, target, atS, heldS, waits } of report.faults) {
    lines.push(
      `  ${atS.toFixed(1).padStart(6)} s ${kind} ${target}, held ${heldS.toFixed(1)} s: ${waitsText(waits)}`,
    );
  }
  for (const violation of report.violations.slice(0, shownMax)) {
    lines.push('', `VIOLATION ${violation.rule}, ${violation.object}: ${violation.message}`);
    lines.push(...violation.operations.map((operation) => `  ${operation}`));
  }
  const more = report.violations.length - shownMax;
  if (more > 0) lines.push('', `and ${more} more violations`);
  for (const read of report.unanswered.slice(0, shownMax)) lines.push(`NO ANSWER to ${read}`);
  for (const name of report.crashed) lines.push(`ENDED BY ITSELF: ${name}`);
  lines.push('', report.passed ? 'every promise was kept' : 'FAILED');
  return lines.join('\n');
}

function row(...[first, ...rest]: [string, ...string[]]): string {
  return first.padEnd(10) + rest.map((cell) => cell.padStart(9)).join('');
}

function waitsText({ maxMs, p99Ms, allMs }: Waits): string {
  return `${ms(maxMs)}; ${ms(p99Ms)}; ${ms(allMs)}`;
}

function ms(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(1)} ms`;
}
