/**
 * Errors of homing's own as user code sees them: plain errors with the platform's marks. Code and
 * `executed` are for callers over gRPC; workers have `retryable` and `overloaded`.
 */
import { isHomingError } from '@homing/base';

export function platformError(error: unknown): unknown {
  if (!isHomingError(error)) return error;
  const presented = new Error(error.message);
  const { durableObjectReset } = error as { readonly durableObjectReset?: unknown };
  if (durableObjectReset === true) Object.assign(presented, { durableObjectReset });
  if (error.retryable) Object.assign(presented, { retryable: true });
  if (error.overloaded) Object.assign(presented, { overloaded: true });
  return presented;
}
