/**
 * The hibernatable sockets of one activation. The sockets themselves belong to the gateway and
 * outlive the activation; here are the objects that user code holds of them, with their tags, and
 * the delivery of their events.
 */
import type { AutoResponsePair, IoContext, SocketEvent, SocketState } from '@homing/base';
import {
  acceptHibernatable,
  closeReason,
  hibernatableSocketId,
  restoredSocket,
  socketClosed,
  socketClosing,
  WebSocket,
  WebSocketRequestResponsePair,
} from '@homing/web';
import { badArgument } from './storage-access.ts';

const name = 'DurableObjectState';
const tagsMax = 10;
const tagLengthMax = 256;
const autoResponseBytesMax = 2048;
const eventTimeoutMaxMs = 604_800_000;

export interface HibernationHost {
  /** Announces a socket that the object accepted. */
  accept(socket: string, tags: readonly string[]): void;
  autoResponse(pair: AutoResponsePair | undefined): void;
}

interface Held {
  readonly socket: WebSocket;
  readonly tags: readonly string[];
  autoResponseMs: number | undefined;
}

export class Hibernation {
  readonly #context: IoContext;
  readonly #host: HibernationHost;
  readonly #held = new Map<string, Held>();
  #autoResponse: AutoResponsePair | undefined;
  #eventTimeoutMs: number | null = null;

  constructor(
    context: IoContext,
    host: HibernationHost,
    sockets: readonly SocketState[],
    autoResponse: AutoResponsePair | undefined,
  ) {
    this.#context = context;
    this.#host = host;
    this.#autoResponse = autoResponse;
    this.adopt(sockets, undefined);
  }

  /** Sockets from elsewhere; those that are held already stay as they are. */
  adopt(sockets: readonly SocketState[], autoResponse: AutoResponsePair | undefined): void {
    this.#autoResponse ??= autoResponse;
    for (const { socket, tags, attachment, autoResponseMs } of sockets) {
      if (this.#held.has(socket)) continue;
      this.#held.set(socket, {
        socket: restoredSocket(socket, attachment, this.#context),
        tags,
        autoResponseMs,
      });
    }
  }

  /** Whether there are sockets that the object can leave memory with. */
  get holdsSockets(): boolean {
    return this.#held.size > 0;
  }

  accept(socket: unknown, tags: unknown): void {
    if (!(socket instanceof WebSocket)) throw badArgument('acceptWebSocket', name, 1, 'WebSocket');
    const given = checkTags(tags);
    const id = acceptHibernatable(socket, this.#context);
    this.#held.set(id, { socket, tags: given, autoResponseMs: undefined });
    this.#context.post(() => this.#host.accept(id, given));
  }

  /** In the platform's order: of all the newest first, of a tag the oldest. */
  sockets(tag: unknown): WebSocket[] {
    const held = [...this.#held.values()];
    if (tag === undefined || tag === null) return held.map(({ socket }) => socket).reverse();
    return held.filter(({ tags }) => tags.includes(String(tag))).map(({ socket }) => socket);
  }

  tags(socket: unknown): string[] {
    return [...this.#find(socket, 'getTags', 'tags').tags];
  }

  setAutoResponse(pair: unknown): void {
    if (pair !== undefined && !(pair instanceof WebSocketRequestResponsePair)) {
      throw badArgument('setWebSocketAutoResponse', name, 1, 'WebSocketRequestResponsePair');
    }
    if (pair !== undefined) {
      checkSize('Request', pair.request);
      checkSize('Response', pair.response);
    }
    const plain =
      pair === undefined ? undefined : { request: pair.request, response: pair.response };
    this.#autoResponse = plain;
    this.#context.post(() => this.#host.autoResponse(plain));
  }

  getAutoResponse(): WebSocketRequestResponsePair | null {
    if (this.#autoResponse === undefined) return null;
    const { request, response } = this.#autoResponse;
    return new WebSocketRequestResponsePair(request, response);
  }

  autoResponseTimestamp(socket: unknown): Date | null {
    if (!(socket instanceof WebSocket)) {
      throw badArgument('getWebSocketAutoResponseTimestamp', name, 1, 'WebSocket');
    }
    const id = hibernatableSocketId(socket);
    const at = id === undefined ? undefined : this.#held.get(id)?.autoResponseMs;
    return at === undefined ? null : new Date(at);
  }

  setEventTimeout(timeoutMs: unknown): void {
    if (timeoutMs === undefined || timeoutMs === null) {
      this.#eventTimeoutMs = null;
      return;
    }
    const value = Math.trunc(Number(timeoutMs));
    if (value > eventTimeoutMaxMs) {
      throw new Error(`Event timeout should not exceed ${eventTimeoutMaxMs} ms.`);
    }
    this.#eventTimeoutMs = value;
  }

  get eventTimeoutMs(): number | null {
    return this.#eventTimeoutMs;
  }

  autoResponded(id: string, atMs: number): void {
    const held = this.#held.get(id);
    if (held !== undefined) held.autoResponseMs = atMs;
  }

  /** Closes a socket for the object, which is told when the client has gone. */
  cut(id: string): void {
    this.#held.get(id)?.socket.close(1013, 'the object has too many events queued');
  }

  /** Hands an event to the object's handler; returns what that returns. */
  deliver(instance: object, id: string, event: SocketEvent): unknown {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    const { socket } = held;
    const handlers = instance as SocketHandlers;
    if (event.type === 'message') {
      return handlers.webSocketMessage?.(socket, toMessage(event.data));
    }
    const { code, wasClean } = event;
    const reason = closeReason(code, event.reason);
    socketClosing(socket);
    const done = () => {
      this.#held.delete(id);
      socketClosed(socket, code, reason);
    };
    let result: unknown;
    try {
      result = handlers.webSocketClose?.(socket, code, reason, wasClean);
    } catch (error) {
      done();
      throw error;
    }
    if (!(result instanceof Promise)) {
      done();
      return result;
    }
    return result.finally(done);
  }

  #find(socket: unknown, method: string, what: string): Held {
    if (!(socket instanceof WebSocket)) throw badArgument(method, name, 1, 'WebSocket');
    const id = hibernatableSocketId(socket);
    const held = id === undefined ? undefined : this.#held.get(id);
    if (held === undefined) {
      throw new Error(
        `you must call 'acceptWebSocket()' before attempting to access the ${what} of a WebSocket.`,
      );
    }
    return held;
  }
}

interface SocketHandlers {
  webSocketMessage?(socket: WebSocket, message: string | ArrayBuffer): unknown;
  webSocketClose?(socket: WebSocket, code: number, reason: string, wasClean: boolean): unknown;
}

/** Text or an `ArrayBuffer` of its own. */
function toMessage(data: string | Uint8Array): string | ArrayBuffer {
  if (typeof data === 'string') return data;
  const { buffer, byteOffset, byteLength } = data;
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}

function checkSize(what: 'Request' | 'Response', text: string): void {
  const size = Buffer.byteLength(text);
  if (size > autoResponseBytesMax) {
    throw new RangeError(
      `${what} cannot be larger than ${autoResponseBytesMax} bytes. A ${what.toLowerCase()} of size ${size} was provided.`,
    );
  }
}

function checkTags(tags: unknown): readonly string[] {
  if (tags === undefined) return [];
  if (!Array.isArray(tags)) throw badArgument('acceptWebSocket', name, 2, 'Array');
  const unique = new Set<string>();
  // Counted as given: doubled tags count twice against the limit.
  if (tags.length > tagsMax) {
    throw new Error('a Hibernatable WebSocket cannot have more than 10 tags');
  }
  for (const value of tags) {
    const tag = String(value);
    if (tag.length > tagLengthMax) {
      throw new Error(`"${tag}" is longer than the max tag length (${tagLengthMax} characters).`);
    }
    unique.add(tag);
  }
  return [...unique];
}
