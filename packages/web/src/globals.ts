/**
 * Puts the platform's globals in place of Node's. Called once in a thread that runs user code,
 * before that code is loaded. Code of this project that needs Node's own must take them earlier.
 */
import { createHash, timingSafeEqual as nodeTimingSafeEqual, type webcrypto } from 'node:crypto';
import { asBytes } from './body.ts';
import { DigestStream } from './digest-stream.ts';
import { fetch } from './fetch.ts';
import { Headers } from './headers.ts';
import { Request } from './request.ts';
import { WebSocketRequestResponsePair } from './request-response-pair.ts';
import { Response } from './response.ts';
import { CloseEvent, ErrorEvent } from './socket-events.ts';
import { FixedLengthStream, IdentityTransformStream } from './streams.ts';
import {
  clearTimeout,
  Scheduler,
  setImmediate,
  setInterval,
  setTimeout,
  timeoutSignal,
} from './timers.ts';
import { WebSocket, WebSocketPair } from './web-socket.ts';

function timingSafeEqual(a: unknown, b: unknown): boolean {
  const [one, other] = [asBytes(a), asBytes(b)];
  if (one === undefined || other === undefined) {
    throw new TypeError(
      `Failed to execute 'timingSafeEqual' on 'SubtleCrypto': parameter ${one === undefined ? 1 : 2} is not of type 'BufferSource'.`,
    );
  }
  if (one.byteLength !== other.byteLength) {
    throw new TypeError('Input buffers must have the same byte length.');
  }
  return nodeTimingSafeEqual(one, other);
}

type Algorithm = string | { readonly name: string };

const nativeDigest = globalThis.crypto.subtle.digest.bind(globalThis.crypto.subtle);

/** `digest` as the platform has it: it knows MD5, for what others have signed with it. */
function digest(algorithm: Algorithm, data: webcrypto.BufferSource): Promise<ArrayBuffer> {
  const name = typeof algorithm === 'string' ? algorithm : algorithm?.name;
  const bytes = asBytes(data);
  if (bytes === undefined || `${name}`.toUpperCase() !== 'MD5') {
    return nativeDigest(algorithm, data);
  }
  return Promise.resolve(new Uint8Array(createHash('md5').update(bytes).digest()).buffer);
}

function unsupported(name: string): Error {
  return new Error(`${name} is not supported here: homing runs Durable Objects, not the edge.`);
}

/** What the platform has and homing does not says so when used, not when named. */
class HTMLRewriter {
  constructor() {
    throw unsupported('HTMLRewriter');
  }
}

const caches = {
  get default(): never {
    throw unsupported('caches.default');
  },
  open(): Promise<never> {
    return Promise.reject(unsupported('caches.open()'));
  },
};

/** Replaces the globals on `target`: the executor's `globalThis`, or an object in tests. */
export function installGlobals(target: typeof globalThis): void {
  const scope = new EventTarget();
  const globals: Record<string, unknown> = {
    Headers,
    Request,
    Response,
    fetch,
    WebSocket,
    WebSocketPair,
    WebSocketRequestResponsePair,
    CloseEvent,
    ErrorEvent,
    IdentityTransformStream,
    FixedLengthStream,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval: clearTimeout,
    setImmediate,
    clearImmediate: clearTimeout,
    scheduler: new Scheduler(),
    reportError: (error: unknown) => console.error(error),
    navigator: Object.freeze({ userAgent: 'Cloudflare-Workers' }),
    self: target,
    HTMLRewriter,
    caches,
    addEventListener: scope.addEventListener.bind(scope),
    removeEventListener: scope.removeEventListener.bind(scope),
    dispatchEvent: scope.dispatchEvent.bind(scope),
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(target, name, { value, writable: true, configurable: true });
  }
  Object.defineProperty(target.crypto.subtle, 'timingSafeEqual', {
    value: timingSafeEqual,
    writable: true,
    configurable: true,
  });
  Object.defineProperty(target.crypto.subtle, 'digest', {
    value: digest,
    writable: true,
    configurable: true,
  });
  Object.defineProperty(target.crypto, 'DigestStream', {
    value: DigestStream,
    writable: true,
    configurable: true,
  });
  Object.defineProperty(target.AbortSignal, 'timeout', {
    value: timeoutSignal,
    writable: true,
    configurable: true,
  });
}
