/**
 * What clients did to objects and what they were told: the input of the checkers.
 *
 * Invariants: an operation is recorded once, when its client has stopped waiting for it; times are of
 * one monotonic clock, in nanoseconds since the history began. A client has one operation at a time,
 * but that is not relied upon. Written by the workload, read by the checkers and the report.
 */

/** What clients write. Unique in a history; null is a register that nobody has written to. */
export type Value = number;

/**
 * `ok`: answered. `fail`: surely not executed, now or later. `info`: nobody knows; it may take
 * effect at any time after it was sent, or never.
 */
export type Outcome = 'ok' | 'fail' | 'info';

interface Common {
  readonly id: number;
  readonly client: number;
  readonly object: string;
  /** The node that was asked. */
  readonly node: string;
  readonly invokedNs: number;
  /** When the client stopped waiting. Says nothing about when an `info` took effect. */
  readonly returnedNs: number;
  readonly outcome: Outcome;
  /** Why it is not `ok`, in few words, for counting. */
  readonly error?: string | undefined;
  /** What is wrong with the answer by itself, such as half of an atomic write. */
  readonly anomaly?: string | undefined;
}

export interface Append extends Common {
  readonly kind: 'append';
  readonly input: Value;
  /** The whole list, the new value last. Present where `ok`. */
  readonly output?: readonly Value[] | undefined;
}

export interface ListRead extends Common {
  readonly kind: 'list';
  readonly output?: readonly Value[] | undefined;
}

export interface Read extends Common {
  readonly kind: 'read';
  readonly output?: Value | null | undefined;
}

export interface Write extends Common {
  readonly kind: 'write';
  readonly input: Value;
}

export interface CompareAndSet extends Common {
  readonly kind: 'cas';
  readonly expected: Value | null;
  readonly input: Value;
  /** Whether it was set. */
  readonly output?: boolean | undefined;
}

export type ListOperation = Append | ListRead;
export type RegisterOperation = Read | Write | CompareAndSet;
export type Operation = ListOperation | RegisterOperation;

/** An operation as a client finishes it, without the number that the history gives. */
export type Finished = Operation extends infer T
  ? T extends Operation
    ? Omit<T, 'id'>
    : never
  : never;

/** A promise that was not kept, with the operations that show it. */
export interface Violation {
  readonly object: string;
  /** One word or two for counting. */
  readonly rule: string;
  readonly message: string;
  readonly operations: readonly Operation[];
}

export class History {
  readonly #startNs = process.hrtime.bigint();
  readonly #operations: Operation[] = [];

  /** Nanoseconds since the history began. */
  now(): number {
    return Number(process.hrtime.bigint() - this.#startNs);
  }

  record(finished: Finished): Operation {
    const operation = { ...finished, id: this.#operations.length } as Operation;
    this.#operations.push(operation);
    return operation;
  }

  /** In the order in which they ended. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }
}

export function isListOperation(operation: Operation): operation is ListOperation {
  return operation.kind === 'append' || operation.kind === 'list';
}

/** `#12 client 3 via n1: append 7 → [1, 2, 7] (1.204 s to 1.210 s)`. */
export function describeOperation(operation: Operation): string {
  const { id, client, node, invokedNs, returnedNs } = operation;
  const times = `${seconds(invokedNs)} to ${seconds(returnedNs)}`;
  return `#${id} client ${client} via ${node}: ${requested(operation)} → ${answered(operation)} (${times})`;
}

function requested(operation: Operation): string {
  switch (operation.kind) {
    case 'append':
    case 'write':
      return `${operation.kind} ${operation.input}`;
    case 'cas':
      return `cas ${operation.expected} to ${operation.input}`;
    default:
      return operation.kind;
  }
}

function answered(operation: Operation): string {
  if (operation.outcome !== 'ok') return `${operation.outcome} (${operation.error ?? 'no answer'})`;
  switch (operation.kind) {
    case 'append':
    case 'list':
      return listText(operation.output ?? []);
    case 'write':
      return 'done';
    case 'cas':
      return operation.output === true ? 'set' : 'not set';
    default:
      return String(operation.output);
  }
}

/** The ends of a long list are what matters of it. */
function listText(values: readonly Value[]): string {
  if (values.length <= 8) return `[${values.join(', ')}]`;
  return `[${values.length} values: ${values[0]}, …, ${values.slice(-5).join(', ')}]`;
}

function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(6)} s`;
}
