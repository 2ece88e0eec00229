/**
 * Outgoing `fetch`. It starts when the context's writes so far are durable, its answer and every
 * chunk of the answer's body enter the context, and it ends with the context.
 */
import { currentContext, type IoContext, type IoFrame, runInFrame } from '@homing/base';
import { asPlatform, asUser } from './platform-work.ts';
import { Request, type RequestInit, type RequestParts, requestParts } from './request.ts';
import { fetchedResponse, type Response } from './response.ts';
import { socketTransport } from './socket-transport.ts';
import { importedSocket } from './web-socket.ts';

/** Node's own, kept before the globals are replaced. */
const nativeFetch = globalThis.fetch;
type NativeResponse = Awaited<ReturnType<typeof nativeFetch>>;

/** Of one connection only, or set anew by the client below. */
const notForwarded = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Resolves with the response when its head is there; rejects with the signal's reason on abort, and
 * with `Network connection lost.` where no answer came.
 */
export async function fetch(
  input: Request | string | URL,
  init?: RequestInit | Request,
): Promise<Response> {
  const context = currentContext();
  if (input === undefined) {
    throw new TypeError(
      "Failed to execute 'fetch' on 'ServiceWorkerGlobalScope': parameter 1 is not of type 'Request or string'.",
    );
  }
  const request = input instanceof Request && init === undefined ? input : new Request(input, init);
  if (!request.url.startsWith('http:') && !request.url.startsWith('https:')) {
    throw new TypeError(`Fetch API cannot load: ${request.url}`);
  }
  const upgrade = request.headers.get('upgrade');
  const parts = requestParts(request);
  parts[6]?.throwIfAborted();
  if (upgrade?.toLowerCase() === 'websocket') return upgraded(context, parts);
  return fetched(context, parts);
}

function fetched(context: IoContext, parts: RequestParts): Promise<Response> {
  const [, , , , , , signal] = parts;
  const scope = context.scope();
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const release = context.onEnd((reason) => {
      controller.abort(reason);
      reject(reason);
    }, true);
    const aborted = () => {
      controller.abort(signal?.reason);
      settle(() => reject(signal?.reason));
    };
    const settle = (answer: () => void) => {
      release();
      context.enter('answer', scope, answer, reject);
    };
    const forget = () => signal?.removeEventListener('abort', aborted);
    signal?.addEventListener('abort', aborted, { once: true });
    const frame = { context, scope };
    const failed = (error: unknown) => {
      forget();
      settle(() => reject(signal?.aborted ? signal.reason : error));
    };
    context.outputOutside(() => {
      // Reading a body that user code streams runs that code, on this context's behalf.
      runInFrame(frame, () => start(frame, parts, controller.signal)).then(
        (response) => settle(() => resolve(received(context, response, controller, forget))),
        (error) => failed(lost(error)),
      );
    }, failed);
  });
}

function start(frame: IoFrame, parts: RequestParts, signal: AbortSignal): Promise<NativeResponse> {
  const [method, url, flat, content, , redirect] = parts;
  const body = leavingBody(frame, content, redirect);
  const headers: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string;
    if (!notForwarded.has(name)) headers.push([name, flat[i + 1] as string]);
  }
  const init = { method, headers, body, redirect, signal, duplex: 'half' };
  const given = init as unknown as Parameters<typeof nativeFetch>[1];
  return asPlatform(() => nativeFetch(url, given));
}

function leavingBody(frame: IoFrame, content: RequestParts[3], redirect: string): unknown {
  if (content instanceof ReadableStream) return leavingStream(frame, content);
  // Node's client can send an array once only, and a redirect may ask for it again.
  if (content !== null && redirect === 'follow')
    return new Blob([content as Uint8Array<ArrayBuffer>]);
  return content;
}

function lost(cause: unknown): Error {
  const reason = (cause as { cause?: { message?: unknown } } | undefined)?.cause?.message;
  if (reason === 'redirect count exceeded') return new TypeError('Too many redirects.', { cause });
  const error = new Error('Network connection lost.', { cause });
  return Object.assign(error, { retryable: true });
}

function received(
  context: IoContext,
  response: NativeResponse,
  controller: AbortController,
  done: () => void,
): Response {
  const headers: string[] = [];
  // The body comes decoded, so what described the encoded one goes.
  const decoded = response.headers.has('content-encoding');
  for (const [name, value] of response.headers) {
    if (decoded && (name === 'content-encoding' || name === 'content-length')) continue;
    headers.push(name, value);
  }
  const native = response.body as ReadableStream<Uint8Array> | null;
  if (native === null) done();
  const body = native === null ? null : enteringStream(context, native, controller, done);
  const { status, statusText, url, redirected } = response;
  return fetchedResponse([status, statusText, headers, body, null], {
    url,
    redirected,
    socket: null,
  });
}

/** The same bytes, but each chunk, and the end, leaves as any output of the context does. */
function leavingStream(
  frame: IoFrame,
  source: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  const stream = {
    pull: async (sink: { enqueue(chunk: Uint8Array): void; close(): void }) => {
      const { done, value } = await asUser(() => runInFrame(frame, () => reader.read()));
      await new Promise<void>((resolve, reject) => frame.context.outputOutside(resolve, reject));
      if (done) sink.close();
      else sink.enqueue(value);
    },
    cancel: (reason: unknown) => reader.cancel(reason),
  };
  return new ReadableStream(stream as never, { highWaterMark: 0 }) as ReadableStream<Uint8Array>;
}

/** The same bytes, but each chunk enters the context first. Calls `done` at its end. */
function enteringStream(
  context: IoContext,
  source: ReadableStream<Uint8Array>,
  controller: AbortController,
  done: () => void,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  const unregister = context.onEnd((reason) => controller.abort(reason));
  const release = () => {
    unregister();
    done();
  };
  const stream = {
    type: 'bytes',
    pull: (sink: {
      readonly byobRequest: { respond(bytes: number): void } | null;
      enqueue(chunk: Uint8Array): void;
      close(): void;
    }) =>
      new Promise<void>((resolve, reject) => {
        const scope = context.scope();
        // Someone waits for this chunk, so the object is not idle.
        const awaited = context.onEnd(reject, true);
        const enter = (answer: () => void) => {
          awaited();
          context.enter('answer', scope, answer, reject);
        };
        reader.read().then(
          ({ done: ended, value }) =>
            enter(() => {
              if (ended) {
                release();
                sink.close();
                sink.byobRequest?.respond(0);
              } else {
                sink.enqueue(value.slice());
              }
              resolve();
            }),
          (error) =>
            enter(() => {
              release();
              reject(controller.signal.aborted ? controller.signal.reason : lost(error));
            }),
        );
      }),
    cancel: (reason: unknown) => {
      release();
      return reader.cancel(reason);
    },
  };
  return new ReadableStream(stream as never) as ReadableStream<Uint8Array>;
}

function upgraded(context: IoContext, parts: RequestParts): Promise<Response> {
  const [, url, headers, , , , signal] = parts;
  const scope = context.scope();
  return new Promise((resolve, reject) => {
    const release = context.onEnd(reject, true);
    const settle = (answer: () => void) => {
      release();
      context.enter('answer', scope, answer, reject);
    };
    signal?.addEventListener('abort', () => settle(() => reject(signal.reason)), { once: true });
    context.post(() => {
      socketTransport()
        .connect({ url, headers }, context)
        .then(
          ({ socket, protocol }) => settle(() => resolve(switchedResponse(url, socket, protocol))),
          (error) => settle(() => reject(error)),
        );
    });
  });
}

function switchedResponse(url: string, socket: string, protocol: string): Response {
  const headers = ['upgrade', 'websocket', 'connection', 'Upgrade'];
  if (protocol !== '') headers.push('sec-websocket-protocol', protocol);
  return fetchedResponse([101, 'Switching Protocols', headers, null, null], {
    url,
    redirected: false,
    socket: importedSocket(socket, protocol),
  });
}
