/**
 * One session to an object, for one call of a client.
 *
 * Invariant: `end` is idempotent, and after it neither side sends.
 */
import { type Dispatcher, type FramePort, HomingError, type ObjectRef } from '@homing/base';
import { type HostValue, OutgoingCall, Session } from '@homing/capability';

class Message implements HostValue {
  readonly kind: string;
  readonly parts: readonly unknown[];

  constructor(kind: string, parts: readonly unknown[]) {
    this.kind = kind;
    this.parts = parts;
  }
}

export interface ObjectResponse {
  readonly status: number;
  readonly statusText: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null;
  /** The socket of a 101 response. */
  readonly socket: string | null;
}

export class ObjectCall {
  readonly #session: Session;
  readonly #port: FramePort;
  #ended = false;

  constructor(dispatcher: Dispatcher, object: ObjectRef) {
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
      { kind: 'object', object },
      {
        frame: (frame) => this.#session.receive(frame),
        closed: (error) => {
          this.#ended = true;
          this.#session.close(error);
        },
      },
    );
  }

  async call(
    method: string,
    args: readonly unknown[],
    requestId: string | undefined,
  ): Promise<{ readonly result: unknown; readonly replayed: boolean }> {
    const call = this.#session.call([method], args, { requestId, elapsedMs: 0 });
    const result = await call.promise();
    return { result, replayed: call instanceof OutgoingCall && call.replayed };
  }

  /** `headers`: names and values in turn. */
  async fetch(
    method: string,
    url: string,
    headers: readonly string[],
    body: Uint8Array | null,
  ): Promise<ObjectResponse> {
    const request = new Message('request', [method, url, headers, body, '{}', 'manual', null]);
    const result = await this.#session.call(['fetch'], [request]).promise();
    if (!(result instanceof Message) || result.kind !== 'response') {
      throw new TypeError("the object's fetch() did not return a Response");
    }
    const [status, statusText, responseHeaders, responseBody, socket] = result.parts;
    return {
      status: status as number,
      statusText: statusText as string,
      headers: responseHeaders as string[],
      body: responseBody as ObjectResponse['body'],
      socket: socket as string | null,
    };
  }

  end(error: unknown = new HomingError('cancelled', 'the call is over')): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session.close(error);
    this.#port.close();
  }
}
