/**
 * Damage that is known to be of one object: what this store holds of it cannot be read, or is not what
 * the others hold. Such a replica is quarantined and made anew. An error that says `corruption` and
 * names no object is of the whole store, and ends the process.
 */
import { HomingError, isHomingError } from './errors.ts';
import type { ObjectIdHex } from './object-id.ts';

export function damagedObject(id: ObjectIdHex, what: string, cause?: unknown): HomingError {
  return new HomingError('corruption', `this replica of the object is damaged: ${what}`, {
    details: { object: id },
    cause,
  });
}

/** Which object is damaged, if the error says so. */
export function damagedObjectOf(error: unknown): ObjectIdHex | undefined {
  if (!isHomingError(error) || error.code !== 'corruption') return undefined;
  return error.details['object'] as ObjectIdHex | undefined;
}
