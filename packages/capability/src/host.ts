/**
 * What a session needs of the place it runs in: an executor's object or entrypoint, or the node's
 * own thread (gateway, gRPC). Implemented by `executor` and by the callers on the node's thread.
 */
import type { EntryKind, Scope } from '@homing/base';

/**
 * Host values travel by reference or by structure, not by structured clone: requests, responses,
 * sockets, stubs of objects and services. `kind` picks the codec at the other end; `parts` are
 * values the session serializes in turn, so a body stream inside a response is carried as well.
 */
export interface HostValue {
  readonly kind: string;
  readonly parts: readonly unknown[];
}

export interface SessionHost {
  /** Hands one frame to the other end; frames arrive in order or the session is closed. */
  send(frame: Uint8Array): void;
  /** The scope to give back to `enter` with the answer. */
  scope(): Scope;
  /** As `IoContext.enter`. */
  enter(kind: EntryKind, scope: Scope, run: () => unknown, refuse: (error: unknown) => void): void;
  /** Takes a value apart that this host knows (`Request`, an object's stub …), else undefined. */
  disassemble(value: object): HostValue | undefined;
  /** Puts one together again. Throws for a kind it does not know. */
  assemble(value: HostValue): unknown;
  /**
   * Runs a call that carries a request id at most once: answers with the kept result of an earlier
   * run, or runs `run` and keeps what it returns (the encoded result) in the same log record as
   * the run's last writes. Absent where calls are not deduplicated.
   */
  once?(
    call: { readonly requestId: string; readonly elapsedMs: number },
    run: () => Promise<Uint8Array>,
  ): Promise<{ readonly result: Uint8Array; readonly replayed: boolean }>;
}
