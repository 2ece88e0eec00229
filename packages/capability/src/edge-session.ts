/**
 * A session of an edge (HTTP, gRPC) to user code: a caller that has no gates, no references of its
 * own and no use for values it does not know, which it takes as they came.
 *
 * Invariant: `end` is idempotent, and after it neither side sends. It is the end of what was called,
 * so it comes when the answer is out or the client is gone.
 */
import { type Dispatcher, type FramePort, HomingError, type Target } from '@homing/base';
import type { HostValue } from './host.ts';
import { Session } from './session.ts';
import { type CallOptions, OutgoingCall } from './session-calls.ts';

/** Made once: it comes with every request, and its stack trace would cost more than the rest. */
const over = new HomingError('cancelled', 'the request is over');

class Message implements HostValue {
  readonly kind: string;
  readonly parts: readonly unknown[];

  constructor(kind: string, parts: readonly unknown[]) {
    this.kind = kind;
    this.parts = parts;
  }

  /** Nothing to let go: an edge keeps no references. So results get no method of their own for it. */
  [Symbol.dispose](): void {}
}

/** What user code's `fetch` answered. */
export interface EdgeResponse {
  readonly status: number;
  readonly statusText: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null;
  /** The socket of a 101 response. */
  readonly socket: string | null;
  /** Bytes of a body that is a stream, where they are known. */
  readonly length: number | null;
  /** Whether the body is in its `content-encoding` already. */
  readonly encoded: boolean;
}

export class EdgeSession {
  readonly #session: Session;
  readonly #port: FramePort;
  #ended = false;

  constructor(dispatcher: Dispatcher, target: Target) {
    this.#session = new Session({
      host: {
        send: (frame) => this.#port.send(frame),
        scope: () => undefined,
        enter: (_kind, _scope, run) => void run(),
        disassemble: (value) => (value instanceof Message ? value : undefined),
        assemble: (value) => new Message(value.kind, value.parts),
        broken: (error) => this.end(error),
      },
    });
    this.#port = dispatcher.open(target, {
      frame: (frame) => this.#session.receive(frame),
      closed: (error) => {
        this.#ended = true;
        this.#session.close(error);
      },
    });
  }

  /** Calls a method. Rejects with what it threw, or why it could not be called. */
  async call(
    method: string,
    args: readonly unknown[],
    options?: CallOptions,
  ): Promise<{ readonly result: unknown; readonly replayed: boolean }> {
    const call = this.#session.call([method], args, options);
    const result = await call.promise();
    return { result, replayed: call instanceof OutgoingCall && call.replayed };
  }

  /** `parts` as the codec of requests has them. Rejects with what user code threw. */
  async fetch(parts: readonly unknown[]): Promise<EdgeResponse> {
    const result = await this.#session.call(['fetch'], [new Message('request', parts)]).promise();
    if (!(result instanceof Message) || result.kind !== 'response') {
      throw new TypeError("Incorrect type for the handler's result: it is not a Response.");
    }
    const [status, statusText, headers, body, socket, length, encoded] = result.parts;
    return {
      status: status as number,
      statusText: statusText as string,
      headers: headers as string[],
      body: body as EdgeResponse['body'],
      socket: socket as string | null,
      length: typeof length === 'number' ? length : null,
      encoded: encoded === true,
    };
  }

  end(error: unknown = over): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session.close(error);
    this.#port.close();
  }
}
