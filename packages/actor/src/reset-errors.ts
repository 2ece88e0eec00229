/** Errors that end an activation, or refuse an event, as callers see them. */
import { HomingError } from '@homing/base';

/** `error` itself where it can carry the mark, so that its class and message reach the caller. */
export function resetError(error: unknown): Error {
  const known = error instanceof Error ? error : new Error(String(error));
  return Object.assign(known, { durableObjectReset: true });
}

export function abortError(reason: unknown): Error {
  return resetError(
    new Error(
      reason === undefined ? 'Application called abort() to reset Durable Object.' : String(reason),
    ),
  );
}

export function sectionTimeoutError(): Error {
  return resetError(
    new Error(
      'A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.',
    ),
  );
}

export function overloadedError(): Error {
  return new HomingError('overloaded', 'Durable Object is overloaded. Too many requests queued.');
}
