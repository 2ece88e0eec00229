/** What a client sees of an error. An exception of the worker is its own affair: 500, no details. */
import { type ErrorCode, isHomingError } from '@homing/base';

const statuses = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  not_owner: 503,
  unavailable: 503,
  overloaded: 429,
  fenced: 503,
  outcome_unknown: 502,
  deadline_exceeded: 504,
  cancelled: 499,
  corruption: 500,
  internal: 500,
  actor_threw: 500,
} as const satisfies Record<ErrorCode, number>;

export interface ErrorAnswer {
  readonly status: number;
  readonly text: string;
  /** Seconds, where trying again soon may help. */
  readonly retryAfter: number | undefined;
}

export function errorAnswer(error: unknown): ErrorAnswer {
  if (!isHomingError(error)) {
    return { status: 500, text: 'Internal Server Error', retryAfter: undefined };
  }
  return {
    status: statuses[error.code],
    text: error.code === 'actor_threw' ? 'Internal Server Error' : error.message,
    retryAfter: error.code === 'unavailable' || error.code === 'not_owner' ? 1 : undefined,
  };
}
