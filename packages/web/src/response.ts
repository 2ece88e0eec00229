/**
 * `Response` as workerd has it, and its plain form in which it travels between contexts.
 */
import {
  Body,
  type BodyInit,
  type Content,
  contentParts,
  extractBody,
  shareBody,
  takeBody,
} from './body.ts';
import { expectBytes, expectedBytes } from './body-length.ts';
import { copyHeaders, flatHeaders, Headers, type HeadersInit, headersFromFlat } from './headers.ts';
import { defaultStatusText } from './status-text.ts';
import { exportSocket, importedSocket, WebSocket } from './web-socket.ts';

export type ResponseParts = readonly [
  status: number,
  statusText: string,
  /** Flat: name, value, … */
  headers: readonly string[],
  body: null | Uint8Array | ReadableStream<Uint8Array>,
  socket: string | null,
  /** Bytes of a body that is a stream, where they are known. Absent from older nodes. */
  length?: number | null,
  /** Whether the body is in its `content-encoding` already. Absent from older nodes. */
  encoded?: boolean,
];

export interface ResponseInit {
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
  cf?: object | null;
  webSocket?: WebSocket | null;
  encodeBody?: string;
}

const redirectStatuses = [301, 302, 303, 307, 308];
const validStatusText = /^[\t\x20-\x7e\x80-\xff]*$/;

function hasNullBody(status: number): boolean {
  return status === 101 || status === 204 || status === 205 || status === 304;
}

function isEmpty(content: Content): boolean {
  if (typeof content === 'string') return content.length === 0;
  if (content instanceof Uint8Array) return content.byteLength === 0;
  return content instanceof Blob && content.size === 0;
}

function checkedStatus(status: unknown, socket: WebSocket | null): number {
  const given = status === undefined ? 200 : Math.trunc(Number(status)) || 0;
  if (socket !== null) {
    if (given !== 101)
      throw new RangeError('Responses with a WebSocket must have status code 101.');
  } else if (given < 200 || given > 599) {
    throw new RangeError(
      'Responses may only be constructed with status codes in the range 200 to 599, inclusive.',
    );
  }
  return given;
}

function checkedSocket(socket: unknown): WebSocket | null {
  if (socket === undefined || socket === null) return null;
  if (socket instanceof WebSocket) return socket;
  throw new TypeError(
    "Incorrect type for the 'webSocket' field on 'InitializerDict': the provided value is not of type 'WebSocket'.",
  );
}

function isEncoded(encodeBody: unknown): boolean {
  if (encodeBody === 'manual') return true;
  if (encodeBody === undefined || encodeBody === 'automatic') return false;
  throw new TypeError(`encodeBody: unexpected value: ${encodeBody}`);
}

/** Of a body that shows how long it will be. */
function knownLength(content: Content): number | null {
  if (content instanceof Blob) return content.size;
  return content instanceof ReadableStream ? (expectedBytes(content) ?? null) : null;
}

/** What the constructor of responses that no user code made is given in place of a body. */
class Made {
  readonly content: Content;
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly socket: WebSocket | null;
  constructor(
    content: Content,
    status: number,
    statusText: string,
    headers: Headers,
    socket: WebSocket | null,
  ) {
    this.content = content;
    this.status = status;
    this.statusText = statusText;
    this.headers = headers;
    this.socket = socket;
  }
}

interface Internals {
  setOrigin(response: Response, url: string, redirected: boolean): void;
  setStatusText(response: Response, statusText: string): void;
  setEncoded(response: Response, encoded: boolean): void;
  isEncoded(response: Response): boolean;
}

let internals: Internals;

export class Response extends Body {
  #status = 200;
  #statusText = '';
  #headers: Headers;
  #type = 'default';
  #url = '';
  #redirected = false;
  #cf: object | null | undefined;
  #socket: WebSocket | null = null;
  /** The body is what goes to clients as it is, whatever `content-encoding` says. */
  #encoded = false;

  static {
    internals = {
      setOrigin: (response, url, redirected) => {
        response.#url = url;
        response.#redirected = redirected;
      },
      setStatusText: (response, statusText) => {
        response.#statusText = statusText;
      },
      setEncoded: (response, encoded) => {
        response.#encoded = encoded;
      },
      isEncoded: (response) => response.#encoded,
    };
  }

  constructor(body?: BodyInit | null, init?: ResponseInit | Response | null) {
    if ((body as unknown) instanceof Made) {
      const made = body as unknown as Made;
      super(made.content);
      this.#status = made.status;
      this.#statusText = made.statusText;
      this.#headers = made.headers;
      this.#socket = made.socket;
      return;
    }
    const given = init ?? undefined;
    const socket = given === undefined ? null : checkedSocket(given.webSocket);
    const status = given === undefined ? 200 : checkedStatus(given.status, socket);
    let { content, contentType } = extractBody(body);
    if (content !== null && hasNullBody(status)) {
      if (!isEmpty(content)) {
        throw new TypeError(
          'Response with null body status (101, 204, 205, or 304) cannot have a body.',
        );
      }
      content = null;
      contentType = undefined;
    }
    super(content);
    this.#status = status;
    this.#socket = socket;
    const headers = given?.headers;
    this.#headers = headers instanceof Headers ? copyHeaders(headers, false) : new Headers(headers);
    if (contentType !== undefined && !this.#headers.has('content-type')) {
      this.#headers.set('content-type', contentType);
    }
    if (given === undefined) return;
    if (given.statusText !== undefined) {
      this.#statusText = `${given.statusText}`;
      if (!validStatusText.test(this.#statusText)) throw new TypeError('Invalid statusText');
    }
    if (given.cf !== undefined) this.#cf = given.cf;
    this.#encoded = given instanceof Response ? given.#encoded : isEncoded(given.encodeBody);
  }

  static error(): Response {
    const response = new Response(null);
    response.#type = 'error';
    response.#status = 0;
    return response;
  }

  static redirect(url: string | URL, status = 302): Response {
    if (!URL.canParse(`${url}`)) throw new TypeError(`Unable to parse URL: ${url}`);
    if (!redirectStatuses.includes(status)) {
      throw new RangeError(
        `${status} is not a redirect status code. It must be one of: 301, 302, 303, 307, or 308.`,
      );
    }
    const headers = headersFromFlat(['location', new URL(url).href], true);
    return new Response(new Made(null, status, '', headers, null) as unknown as string);
  }

  static json(value: unknown, init?: ResponseInit): Response {
    const response = new Response(JSON.stringify(value), init);
    // The text's own default gives way; what the caller set stays.
    if (init?.headers === undefined || !new Headers(init.headers).has('content-type')) {
      response.#headers.set('content-type', 'application/json');
    }
    return response;
  }

  clone(): Response {
    if (this.#socket !== null) {
      throw new TypeError('Cannot clone a response to a WebSocket handshake.');
    }
    const shared = shareBody(this);
    const headers = copyHeaders(this.#headers, false);
    const made = new Made(shared, this.#status, this.#statusText, headers, null);
    const copy = new Response(made as unknown as string);
    copy.#type = this.#type;
    copy.#url = this.#url;
    copy.#redirected = this.#redirected;
    copy.#cf = this.#cf;
    copy.#encoded = this.#encoded;
    return copy;
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get headers(): Headers {
    return this.#headers;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get redirected(): boolean {
    return this.#redirected;
  }

  get url(): string {
    return this.#url;
  }

  get webSocket(): WebSocket | null {
    return this.#socket;
  }

  get cf(): object | null | undefined {
    return this.#cf;
  }

  get type(): string {
    return this.#type;
  }

  get [Symbol.toStringTag](): string {
    return 'Response';
  }
}

/**
 * Takes a response apart for sending; its body is used then, and its socket is the receiver's.
 * Throws where the body is used already or the socket cannot leave.
 */
export function responseParts(response: Response): ResponseParts {
  const { webSocket } = response;
  const content = takeBody(response);
  return [
    response.status,
    response.statusText,
    flatHeaders(response.headers),
    contentParts(content),
    webSocket === null ? null : exportSocket(webSocket),
    knownLength(content),
    internals.isEncoded(response),
  ];
}

/** The response that `parts` describe, which its receiver cannot change. Takes the body over. */
export function responseFromParts(parts: ResponseParts): Response {
  const [status, statusText, headers, body, socket, length, encoded] = parts;
  if (body instanceof ReadableStream && typeof length === 'number') expectBytes(body, length);
  const made = new Made(
    body,
    status,
    statusText,
    headersFromFlat(headers, true),
    socket === null ? null : importedSocket(socket, ''),
  );
  const response = new Response(made as unknown as string);
  internals.setEncoded(response, encoded === true);
  return response;
}

/** What a stub's `fetch` answers with: `response` as one that HTTP brought. Takes its body over. */
export function answeredResponse(
  response: Response,
  origin: { readonly url: string; readonly redirected: boolean; readonly method: string },
): Response {
  let answer = response;
  if (origin.method === 'HEAD' && response.body !== null) {
    response.body.cancel().catch(() => {});
    const { status, statusText, headers, webSocket } = response;
    answer = new Response(
      new Made(null, status, statusText, headers, webSocket) as unknown as string,
    );
  }
  if (answer.statusText === '') internals.setStatusText(answer, defaultStatusText(answer.status));
  internals.setOrigin(answer, origin.url, origin.redirected);
  return answer;
}

/** What `fetch` answers with. */
export function fetchedResponse(
  parts: ResponseParts,
  origin: { readonly url: string; readonly redirected: boolean; readonly socket: WebSocket | null },
): Response {
  const [status, statusText, headers, body] = parts;
  const made = new Made(body, status, statusText, headersFromFlat(headers, true), origin.socket);
  const response = new Response(made as unknown as string);
  internals.setOrigin(response, origin.url, origin.redirected);
  return response;
}
