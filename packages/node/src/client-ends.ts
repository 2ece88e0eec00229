/**
 * Sockets whose client's end is held by code in an executor: those that it opened to other servers,
 * and those that an object or entrypoint gave it.
 *
 * Invariant: what an object sends on such a socket, its opening included, leaves only while its lease
 * stands, and in order. Where that cannot be known the socket ends: nothing follows what was left out.
 *
 * Called by the node.
 */
import {
  type ErrorData,
  errorToData,
  type FromExecutor,
  type HomingError,
  type SocketEvent,
  type SocketPort,
  type SocketSink,
} from '@homing/base';
import type { Executor } from './executor-pool.ts';
import type { SocketTable } from './socket-table.ts';

/** The other end of an outgoing WebSocket. */
export interface ExternalSocket extends SocketSink {
  /** The subprotocol that was agreed on, or an empty string. */
  readonly protocol: string;
}

/** Opens a WebSocket to another server. Rejects when the handshake fails. */
export type ConnectWebSocket = (
  request: { readonly url: string; readonly headers: readonly string[] },
  events: {
    message(data: string | Uint8Array): void;
    closed(code: number, reason: string): void;
  },
) => Promise<ExternalSocket>;

export interface ClientEndsOptions {
  readonly sockets: SocketTable;
  /** Attaches a client to a socket made here or on another node. Throws when it is gone. */
  readonly attach: (socket: string, sink: SocketSink) => SocketPort;
  /** Output of an activation; see `ReadGuard`. */
  readonly output: (
    activation: number,
    pass: () => void,
    refuse: (error: HomingError) => void,
  ) => void;
  /** Undefined where there are no outgoing WebSockets. */
  readonly connect: ConnectWebSocket | undefined;
}

interface ClientEnd {
  readonly port: SocketPort;
  /** The object whose code holds it; undefined for a stateless entrypoint. */
  readonly activation: number | undefined;
}

type Message<T extends FromExecutor['type']> = Extract<FromExecutor, { type: T }>;

export class ClientEnds {
  readonly #options: ClientEndsOptions;
  readonly #ends = new Map<Executor, Map<string, ClientEnd>>();
  #nextExternal = 1;

  constructor(options: ClientEndsOptions) {
    this.#options = options;
  }

  /** Code in an executor takes the client's end of a socket. */
  attach(executor: Executor, { socket, activation }: Message<'attach-socket'>): void {
    const post = (event: SocketEvent) =>
      executor.post({ type: 'socket', socket, side: 'client', event });
    try {
      const port = this.#options.attach(socket, {
        send: (data) => post({ type: 'message', data }),
        close: (code, reason) =>
          post({ type: 'close', code: code ?? 1005, reason: reason ?? '', wasClean: true }),
      });
      this.#of(executor).set(socket, { port, activation });
    } catch {
      post({ type: 'close', code: 1006, reason: '', wasClean: false });
    }
  }

  /** What the code sends. */
  onEvent(executor: Executor, { socket, event }: Message<'socket'>): void {
    const end = this.#ends.get(executor)?.get(socket);
    if (end === undefined) return;
    const pass = () => {
      if (event.type === 'message') end.port.message(event.data);
      else {
        this.#ends.get(executor)?.delete(socket);
        const code = event.code ?? 1005;
        const reason = event.reason ?? '';
        end.port.closed(code, reason, true);
        // The other end takes part in no more: for the code that closed, the handshake is complete.
        const closed = { type: 'close', code, reason, wasClean: true } as const;
        executor.post({ type: 'socket', socket, side: 'client', event: closed });
      }
    };
    this.#output(end.activation, pass, () => {
      if (this.#ends.get(executor)?.delete(socket) !== true) return;
      end.port.closed(1006, '', false);
      const closed = { type: 'close', code: 1006, reason: '', wasClean: false } as const;
      executor.post({ type: 'socket', socket, side: 'client', event: closed });
    });
  }

  connect(executor: Executor, message: Message<'connect'>): void {
    const answer = (socket: string | undefined, protocol: string, error: ErrorData | undefined) =>
      executor.post({ type: 'connected', request: message.request, socket, protocol, error });
    const refuse = (error: unknown) => answer(undefined, '', errorToData(error));
    const { connect } = this.#options;
    if (connect === undefined) {
      refuse(new Error('outgoing WebSockets are not available'));
      return;
    }
    const open = () => this.#connect(connect, message, answer);
    this.#output(message.activation, open, refuse);
  }

  /** The executor is gone, and with it the ends that its code held. */
  executorEnded(executor: Executor): void {
    const ends = this.#ends.get(executor);
    this.#ends.delete(executor);
    for (const { port } of ends?.values() ?? []) port.closed(1006, '', false);
  }

  #connect(
    connect: ConnectWebSocket,
    message: Message<'connect'>,
    answer: (socket: string | undefined, protocol: string, error: ErrorData | undefined) => void,
  ): void {
    const { sockets } = this.#options;
    const socket = `external-${this.#nextExternal++}`;
    const early: (() => void)[] = [];
    let added = false;
    const whenAdded = (run: () => void) => (added ? run() : early.push(run));
    connect(message, {
      message: (data) => whenAdded(() => sockets.send(socket, data)),
      closed: (code, reason) => whenAdded(() => sockets.externalClosed(socket, code, reason)),
    }).then(
      (sink) => {
        sockets.add(socket, { kind: 'external', sink });
        added = true;
        for (const run of early) run();
        answer(socket, sink.protocol, undefined);
      },
      (error: unknown) => answer(undefined, '', errorToData(error)),
    );
  }

  #output(
    activation: number | undefined,
    pass: () => void,
    refuse: (error: HomingError) => void,
  ): void {
    if (activation === undefined) pass();
    else this.#options.output(activation, pass, refuse);
  }

  #of(executor: Executor): Map<string, ClientEnd> {
    let ends = this.#ends.get(executor);
    if (ends === undefined) {
      ends = new Map();
      this.#ends.set(executor, ends);
    }
    return ends;
  }
}
