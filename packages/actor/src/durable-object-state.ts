/** `ctx` of an object. */
import type { WebSocket, WebSocketRequestResponsePair } from '@homing/web';
import type { DurableObjectId } from './durable-object-id.ts';
import type { DurableObjectStorage } from './durable-object-storage.ts';
import type { Hibernation } from './hibernation.ts';
import { badArgument } from './storage-access.ts';

const name = 'DurableObjectState';

export interface StateHooks {
  readonly id: DurableObjectId;
  readonly storage: DurableObjectStorage;
  readonly hibernation: Hibernation;
  /** What `ctx.exports` and `ctx.props` are. */
  readonly exports: unknown;
  readonly props: unknown;
  readonly waitUntil: (promise: Promise<unknown>) => void;
  readonly block: <T>(run: () => Promise<T>) => Promise<T>;
  /** Throws. */
  readonly abort: (reason: unknown) => never;
}

export class DurableObjectState {
  readonly #hooks: StateHooks;
  readonly facets: undefined = undefined;
  readonly container: undefined = undefined;
  readonly storage: DurableObjectStorage;
  readonly id: DurableObjectId;
  readonly props: unknown;
  readonly exports: unknown;

  constructor(hooks: StateHooks) {
    this.#hooks = hooks;
    this.storage = hooks.storage;
    this.id = hooks.id;
    this.props = hooks.props;
    this.exports = hooks.exports;
  }

  waitUntil(promise: Promise<unknown>): void {
    this.#hooks.waitUntil(promise);
  }

  blockConcurrencyWhile<T>(run: () => Promise<T>): Promise<T> {
    if (typeof run !== 'function') {
      return Promise.reject(badArgument('blockConcurrencyWhile', name, 1, 'function'));
    }
    return this.#hooks.block(run);
  }

  abort(reason?: unknown): never {
    return this.#hooks.abort(reason);
  }

  acceptWebSocket(socket: WebSocket, tags?: readonly string[]): void {
    this.#hooks.hibernation.accept(socket, tags);
  }

  getWebSockets(tag?: string): WebSocket[] {
    return this.#hooks.hibernation.sockets(tag);
  }

  getTags(socket: WebSocket): string[] {
    return this.#hooks.hibernation.tags(socket);
  }

  setWebSocketAutoResponse(pair?: WebSocketRequestResponsePair): void {
    this.#hooks.hibernation.setAutoResponse(pair);
  }

  getWebSocketAutoResponse(): WebSocketRequestResponsePair | null {
    return this.#hooks.hibernation.getAutoResponse();
  }

  getWebSocketAutoResponseTimestamp(socket: WebSocket): Date | null {
    return this.#hooks.hibernation.autoResponseTimestamp(socket);
  }

  setHibernatableWebSocketEventTimeout(timeoutMs?: number): void {
    this.#hooks.hibernation.setEventTimeout(timeoutMs);
  }

  getHibernatableWebSocketEventTimeout(): number | null {
    return this.#hooks.hibernation.eventTimeoutMs;
  }

  get [Symbol.toStringTag](): string {
    return name;
  }
}
