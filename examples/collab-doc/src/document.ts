/**
 * One document. The object is what puts edits in order: an edit names the version it was made on,
 * and is taken only if that is the newest. Who was too late gets the edits it missed, moves its own
 * over them and sends it again; so all copies pass through the same versions.
 *
 * In storage: a snapshot of the text, and the edits since. To the page: `{type: "text", version,
 * text}` at first, then `{type: "edit", version, edit, from}` for each version, one's own included.
 */
import { DurableObject } from 'cloudflare:workers';

/** At `at`, `remove` characters give way to `insert`. */
export interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

interface Logged {
  readonly edit: Edit;
  /** Who made it: the page's own number for itself. */
  readonly from: string;
}

const textMax = 200_000;
const editsPerSnapshot = 50;

export class Document extends DurableObject<Env> {
  #text = '';
  #version = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#text = (await ctx.storage.get<string>('text')) ?? '';
      this.#version = (await ctx.storage.get<number>('version')) ?? 0;
      for (const { edit } of (await ctx.storage.list<Logged>({ prefix: 'edit:' })).values()) {
        this.#apply(edit);
      }
    });
  }

  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get('upgrade') !== 'websocket') {
      return Response.json({ version: this.#version, text: this.#text });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.send(JSON.stringify({ type: 'text', version: this.#version, text: this.#text }));
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const { version, edit, from } = JSON.parse(String(data)) as {
      version: number;
      edit: Edit;
      from: string;
    };
    // Too late: what it missed is on the way to it, and it will come again.
    if (version !== this.#version) return;
    if (!this.#isPossible(edit)) {
      socket.close(1008, 'that edit does not fit the document');
      return;
    }
    this.#apply(edit);
    this.#keep({ edit, from });
    const message = JSON.stringify({ type: 'edit', version: this.#version, edit, from });
    for (const other of this.ctx.getWebSockets()) {
      // One that is just closing needs nothing more.
      if (other.readyState === WebSocket.OPEN) other.send(message);
    }
  }

  /** Edits are logged one by one; now and then a snapshot takes the place of the log. */
  #keep(logged: Logged): void {
    const { storage } = this.ctx;
    if (this.#version % editsPerSnapshot !== 0) {
      storage.put(keyOf(this.#version), logged);
      return;
    }
    storage.put({ text: this.#text, version: this.#version });
    for (let version = this.#version - editsPerSnapshot + 1; version < this.#version; version++) {
      storage.delete(keyOf(version));
    }
  }

  #isPossible({ at, remove, insert }: Edit): boolean {
    const isCount = (value: unknown) => Number.isInteger(value) && Number(value) >= 0;
    if (!isCount(at) || !isCount(remove) || typeof insert !== 'string') return false;
    return at + remove <= this.#text.length && this.#text.length + insert.length <= textMax;
  }

  #apply({ at, remove, insert }: Edit): void {
    this.#text = this.#text.slice(0, at) + insert + this.#text.slice(at + remove);
    this.#version++;
  }
}

function keyOf(version: number): string {
  return `edit:${String(version).padStart(12, '0')}`;
}
