/**
 * How long callers waited: for each request, sent at some instant, the time until one sent then or
 * later, to the same kind of object, was answered. That is what a caller sees that tries again until
 * it succeeds, so it needs no notion of "down"; with few clients it is an upper bound, since one that
 * waits elsewhere does not ask here.
 */
import type { Operation } from './history.ts';

export interface Waits {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Longest wait of the place that fared best: what everybody waited. */
  readonly allMs: number;
}

/** Of the requests sent from `fromNs` until `toNs`. */
export function waitsBetween(
  operations: readonly Operation[],
  fromNs: number,
  toNs: number,
): Waits {
  const all: number[] = [];
  let shortestOfLongest = Number.POSITIVE_INFINITY;
  for (const slot of bySlot(operations).values()) {
    const waits = waitsOf(slot, fromNs, toNs);
    if (waits.length === 0) continue;
    shortestOfLongest = Math.min(
      shortestOfLongest,
      waits.reduce((a, b) => Math.max(a, b)),
    );
    all.push(...waits);
  }
  const quantile = quantiles(all);
  return {
    requests: all.length,
    p50Ms: quantile(0.5) / 1e6,
    p99Ms: quantile(0.99) / 1e6,
    maxMs: quantile(1) / 1e6,
    allMs: all.length === 0 ? 0 : shortestOfLongest / 1e6,
  };
}

/** Objects take each other's place; what is before the last `-` names the place. */
function bySlot(operations: readonly Operation[]): Map<string, Operation[]> {
  const slots = new Map<string, Operation[]>();
  for (const operation of operations) {
    const slot = operation.object.replace(/-\d+$/, '');
    const own = slots.get(slot);
    if (own === undefined) slots.set(slot, [operation]);
    else own.push(operation);
  }
  return slots;
}

function waitsOf(slot: readonly Operation[], fromNs: number, toNs: number): number[] {
  const waits: number[] = [];
  let answeredNs = Number.POSITIVE_INFINITY;
  for (const operation of slot.toSorted((a, b) => b.invokedNs - a.invokedNs)) {
    const { invokedNs, outcome, returnedNs } = operation;
    if (outcome === 'ok') answeredNs = Math.min(answeredNs, returnedNs);
    const isInside = invokedNs >= fromNs && invokedNs < toNs;
    if (isInside && Number.isFinite(answeredNs)) waits.push(answeredNs - invokedNs);
  }
  return waits;
}

/** Nearest-rank quantiles of values; 0 where there are none. */
export function quantiles(values: readonly number[]): (q: number) => number {
  const sorted = values.toSorted((a, b) => a - b);
  return (q) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
