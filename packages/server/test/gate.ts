/** A server that an object asks, and that answers once it is told to: what runs meanwhile is up to a test. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export class Gate {
  readonly #server: Server;
  /** Resolves when somebody waits. */
  readonly reached: Promise<void>;
  #waiting: ServerResponse | undefined;

  private constructor(server: Server) {
    this.#server = server;
    this.reached = new Promise((resolve) => {
      server.once('request', (_request, response) => {
        this.#waiting = response;
        resolve();
      });
    });
  }

  static async start(): Promise<Gate> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new Gate(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Lets who waits go on. */
  open(): void {
    this.#waiting?.end();
    this.#server.close();
  }
}
