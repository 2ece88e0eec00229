/** A private etcd on free ports, and a proxy before it that can be made to misbehave. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, Logger, MonotonicMs, Timers, WallMs } from '@homing/base';
import { freePorts } from '../../chaos/src/free-ports.ts';

export const etcdMissing = spawnSync('etcd', ['--version']).status !== 0;
if (etcdMissing) {
  process.stderr.write(
    'etcd is not installed: its tests are skipped (apt-get install etcd-server)\n',
  );
}

export const clock: Clock = {
  monotonicMs: () => performance.now() as MonotonicMs,
  wallMs: () => Date.now() as WallMs,
};

export const timers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Keeps what is logged, for tests that expect a line. */
export function memoryLogger(lines: string[] = []): Logger {
  const at = (level: string) => (message: string, fields?: object) => {
    lines.push(`${level} ${message}`);
    if (process.env.HOMING_TEST_LOG)
      process.stderr.write(`${level} ${message} ${inspect(fields)}\n`);
  };
  const logger: Logger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: () => logger,
  };
  return logger;
}

function inspect(fields: object | undefined): string {
  return Object.entries(fields ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface EtcdOptions {
  /** Makes another cluster id. */
  readonly token?: string;
  /** Directory with `jwt.key` and `jwt.pub`: logins are then tokens that etcd does not store. */
  readonly jwt?: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

export class TestEtcd {
  readonly directory = mkdtempSync(join(tmpdir(), 'homing-etcd-'));
  readonly #scheme: string;
  readonly #tls: EtcdOptions['tls'];
  readonly #jwt: string | undefined;
  #token: string;
  #port = 0;
  #peerPort = 0;
  #process: ChildProcess | undefined;
  #generation = 0;

  constructor(options: EtcdOptions = {}) {
    this.#tls = options.tls;
    this.#jwt = options.jwt;
    this.#token = options.token ?? 'one';
    this.#scheme = options.tls === undefined ? 'http' : 'https';
  }

  get port(): number {
    return this.#port;
  }

  get endpoint(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<this> {
    if (this.#port === 0) {
      [this.#port, this.#peerPort] = (await freePorts(2)) as [number, number];
    }
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    const { ca = '', cert = '', key = '' } = this.#tls ?? {};
    const tls = ['--cert-file', cert, '--key-file', key, '--trusted-ca-file', ca];
    const args = [
      ['--data-dir', join(this.directory, String(this.#generation))],
      ['--listen-client-urls', this.endpoint, '--advertise-client-urls', this.endpoint],
      ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ['--initial-cluster', `default=${peer}`, '--initial-cluster-token', this.#token],
      ['--log-level', 'error', '--logger', 'zap'],
      this.#tls === undefined ? [] : [...tls, '--client-cert-auth'],
      this.#jwt === undefined ? [] : ['--auth-token', jwtOptions(this.#jwt)],
    ];
    const child = spawn('etcd', args.flat(), { stdio: 'ignore' });
    this.#process = child;
    // Not left behind by a run that ends before its time.
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
    child.once('exit', (status, signal) => {
      process.off('exit', end);
      if (this.#process !== child) return;
      process.stderr.write(`etcd ended by itself: status ${status}, signal ${signal}\n`);
    });
    await until('etcd answers', () => this.#isUp());
    return this;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** The same address, and nothing of what was stored. */
  async wipe(options: EtcdOptions = {}): Promise<void> {
    await this.kill();
    this.#generation += 1;
    this.#token = options.token ?? this.#token;
    await this.start();
  }

  /** A backup of what is stored now; returns its path. */
  backup(): string {
    const file = join(this.directory, `backup-${this.#generation}-${Date.now()}`);
    this.etcdctl('snapshot', 'save', file);
    return file;
  }

  /** The same address and cluster, and what was stored when the backup was made. */
  async restore(file: string): Promise<void> {
    await this.kill();
    this.#generation += 1;
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    this.etcdctl(
      ...[
        'snapshot',
        'restore',
        file,
        '--data-dir',
        join(this.directory, String(this.#generation)),
      ],
      ...['--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
      ...['--initial-cluster-token', this.#token],
    );
    await this.start();
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  etcdctl(...args: string[]): string {
    const { ca = '', cert = '', key = '' } = this.#tls ?? {};
    const tls = this.#tls === undefined ? [] : ['--cacert', ca, '--cert', cert, '--key', key];
    const { stdout, stderr, status } = spawnSync(
      'etcdctl',
      ['--endpoints', this.endpoint, ...tls, ...args],
      { env: { ...process.env, ETCDCTL_API: '3' }, encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async #isUp(): Promise<boolean> {
    if (this.#tls === undefined) {
      // etcdctl would need a user, where etcd has some.
      return await fetch(`${this.endpoint}/health`).then(
        (response) => response.ok,
        () => false,
      );
    }
    const { ca = '', cert = '', key = '' } = this.#tls ?? {};
    const tls = ['--cacert', ca, '--cert', cert, '--key', key];
    const health = ['--endpoints', this.endpoint, ...tls, 'endpoint', 'health'];
    const env = { ...process.env, ETCDCTL_API: '3' };
    return spawnSync('etcdctl', health, { env, stdio: 'ignore' }).status === 0;
  }
}

function jwtOptions(directory: string): string {
  const [key, pub] = ['key', 'pub'].map((part) => join(directory, `jwt.${part}`));
  return `jwt,pub-key=${pub},priv-key=${key},sign-method=RS256,ttl=2s`;
}

type ProxyMode =
  | 'open'
  /** Requests arrive, and no answer comes back. */
  | 'mute'
  /** Nothing listens. */
  | 'closed';

/** TCP in between. */
export class TestProxy {
  readonly #target: number;
  readonly #pairs = new Set<[Socket, Socket]>();
  readonly #server: Server;
  #mode: ProxyMode = 'open';

  constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  set(mode: ProxyMode): void {
    this.#mode = mode;
    if (mode === 'closed') this.cut();
  }

  /** Ends every connection. */
  cut(): void {
    for (const sockets of this.#pairs) for (const socket of sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.set('closed');
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    if (this.#mode === 'closed') {
      client.destroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    client.on('data', (data) => server.write(data));
    server.on('data', (data) => {
      if (this.#mode !== 'mute') client.write(data);
    });
  }
}
