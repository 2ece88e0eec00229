/** References to what the other end of a session exports. */
import type { Hook, Path, PendingCall } from './callee.ts';

/** The session that a reference belongs to. */
export interface RemoteOwner {
  /** Calls the other end's export. */
  sendTo(exported: number, path: Path, args: readonly unknown[] | undefined): PendingCall;
  /** The last reference to the export is given up. */
  release(exported: number): void;
}

/** A reference to something that the other end exports. */
export class RemoteHook implements Hook {
  readonly #session: RemoteOwner;
  readonly #number: number;
  readonly #shared: { references: number };
  #disposed = false;

  constructor(session: RemoteOwner, number: number, shared = { references: 0 }) {
    this.#session = session;
    this.#number = number;
    this.#shared = shared;
    shared.references++;
  }

  /** The number, where the reference belongs to `session`. */
  numberIn(session: RemoteOwner): number | undefined {
    return this.#session === session ? this.#number : undefined;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    return this.#session.sendTo(this.#number, path, args);
  }

  invoke(path: Path, args: readonly unknown[] | undefined): unknown {
    return this.send(path, args).promise();
  }

  dup(): Hook {
    if (this.#disposed) throw new Error('RPC stub used after being disposed.');
    return new RemoteHook(this.#session, this.#number, this.#shared);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#shared.references === 0) this.#session.release(this.#number);
  }
}
