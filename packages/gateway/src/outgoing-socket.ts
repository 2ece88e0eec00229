/** WebSockets that user code opens to other servers with `fetch` and `Upgrade: websocket`. */
import { HomingError } from '@homing/base';
import { WebSocket } from 'ws';
import { closeSocket } from './client-socket.ts';
import { type GatewayLimits, gatewayLimits } from './limits.ts';

export interface OutgoingSocketEvents {
  message(data: string | Uint8Array): void;
  /** Exactly once and last, for a socket that was opened. */
  closed(code: number, reason: string): void;
}

export interface OutgoingSocket {
  /** The chosen subprotocol, or the empty string. */
  readonly protocol: string;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
}

export type ConnectWebSocket = (
  request: { readonly url: string; readonly headers: readonly string[] },
  events: OutgoingSocketEvents,
) => Promise<OutgoingSocket>;

const madeByClient = /^(connection|upgrade|host|content-length|sec-websocket-.*)$/i;

/** The connector rejects with `unavailable` when the other server does not take the socket. */
export function connectWebSocket(limits: Partial<GatewayLimits> = {}): ConnectWebSocket {
  const bounds = { ...gatewayLimits, ...limits };
  return (request, events) =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string> = {};
      let protocols: string[] = [];
      for (let index = 0; index < request.headers.length; index += 2) {
        const name = request.headers[index] as string;
        const value = request.headers[index + 1] as string;
        if (/^sec-websocket-protocol$/i.test(name)) {
          protocols = value.split(',').map((one) => one.trim());
        } else if (!madeByClient.test(name)) headers[name] = value;
      }
      const client = new WebSocket(request.url.replace(/^http/i, 'ws'), protocols, {
        headers,
        maxPayload: bounds.messageBytesMax,
        handshakeTimeout: bounds.handshakeTimeoutMs,
        perMessageDeflate: false,
      });
      let opened = false;
      client.on('error', (error) => {
        if (!opened) reject(new HomingError('unavailable', error.message, { cause: error }));
      });
      client.on('message', (data: Buffer, isBinary: boolean) => {
        events.message(isBinary ? new Uint8Array(data) : data.toString('utf8'));
      });
      client.on('close', (code, reason) => {
        if (opened) events.closed(code, reason.toString('utf8'));
      });
      client.on('open', () => {
        opened = true;
        // Whoever waits for the socket has it before its first message comes.
        client.pause();
        setImmediate(() => client.resume());
        resolve({
          protocol: client.protocol,
          send(data) {
            if (client.readyState !== client.OPEN) return;
            client.send(data);
            if (client.bufferedAmount > bounds.sendBufferBytesMax) client.terminate();
          },
          close: (code, reason) => closeSocket(client, code, reason),
        });
      });
    });
}
