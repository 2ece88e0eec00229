/**
 * Floors: for each bucket of ids the greatest epoch under which an object of it was forgotten, which
 * is all that a store keeps of forgotten objects. Buckets are finer than, or across, shards: they
 * depend on the id alone, so that a store needs to know nothing of shards, whose number is the
 * cluster's affair.
 *
 * Used by both adapters.
 */
import type { Epoch, ObjectIdHex } from '@homing/base';

export const bucketCount = 256;

export const noFloors: readonly Epoch[] = new Array<Epoch>(bucketCount).fill(0n as Epoch);

/** By the last byte of the id: the end of an id is a keyed hash, whatever the id was made of. */
export function bucketOf(id: ObjectIdHex): number {
  return Number.parseInt(id.slice(-2), 16);
}

export function checkFloors(floors: readonly Epoch[]): void {
  if (floors.length === bucketCount) return;
  throw new TypeError(`${floors.length} floors, and there are ${bucketCount} buckets`);
}
