/** What tests send to the `faults` fixture: calls over HTTP, and WebSockets that remember. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { Program } from './program.ts';

export interface Answer {
  readonly status: number;
  /** What the method gave. */
  readonly result?: unknown;
  readonly name?: string;
  readonly message?: string;
  readonly stack?: string;
  readonly [property: string]: unknown;
}

/** Calls a method of an object; what is not JSON becomes the message. */
export async function call(program: Program, path: string): Promise<Answer> {
  const response = await fetch(program.url(path));
  const text = await response.text();
  try {
    return { status: response.status, ...(JSON.parse(text) as object) };
  } catch {
    return { status: response.status, message: text };
  }
}

export class Client {
  readonly #socket: WebSocket;
  readonly #received: string[] = [];
  readonly closed: Promise<number>;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#received.push(String(data)));
    this.closed = new Promise((resolve) => socket.once('close', resolve));
  }

  static async connect(program: Program, path: string): Promise<Client> {
    const socket = new WebSocket(program.url(path).replace('http', 'ws'), { maxPayload: 1 << 30 });
    const client = new Client(socket);
    await once(socket, 'open');
    return client;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(data: string | Buffer): void {
    this.#socket.send(data);
  }

  /** Reads nothing any more: what is sent stays on the way. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  get received(): number {
    return this.#received.length;
  }

  /** The next message not taken yet. */
  async next(): Promise<string> {
    while (this.#received.length === 0) await once(this.#socket, 'message');
    return this.#received.shift() as string;
  }

  async ask(data: string | Buffer): Promise<string> {
    this.send(data);
    return this.next();
  }

  close(): void {
    this.#socket.close();
  }
}
