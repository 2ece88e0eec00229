/**
 * One room. Its sockets hibernate: while nobody writes the object is not in memory, and the sockets
 * stay open. What must outlive that is in storage (history) or on the sockets (who they are).
 *
 * Messages are JSON. From the page: `{name}` first, then `{text}`, and `{probe}` at any time. To the
 * page: `{type: "history", messages}`, `{type: "message", …}`, `{type: "people", names}`, `{type:
 * "probe", probe, home}`, `{type: "error", error}`.
 */
import { DurableObject } from 'cloudflare:workers';

interface Message {
  readonly name: string;
  readonly text: string;
  /** Milliseconds since 1970; strictly increasing in a room. */
  readonly at: number;
}

interface Input {
  readonly name?: unknown;
  readonly text?: unknown;
  readonly probe?: unknown;
}

interface Attachment {
  readonly address: string;
  readonly name?: string;
}

const historyShown = 100;
const historyKept = 1000;
const nameMax = 32;
const textMax = 1000;

export class ChatRoom extends DurableObject<Env> {
  #lastAt = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Answered by the gateway: a page that asks whether the line still works wakes nobody.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
    ctx.blockConcurrencyWhile(async () => {
      const last = await ctx.storage.list<Message>({ prefix: 'm:', reverse: true, limit: 1 });
      for (const message of last.values()) this.#lastAt = message.at;
    });
  }

  override async fetch(request: Request): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const address = request.headers.get('CF-Connecting-IP') ?? 'unknown';
    server.serializeAttachment({ address } satisfies Attachment);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const attachment = socket.deserializeAttachment() as Attachment;
    const input = parse(data);
    if (input === undefined) {
      send(socket, { type: 'error', error: 'send JSON, as {"text": "hello"}' });
    } else if (input.probe !== undefined) {
      // Answered here and not by the gateway: it measures how far away the room is.
      const { HOMING_REGION: home } = this.env;
      send(socket, { type: 'probe', probe: Number(input.probe), home });
    } else if (attachment.name === undefined) {
      await this.#join(socket, attachment, input.name);
    } else {
      await this.#say(socket, attachment.name, attachment.address, input.text);
    }
  }

  override webSocketClose(socket: WebSocket): void {
    this.#tellPeople(socket);
  }

  async #join(socket: WebSocket, attachment: Attachment, given: unknown): Promise<void> {
    const name = typeof given === 'string' ? given.trim().slice(0, nameMax) : '';
    if (name === '') {
      send(socket, { type: 'error', error: 'say your name first, as {"name": "Ada"}' });
      return;
    }
    socket.serializeAttachment({ ...attachment, name } satisfies Attachment);
    const history = await this.ctx.storage.list<Message>({
      prefix: 'm:',
      reverse: true,
      limit: historyShown,
    });
    send(socket, { type: 'history', messages: [...history.values()].reverse() });
    this.#tellPeople();
  }

  async #say(socket: WebSocket, name: string, address: string, given: unknown): Promise<void> {
    const text = typeof given === 'string' ? given.trim().slice(0, textMax) : '';
    if (text === '') return;
    const waitMs = await this.env.LIMITER.getByName(address).take();
    if (waitMs > 0) {
      send(socket, { type: 'error', error: `too fast: wait ${Math.ceil(waitMs / 1000)} s` });
      return;
    }
    this.#lastAt = Math.max(Date.now(), this.#lastAt + 1);
    const message: Message = { name, text, at: this.#lastAt };
    // Not awaited: nobody is told before it is on disk anyway.
    this.ctx.storage.put(keyOf(message.at), message);
    this.#broadcast({ type: 'message', ...message });
    await this.#prune();
  }

  /** Deletes what lies beyond the history that is kept, some at a time. */
  async #prune(): Promise<void> {
    const count = ((await this.ctx.storage.get<number>('count')) ?? 0) + 1;
    const excess = Math.min(Math.max(count - historyKept, 0), 16);
    if (excess > 0) {
      const oldest = await this.ctx.storage.list({ prefix: 'm:', limit: excess });
      await this.ctx.storage.delete([...oldest.keys()]);
    }
    await this.ctx.storage.put('count', count - excess);
  }

  #tellPeople(leaving?: WebSocket): void {
    const names = new Set<string>();
    for (const socket of this.ctx.getWebSockets()) {
      const { name } = socket.deserializeAttachment() as Attachment;
      if (socket !== leaving && name !== undefined) names.add(name);
    }
    this.#broadcast({ type: 'people', names: [...names].sort() }, leaving);
  }

  #broadcast(message: object, except?: WebSocket): void {
    for (const socket of this.ctx.getWebSockets()) {
      const { name } = socket.deserializeAttachment() as Attachment;
      if (socket !== except && name !== undefined) send(socket, message);
    }
  }
}

function keyOf(at: number): string {
  return `m:${String(at).padStart(15, '0')}`;
}

function send(socket: WebSocket, message: object): void {
  try {
    socket.send(JSON.stringify(message));
  } catch {
    // It is closing: its own close event follows.
  }
}

function parse(data: string | ArrayBuffer): Input | undefined {
  try {
    const value: unknown = typeof data === 'string' ? JSON.parse(data) : undefined;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
