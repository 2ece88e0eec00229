/**
 * What a runner is: something that serves a worker project over HTTP, here a real workerd, a homing
 * node, or a cluster of them. Scenarios know runners only through this interface, so that one scenario tells two
 * runtimes apart by what they answer and by nothing else.
 */

/** A served worker project. */
export interface Served {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** What the process wrote to its standard streams since it started, for messages of failure. */
  readonly log: () => string;
  /** Ends the process and removes its storage. Resolves when both are gone. Idempotent. */
  readonly stop: () => Promise<void>;
}

/** A runtime that can serve a project. */
export interface Runner {
  readonly name: string;
  /**
   * Serves the project in `projectDir` with empty storage. Resolves once it answers requests;
   * rejects with what the process wrote when it ends or stays silent.
   */
  readonly start: (projectDir: string) => Promise<Served>;
}

/** How long a process may take until it serves. Long: two cores may be shared with a test run. */
export const START_TIMEOUT_MS = 60_000;
