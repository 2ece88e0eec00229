/**
 * Assertions that stay on in production.
 *
 * A failed assertion is a defect in homing, never bad input: the state it guards is no longer
 * known to be true, so the process must end rather than act on it (the server's handler for
 * `AssertionFailed` exits). Bad input is a `HomingError`; a caller's programming mistake is a
 * `TypeError`.
 */

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/** Throws `AssertionFailed` unless `condition` holds. The message says what was expected. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** For the end of an exhaustive switch: reached only if a new case was forgotten. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unexpected case: ${JSON.stringify(value)}`);
}
