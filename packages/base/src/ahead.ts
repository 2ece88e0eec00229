/**
 * An object that its new owner could not recover in time, since its state was still on its way: the store
 * that sends it has all there is, and its node could own the object at once.
 */
import { HomingError, isHomingError } from './errors.ts';

export function stateIsAt(store: string): HomingError {
  return new HomingError('unavailable', 'the object’s state is still being copied: try again', {
    details: { ahead: store },
  });
}

/** The store that has the state, if the error says so. */
export function storeAhead(error: unknown): string | undefined {
  if (!isHomingError(error) || error.code !== 'unavailable') return undefined;
  return error.details['ahead'];
}
