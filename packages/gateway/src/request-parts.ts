/** An incoming HTTP request as the parts that the worker's side puts a Request together from. */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { HomingError } from '@homing/base';
import type { GatewayLimits } from './limits.ts';

/** What the platform tells about where a request came in. */
export class Place {
  readonly #colo: string;
  readonly #region: string;
  /** Believe `X-Forwarded-For` and `X-Forwarded-Proto`: only behind a proxy that sets them. */
  readonly trustForwarded: boolean;
  /** By the version of HTTP, of which there are few. */
  readonly #cf = new Map<string, string>();

  constructor(colo: string, region: string, trustForwarded: boolean) {
    this.#colo = colo;
    this.#region = region;
    this.trustForwarded = trustForwarded;
  }

  /** `request.cf` as it travels. */
  cf({ httpVersion }: IncomingMessage): string {
    let cf = this.#cf.get(httpVersion);
    if (cf === undefined) {
      const httpProtocol = `HTTP/${httpVersion}`;
      cf = JSON.stringify({ colo: this.#colo, region: this.#region, httpProtocol });
      this.#cf.set(httpVersion, cf);
    }
    return cf;
  }
}

/** Headers about one connection, and those only the platform may set. */
const dropped: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'cf-connecting-ip',
]);

/** Throws `invalid_argument` for a request whose URL makes no sense. */
export function requestParts(
  request: IncomingMessage,
  body: Uint8Array | ReadableStream<Uint8Array> | null,
  place: Place,
  isUpgrade: boolean,
): readonly unknown[] {
  const { rawHeaders } = request;
  const headers: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] as string).toLowerCase();
    if (dropped.has(name) && !(isUpgrade && name === 'upgrade')) continue;
    headers.push(name, rawHeaders[index + 1] as string);
  }
  headers.push('cf-connecting-ip', clientAddress(request, place));
  const url = requestUrl(request, place);
  return [request.method ?? 'GET', url, headers, body, place.cf(request), 'manual', null];
}

function clientAddress(request: IncomingMessage, place: Place): string {
  if (place.trustForwarded) {
    const forwarded = request.headers['x-forwarded-for'];
    const list = typeof forwarded === 'string' ? forwarded : (forwarded?.[0] ?? '');
    const first = list.split(',')[0]?.trim();
    if (first) return first;
  }
  const address = request.socket.remoteAddress ?? '';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

function requestUrl(request: IncomingMessage, place: Place): string {
  const path = request.url ?? '/';
  const proto = place.trustForwarded ? request.headers['x-forwarded-proto'] : undefined;
  const isSecure = request.socket instanceof TLSSocket || proto === 'https';
  const scheme = isSecure ? 'https' : 'http';
  const host = request.headers.host ?? 'localhost';
  const url = path.startsWith('/') ? `${scheme}://${host}${path}` : path;
  if (!URL.canParse(url)) throw new HomingError('invalid_argument', 'the request has no valid URL');
  return url;
}

/** The body: null without one, whole where it is small, else a stream that reads as it is pulled. */
export async function requestBody(
  request: IncomingMessage,
  limits: GatewayLimits,
): Promise<Uint8Array | ReadableStream<Uint8Array> | null> {
  const length = request.headers['content-length'];
  if (length === undefined && request.headers['transfer-encoding'] === undefined) return null;
  if (request.method === 'GET' || request.method === 'HEAD') {
    request.resume();
    return null;
  }
  const bytes = length === undefined ? Number.POSITIVE_INFINITY : Number(length);
  if (bytes <= limits.wholeBodyBytesMax) {
    if (bytes === 0) return new Uint8Array(0);
    return await wholeBody(request);
  }
  return bodyStream(request, limits.bodyBytesMax);
}

function wholeBody(request: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))));
    request.on('error', reject);
    request.on('close', () => {
      if (!request.complete) reject(new HomingError('cancelled', 'the client went away'));
    });
  });
}

function bodyStream(request: IncomingMessage, bytesMax: number): ReadableStream<Uint8Array> {
  let bytes = 0;
  let over = false;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const fail = (error: unknown) => {
          if (over) return;
          over = true;
          controller.error(error);
        };
        request.pause();
        request.on('data', (chunk: Buffer) => {
          if (over) return;
          bytes += chunk.byteLength;
          if (bytes > bytesMax) {
            fail(new RangeError(`the request's body is larger than ${bytesMax} bytes`));
            return;
          }
          controller.enqueue(new Uint8Array(chunk));
          if ((controller.desiredSize ?? 0) <= 0) request.pause();
        });
        request.on('end', () => {
          if (over) return;
          over = true;
          controller.close();
        });
        request.on('error', fail);
        request.on('close', () => fail(new Error('The client disconnected.')));
      },
      pull() {
        request.resume();
      },
      cancel() {
        over = true;
        request.resume();
      },
    },
    { highWaterMark: 64 * 1024, size: (chunk) => chunk.byteLength },
  );
}
