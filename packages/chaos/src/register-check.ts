/**
 * Decides whether the history of one register (read, write, compare-and-set) is linearizable, and
 * says which answer is the first that cannot be explained.
 *
 * The search is that of `register-search.ts`. A history that is linearizable stays so when it is cut
 * off at some instant (what was under way then is unknown), so the first bad answer is found by
 * halving. Called by `check.ts` for each register.
 */
import type { CompareAndSet, Read, RegisterOperation, Value, Violation, Write } from './history.ts';
import { searchOrder } from './register-search.ts';

export interface RegisterCheckOptions {
  /** States looked at before the search gives up. Default 2,000,000. */
  readonly statesMax?: number;
}

/** Operations named in a violation beside the one that cannot be explained. */
const neighboursMax = 12;

/**
 * What is wrong with the history of one register; nothing if it is linearizable. A search that gave
 * up is a violation of the rule `undecided`.
 */
export function checkRegister(
  operations: readonly RegisterOperation[],
  options: RegisterCheckOptions = {},
): Violation[] {
  const { statesMax = 2_000_000 } = options;
  const impossible = checkValues(operations);
  if (impossible.length > 0) return impossible;
  const object = operations[0]?.object ?? '';
  const verdict = searchOrder(operations, statesMax);
  if (verdict === 'linearizable') return [];
  if (verdict === 'undecided') {
    const message = `no order was found or ruled out within ${statesMax} states`;
    return [{ object, rule: 'undecided', message, operations: [] }];
  }
  const culprit = firstInexplicable(operations, statesMax);
  return [
    {
      object,
      rule: 'not linearizable',
      message: `no order explains the answer of #${culprit.id}; without it there is one`,
      operations: [culprit, ...neighbours(operations, culprit)],
    },
  ];
}

/** Values that were read and that nobody can have written. */
function checkValues(operations: readonly RegisterOperation[]): Violation[] {
  const writers = new Map<Value, Write | CompareAndSet>();
  for (const operation of operations) {
    if (operation.kind === 'read') continue;
    if (writers.has(operation.input)) {
      throw new TypeError(`value ${operation.input} is written twice: values must be unique`);
    }
    writers.set(operation.input, operation);
  }
  const violations: Violation[] = [];
  for (const operation of operations) {
    const seen = observedValue(operation);
    if (seen === undefined || seen === null) continue;
    const writer = writers.get(seen);
    const { object } = operation;
    if (writer === undefined) {
      const message = `the register held ${seen}, which nobody wrote`;
      violations.push({ object, rule: 'phantom', message, operations: [operation] });
    } else if (wasRefused(writer)) {
      const message = `the register held ${seen}, whose writer was told that it had not been written`;
      const concerned = [writer, operation];
      violations.push({ object, rule: 'failed applied', message, operations: concerned });
    }
  }
  return violations;
}

/** True where its client was told that it had written nothing. */
function wasRefused(writer: Write | CompareAndSet): boolean {
  if (writer.outcome !== 'ok') return writer.outcome === 'fail';
  return writer.kind === 'cas' && writer.output === false;
}

/** The value that an answer shows to have been there; undefined where it shows none. */
function observedValue(operation: RegisterOperation): Value | null | undefined {
  if (operation.outcome !== 'ok') return undefined;
  if (operation.kind === 'read') return operation.output;
  if (operation.kind === 'cas' && operation.output === true) return operation.expected;
  return undefined;
}

/** The operation whose answer makes the history not linearizable, in the order of answers. */
function firstInexplicable(
  operations: readonly RegisterOperation[],
  statesMax: number,
): RegisterOperation {
  const byEnd = operations
    .filter((operation) => operation.outcome === 'ok')
    .sort((a, b) => a.returnedNs - b.returnedNs);
  let good = -1;
  let bad = byEnd.length - 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const end = byEnd[middle] as RegisterOperation;
    const isBad = searchOrder(cutOff(operations, end.returnedNs), statesMax) === 'impossible';
    if (isBad) bad = middle;
    else good = middle;
  }
  return byEnd[bad] as RegisterOperation;
}

/** The history as it was known at an instant. */
function cutOff(operations: readonly RegisterOperation[], endNs: number): RegisterOperation[] {
  return operations
    .filter((operation) => operation.invokedNs <= endNs)
    .map((operation) =>
      operation.outcome === 'ok' && operation.returnedNs > endNs
        ? { ...operation, outcome: 'info' as const, output: undefined }
        : operation,
    );
}

/** What ran beside it, and who wrote the values it speaks of. */
function neighbours(
  operations: readonly RegisterOperation[],
  culprit: RegisterOperation,
): RegisterOperation[] {
  const values = [writtenBy(culprit), observedValue(culprit)];
  return operations
    .filter(
      (operation) =>
        operation !== culprit &&
        operation.outcome !== 'fail' &&
        operation.invokedNs <= culprit.returnedNs &&
        (operation.returnedNs >= culprit.invokedNs || values.includes(writtenBy(operation))),
    )
    .slice(-neighboursMax);
}

function writtenBy(operation: Read | Write | CompareAndSet): Value | undefined {
  return operation.kind === 'read' ? undefined : operation.input;
}
