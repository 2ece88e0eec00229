/**
 * One request's session to the worker's default entrypoint.
 *
 * Invariant: `end` is idempotent, and after it neither side sends; it is the end of the request's
 * context, so it comes when the response is out or the client is gone.
 */
import { type Dispatcher, type FramePort, HomingError } from '@homing/base';
import { type HostValue, Session } from '@homing/capability';

/** Made once: it comes with every request, and its stack trace would cost more than the rest. */
const requestOver = new HomingError('cancelled', 'the request is over');

class Message implements HostValue {
  readonly kind: string;
  readonly parts: readonly unknown[];

  constructor(kind: string, parts: readonly unknown[]) {
    this.kind = kind;
    this.parts = parts;
  }
}

/** What the worker answered. */
export interface WorkerResponse {
  readonly status: number;
  readonly statusText: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null;
  /** The socket of a 101 response. */
  readonly socket: string | null;
}

export class WorkerCall {
  readonly #session: Session;
  readonly #port: FramePort;
  #ended = false;

  constructor(dispatcher: Dispatcher) {
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
    this.#port = dispatcher.open(
      { kind: 'entrypoint', entrypoint: 'default' },
      {
        frame: (frame) => this.#session.receive(frame),
        closed: (error) => {
          this.#ended = true;
          this.#session.close(error);
        },
      },
    );
  }

  /** `parts` as the codec of requests has them. Rejects with what the worker threw. */
  async fetch(parts: readonly unknown[]): Promise<WorkerResponse> {
    const result = await this.#session.call(['fetch'], [new Message('request', parts)]).promise();
    if (!(result instanceof Message) || result.kind !== 'response') {
      throw new TypeError("Incorrect type for the handler's result: it is not a Response.");
    }
    const [status, statusText, headers, body, socket] = result.parts;
    return {
      status: status as number,
      statusText: statusText as string,
      headers: headers as string[],
      body: body as WorkerResponse['body'],
      socket: socket as string | null,
    };
  }

  end(error: unknown = requestOver): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session.close(error);
    this.#port.close();
  }
}
