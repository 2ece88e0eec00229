/** Networks with handlers that write down what they hear, and a proxy that can fall silent. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import type { LogFields, Logger, NetworkHandler, PeerRun, Timers } from '@homing/base';
import {
  type PeerLimits,
  type PeerNetwork,
  type PeerNetworkOptions,
  startPeerNetwork,
} from '../src/index.ts';

export const machineTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Short waits, and no sign of life unless a test asks for it. */
export const quick: Partial<PeerLimits> = {
  reconnectDelayMs: 5,
  reconnectDelayMaxMs: 50,
  refusedRetryMs: 20,
  keepaliveMs: 600_000,
};

export class Lines implements Logger {
  readonly all: { readonly message: string; readonly fields: LogFields }[] = [];

  error(message: string, fields: LogFields = {}): void {
    this.all.push({ message, fields });
  }
  warn(message: string, fields: LogFields = {}): void {
    this.all.push({ message, fields });
  }
  info(message: string, fields: LogFields = {}): void {
    this.all.push({ message, fields });
  }
  debug(): void {}
  child(): Logger {
    return this;
  }

  of(message: string): LogFields[] {
    return this.all.filter((line) => line.message === message).map(({ fields }) => fields);
  }
}

export class Recorder implements NetworkHandler {
  /** `up <node> <run>` and `down <node> <run>`, in order. */
  readonly events: string[] = [];
  readonly messages: Uint8Array[] = [];
  onMessage: ((peer: PeerRun, message: Uint8Array) => void) | undefined;
  onUp: ((peer: PeerRun) => void) | undefined;

  up({ node, run }: PeerRun): void {
    this.events.push(`up ${node} ${run}`);
    this.onUp?.({ node, run, storeId: '' });
  }
  down({ node, run }: PeerRun): void {
    this.events.push(`down ${node} ${run}`);
  }
  message(peer: PeerRun, message: Uint8Array): void {
    if (this.onMessage === undefined) this.messages.push(message);
    else this.onMessage(peer, message);
  }
  texts(): string[] {
    return this.messages.map((message) => Buffer.from(message).toString());
  }
}

export interface Node {
  readonly name: string;
  readonly network: PeerNetwork;
  readonly address: string;
  readonly log: Recorder;
  readonly call: Recorder;
  readonly lines: Lines;
}

const started: { close(): Promise<void> }[] = [];

/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  await Promise.all(started.splice(0).map((each) => each.close()));
}

export async function startNode(
  name: string,
  changes: Partial<PeerNetworkOptions> = {},
  handlers: { readonly log?: NetworkHandler; readonly isStarting?: boolean } = {},
): Promise<Node> {
  const lines = new Lines();
  const network = await startPeerNetwork({
    host: '127.0.0.1',
    port: 0,
    node: name,
    storeId: `store-${name}`,
    run: `${name}-1`,
    cluster: 'test',
    version: '0.1.0',
    tls: 'insecure',
    logger: lines,
    timers: machineTimers,
    ...changes,
    limits: { ...quick, ...changes.limits },
  });
  started.push(network);
  const log = new Recorder();
  const call = new Recorder();
  network.serve('log', handlers.log ?? log);
  if (handlers.isStarting !== true) network.serve('call', call);
  return { name, network, address: `127.0.0.1:${network.port}`, log, call, lines };
}

/** Two nodes that know each other and have both links; `a` dials, through a proxy where one is given. */
export async function startPair(
  changes: Partial<PeerNetworkOptions> = {},
): Promise<{ a: Node; b: Node; proxy: TcpProxy }> {
  const a = await startNode('a', changes);
  const b = await startNode('b', changes);
  const proxy = await TcpProxy.start(b.network.port);
  a.network.setPeers([{ node: 'b', address: proxy.address }]);
  b.network.setPeers([{ node: 'a', address: a.address }]);
  await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
  return { a, b, proxy };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

interface Through {
  readonly near: Socket;
  readonly far: Socket;
}

/** A TCP proxy in front of one port. `there` is from who connects to the port, `back` the other way. */
export class TcpProxy {
  readonly #server: Server;
  readonly #port: number;
  readonly #through = new Set<Through>();
  #isHeld = { there: false, back: false };
  /** Connections taken since the start. */
  connections = 0;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((near) => this.#onConnection(near));
  }

  static async start(port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    started.push(proxy);
    return proxy;
  }

  get address(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || address === null) throw new Error('the proxy is closed');
    return `127.0.0.1:${address.port}`;
  }

  /** Which directions forward nothing, not even an end, from now on. */
  hold(directions: { readonly there: boolean; readonly back: boolean }): void {
    this.#isHeld = { ...directions };
    for (const { near, far } of this.#through) this.#apply(near, far);
  }

  /** Ends what goes through now, suddenly at both ends. */
  cut(): void {
    for (const { near, far } of this.#through) {
      near.destroy();
      far.destroy();
    }
    this.#through.clear();
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }

  #onConnection(near: Socket): void {
    this.connections++;
    const far = dial(this.#port, '127.0.0.1');
    const through = { near, far };
    this.#through.add(through);
    this.#forward(near, far, () => this.#isHeld.there);
    this.#forward(far, near, () => this.#isHeld.back);
    this.#apply(near, far);
  }

  #forward(from: Socket, to: Socket, isHeld: () => boolean): void {
    from.on('data', (data) => {
      if (to.write(data)) return;
      from.pause();
      to.once('drain', () => {
        if (!isHeld()) from.resume();
      });
    });
    from.on('error', () => {});
    from.on('close', () => {
      if (!isHeld()) to.destroy();
    });
  }

  #apply(near: Socket, far: Socket): void {
    if (this.#isHeld.there) near.pause();
    else near.resume();
    if (this.#isHeld.back) far.pause();
    else far.resume();
  }
}
