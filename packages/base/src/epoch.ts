/**
 * Epochs and log positions.
 *
 * An epoch is the fencing token of one activation: it is unique per object and only grows. The
 * coordinator's grant gives the high 48 bits (a revision), the owner numbers its recoveries under
 * one grant in the low 16 (the attempt). LSNs count an object's log records 1, 2, 3 …; a record is
 * named by (epoch, LSN), and "newer" means greater epoch, then greater LSN.
 */
import { assert } from './assert.ts';

export type Epoch = bigint & { readonly __brand: 'epoch' };

const attemptBits = 16n;
const attemptMax = (1n << attemptBits) - 1n;

/** Packs a coordinator revision and a recovery attempt. Throws when either does not fit. */
export function makeEpoch(revision: bigint, attempt: number): Epoch {
  assert(revision >= 0n && revision < 1n << 48n, 'epoch: revision does not fit in 48 bits');
  assert(BigInt(attempt) <= attemptMax, 'epoch: attempt does not fit in 16 bits');
  return ((revision << attemptBits) | BigInt(attempt)) as Epoch;
}

/** The revision that an epoch was made from: the same for all attempts of a grant. */
export function epochRevision(epoch: Epoch): bigint {
  return epoch >> attemptBits;
}

/** The least epoch that is greater: what an object is forgotten below once this one has ended. */
export function epochAfter(epoch: Epoch): Epoch {
  return (epoch + 1n) as Epoch;
}

/** The name of one log record. */
export interface RecordName {
  readonly epoch: Epoch;
  /** 0 names the empty log. */
  readonly lsn: number;
}

export const noRecord: RecordName = { epoch: 0n as Epoch, lsn: 0 };

/** Negative, zero or positive as `a` is older than, the same as, or newer than `b`. */
export function compareRecordNames(a: RecordName, b: RecordName): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.lsn - b.lsn;
}
