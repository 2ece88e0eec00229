/**
 * How the edges (HTTP, gRPC, and executors calling objects that live elsewhere) reach user code.
 * Implemented by `node`; `gateway`, `rpc` and `executor` only use it.
 */
import type { ObjectRef } from './ports.ts';

export type Target =
  | { readonly kind: 'object'; readonly object: ObjectRef }
  /** A stateless entrypoint of the worker, by export name (`default`). */
  | { readonly kind: 'entrypoint'; readonly entrypoint: string };

export interface FrameSink {
  /** Frames from the other end, in order. */
  frame(frame: Uint8Array): void;
  /** No more frames either way; `error` tells what that means for calls still running. */
  closed(error: unknown): void;
}

export interface FramePort {
  /** In order. Frames sent after the session closed are dropped: `closed` has been called. */
  send(frame: Uint8Array): void;
  /** The caller needs nothing more: running calls are cancelled, references released. */
  close(): void;
}

/** The end of a WebSocket that a client is on. */
export interface SocketSink {
  send(data: string | Uint8Array): void;
  close(code: number | undefined, reason: string | undefined): void;
}

/** The other end, as the client's side sees it. */
export interface SocketPort {
  message(data: string | Uint8Array): void;
  /** The client closed or was lost (then 1006 and not clean). Exactly once, and last. */
  closed(code: number, reason: string, wasClean: boolean): void;
}

export interface Dispatcher {
  /**
   * Opens a session; nothing is sent until the first frame. An object that cannot be placed closes
   * the session with a `HomingError`.
   */
  open(target: Target, sink: FrameSink): FramePort;
  /**
   * Attaches a client to the socket that a 101 response named. Messages the object sent since are
   * delivered at once. Throws `not_found` for a socket that is gone or already attached.
   */
  attach(socket: string, sink: SocketSink): SocketPort;
}
