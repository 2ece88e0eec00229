/**
 * Transactions as this package writes them, to and from the library's form of etcd's protocol. Nested
 * ones are decided each for itself, on the state before any of them, and applied at one revision.
 */
import { assert } from '@homing/base';
import type {
  ICompare,
  IKeyValue,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';

export interface KeyValue {
  readonly key: string;
  readonly value: Buffer;
  readonly modRevision: bigint;
  /** Decimal; `noLease` for a key that none holds. */
  readonly lease: string;
}

export type Condition =
  /** The key was last written at this revision; 0n: there is no such key. */
  | { readonly key: string; readonly modRevision: bigint }
  /** The key is there, held by this lease. */
  | { readonly key: string; readonly lease: string }
  /** The key is not there, or held by another lease or none. */
  | { readonly key: string; readonly notLease: string }
  /** There is no key with this prefix. */
  | { readonly noneUnder: string };

export type Operation =
  | { readonly put: string; readonly value: Buffer; readonly lease?: string | undefined }
  | { readonly delete: string }
  /** All keys with this prefix. */
  | { readonly deleteUnder: string }
  | { readonly get: string }
  /** All keys with this prefix. */
  | { readonly list: string }
  | { readonly nested: Transaction };

export interface Transaction {
  /** All of them. */
  readonly when?: readonly Condition[];
  readonly apply?: readonly Operation[];
  /** In place of `apply`, where a condition does not hold. */
  readonly otherwise?: readonly Operation[];
}

/** What each operation of the branch taken gave, in order. */
export interface Outcome {
  readonly succeeded: boolean;
  readonly results: readonly Result[];
}

export interface Result {
  /** Of `get` and `list`. */
  readonly found: readonly KeyValue[];
  /** Of `nested`. */
  readonly nested: Outcome | undefined;
}

export interface Answer extends Outcome {
  readonly clusterId: string;
  /** etcd's revision after the transaction; everything it put has this as its mod revision. */
  readonly revision: bigint;
}

/** The only key that a `get` at this place found. */
export function foundAt(outcome: Outcome, place: number): KeyValue | undefined {
  return outcome.results[place]?.found[0];
}

export function writeTransaction(transaction: Transaction): ITxnRequest {
  return {
    compare: (transaction.when ?? []).map(writeCondition),
    success: (transaction.apply ?? []).map(writeOperation),
    failure: (transaction.otherwise ?? []).map(writeOperation),
  };
}

export function readAnswer(response: ITxnResponse): Answer {
  const { cluster_id, revision } = response.header;
  return { clusterId: cluster_id, revision: BigInt(revision), ...readOutcome(response) };
}

export function readKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value,
    modRevision: BigInt(kv.mod_revision),
    lease: kv.lease,
  };
}

/** The keys that begin with `prefix`, as etcd wants them: from it to the first key past them. */
export function prefixRange(prefix: string): { key: Buffer; range_end: Buffer } {
  const key = Buffer.from(prefix);
  const end = Buffer.from(key);
  const last = end.length - 1;
  // Prefixes end in an ASCII character, so there is no carry.
  assert((end[last] ?? 0xff) < 0x7f, 'etcd: a prefix must end in an ASCII character');
  end[last] = (end[last] ?? 0) + 1;
  return { key, range_end: end };
}

function writeCondition(condition: Condition): ICompare {
  if ('noneUnder' in condition) {
    // It is to hold for all keys of the range; where there is none, for one that was never written.
    const range = prefixRange(condition.noneUnder);
    return { ...range, target: 'Mod', result: 'Equal', mod_revision: '0' };
  }
  const key = Buffer.from(condition.key);
  if ('modRevision' in condition) {
    return { key, target: 'Mod', result: 'Equal', mod_revision: String(condition.modRevision) };
  }
  if ('lease' in condition) {
    return { key, target: 'Lease', result: 'Equal', lease: condition.lease };
  }
  return { key, target: 'Lease', result: 'NotEqual', lease: condition.notLease };
}

function writeOperation(operation: Operation): IRequestOp {
  if ('put' in operation) {
    const { put, value, lease } = operation;
    const leased = lease === undefined ? {} : { lease };
    return { request_put: { key: Buffer.from(put), value, ...leased } };
  }
  if ('delete' in operation) {
    return { request_delete_range: { key: Buffer.from(operation.delete) } };
  }
  if ('deleteUnder' in operation) {
    return { request_delete_range: prefixRange(operation.deleteUnder) };
  }
  if ('get' in operation) return { request_range: { key: Buffer.from(operation.get) } };
  if ('list' in operation) return { request_range: prefixRange(operation.list) };
  return { request_txn: writeTransaction(operation.nested) };
}

function readOutcome(response: ITxnResponse): Outcome {
  return { succeeded: response.succeeded, results: response.responses.map(readResult) };
}

/** Of the members of the library's type, only the one that was answered is there. */
function readResult(response: Partial<IResponseOp>): Result {
  const { response_range, response_txn } = response;
  return {
    found: response_range?.kvs.map(readKeyValue) ?? [],
    nested: response_txn ? readOutcome(response_txn) : undefined,
  };
}
