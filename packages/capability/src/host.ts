/**
 * What a session needs of the place it runs in: an executor's object or entrypoint, or the node's
 * own thread (gateway, gRPC). Implemented by `executor` and by the callers on the node's thread.
 */
import type { EntryKind, Scope } from '@homing/base';

/**
 * Host values travel by reference or by structure, not by structured clone: requests, responses,
 * sockets, stubs of objects and services. `kind` picks the codec at the other end; `parts` are
 * values the session serializes in turn, so a body stream inside a response is carried as well.
 * Kinds that begin with `#` are the session's own. Parts that are primitives, strings, Uint8Arrays
 * and arrays of these cost least.
 */
export interface HostValue {
  readonly kind: string;
  readonly parts: readonly unknown[];
}

/** How values that this package does not know are taken apart and put together. */
export interface HostValueCodec {
  /** Takes a value apart that this host knows (`Request`, an object's stub …), else undefined. */
  disassemble(value: object): HostValue | undefined;
  /** Puts one together again. Throws for a kind it does not know: the call is rejected with that. */
  assemble(value: HostValue): unknown;
}

export interface SessionHost extends HostValueCodec {
  /** Hands one frame to the other end; frames arrive in order or the session is closed. */
  send(frame: Uint8Array): void;
  /** The scope to give back to `enter` with the answer. */
  scope(): Scope;
  /** As `IoContext.enter`. */
  enter(kind: EntryKind, scope: Scope, run: () => unknown, refuse: (error: unknown) => void): void;
  /**
   * Runs a call that carries a request id at most once: answers with the kept result of an earlier
   * run, or runs `run` and keeps what it returns (the encoded result, or the encoded exception that
   * the method threw) in the same log record as the run's last writes. `run` rejects only where
   * the call did not end by itself: nothing is to be kept then. Absent where calls are not
   * deduplicated: calls with a request id are refused.
   */
  once?(
    call: { readonly requestId: string; readonly elapsedMs: number },
    run: () => Promise<Uint8Array>,
  ): Promise<{ readonly result: Uint8Array; readonly replayed: boolean }>;
  /**
   * True for an error that this context itself made (its own reset, its broken storage) and that
   * user code only passed on: the caller sees it as it is, not marked `remote`.
   */
  isOwnError?(error: unknown): boolean;
  /** Makes an error that no user code threw into what this end's code is to see of it. */
  present?(error: unknown): unknown;
  /**
   * The session closed itself, because what came from the other end is not this protocol. The host
   * ends the connection; nothing more is sent or expected.
   */
  broken?(error: Error): void;
  /** Nothing is outstanding any more, either way: no call, reference or stream. */
  idle?(): void;
}
