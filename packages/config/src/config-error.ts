/** The one error of this package: everything that is wrong with what a person wrote, at once. */

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each names the file, the key in it, and what is expected there. At least one. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
