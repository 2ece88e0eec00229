/**
 * The one error class that crosses package and process boundaries, classified by what the caller
 * may do next. Messages are free to change; `code` and `executed` are the contract.
 *
 * Only `executed: 'no'` may be retried without asking the caller, and `overloaded` never is: more
 * load does not help an object that has too much of it. The mappings to gRPC and HTTP are tables
 * in the packages that speak those protocols.
 */

/** What the caller can know about its request: it never ran, it may have run, it did run. */
export type Executed = 'no' | 'maybe' | 'yes';

export const errorCodes = {
  invalid_argument: 'no',
  unauthenticated: 'no',
  permission_denied: 'no',
  not_found: 'no',
  not_owner: 'no',
  unavailable: 'no',
  overloaded: 'no',
  fenced: 'maybe',
  outcome_unknown: 'maybe',
  deadline_exceeded: 'maybe',
  cancelled: 'maybe',
  corruption: 'maybe',
  internal: 'maybe',
  actor_threw: 'yes',
} as const satisfies Record<string, Executed>;

export type ErrorCode = keyof typeof errorCodes;

const brand = Symbol.for('homing.HomingError');

export interface HomingErrorOptions {
  /** Overrides the code's usual answer, where the thrower knows better. */
  readonly executed?: Executed;
  /** Machine-readable facts, such as the owner that a `not_owner` names. */
  readonly details?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export class HomingError extends Error {
  override readonly name = 'HomingError';
  readonly code: ErrorCode;
  readonly executed: Executed;
  readonly details: Readonly<Record<string, string>>;
  readonly [brand] = true;

  constructor(code: ErrorCode, message: string, options: HomingErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.executed = options.executed ?? errorCodes[code];
    this.details = options.details ?? {};
  }

  /** True where the same request may be sent again and could succeed, if it is idempotent. */
  get retryable(): boolean {
    return (
      this.code === 'not_owner' ||
      this.code === 'unavailable' ||
      this.code === 'fenced' ||
      this.code === 'outcome_unknown'
    );
  }

  get overloaded(): boolean {
    return this.code === 'overloaded';
  }
}

/** What is to be said of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Too much was asked for at once: it may be asked again after a while, and nothing was done. */
export function isOverloaded(error: unknown): boolean {
  return isHomingError(error) && error.overloaded;
}

/** `instanceof` that also holds across duplicate copies of this module and across threads' realms. */
export function isHomingError(value: unknown): value is HomingError {
  return typeof value === 'object' && value !== null && brand in value;
}
