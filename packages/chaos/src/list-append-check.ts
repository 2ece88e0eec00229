/**
 * Decides whether the history of one list could have been made by a list that executes one
 * operation at a time, at some instant between its sending and its answer (linearizability).
 *
 * Exact and fast, because each answer shows the whole order so far: values are unique and an append
 * answers with the list it made. So all lists seen must be prefixes of the longest one; it gives
 * every operation that was seen to take effect its rank (append number n, then the reads of n
 * values), and a legal order exists exactly if no operation of a lower rank began after one of a
 * higher rank had ended. An unknown append that is in the list has a rank and no end; one that is
 * not may never have happened. Called by `check.ts` for each list.
 */
import type { Append, ListOperation, Value, Violation } from './history.ts';

interface Ranked {
  readonly operation: ListOperation;
  readonly rank: number;
}

type Report = (rule: string, message: string, ...operations: ListOperation[]) => void;

/** What is wrong with the history of one list; nothing if it is linearizable. */
export function checkListAppend(operations: readonly ListOperation[]): Violation[] {
  const violations: Violation[] = [];
  const report: Report = (rule, message, ...concerned) => {
    const object = operations[0]?.object ?? '';
    violations.push({ object, rule, message, operations: concerned });
  };
  const appends = appendsByValue(operations);
  const answered = operations.filter((operation) => operation.outcome === 'ok');
  for (const operation of answered) {
    if (operation.anomaly !== undefined) report('anomaly', operation.anomaly, operation);
    if (operation.kind === 'append' && listOf(operation).at(-1) !== operation.input) {
      report('wrong answer', 'an append answered with a list that it is not the end of', operation);
    }
  }
  const longest = answered.reduce<ListOperation | undefined>(
    (best, next) => (best && listOf(best).length >= listOf(next).length ? best : next),
    undefined,
  );
  if (longest === undefined) return violations;
  checkValues(longest, appends, report);
  const prefixes = checkForks(answered, longest, report);
  const lost = checkLost(answered, report);
  checkRealTime(rank(operations, longest, prefixes), lost, report);
  return violations;
}

function listOf(operation: ListOperation): readonly Value[] {
  return operation.output ?? [];
}

function appendsByValue(operations: readonly ListOperation[]): ReadonlyMap<Value, Append> {
  const appends = new Map<Value, Append>();
  for (const operation of operations) {
    if (operation.kind !== 'append') continue;
    if (appends.has(operation.input)) {
      throw new TypeError(`value ${operation.input} is appended twice: values must be unique`);
    }
    appends.set(operation.input, operation);
  }
  return appends;
}

/** Each value once, and only such as somebody sent and nobody was told had failed. */
function checkValues(
  longest: ListOperation,
  appends: ReadonlyMap<Value, Append>,
  report: Report,
): void {
  const seen = new Set<Value>();
  for (const value of listOf(longest)) {
    const append = appends.get(value);
    if (append === undefined) {
      report('phantom', `the list holds ${value}, which nobody appended`, longest);
    } else if (append.outcome === 'fail') {
      report('failed applied', `the append of ${value} failed and is in the list`, append, longest);
    }
    if (seen.has(value)) {
      const concerned = append === undefined ? [longest] : [append, longest];
      report('duplicate', `the list holds ${value} more than once`, ...concerned);
    }
    seen.add(value);
  }
}

/** Reports lists that are not prefixes of the longest one; returns the operations that saw one. */
function checkForks(
  answered: readonly ListOperation[],
  longest: ListOperation,
  report: Report,
): ReadonlySet<ListOperation> {
  const prefixes = new Set<ListOperation>();
  const whole = listOf(longest);
  for (const operation of answered) {
    const at = listOf(operation).findIndex((value, index) => value !== whole[index]);
    if (at === -1) {
      prefixes.add(operation);
      continue;
    }
    const values = `${listOf(operation)[at]} and ${whole[at]}`;
    report('fork', `two lists differ at position ${at}: ${values}`, operation, longest);
  }
  return prefixes;
}

/** Acknowledged appends that the last look at the list does not show. */
function checkLost(answered: readonly ListOperation[], report: Report): ReadonlySet<ListOperation> {
  const last = answered.reduce((best, next) => (next.invokedNs > best.invokedNs ? next : best));
  const left = new Set(listOf(last));
  const concerned = new Set<ListOperation>();
  for (const operation of answered) {
    if (operation.kind !== 'append' || left.has(operation.input)) continue;
    if (operation.returnedNs >= last.invokedNs) continue;
    report(
      'lost',
      `the append of ${operation.input} was acknowledged and is gone`,
      operation,
      last,
    );
    concerned.add(last);
  }
  return concerned;
}

function rank(
  operations: readonly ListOperation[],
  longest: ListOperation,
  prefixes: ReadonlySet<ListOperation>,
): Ranked[] {
  const lengths = new Map<Value, number>();
  for (const [index, value] of listOf(longest).entries()) {
    if (!lengths.has(value)) lengths.set(value, index + 1);
  }
  const ranked: Ranked[] = [];
  for (const operation of operations) {
    if (operation.kind === 'append') {
      const length = operation.outcome === 'fail' ? undefined : lengths.get(operation.input);
      if (length !== undefined) ranked.push({ operation, rank: 2 * length });
    } else if (prefixes.has(operation)) {
      ranked.push({ operation, rank: 2 * listOf(operation).length + 1 });
    }
  }
  return ranked.sort((a, b) => b.rank - a.rank);
}

/** From the highest rank down, with the earliest end of a higher rank in hand. */
function checkRealTime(
  descending: readonly Ranked[],
  reported: ReadonlySet<ListOperation>,
  report: Report,
): void {
  let earliest: ListOperation | undefined;
  let ofThisRank: ListOperation | undefined;
  let rankNow = Number.POSITIVE_INFINITY;
  for (const { operation, rank: own } of descending) {
    if (own < rankNow) {
      earliest = earlierEnd(earliest, ofThisRank);
      ofThisRank = undefined;
      rankNow = own;
    }
    if (operation.outcome === 'ok') ofThisRank = earlierEnd(ofThisRank, operation);
    if (earliest === undefined || earliest.returnedNs >= operation.invokedNs) continue;
    if (reported.has(operation)) continue;
    if (operation.kind === 'list') {
      const seen = listOf(operation).length;
      const message = `a read saw ${seen} values, and more had been answered before it began`;
      report('stale', message, operation, earliest);
    } else {
      const message = `the append of ${operation.input} took its place before what had been answered when it was sent`;
      report('reordered', message, operation, earliest);
    }
  }
}

function earlierEnd(
  a: ListOperation | undefined,
  b: ListOperation | undefined,
): ListOperation | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.returnedNs < a.returnedNs ? b : a;
}
