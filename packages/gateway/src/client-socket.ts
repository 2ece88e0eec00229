/**
 * A client's WebSocket joined to the socket that the worker's 101 response named.
 *
 * Invariants: the object hears `closed` exactly once and last; what its client has not taken is
 * bounded, and a client past the bound is closed rather than waited for.
 */
import type { Dispatcher, SocketPort, SocketSink } from '@homing/base';
import type { WebSocket } from 'ws';

export interface ClientSocketOptions {
  readonly sendBufferBytesMax: number;
}

/** Joins them. Throws `not_found` when the worker's end is gone already. */
export function joinSocket(
  dispatcher: Dispatcher,
  socket: string,
  client: WebSocket,
  options: ClientSocketOptions,
): void {
  const port: SocketPort = dispatcher.attach(socket, clientSink(client, options));
  client.on('message', (data: Buffer, isBinary: boolean) => {
    port.message(isBinary ? new Uint8Array(data) : data.toString('utf8'));
  });
  // Too large, malformed or torn: `close` follows and tells.
  client.on('error', () => {});
  client.once('close', (code: number, reason: Buffer) => {
    port.closed(code, reason.toString('utf8'), code !== 1006);
  });
}

function clientSink(client: WebSocket, options: ClientSocketOptions): SocketSink {
  return {
    send(data) {
      if (client.readyState !== client.OPEN) return;
      client.send(data);
      if (client.bufferedAmount > options.sendBufferBytesMax) {
        client.close(1013, 'the client reads too slowly');
        client.terminate();
      }
    },
    close: (code, reason) => closeSocket(client, code, reason),
  };
}

/** Codes that stand for the lack of one cannot be sent. */
export function closeSocket(
  client: WebSocket,
  code: number | undefined,
  reason: string | undefined,
): void {
  if (code === 1006 || code === 1015) client.terminate();
  else if (code === undefined || code === 1005) client.close();
  else client.close(code, reason);
}
