/** What an object tells other servers: nothing that it read as an owner that it is no more. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { fixture } from './program.ts';
import { hasEtcd, TestCluster, type TestNode } from './test-cluster.ts';

/** Another server, which lets `/gate` wait until it is opened, and notes what it is told. */
class Listener {
  readonly told: string[] = [];
  readonly url: string;
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];
  #isStreaming = false;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request, response) => {
      const way = String(request.url).slice(1);
      if (way === 'gate') {
        this.#waiting.push(() => response.end());
        return;
      }
      if (way === 'stream') this.#isStreaming = true;
      request.on('data', (chunk) => {
        if (String(chunk) !== 'begun') this.told.push(`${way} ${chunk}`);
      });
      request.on('error', () => {});
      request.on('end', () => response.end());
    });
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket, request) => {
      const way = String(request.url).slice(1);
      if (way.startsWith('connect-')) this.told.push(way.replace('-', ' '));
      socket.on('message', (data) => this.told.push(`${way} ${data}`));
      socket.on('error', () => {});
    });
  }

  static async start(): Promise<Listener> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Listener(server);
  }

  async reached(): Promise<void> {
    while (this.#waiting.length === 0 || !this.#isStreaming) await sleep(10);
  }

  open(): void {
    for (const pass of this.#waiting.splice(0)) pass();
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function ask(node: TestNode, path: string): Promise<number> {
  const response = await fetch(`http://${node.http}${path}`);
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as { value: number }).value;
}

async function eventually(attempt: () => Promise<number>, wanted: number): Promise<void> {
  const untilMs = Date.now() + 60_000;
  while ((await attempt().catch(() => undefined)) !== wanted) {
    if (Date.now() > untilMs) throw new Error(`${wanted} was not answered`);
    await sleep(100);
  }
}

describe.skipIf(!hasEtcd)('an object that tells another server what it read', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start(fixture('outside'));
  });
  afterAll(() => cluster.dispose());

  test('tells what is true', async () => {
    const listener = await Listener.start();
    const [node] = cluster.nodes as [TestNode];
    await ask(node, '/honest/increment');
    const telling = ask(node, `/honest/tell?server=${encodeURIComponent(listener.url)}`);
    await listener.reached();
    listener.open();
    expect(await telling).toBe(1);
    while (listener.told.length < 5) await sleep(10);
    expect(listener.told.sort()).toEqual([
      'connect 1',
      'fetch 1',
      'service 1',
      'socket 1',
      'stream 1',
    ]);
    listener.close();
  });

  test('tells nothing any more once it is superseded', async () => {
    const listener = await Listener.start();
    await ask(cluster.node('n1'), '/frozen/increment');
    const owner = await cluster.ownerOf('TELLER', 'frozen', 'n1');
    const [other] = cluster.others(owner) as [TestNode];
    const server = encodeURIComponent(listener.url);
    const telling = ask(cluster.node(owner), `/frozen/tell?server=${server}`).catch(() => {});
    await listener.reached();
    cluster.signal(owner, 'SIGSTOP');
    listener.open();
    await eventually(() => ask(other, '/frozen/increment'), 2);
    cluster.signal(owner, 'SIGCONT');
    await telling;
    await eventually(() => ask(cluster.node(owner), '/frozen/value'), 2);
    expect(listener.told).toEqual([]);
    listener.close();
  });
});
