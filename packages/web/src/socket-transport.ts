/**
 * What sockets need of the executor: ends that left this thread's memory are addressed by id and
 * side, and their messages go by here. One per thread.
 */
import { assert, type IoContext, type SocketEvent, type SocketSide } from '@homing/base';

export interface SocketTransport {
  newSocketId(): string;
  /**
   * The object's end of `socket` lives in this thread's memory, on behalf of `context`: it was
   * accepted with `accept()` (or still waits to be), and the other end left.
   */
  exported(socket: string, context: IoContext): void;
  /** Takes the client's end of `socket`: imported and accepted here, on behalf of `context`. */
  attach(socket: string, context: IoContext): void;
  send(socket: string, side: SocketSide, data: string | Uint8Array): void;
  close(
    socket: string,
    side: SocketSide,
    code: number | undefined,
    reason: string | undefined,
  ): void;
  /** Keeps the attachment of a hibernatable end; undefined removes it. */
  attachment(socket: string, attachment: Uint8Array | undefined): void;
  /** Events for an end in memory arrive at `listener`, in order, until `stop()`. */
  listen(
    socket: string,
    side: SocketSide,
    listener: (event: SocketEvent) => void,
  ): { stop(): void };
  /**
   * An outgoing handshake. Resolves with the socket whose client end this code holds, rejects where
   * the server does not answer with a WebSocket.
   */
  connect(
    request: { readonly url: string; readonly headers: readonly string[] },
    context: IoContext,
  ): Promise<{ readonly socket: string; readonly protocol: string }>;
}

let installed: SocketTransport | undefined;

/** Once per thread, before user code runs. */
export function installSocketTransport(transport: SocketTransport): void {
  installed = transport;
}

export function socketTransport(): SocketTransport {
  assert(installed !== undefined, 'no socket transport is installed');
  return installed;
}
