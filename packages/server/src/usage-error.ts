/** Wrong flags or arguments: exit status 2, without a stack trace. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something the user must mend before the command can go on: exit status 1, one line. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
