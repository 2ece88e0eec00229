/**
 * Whether the history of one object could have been made by one list that executes one command at a
 * time, at some instant between its sending and its answer. Every answer shows the whole order so far
 * and values are unique, so all lists seen that begin with the same value must be prefixes of the
 * longest of them: a *stretch*, from one clearing of the list to the next. That gives each command that
 * took effect its rank (the append of the n-th value, then what saw n values; stretches in their order);
 * then nothing of a lower rank may have begun after something of a higher rank had ended.
 *
 * Exact but for two things: what saw an empty list has to fit between two stretches, each by itself; and
 * where a clearing's outcome is unknown it may be taken for the end of more than one.
 */
import type { Operation, Violation } from './history.ts';

type Report = (rule: string, message: string) => void;

interface Ranked {
  readonly operation: Operation;
  readonly rank: number;
}

interface Stretch {
  readonly first: number;
  longest: readonly number[];
  /** By when one of its operations had ended, and from when on the last of them began. */
  endedMs: number;
  beganMs: number;
  /** Of what it begins with. */
  rank: number;
}

export function checkHistory(object: string, operations: readonly Operation[]): Violation[] {
  const violations: Violation[] = [];
  const report: Report = (rule, message) =>
    violations.push({ rule, message: `${object}: ${message}` });
  const appends = new Map<number, Operation>();
  for (const operation of operations) {
    const { kind, value } = operation.command;
    if (kind === 'append' || kind === 'cas') appends.set(value, operation);
  }
  const stretches = stretchesOf(operations, appends);
  const ranks = new Map<number, number>();
  for (const { longest, rank } of stretches) {
    for (const [index, value] of longest.entries()) {
      if (ranks.has(value)) report('duplicate', `the list holds ${value} twice`);
      else ranks.set(value, rank + 2 * index + 2);
    }
  }
  for (const value of ranks.keys()) {
    const append = appends.get(value);
    if (append === undefined) report('phantom', `nobody appended ${value}`);
    else if (append.outcome === 'fail') report('failed', `${value} failed and is in the list`);
    else if (append.reply?.isDone === false) report('refused', `${value} was refused and is in it`);
  }
  const byFirst = new Map(stretches.map((stretch) => [stretch.first, stretch]));
  const ranked: Ranked[] = [];
  for (const operation of operations) {
    const stretch = byFirst.get(operation.reply?.list[0] ?? 0);
    const problem = problemOf(operation, stretch?.longest ?? []);
    if (problem !== undefined) report('answer', `${describe(operation)} ${problem}`);
    const rank = rankOf(operation, stretch, ranks);
    if (rank !== undefined) ranked.push({ operation, rank });
  }
  for (const [earlier, later] of outOfOrder(ranked)) {
    report('order', `${describe(later)} came after ${describe(earlier)} and does not show it`);
  }
  checkEnds(operations, stretches, report);
  return violations;
}

/** In an order that real time allows, if there is one. */
function stretchesOf(
  operations: readonly Operation[],
  appends: ReadonlyMap<number, Operation>,
): readonly Stretch[] {
  const byFirst = new Map<number, Stretch>();
  for (const { reply, startMs, endMs } of operations) {
    const first = reply?.list[0];
    if (reply === undefined || first === undefined) continue;
    const known = byFirst.get(first);
    const stretch = known ?? { first, longest: [], endedMs: endMs, beganMs: startMs, rank: 0 };
    byFirst.set(first, stretch);
    if (reply.list.length > stretch.longest.length) stretch.longest = reply.list;
    stretch.endedMs = Math.min(stretch.endedMs, endMs);
    stretch.beganMs = Math.max(stretch.beganMs, startMs);
  }
  for (const stretch of byFirst.values()) {
    for (const value of stretch.longest) {
      stretch.beganMs = Math.max(stretch.beganMs, appends.get(value)?.startMs ?? 0);
    }
  }
  // Of two that real time orders, the earlier one has the smaller sum.
  const middle = ({ endedMs, beganMs }: Stretch) => endedMs + beganMs;
  const sorted = [...byFirst.values()].sort((a, b) => middle(a) - middle(b));
  let rank = 0;
  for (const stretch of sorted) {
    stretch.rank = rank;
    rank += 2 * stretch.longest.length + 4;
  }
  return sorted;
}

/** A stretch ends by a clearing, and an empty list is seen between two of them. */
function checkEnds(
  operations: readonly Operation[],
  stretches: readonly Stretch[],
  report: Report,
): void {
  const clears = operations.filter(({ command }) => command.kind === 'clear');
  /** Whether the stretch may have been cleared by then. */
  const isCleared = ({ first }: Stretch, byMs: number) =>
    clears.some(({ outcome, reply, startMs }) => {
      if (reply !== undefined) return reply.list[0] === first;
      return outcome === 'unknown' && startMs < byMs;
    });
  for (const [index, stretch] of stretches.slice(0, -1).entries()) {
    const { first, endedMs } = stretches[index + 1] as Stretch;
    if (isCleared(stretch, endedMs)) continue;
    report('lost', `the list that began with ${stretch.first} began anew with ${first}`);
  }
  for (const operation of operations) {
    const { reply, startMs, endMs } = operation;
    if (reply === undefined || reply.list.length > 0) continue;
    const after = stretches.findLastIndex(({ endedMs }) => endedMs < startMs);
    const before = stretches.findIndex(({ beganMs }) => beganMs > endMs);
    const last = stretches[after];
    if (before !== -1 && before <= after) {
      report('order', `${describe(operation)} saw nothing, in the midst of a list`);
    } else if (last !== undefined && !isCleared(last, endMs)) {
      report('lost', `${describe(operation)} saw nothing of what began with ${last.first}`);
    }
  }
}

/** What is wrong with an answer by itself, or against the order of all. */
function problemOf(operation: Operation, longest: readonly number[]): string | undefined {
  const { command, reply } = operation;
  if (reply === undefined) return undefined;
  const { list, isDone } = reply;
  const at = list.findIndex((value, index) => value !== longest[index]);
  if (at !== -1) return `saw ${list[at]} at ${at}, others ${longest[at]}`;
  if (command.kind === 'read') return isDone ? 'appended' : undefined;
  if (command.kind === 'clear') {
    return list.length < longest.length ? `left ${longest.at(-1)} out` : undefined;
  }
  if (isDone && list.at(-1) !== command.value) return 'is not the end of its own list';
  if (command.kind === 'append') return isDone ? undefined : 'was refused';
  const before = (isDone ? list.at(-2) : list.at(-1)) ?? 0;
  return (before === command.after) === isDone ? undefined : `decided wrongly after ${before}`;
}

/** Undefined for what need not have happened, and for what saw an empty list. */
function rankOf(
  { command, reply, outcome }: Operation,
  stretch: Stretch | undefined,
  ranks: ReadonlyMap<number, number>,
): number | undefined {
  if (outcome === 'fail') return undefined;
  if (command.kind === 'clear') return stretch && stretch.rank + 2 * stretch.longest.length + 2;
  if (command.kind === 'read' || reply?.isDone === false) {
    return stretch && reply && stretch.rank + 2 * reply.list.length + 1;
  }
  return ranks.get(command.value);
}

/** Pairs of (higher rank that had ended, lower rank that began after), the first few. */
function outOfOrder(ranked: readonly Ranked[]): [Operation, Operation][] {
  const pairs: [Operation, Operation][] = [];
  const descending = [...ranked].sort((a, b) => b.rank - a.rank);
  let earliest: Operation | undefined;
  let ofThisRank: Operation | undefined;
  let rankNow = Number.POSITIVE_INFINITY;
  for (const { operation, rank } of descending) {
    if (rank < rankNow) {
      earliest = earlierEnd(earliest, ofThisRank);
      ofThisRank = undefined;
      rankNow = rank;
    }
    ofThisRank = earlierEnd(ofThisRank, operation);
    if (earliest !== undefined && earliest.endMs < operation.startMs && pairs.length < 5) {
      pairs.push([earliest, operation]);
    }
  }
  return pairs;
}

function earlierEnd(a: Operation | undefined, b: Operation | undefined): Operation | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.endMs < a.endMs ? b : a;
}

function describe({ client, command, startMs, endMs, reply }: Operation): string {
  const seen = reply === undefined ? '' : `, ${reply.list.length} values`;
  const name = `${command.kind} ${command.value || ''}`.trim();
  return `${name} of ${client} (${startMs.toFixed(1)}–${endMs.toFixed(1)} ms${seen})`;
}
