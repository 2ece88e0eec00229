/**
 * `WebSocket` and `WebSocketPair`. An end is in one of these states:
 *
 *   new          made, not accepted: what arrives is kept, up to a limit
 *   accepted     `accept()`: events are delivered to listeners here
 *   hibernating  `ctx.acceptWebSocket()`: events reach the object's handlers by way of the actor
 *   gone         left in a response: nothing but its id is here
 *
 * and linked to its other end in memory, or bound to (id, side) with the transport in between.
 * A pair is bound when one end leaves or hibernates; each end looks at its link when a message has
 * passed the output gate, so that what was sent before and after the binding stays in order.
 *
 * A socket is closed when both directions are. Whatever it sends passes the output gate of the
 * context that accepted it, and every event enters that context as a new one.
 */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
import { deserialize, serialize } from 'node:v8';
import {
  currentContext,
  currentFrame,
  type IoContext,
  type SocketEvent,
  type SocketSide,
} from '@homing/base';
import { compatibility } from './compatibility.ts';
import { GuardedEventTarget } from './listeners.ts';
import { CloseEvent, ErrorEvent } from './socket-events.ts';
import { socketTransport } from './socket-transport.ts';

const attachmentBytesMax = 16_384;
const reasonBytesMax = 123;
/** What an end keeps for a peer that was not accepted yet. */
const waitingBytesMax = 1_048_576;

const states = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;

const notAccepted =
  'You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.';
const lostReason = 'WebSocket disconnected without sending Close frame.';

type State = 'new' | 'accepted' | 'hibernating' | 'gone';
type Link =
  | { readonly kind: 'peer'; readonly peer: WebSocket }
  | { readonly kind: 'bound'; readonly id: string; readonly side: SocketSide }
  | { readonly kind: 'connecting' };

type Binary = 'blob' | 'arraybuffer';

interface Internals {
  pair(): [WebSocket, WebSocket];
  imported(id: string, protocol: string): WebSocket;
  restored(id: string, attachment: Uint8Array | undefined, context: IoContext): WebSocket;
  leave(socket: WebSocket): string;
  hibernate(socket: WebSocket, context: IoContext): string;
  hibernatableId(socket: WebSocket): string | undefined;
  closing(socket: WebSocket): void;
  closed(socket: WebSocket, code: number, reason: string): void;
}

let internals: Internals;
const unlinked = Symbol('unlinked');

function dataSize(event: SocketEvent): number {
  if (event.type === 'close') return event.reason.length;
  return typeof event.data === 'string' ? event.data.length : event.data.byteLength;
}

/** 1005 says that a close frame had no code: it is never sent. */
function sentCode(code: number): number | undefined {
  return code === 1005 ? undefined : code;
}

/** The reason that a close event shows. */
export function closeReason(code: number, reason: string): string {
  return code === 1006 && reason === '' ? lostReason : reason;
}

export class WebSocket extends GuardedEventTarget {
  #state: State = 'new';
  #link: Link = { kind: 'connecting' };
  #context: IoContext | undefined;
  #closedIn = false;
  #closedOut = false;
  #halfOpen = false;
  /** Made by `new WebSocket(url)`. */
  #outgoing = false;
  #waiting: SocketEvent[] = [];
  #waitingBytes = 0;
  #listening: { stop(): void } | undefined;
  #release: (() => void) | undefined;
  #attachment: Uint8Array | undefined;
  #binaryType: Binary | undefined;
  #url: string | null = null;
  #protocol = '';

  static {
    internals = {
      pair: () => {
        const one = new WebSocket(unlinked);
        const other = new WebSocket(unlinked);
        one.#link = { kind: 'peer', peer: other };
        other.#link = { kind: 'peer', peer: one };
        return [one, other];
      },
      imported: (id, protocol) => {
        const socket = new WebSocket(unlinked);
        socket.#link = { kind: 'bound', id, side: 'client' };
        socket.#protocol = protocol;
        return socket;
      },
      restored: (id, attachment, context) => {
        const socket = new WebSocket(unlinked);
        socket.#link = { kind: 'bound', id, side: 'object' };
        socket.#state = 'hibernating';
        socket.#context = context;
        socket.#attachment = attachment;
        return socket;
      },
      leave: (socket) => socket.#leave(),
      hibernate: (socket, context) => socket.#hibernate(context),
      hibernatableId: (socket) =>
        socket.#state === 'hibernating' && socket.#link.kind === 'bound'
          ? socket.#link.id
          : undefined,
      closing: (socket) => {
        socket.#closedIn = true;
      },
      closed: (socket, code, reason) => socket.#answerClose(code, reason),
    };
  }

  constructor(url: string | URL | typeof unlinked, protocols?: string | string[]) {
    super();
    if (url === unlinked) {
      this.#context = currentFrame()?.context;
      return;
    }
    if (url === undefined) {
      throw new TypeError(
        "Failed to construct 'WebSocket': constructor parameter 1 is not of type 'string'.",
      );
    }
    this.#outgoing = true;
    this.#state = 'accepted';
    this.#connect(checkedSocketUrl(`${String(url)}`), protocols);
  }

  accept(options?: { allowHalfOpen?: boolean }): void {
    if (this.#outgoing) {
      throw new TypeError(
        "Websockets obtained from the 'new WebSocket()' constructor cannot call accept",
      );
    }
    if (this.#state === 'gone') {
      throw new TypeError("Can't accept() WebSocket that was already used in a response.");
    }
    if (this.#state === 'hibernating') {
      throw new TypeError("Can't accept() WebSocket after enabling hibernation.");
    }
    if (this.#state === 'accepted') return;
    const context = currentContext();
    this.#state = 'accepted';
    this.#context = context;
    this.#halfOpen = options?.allowHalfOpen === true;
    this.#keepAlive(context);
    if (this.#link.kind === 'bound' && this.#listening === undefined) {
      socketTransport().attach(this.#link.id, context);
      this.#listen(this.#link.id, this.#link.side);
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const event of waiting) this.#arriveSoon(event);
  }

  send(message: string | ArrayBuffer | ArrayBufferView): void {
    if (arguments.length === 0) {
      throw new TypeError(
        "Failed to execute 'send' on 'WebSocket': parameter 1 is not of type 'ArrayBuffer or ArrayBufferView or string'.",
      );
    }
    const context = this.#sendingContext();
    if (this.#closedOut) throw new TypeError("Can't call WebSocket send() after close().");
    // Copied now: what the caller does with the buffer later must not show.
    const data = copiedData(message);
    this.#output(context, () => this.#transmit(data));
  }

  close(code?: number, reason?: string): void {
    const given = code === undefined ? undefined : Math.trunc(Number(code)) || 0;
    checkClose(given, reason);
    const context = this.#sendingContext();
    if (this.#closedOut) return;
    this.#closedOut = true;
    const text = reason === undefined ? undefined : `${reason}`;
    this.#output(context, () => this.#transmitClose(given, text));
    this.#settle();
  }

  serializeAttachment(attachment: unknown): void {
    if (arguments.length === 0) {
      throw new TypeError(
        "Failed to execute 'serializeAttachment' on 'WebSocket': parameter 1 is not of type 'Value'.",
      );
    }
    const bytes = serialized(attachment);
    if (bytes.byteLength > attachmentBytesMax) {
      throw new Error(
        `A WebSocket 'attachment' cannot be larger than ${attachmentBytesMax} bytes.'attachment' was ${bytes.byteLength} bytes.`,
      );
    }
    this.#attachment = bytes;
    if (this.#state === 'hibernating') this.#keepAttachment();
  }

  /** A fresh copy each time; null where there is none. */
  deserializeAttachment(): unknown {
    return this.#attachment === undefined ? null : deserialize(this.#attachment);
  }

  get readyState(): number {
    if (this.#link.kind === 'connecting' && !this.#closedIn) return states.CONNECTING;
    if (this.#closedIn && this.#closedOut) return states.CLOSED;
    return this.#closedIn || this.#closedOut ? states.CLOSING : states.OPEN;
  }

  get url(): string | null {
    return this.#url;
  }

  get protocol(): string | null {
    return this.#protocol;
  }

  get extensions(): string | null {
    return '';
  }

  get bufferedAmount(): number {
    return 0;
  }

  get binaryType(): string {
    return (
      this.#binaryType ?? (compatibility('websocket_standard_binary_type') ? 'blob' : 'arraybuffer')
    );
  }

  set binaryType(type: string) {
    if (type === 'blob' || type === 'arraybuffer') this.#binaryType = type;
  }

  get onopen() {
    return this.handler('open');
  }
  set onopen(handler: unknown) {
    this.setHandler('open', handler);
  }
  get onmessage() {
    return this.handler('message');
  }
  set onmessage(handler: unknown) {
    this.setHandler('message', handler);
  }
  get onclose() {
    return this.handler('close');
  }
  set onclose(handler: unknown) {
    this.setHandler('close', handler);
  }
  get onerror() {
    return this.handler('error');
  }
  set onerror(handler: unknown) {
    this.setHandler('error', handler);
  }

  get [Symbol.toStringTag](): string {
    return 'WebSocket';
  }

  /** The context whose gate a message passes. Throws where this end cannot send. */
  #sendingContext(): IoContext {
    if (this.#outgoing && this.#link.kind === 'connecting') {
      throw new DOMException('WebSocket is not open: it is still connecting.', 'InvalidStateError');
    }
    if (this.#state === 'new' || this.#state === 'gone' || this.#context === undefined) {
      throw new TypeError(notAccepted);
    }
    checkOwner(this.#context);
    return this.#context;
  }

  /** A socket whose other end is in this thread has an effect there; any other only posts. */
  #output(context: IoContext, send: () => void): void {
    if (this.#link.kind === 'bound') context.post(send);
    else context.output(send);
  }

  #transmit(data: string | Uint8Array): void {
    const link = this.#link;
    if (link.kind === 'peer') link.peer.#arriveSoon({ type: 'message', data });
    else if (link.kind === 'bound') socketTransport().send(link.id, link.side, data);
  }

  #transmitClose(code: number | undefined, reason: string | undefined): void {
    const link = this.#link;
    if (link.kind === 'bound') {
      socketTransport().close(link.id, link.side, code, reason);
    } else if (link.kind === 'peer') {
      link.peer.#arriveSoon({
        type: 'close',
        code: code ?? 1005,
        reason: reason ?? '',
        wasClean: true,
      });
    }
  }

  /**
   * An event that code of this thread caused. The caller's turn ends first, in any context: it may
   * be about to add its listeners.
   */
  #arriveSoon(event: SocketEvent): void {
    if (this.#state === 'new') this.#arrived(event);
    else queueMicrotask(() => this.#arrived(event));
  }

  /** An event from the other end: kept until accepted, else a new event of the context. */
  #arrived(event: SocketEvent): void {
    if (this.#closedIn || this.#state === 'gone') return;
    const context = this.#context;
    if (this.#state === 'new' || context === undefined) {
      this.#waitingBytes += dataSize(event);
      if (this.#waitingBytes <= waitingBytesMax) this.#waiting.push(event);
      else this.#overflow();
      return;
    }
    context.enter(
      'event',
      undefined,
      () => this.#deliver(event),
      () => this.#lost(),
    );
  }

  /** Nobody accepted this end while the other one sent without end: both are closed. */
  #overflow(): void {
    this.#waiting = [{ type: 'close', code: 1009, reason: 'too much sent', wasClean: false }];
    this.#waitingBytes = 0;
    if (this.#link.kind === 'peer') {
      const { peer } = this.#link;
      peer.#closedOut = true;
      peer.#arriveSoon({ type: 'close', code: 1009, reason: 'too much sent', wasClean: false });
    }
  }

  #deliver(event: SocketEvent): void {
    if (this.#closedIn) return;
    if (event.type === 'message') {
      const data = typeof event.data === 'string' ? event.data : this.#binary(event.data);
      this.#dispatch(new MessageEvent('message', { data }));
      return;
    }
    const { code, wasClean } = event;
    const reason = closeReason(code, event.reason);
    // What a listener sends to a client that is lost goes nowhere, and is no mistake of its own.
    if (code !== 1006) this.#closeReceived(code, reason);
    this.#dispatch(new CloseEvent('close', { code, reason, wasClean }));
    this.#closeReceived(code, reason);
  }

  #binary(bytes: Uint8Array): ArrayBuffer | Blob {
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    return this.binaryType === 'blob' ? new Blob([buffer as ArrayBuffer]) : (buffer as ArrayBuffer);
  }

  /** A listener that throws ends the socket: what follows would meet a half-done state. */
  #dispatch(event: Event): void {
    const thrown = this.dispatchGuarded(event);
    if (thrown === undefined) return;
    const { error } = thrown;
    console.error(error);
    this.#lost();
    this.dispatchGuarded(new ErrorEvent('error', { message: `Uncaught ${error}`, error }));
  }

  override dispatchEvent(event: Event): boolean {
    const thrown = this.dispatchGuarded(event);
    if (thrown !== undefined) throw thrown.error;
    return !event.defaultPrevented;
  }

  #closeReceived(code: number, reason: string): void {
    if (this.#closedIn) return;
    this.#closedIn = true;
    this.#answerClose(code, reason);
  }

  /** The other end closed. Answered where the platform does so by itself. */
  #answerClose(code: number, reason: string): void {
    if (!this.#closedOut) {
      const answers = compatibility('web_socket_auto_reply_to_close') && !this.#halfOpen;
      if (code === 1006) {
        this.#closedOut = true;
      } else if (answers || this.#outgoing) {
        this.#closedOut = true;
        if (this.#context !== undefined)
          this.#output(this.#context, () => this.#transmitClose(sentCode(code), reason));
      }
    }
    this.#settle();
  }

  /** Neither direction carries anything any more, without a handshake. */
  #lost(): void {
    const link = this.#link;
    if (!this.#closedOut) {
      if (link.kind === 'bound') socketTransport().close(link.id, link.side, 1011, '');
      else if (link.kind === 'peer') {
        link.peer.#arriveSoon({ type: 'close', code: 1006, reason: lostReason, wasClean: false });
      }
    }
    this.#closedIn = true;
    this.#closedOut = true;
    this.#settle();
  }

  #settle(): void {
    if (!(this.#closedIn && this.#closedOut)) return;
    this.#release?.();
    this.#release = undefined;
    this.#listening?.stop();
    this.#listening = undefined;
  }

  #keepAlive(context: IoContext): void {
    const release = context.onEnd(() => this.#lost(), true);
    // A stateless run lasts as long as the sockets it serves.
    const { promise, resolve } = settledLater();
    context.waitUntil(promise);
    this.#release = () => {
      release();
      resolve();
    };
  }

  #listen(id: string, side: SocketSide): void {
    this.#listening = socketTransport().listen(id, side, (event) => this.#arrived(event));
  }

  #keepAttachment(): void {
    const link = this.#link;
    if (link.kind !== 'bound') return;
    const bytes = this.#attachment;
    this.#context?.post(() => socketTransport().attachment(link.id, bytes));
  }

  /** Leaves in a response: from now on its client is elsewhere. Returns the socket's id. */
  #leave(): string {
    if (this.#outgoing) {
      throw new TypeError(
        "Can't return WebSocket in a Response if it was created with `new WebSocket()`",
      );
    }
    if (this.#state === 'accepted') {
      throw new TypeError("Can't return WebSocket in a Response after calling accept().");
    }
    if (this.#state === 'hibernating') {
      throw new TypeError("Can't return WebSocket in a Response after calling acceptWebSocket().");
    }
    if (this.#state === 'gone') {
      throw new TypeError("Can't return WebSocket that was already used in a response.");
    }
    this.#state = 'gone';
    const link = this.#link;
    if (link.kind === 'bound') return link.id;
    if (link.kind !== 'peer') throw new TypeError(notAccepted);
    const id = socketTransport().newSocketId();
    link.peer.#bindToClient(id, this);
    return id;
  }

  /** The other end left as `id`: hands over what it was sent so far. */
  #bindToClient(id: string, client: WebSocket): void {
    this.#link = { kind: 'bound', id, side: 'object' };
    client.#link = { kind: 'bound', id, side: 'client' };
    const transport = socketTransport();
    transport.exported(id, this.#context ?? currentContext());
    if (!(this.#closedIn && this.#closedOut)) this.#listen(id, 'object');
    for (const event of client.#waiting) {
      if (event.type === 'message') transport.send(id, 'object', event.data);
      else transport.close(id, 'object', sentCode(event.code), event.reason);
    }
    client.#waiting = [];
  }

  #hibernate(context: IoContext): string {
    if (this.#state === 'accepted' || this.#state === 'hibernating') {
      throw new Error(
        'Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`',
      );
    }
    const link = this.#link;
    const isPairUsed =
      this.#state === 'new' &&
      (link.kind === 'peer'
        ? link.peer.#state !== 'new'
        : link.kind === 'bound' && link.side === 'object');
    if (isPairUsed) {
      throw new Error(
        'Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a Response.',
      );
    }
    if (this.#state !== 'new' || link.kind !== 'peer') {
      throw new TypeError(
        'Tried to make an api::WebSocket hibernatable when it was in an incompatible state.',
      );
    }
    const id = socketTransport().newSocketId();
    this.#state = 'hibernating';
    this.#context = context;
    this.#link = { kind: 'bound', id, side: 'object' };
    link.peer.#link = { kind: 'bound', id, side: 'client' };
    // The caller announces the socket next; its attachment must come after that.
    if (this.#attachment !== undefined) queueMicrotask(() => this.#keepAttachment());
    return id;
  }

  #connect(url: string, protocols: string | string[] | undefined): void {
    const { context, scope } = connectingFrame();
    this.#context = context;
    this.#url = url;
    const headers = ['upgrade', 'websocket'];
    const offered = Array.isArray(protocols) ? protocols.join(', ') : protocols;
    if (offered !== undefined && offered !== '') headers.push('sec-websocket-protocol', offered);
    this.#keepAlive(context);
    const failed = (error: unknown) => {
      this.#closedIn = true;
      this.#closedOut = true;
      this.#settle();
      const message = 'WebSocket connection failed';
      this.#dispatch(new ErrorEvent('error', { message, error }));
      this.#dispatch(new CloseEvent('close', { code: 1006, reason: lostReason, wasClean: false }));
    };
    const opened = (id: string, protocol: string) => {
      if (this.#closedIn) return;
      this.#link = { kind: 'bound', id, side: 'client' };
      this.#protocol = protocol;
      socketTransport().attach(id, context);
      this.#listen(id, 'client');
      this.#dispatch(new Event('open'));
    };
    context.post(() => {
      socketTransport()
        .connect({ url: `http${url.slice(2)}`, headers }, context)
        .then(
          ({ socket, protocol }) =>
            context.enter('answer', scope, () => opened(socket, protocol), ignore),
          (error) => context.enter('answer', scope, () => failed(error), ignore),
        );
    });
  }
}

for (const [name, value] of Object.entries(states)) {
  const property = { value, enumerable: true };
  for (const holder of [WebSocket, WebSocket.prototype]) {
    Object.defineProperty(holder, name, property);
    Object.defineProperty(holder, `READY_STATE_${name}`, property);
  }
}

function ignore(): void {}

function connectingFrame() {
  const context = currentContext();
  return { context, scope: context.scope() };
}

function settledLater(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = ignore;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Code of one context must not act for another one. */
function checkOwner(owner: IoContext): void {
  const here = currentFrame()?.context;
  if (here === undefined || here === owner) return;
  throw new Error(
    'Cannot perform I/O on behalf of a different Durable Object. I/O objects (such as streams, request/response bodies, and others) created in the context of one Durable Object cannot be accessed from a different Durable Object in the same isolate.',
  );
}

function checkClose(code: number | undefined, reason: unknown): void {
  if (code === undefined) {
    if (reason === undefined) return;
    throw new DOMException(
      'If you specify a WebSocket close reason, you must also specify a code.',
      'InvalidAccessError',
    );
  }
  const reserved = code === 1004 || code === 1005 || code === 1006 || code === 1015;
  if (code < 1000 || code > 4999 || reserved) {
    throw new DOMException(`Invalid WebSocket close code: ${code}.`, 'InvalidAccessError');
  }
  if (reason === undefined || !compatibility('websocket_close_reason_byte_limit')) return;
  if (Buffer.byteLength(`${reason}`) > reasonBytesMax) {
    throw new DOMException(
      `WebSocket close reason must not be longer than ${reasonBytesMax} bytes when UTF-8 encoded.`,
      'SyntaxError',
    );
  }
}

function copiedData(message: unknown): string | Uint8Array {
  if (typeof message === 'string') return message;
  if (message instanceof ArrayBuffer) return new Uint8Array(message.slice(0));
  if (ArrayBuffer.isView(message)) {
    const { buffer, byteOffset, byteLength } = message;
    return new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
  }
  return `${message}`;
}

function serialized(value: unknown): Uint8Array {
  try {
    // A copy: the serializer's buffer is larger than what is in it.
    return new Uint8Array(serialize(value));
  } catch (error) {
    if (error instanceof Error && error.message.endsWith('could not be cloned.')) {
      throw new DOMException(error.message, 'DataCloneError');
    }
    throw error;
  }
}

function checkedSocketUrl(url: string): string {
  const failed = (what: string) =>
    new DOMException(`WebSocket Constructor: The url ${what}`, 'SyntaxError');
  if (!URL.canParse(url)) throw failed('is invalid.');
  const parsed = new URL(url);
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:') {
    throw failed('scheme must be ws or wss.');
  }
  if (parsed.hash !== '' || url.endsWith('#')) throw failed('fragment must be empty.');
  return parsed.href;
}

/** Two ends that are joined: what one sends the other receives. */
export class WebSocketPair {
  readonly 0: WebSocket;
  readonly 1: WebSocket;

  constructor() {
    const [one, other] = internals.pair();
    this[0] = one;
    this[1] = other;
  }

  *[Symbol.iterator](): IterableIterator<WebSocket> {
    yield this[0];
    yield this[1];
  }

  get [Symbol.toStringTag](): string {
    return 'WebSocketPair';
  }
}

/** The end leaves in a response. Returns its id; throws for one that cannot leave. */
export function exportSocket(socket: WebSocket): string {
  return internals.leave(socket);
}

/** The client's end of a socket, which came in a response. */
export function importedSocket(id: string, protocol: string): WebSocket {
  return internals.imported(id, protocol);
}

/**
 * Makes `ws` a hibernatable end of the context's object and returns its socket id. Throws for one
 * that was accepted or used before. From now on what it sends goes to the transport.
 */
export function acceptHibernatable(ws: WebSocket, context: IoContext): string {
  return internals.hibernate(ws, context);
}

/** A hibernatable end after a wake. */
export function restoredSocket(
  id: string,
  attachment: Uint8Array | undefined,
  context: IoContext,
): WebSocket {
  return internals.restored(id, attachment, context);
}

/** The id of a hibernatable end, undefined for any other. */
export function hibernatableSocketId(ws: WebSocket): string | undefined {
  return internals.hibernatableId(ws);
}

/** The close event reached a hibernatable end, and the object's handler runs next: it may still send. */
export function socketClosing(ws: WebSocket): void {
  internals.closing(ws);
}

/** The handler of the close event is done: the close is answered where the compatibility date says so. */
export function socketClosed(ws: WebSocket, code: number, reason: string): void {
  internals.closed(ws, code, reason);
}
