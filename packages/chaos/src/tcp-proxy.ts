/**
 * A TCP proxy on the loopback that can behave like a bad network.
 *
 * Each direction of each connection is a queue of what came and when. Nothing is ever lost inside a
 * connection, as TCP promises: a direction that is held keeps what it took (and soon takes no more),
 * and goes on where it was once it is released, so bytes arrive late rather than never; a cut ends
 * the connection for both sides. A new connection is accepted in a black hole, and made to the
 * target when it is over.
 *
 * Rules are by source, where the proxy can tell who connects: that makes one proxy in front of each
 * node enough for a partition between any two. Called by `cluster.ts` and tests.
 */
import {
  type AddressInfo,
  createServer,
  connect as dial,
  type Server,
  type Socket,
} from 'node:net';

/** What happens to bytes on the way. */
export interface Rule {
  /** Connections are reset, new ones too. */
  readonly cut?: boolean;
  /** Nothing is forwarded from the client to the target. */
  readonly holdToTarget?: boolean;
  readonly holdToClient?: boolean;
  /** Each way. */
  readonly delayMs?: number;
}

/** How connections to one target behave, whatever makes them behave so. */
export interface LinkRules {
  /** For connections of one source, or of all that have no rule of their own. */
  set(rule: Rule, source?: string): void;
  /** Back to forwarding everything. */
  heal(): void;
}

export interface TcpProxyOptions {
  readonly targetHost?: string;
  readonly targetPort: number;
  /** Default any free one. */
  readonly port?: number;
  /** Who connects, by the port it connects from; undefined where unknown. */
  readonly sourceOf?: (port: number) => string | undefined;
  /** Taken from one side and not yet given to the other; more waits in the kernel. Default 1 MiB. */
  readonly bufferBytesMax?: number;
}

const open: Rule = {};

/** What a direction forwards: bytes, the end of the stream, or a broken connection. */
type Item = { readonly sinceMs: number; readonly what: Buffer | 'end' | 'reset' };

export class TcpProxy implements LinkRules {
  readonly #options: TcpProxyOptions;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #rules = new Map<string, Rule>();
  #general: Rule = open;

  constructor(options: TcpProxyOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    this.#server.on('connection', (client) => this.#accept(client));
  }

  /** Resolves with the port when it listens. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  set(rule: Rule, source?: string): void {
    if (source === undefined) this.#general = rule;
    else this.#rules.set(source, rule);
    this.#apply();
  }

  heal(): void {
    this.#general = open;
    this.#rules.clear();
    this.#apply();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#connections) connection.reset();
    await closed;
  }

  #accept(client: Socket): void {
    const {
      sourceOf,
      targetHost = '127.0.0.1',
      targetPort,
      bufferBytesMax = 1 << 20,
    } = this.#options;
    const source = client.remotePort === undefined ? undefined : sourceOf?.(client.remotePort);
    const target = () => dial({ host: targetHost, port: targetPort, allowHalfOpen: true });
    const connection = new Connection(client, source, target, bufferBytesMax, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
    connection.apply(this.#ruleFor(source));
  }

  #ruleFor(source: string | undefined): Rule {
    return (source === undefined ? undefined : this.#rules.get(source)) ?? this.#general;
  }

  #apply(): void {
    for (const connection of [...this.#connections]) {
      connection.apply(this.#ruleFor(connection.source));
    }
  }
}

class Connection {
  readonly source: string | undefined;
  readonly #client: Socket;
  readonly #dial: () => Socket;
  readonly #bufferBytesMax: number;
  readonly #onOver: () => void;
  #target: Socket | undefined;
  #directions: Direction[] = [];
  #over = false;

  constructor(
    client: Socket,
    source: string | undefined,
    dialTarget: () => Socket,
    bufferBytesMax: number,
    onOver: () => void,
  ) {
    this.source = source;
    this.#client = client;
    this.#dial = dialTarget;
    this.#bufferBytesMax = bufferBytesMax;
    this.#onOver = onOver;
    client.on('error', () => {});
  }

  apply(rule: Rule): void {
    if (rule.cut === true) {
      this.reset();
      return;
    }
    const { holdToTarget = false, holdToClient = false, delayMs = 0 } = rule;
    if (this.#target === undefined && !holdToTarget) this.#connect();
    const [toTarget, toClient] = this.#directions;
    toTarget?.apply(holdToTarget, delayMs);
    toClient?.apply(holdToClient, delayMs);
  }

  reset(): void {
    if (this.#over) return;
    this.#over = true;
    for (const direction of this.#directions) direction.stop();
    for (const socket of [this.#client, this.#target]) {
      if (socket === undefined || socket.destroyed) continue;
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
    this.#onOver();
  }

  #connect(): void {
    const target = this.#dial();
    target.on('error', () => {});
    this.#target = target;
    const reset = () => this.reset();
    this.#directions = [
      new Direction(this.#client, target, this.#bufferBytesMax, reset),
      new Direction(target, this.#client, this.#bufferBytesMax, reset),
    ];
    const ended = () => {
      if (this.#client.destroyed && target.destroyed) this.reset();
    };
    this.#client.once('close', ended);
    target.once('close', ended);
  }
}

class Direction {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #bufferBytesMax: number;
  readonly #reset: () => void;
  readonly #queue: Item[] = [];
  #queuedBytes = 0;
  #held = false;
  #delayMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isBlocked = false;
  #isStopped = false;

  constructor(from: Socket, to: Socket, bufferBytesMax: number, reset: () => void) {
    this.#from = from;
    this.#to = to;
    this.#bufferBytesMax = bufferBytesMax;
    this.#reset = reset;
    from.on('data', (chunk: Buffer) => {
      this.#queuedBytes += chunk.byteLength;
      if (this.#queuedBytes >= bufferBytesMax) from.pause();
      this.#push(chunk);
    });
    from.once('end', () => this.#push('end'));
    from.once('close', (hadError) => {
      if (hadError) this.#push('reset');
    });
    to.on('drain', () => {
      this.#isBlocked = false;
      this.#pump();
    });
    from.resume();
  }

  apply(held: boolean, delayMs: number): void {
    this.#held = held;
    this.#delayMs = delayMs;
    this.#pump();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #push(what: Item['what']): void {
    this.#queue.push({ sinceMs: performance.now(), what });
    this.#pump();
  }

  /** Forwards what is due. */
  #pump(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const item = this.#queue[0];
      if (item === undefined || this.#held || this.#isBlocked || this.#isStopped) return;
      const waitMs = item.sinceMs + this.#delayMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#forward(item.what);
    }
  }

  #forward(what: Item['what']): void {
    if (what === 'reset') {
      this.#reset();
    } else if (what === 'end') {
      this.#to.end();
    } else {
      this.#queuedBytes -= what.byteLength;
      if (!this.#to.destroyed) this.#isBlocked = !this.#to.write(what);
      if (this.#queuedBytes < this.#bufferBytesMax) this.#from.resume();
    }
  }
}
