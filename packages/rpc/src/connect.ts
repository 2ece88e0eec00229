/**
 * A WebSocket to an object, over a gRPC stream.
 *
 * Invariants: the object hears `closed` exactly once and last; what the client has not taken is
 * bounded; frames that come while the socket is being opened wait in the stream.
 */

import type { ServerDuplexStream } from '@grpc/grpc-js';
import { type Dispatcher, HomingError, type ObjectRef, type SocketPort } from '@homing/base';
import { EdgeSession } from '@homing/capability';
import type {
  ClientFrame,
  ServerFrame,
  SocketOpen,
  ObjectRef as WireRef,
} from './generated/homing/v1/objects.ts';
import { absoluteUrl, flatHeaders, requestParts, wireHeaders } from './headers.ts';
import type { RpcLimits } from './limits.ts';
import { toStatus } from './status.ts';

type Stream = ServerDuplexStream<ClientFrame, ServerFrame>;

export interface ConnectOptions {
  readonly dispatcher: Dispatcher;
  readonly resolve: (ref: WireRef | undefined) => ObjectRef;
  readonly limits: RpcLimits;
}

export function serveConnect(stream: Stream, options: ConnectOptions): void {
  new Connection(stream, options).start();
}

class Connection {
  readonly #stream: Stream;
  readonly #options: ConnectOptions;
  #call: EdgeSession | undefined;
  #port: SocketPort | undefined;
  #begun = false;
  #over = false;
  #buffered = 0;

  constructor(stream: Stream, options: ConnectOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  start(): void {
    this.#stream.on('data', (frame: ClientFrame) => this.#onFrame(frame));
    this.#stream.on('end', () => {
      if (!this.#begun) this.#fail(new HomingError('invalid_argument', 'the first frame: open'));
      else this.#finish(1005, '', true);
    });
    this.#stream.on('cancelled', () => this.#finish(1006, '', false));
    this.#stream.on('error', () => this.#finish(1006, '', false));
  }

  #onFrame({ frame }: ClientFrame): void {
    if (this.#over) return;
    if (!this.#begun) {
      if (frame?.$case !== 'open') {
        this.#fail(new HomingError('invalid_argument', 'expected open as the first frame'));
        return;
      }
      this.#begun = true;
      this.#stream.pause();
      this.#open(frame.value).then(
        () => this.#stream.resume(),
        (error: unknown) => this.#fail(error),
      );
      return;
    }
    if (frame?.$case === 'message' && frame.value.data !== undefined) {
      const { data } = frame.value;
      this.#port?.message(data.$case === 'text' ? data.value : new Uint8Array(data.value));
    } else if (frame?.$case === 'close') {
      const { code, reason } = frame.value;
      this.#finish(code === 0 ? 1005 : code, reason, true);
    } else this.#fail(new HomingError('invalid_argument', 'expected message or close'));
  }

  async #open(open: SocketOpen): Promise<void> {
    const { dispatcher, resolve } = this.#options;
    const headers = [...flatHeaders(open.headers), 'upgrade', 'websocket'];
    if (open.protocols.length > 0) {
      headers.push('sec-websocket-protocol', open.protocols.join(', '));
    }
    const call = new EdgeSession(dispatcher, { kind: 'object', object: resolve(open.object) });
    this.#call = call;
    try {
      const response = await call.fetch(requestParts('GET', absoluteUrl(open.url), headers, null));
      if (response.status !== 101 || response.socket === null) {
        throw new HomingError(
          'invalid_argument',
          `the object answered ${response.status} in place of a WebSocket`,
          { executed: 'yes', details: { status: String(response.status) } },
        );
      }
      const replyHeaders = wireHeaders(response.headers);
      const protocol = replyHeaders.find(
        ({ name }) => name.toLowerCase() === 'sec-websocket-protocol',
      );
      this.#write(
        {
          $case: 'opened',
          value: { protocol: protocol?.value ?? '', headers: replyHeaders },
        },
        0,
      );
      this.#attach(response.socket);
    } finally {
      call.end();
    }
  }

  #attach(socket: string): void {
    const port = this.#options.dispatcher.attach(socket, {
      send: (data) => {
        const value =
          typeof data === 'string'
            ? ({ $case: 'text', value: data } as const)
            : ({ $case: 'binary', value: Buffer.from(data) } as const);
        this.#write({ $case: 'message', value: { data: value } }, data.length);
      },
      close: (code, reason) => {
        this.#write({ $case: 'close', value: { code: code ?? 0, reason: reason ?? '' } }, 0);
        this.#finish(code ?? 1005, reason ?? '', true);
      },
    });
    if (this.#over) port.closed(1006, '', false);
    else this.#port = port;
  }

  #write(frame: ServerFrame['frame'], bytes: number): void {
    if (this.#over) return;
    this.#buffered += bytes;
    if (this.#buffered > this.#options.limits.sendBufferBytesMax) {
      this.#finish(1013, 'the client reads too slowly', false);
      return;
    }
    this.#stream.write({ frame }, () => {
      this.#buffered -= bytes;
    });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#call?.end();
    this.#stream.emit('error', toStatus(error));
    this.#port?.closed(1006, '', false);
  }

  #finish(code: number, reason: string, wasClean: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#call?.end();
    this.#port?.closed(code, reason, wasClean);
    this.#stream.end();
  }
}
