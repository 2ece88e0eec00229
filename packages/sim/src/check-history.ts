/**
 * Whether the history of one object could have been made by one list that executes one command at a
 * time, at some instant between its sending and its answer. Exact, since every answer shows the whole
 * order so far and values are unique: all lists seen must be prefixes of the longest, which gives
 * each command that took effect its rank (the append of the n-th value, then what saw n values);
 * then nothing of a lower rank may have begun after something of a higher rank had ended.
 */
import type { Operation, Violation } from './history.ts';

interface Ranked {
  readonly operation: Operation;
  readonly rank: number;
}

export function checkHistory(object: string, operations: readonly Operation[]): Violation[] {
  const violations: Violation[] = [];
  const report = (rule: string, message: string) =>
    violations.push({ rule, message: `${object}: ${message}` });
  const longest = longestList(operations);
  const positions = new Map<number, number>();
  for (const [index, value] of longest.entries()) {
    if (positions.has(value)) report('duplicate', `the list holds ${value} twice`);
    else positions.set(value, index + 1);
  }
  const appends = new Map<number, Operation>();
  for (const operation of operations) {
    const { kind, value } = operation.command;
    if (kind !== 'read') appends.set(value, operation);
  }
  for (const value of positions.keys()) {
    const append = appends.get(value);
    if (append === undefined) report('phantom', `nobody appended ${value}`);
    else if (append.outcome === 'fail') report('failed', `${value} failed and is in the list`);
    else if (append.reply?.isDone === false) report('refused', `${value} was refused and is in it`);
  }
  const ranked: Ranked[] = [];
  for (const operation of operations) {
    const problem = problemOf(operation, longest);
    if (problem !== undefined) report('answer', `${describe(operation)} ${problem}`);
    const rank = rankOf(operation, positions);
    if (rank !== undefined) ranked.push({ operation, rank });
  }
  for (const [earlier, later] of outOfOrder(ranked)) {
    report('order', `${describe(later)} came after ${describe(earlier)} and does not show it`);
  }
  return violations;
}

function longestList(operations: readonly Operation[]): readonly number[] {
  let longest: readonly number[] = [];
  for (const { reply } of operations) {
    if (reply !== undefined && reply.list.length > longest.length) longest = reply.list;
  }
  return longest;
}

/** What is wrong with an answer by itself, or against the order of all. */
function problemOf(operation: Operation, longest: readonly number[]): string | undefined {
  const { command, reply } = operation;
  if (reply === undefined) return undefined;
  const { list, isDone } = reply;
  const at = list.findIndex((value, index) => value !== longest[index]);
  if (at !== -1) return `saw ${list[at]} at ${at}, others ${longest[at]}`;
  if (command.kind === 'read') return isDone ? 'appended' : undefined;
  if (isDone && list.at(-1) !== command.value) return 'is not the end of its own list';
  if (command.kind === 'append') return isDone ? undefined : 'was refused';
  const before = (isDone ? list.at(-2) : list.at(-1)) ?? 0;
  return (before === command.after) === isDone ? undefined : `decided wrongly after ${before}`;
}

/** Undefined for what need not have happened. */
function rankOf(operation: Operation, positions: ReadonlyMap<number, number>): number | undefined {
  const { command, reply, outcome } = operation;
  if (outcome === 'fail') return undefined;
  if (command.kind === 'read' || reply?.isDone === false) {
    return reply === undefined ? undefined : 2 * reply.list.length + 1;
  }
  const position = positions.get(command.value);
  return position === undefined ? undefined : 2 * position;
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
