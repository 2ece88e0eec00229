/** Writes a worker's response to an HTTP client, as fast as the client takes it. */
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { EdgeResponse } from '@homing/capability';
import { encoderOf } from './content-encoding.ts';
import { errorAnswer } from './http-status.ts';

const dropped: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Resolves when everything is handed to the socket, or the client is gone. Rejects as the body does. */
export async function writeResponse(out: ServerResponse, response: EdgeResponse): Promise<void> {
  const { status, body } = response;
  const bodiless = status === 204 || status === 304 || out.req.method === 'HEAD';
  const encoder = encoderOf(response);
  const headers = headersOf(response, bodiless, encoder !== undefined);
  if (!out.shouldKeepAlive) headers.push('connection', 'close');
  if (response.statusText === '') out.writeHead(status, headers);
  else out.writeHead(status, response.statusText, headers);

  if (bodiless || body === null) {
    if (body instanceof ReadableStream) await body.cancel();
    out.end();
  } else if (encoder !== undefined) {
    out.flushHeaders();
    const plain =
      body instanceof Uint8Array ? Readable.from([body]) : Readable.fromWeb(body as never);
    await pipeline(plain, encoder(), out);
  } else if (body instanceof Uint8Array) out.end(body);
  else await pump(out, body);
}

function headersOf(response: EdgeResponse, bodiless: boolean, encodes: boolean): string[] {
  const { status, body, length } = response;
  const headers: string[] = [];
  let hasLength = false;
  for (let index = 0; index < response.headers.length; index += 2) {
    const name = response.headers[index] as string;
    const lower = name.toLowerCase();
    if (dropped.has(lower)) continue;
    if (lower === 'content-length') {
      if (status === 204 || encodes || body instanceof Uint8Array) continue;
      hasLength = true;
    }
    headers.push(name, response.headers[index + 1] as string);
  }
  if (encodes || status === 204 || status === 304) return headers;
  if (body instanceof Uint8Array) headers.push('content-length', String(body.byteLength));
  else if (body === null && !bodiless) headers.push('content-length', '0');
  else if (length !== null && !hasLength) headers.push('content-length', String(length));
  return headers;
}

async function pump(out: ServerResponse, body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  let wake = () => {};
  const onDrain = () => wake();
  const onClose = () => {
    wake();
    reader.cancel(new Error('The client disconnected.')).catch(() => {});
  };
  out.once('close', onClose);
  out.on('drain', onDrain);
  out.flushHeaders();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || out.destroyed) break;
      if (out.write(value) || out.destroyed) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    out.off('close', onClose);
    out.off('drain', onDrain);
  }
  out.end();
}

/** Answers with an error, or cuts the response off where it had begun. */
export function writeError(out: ServerResponse, error: unknown): void {
  if (out.headersSent) {
    out.destroy();
    return;
  }
  const { status, text, retryAfter } = errorAnswer(error);
  writeText(out, status, text, retryAfter === undefined ? [] : ['retry-after', `${retryAfter}`]);
}

export function writeText(
  out: ServerResponse,
  status: number,
  text: string,
  headers: readonly string[] = [],
): void {
  const body = Buffer.from(`${text}\n`);
  out.writeHead(status, [
    ...headers,
    'content-type',
    'text/plain; charset=utf-8',
    'content-length',
    String(body.byteLength),
    ...(out.shouldKeepAlive ? [] : ['connection', 'close']),
  ]);
  out.end(body);
}
