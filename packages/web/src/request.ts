/**
 * `Request` as workerd has it, and its plain form in which it travels between contexts.
 */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
import {
  Body,
  type BodyInit,
  type Content,
  contentParts,
  extractBody,
  shareBody,
  takeBody,
} from './body.ts';
import { copyHeaders, flatHeaders, Headers, type HeadersInit, headersFromFlat } from './headers.ts';

export type RequestParts = readonly [
  method: string,
  url: string,
  /** Flat: name, value, … */
  headers: readonly string[],
  body: null | Uint8Array | ReadableStream<Uint8Array>,
  cfJson: string | null,
  redirect: string,
  signal: AbortSignal | null,
];

export interface RequestInit {
  method?: string;
  headers?: HeadersInit;
  body?: BodyInit | null;
  redirect?: string;
  signal?: AbortSignal | null;
  cf?: object;
  cache?: string;
  integrity?: string;
}

const methods = new Set(
  (
    'GET HEAD POST PUT DELETE PATCH PURGE OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH ' +
    'SEARCH UNLOCK ACL REPORT MKACTIVITY CHECKOUT MERGE MSEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE QUERY'
  ).split(' '),
);
const cacheModes = new Set(['no-store', 'no-cache', 'reload']);

function checkedMethod(method: unknown): string {
  const given = `${method}`;
  if (methods.has(given)) return given;
  const upper = given.toUpperCase();
  if (methods.has(upper)) return upper;
  throw new TypeError(`Invalid HTTP method string: ${given}`);
}

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url).href : undefined;
  if (parsed === undefined) throw new TypeError(`Invalid URL: ${url}`);
  return parsed;
}

function checkedRedirect(redirect: unknown): string {
  if (redirect === 'follow' || redirect === 'manual') return redirect;
  throw new TypeError(
    'Invalid redirect value, must be one of "follow" or "manual" ("error" won\'t be implemented since it does not make sense at the edge; use "manual" and check the response status code).',
  );
}

function checkedSignal(signal: unknown): AbortSignal | null {
  if (signal === null || signal instanceof AbortSignal) return signal;
  throw new TypeError(
    "Incorrect type for the 'signal' field on 'RequestInitializerDict': the provided value is not of type 'AbortSignal'.",
  );
}

function checkedCache(cache: unknown): string {
  if (cacheModes.has(`${cache}`)) return `${cache}`;
  throw new TypeError(`Unsupported cache mode: ${cache}`);
}

/** What the constructor of requests from elsewhere is given in place of a URL. */
class Arrived {
  readonly parts: RequestParts;
  constructor(parts: RequestParts) {
    this.parts = parts;
  }
}

/** @internal */
interface Internals {
  signal(request: Request): AbortSignal | null;
  cfJson(request: Request): string | null;
}

let internals: Internals;

export class Request extends Body {
  #method = 'GET';
  #url = '';
  #headers: Headers;
  #redirect = 'follow';
  #signal: AbortSignal | null = null;
  #cf: object | undefined;
  /** `cf` of a request from elsewhere, parsed when asked for. */
  #cfJson: string | null = null;
  #cache: string | undefined;
  #integrity = '';

  static {
    internals = {
      signal: (request) => request.#signal,
      cfJson: (request) => {
        if (request.#cf !== undefined) return JSON.stringify(request.#cf);
        return request.#cfJson;
      },
    };
  }

  constructor(input: Request | string | URL, init?: RequestInit | Request | null) {
    if ((input as unknown) instanceof Arrived) {
      const { parts } = input as unknown as Arrived;
      super(parts[3]);
      this.#method = parts[0];
      this.#url = parts[1];
      this.#headers = headersFromFlat(parts[2], true);
      this.#cfJson = parts[4];
      this.#redirect = parts[5];
      this.#signal = parts[6];
      return;
    }
    if (arguments.length === 0) {
      throw new TypeError(
        "Failed to construct 'Request': constructor parameter 1 is not of type 'Request or string'.",
      );
    }
    const from = input instanceof Request ? input : undefined;
    const url = from === undefined ? checkedUrl(`${input}`) : from.#url;
    const given = init ?? undefined;
    const method =
      given?.method !== undefined ? checkedMethod(given.method) : (from?.method ?? 'GET');
    const { content, contentType } = newBody(from, given, method);
    super(content);
    this.#url = url;
    this.#method = method;
    const headers = given?.headers ?? from?.headers;
    this.#headers = headers instanceof Headers ? copyHeaders(headers, false) : new Headers(headers);
    if (contentType !== undefined && !this.#headers.has('content-type')) {
      this.#headers.set('content-type', contentType);
    }
    if (from !== undefined) this.#inherit(from);
    if (given !== undefined) this.#override(given);
  }

  #inherit(from: Request): void {
    this.#redirect = from.#redirect;
    this.#signal = from.#signal;
    this.#cfJson = internals.cfJson(from);
    this.#cache = from.#cache;
    this.#integrity = from.#integrity;
  }

  #override(init: RequestInit | Request): void {
    if (init instanceof Request) {
      this.#inherit(init);
      return;
    }
    if (init.redirect !== undefined) this.#redirect = checkedRedirect(init.redirect);
    if (init.signal !== undefined) this.#signal = checkedSignal(init.signal);
    if (init.cf !== undefined) this.#cf = init.cf;
    if (init.cache !== undefined && init.cache !== null) this.#cache = checkedCache(init.cache);
    if (init.integrity !== undefined) this.#integrity = `${init.integrity}`;
  }

  clone(): Request {
    // An own copy of everything but the body, which both then have.
    const shared = shareBody(this);
    const parts: RequestParts = [
      this.#method,
      this.#url,
      flatHeaders(this.#headers),
      shared as null,
      internals.cfJson(this),
      this.#redirect,
      this.#signal,
    ];
    const copy = new Request(new Arrived(parts) as unknown as string);
    copy.#headers = copyHeaders(this.#headers, false);
    copy.#cache = this.#cache;
    copy.#integrity = this.#integrity;
    return copy;
  }

  get method(): string {
    return this.#method;
  }

  get url(): string {
    return this.#url;
  }

  get headers(): Headers {
    return this.#headers;
  }

  get redirect(): string {
    return this.#redirect;
  }

  get fetcher(): null {
    return null;
  }

  /** Never aborts where none was given. */
  get signal(): AbortSignal {
    this.#signal ??= new AbortController().signal;
    return this.#signal;
  }

  get cf(): object | undefined {
    if (this.#cf === undefined && this.#cfJson !== null) {
      this.#cf = JSON.parse(this.#cfJson) as object;
    }
    return this.#cf;
  }

  get integrity(): string {
    return this.#integrity;
  }

  get keepalive(): boolean {
    return false;
  }

  get cache(): string | undefined {
    return this.#cache;
  }

  get [Symbol.toStringTag](): string {
    return 'Request';
  }
}

function newBody(
  from: Request | undefined,
  init: RequestInit | Request | undefined,
  method: string,
): { readonly content: Content; readonly contentType: string | undefined } {
  if (init instanceof Request) return { content: takeOver(init), contentType: undefined };
  if (init?.body !== undefined && init.body !== null) {
    if (method === 'GET' || method === 'HEAD') {
      throw new TypeError('Request with a GET or HEAD method cannot have a body.');
    }
    return extractBody(init.body);
  }
  // `body: null` asks for none; only an absent one is taken over.
  if (from === undefined || init?.body === null) return { content: null, contentType: undefined };
  return { content: takeOver(from), contentType: undefined };
}

function takeOver(from: Request): Content {
  if (from.bodyUsed) throw new TypeError('Cannot reconstruct a Request with a used body.');
  return takeBody(from);
}

/** Takes a request apart for sending; its body is used then. Throws where it already was. */
export function requestParts(request: Request): RequestParts {
  const content = takeOver(request);
  const body = contentParts(content);
  const headers = [...flatHeaders(request.headers)];
  const length =
    content instanceof Blob
      ? content.size
      : body instanceof Uint8Array
        ? body.byteLength
        : undefined;
  if (length !== undefined && !request.headers.has('content-length')) {
    headers.push('content-length', `${length}`);
  }
  return [
    request.method,
    request.url,
    headers,
    body,
    internals.cfJson(request),
    request.redirect,
    internals.signal(request),
  ];
}

/** The request that `parts` describe, which its receiver cannot change. Takes the body bytes over. */
export function requestFromParts(parts: RequestParts): Request {
  return new Request(new Arrived(parts) as unknown as string);
}
