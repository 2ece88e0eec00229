/**
 * Nothing that was read from an object leaves this node on a stale lease: output of an activation
 * passes at once while a majority of replicas promises to let nobody else in, else it waits, in
 * order, for a round to a majority begun after it. Writes need no guard: their commit is one.
 *
 * Called by the object table, one guard for each entry.
 */
import type { HomingError, OwnedLog } from '@homing/base';

interface Held {
  readonly pass: () => void;
  readonly refuse: (error: HomingError) => void;
}

export class ReadGuard {
  readonly #log: OwnedLog;
  #held: Held[] = [];
  #isConfirming = false;
  #emptied: (() => void)[] = [];

  constructor(log: OwnedLog) {
    this.#log = log;
  }

  /** Calls `pass` when the output may leave, now where it may, or `refuse` when it never will. */
  output(pass: () => void, refuse: (error: HomingError) => void): void {
    if (this.#held.length === 0 && !this.#isConfirming && this.#log.isCovered()) {
      pass();
      return;
    }
    this.#held.push({ pass, refuse });
    if (!this.#isConfirming) this.#confirm();
  }

  /** No output waits. */
  get isEmpty(): boolean {
    return this.#held.length === 0 && !this.#isConfirming;
  }

  /** Resolves when no output waits: it has left, or was refused. */
  empty(): Promise<void> {
    if (this.isEmpty) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.push(resolve));
  }

  #confirm(): void {
    const asked = this.#held;
    this.#held = [];
    this.#isConfirming = true;
    this.#log.confirm().then(
      () => this.#confirmed(asked, ({ pass }) => pass()),
      (error: HomingError) => this.#confirmed(asked, ({ refuse }) => refuse(error)),
    );
  }

  #confirmed(asked: readonly Held[], end: (held: Held) => void): void {
    for (const held of asked) end(held);
    this.#isConfirming = false;
    if (this.#held.length > 0) this.#confirm();
    else for (const emptied of this.#emptied.splice(0)) emptied();
  }
}
