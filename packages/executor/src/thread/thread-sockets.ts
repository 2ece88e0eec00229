/** WebSockets of this thread, by messages with the node, which owns them. */
import {
  errorFromData,
  type IoContext,
  type SocketEvent,
  type SocketSide,
  type ToExecutor,
  type UnmarkedMessage,
} from '@homing/base';
import type { SocketTransport } from '@homing/web';
import { ownBytes } from '../batch.ts';

type Listener = (event: SocketEvent) => void;

interface Connecting {
  readonly resolve: (result: { socket: string; protocol: string }) => void;
  readonly reject: (error: unknown) => void;
}

export interface ThreadSocketsOptions {
  readonly post: (message: UnmarkedMessage) => void;
  /** Begins every id made here: ids are unique in the node. */
  readonly prefix: string;
  /** The activation that a context is, or undefined for a stateless one. */
  readonly activationOf: (context: IoContext) => number | undefined;
}

export class ThreadSockets implements SocketTransport {
  readonly #options: ThreadSocketsOptions;
  readonly #listeners: Record<SocketSide, Map<string, Listener>> = {
    object: new Map(),
    client: new Map(),
  };
  readonly #connecting = new Map<number, Connecting>();
  #nextSocket = 1;
  #nextRequest = 1;

  constructor(options: ThreadSocketsOptions) {
    this.#options = options;
  }

  newSocketId(): string {
    return `${this.#options.prefix}-${this.#nextSocket++}`;
  }

  exported(socket: string, context: IoContext): void {
    const activation = this.#options.activationOf(context);
    this.#options.post({ type: 'export-socket', socket, activation });
  }

  attach(socket: string, context: IoContext): void {
    const activation = this.#options.activationOf(context);
    this.#options.post({ type: 'attach-socket', socket, activation });
  }

  send(socket: string, side: SocketSide, data: string | Uint8Array): void {
    const own = typeof data === 'string' ? data : ownBytes(data);
    this.#options.post({ type: 'socket', socket, side, event: { type: 'message', data: own } });
  }

  close(
    socket: string,
    side: SocketSide,
    code: number | undefined,
    reason: string | undefined,
  ): void {
    this.#options.post({ type: 'socket', socket, side, event: { type: 'close', code, reason } });
  }

  attachment(socket: string, attachment: Uint8Array | undefined): void {
    const own = attachment === undefined ? undefined : ownBytes(attachment);
    this.#options.post({ type: 'socket-attachment', socket, attachment: own });
  }

  listen(socket: string, side: SocketSide, listener: Listener): { stop(): void } {
    const listeners = this.#listeners[side];
    listeners.set(socket, listener);
    return {
      stop: () => {
        if (listeners.get(socket) === listener) listeners.delete(socket);
      },
    };
  }

  connect(
    request: { readonly url: string; readonly headers: readonly string[] },
    context: IoContext,
  ): Promise<{ readonly socket: string; readonly protocol: string }> {
    const number = this.#nextRequest++;
    const activation = this.#options.activationOf(context);
    return new Promise((resolve, reject) => {
      this.#connecting.set(number, { resolve, reject });
      this.#options.post({ type: 'connect', request: number, activation, ...request });
    });
  }

  onEvent({ socket, side, event }: Extract<ToExecutor, { type: 'socket' }>): void {
    this.#listeners[side].get(socket)?.(event);
  }

  onConnected(message: Extract<ToExecutor, { type: 'connected' }>): void {
    const connecting = this.#connecting.get(message.request);
    this.#connecting.delete(message.request);
    if (message.socket !== undefined) {
      connecting?.resolve({ socket: message.socket, protocol: message.protocol });
    } else {
      const { error } = message;
      connecting?.reject(
        error === undefined ? new Error('WebSocket connection failed.') : errorFromData(error),
      );
    }
  }
}
