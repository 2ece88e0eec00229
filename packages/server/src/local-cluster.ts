/**
 * `homing cluster`: a whole cluster on this machine, to try things. Each node is a process of its own
 * (`homing node`), so that one can be killed and the others go on; etcd is a private one unless an
 * address is given. Nothing is started again by itself.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readProject } from '@homing/config';
import { freePort } from './free-port.ts';
import { heapFlags } from './heap.ts';
import { CommandError } from './usage-error.ts';

export interface LocalClusterOptions {
  readonly dir: string;
  readonly data: string | undefined;
  readonly nodes: number;
  /** Nodes take them in turn. */
  readonly regions: readonly string[];
  /** Round trip between nodes of different regions, in milliseconds. */
  readonly rttMs: number;
  /** HTTP port of the first node; each node has ten, 0 for any free ones. */
  readonly port: number;
  /** `host:port` of an etcd that runs already. */
  readonly etcd: string | undefined;
  readonly env: string | undefined;
  readonly logLevel: string;
  readonly limits: readonly string[];
  readonly print: (line: string) => void;
}

export interface LocalCluster {
  /** Ends the nodes, each giving its objects to those that are left, then etcd. Idempotent. */
  close(): Promise<void>;
}

interface NodePorts {
  readonly http: number;
  readonly grpc: number;
  readonly peer: number;
  readonly admin: number;
}

interface LocalNode {
  readonly name: string;
  readonly child: ChildProcess;
}

const host = '127.0.0.1';
const program = fileURLToPath(new URL('../bin/homing.js', import.meta.url));
const startTimeoutMs = 60_000;
/** After SIGTERM, for a process that does not end. */
const stopTimeoutMs = 40_000;

/** Resolves when every node serves. Rejects with what one of them said; then nothing is left. */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  // A project that cannot run ends the command here, before anything is made or started.
  readProject(options.dir, options.env === undefined ? {} : { env: options.env });
  const data = resolve(options.data ?? join(options.dir, '.homing', 'cluster'));
  mkdirSync(data, { recursive: true });
  const children: ChildProcess[] = [];
  let closing: Promise<void> | undefined;
  const close = async () => {
    // One after the other, so that each finds others to give its objects to.
    for (let child = children.pop(); child !== undefined; child = children.pop()) await stop(child);
  };
  try {
    const etcd = options.etcd ?? (await startEtcd(join(data, 'etcd'), children));
    const names = Array.from({ length: options.nodes }, (_, index) => `n${index + 1}`);
    const starting: Promise<string>[] = [];
    for (const [index, name] of names.entries()) {
      const region = options.regions[index % options.regions.length] ?? 'local';
      starting.push(startNode({ ...options, etcd, name, index, region, data }, children));
    }
    for (const line of await Promise.all(starting)) options.print(line);
  } catch (error) {
    await close();
    throw error;
  }
  options.print('ready');
  return {
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Starts etcd on free ports and resolves with its client address. */
async function startEtcd(data: string, children: ChildProcess[]): Promise<string> {
  if (spawnSync('etcd', ['--version'], { stdio: 'ignore' }).status !== 0) {
    throw new CommandError(
      'etcd is not installed: install it (`apt-get install etcd-server`), or give the address of ' +
        'one that runs with --etcd HOST:PORT',
    );
  }
  const client = `http://${host}:${await freePort(host)}`;
  const peer = `http://${host}:${await freePort(host)}`;
  const child = spawn(
    'etcd',
    [
      ...['--data-dir', data, '--name', 'local', '--logger', 'zap', '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `local=${peer}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], detached: true },
  );
  children.push(child);
  return client;
}

interface NodeStart extends LocalClusterOptions {
  readonly etcd: string;
  readonly name: string;
  readonly index: number;
  readonly region: string;
  readonly data: string;
}

/** Resolves with the node's line once it serves. */
async function startNode(start: NodeStart, children: ChildProcess[]): Promise<string> {
  const { name, region, data, dir, etcd } = start;
  const ports = await portsOf(start);
  const file = join(data, `${name}.json`);
  const config = {
    node: name,
    ...(start.regions.length > 0 && { regions: start.regions }),
    region,
    zone: name,
    app: resolve(dir),
    ...(start.env !== undefined && { env: start.env }),
    data: join(data, name),
    etcd: { endpoints: [etcd], prefix: '/homing/' },
    listen: { host, ...ports },
    advertise: { host },
    replication: { factor: Math.min(3, start.nodes) },
    // All links are on this machine's loopback.
    tls: { insecure: true },
    ...(start.rttMs > 0 && { simulatedRttMs: start.rttMs }),
    logLevel: start.logLevel,
    limits: Object.fromEntries(
      start.limits.map((text) => {
        const [key = '', value = ''] = text.split('=');
        return [key, Number(value)];
      }),
    ),
  };
  writeFileSync(file, JSON.stringify(config, undefined, 2));
  const child = spawn(process.execPath, [...heapFlags, program, 'node', '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A Ctrl-C reaches this process alone, which then stops them in order.
    detached: true,
  });
  children.push(child);
  const node: LocalNode = { name, child };
  await served(node, start.print);
  const at = (port: number) => `${host}:${port}`;
  return (
    `node=${name} region=${region} pid=${child.pid} http=${at(ports.http)} ` +
    `grpc=${at(ports.grpc)} admin=${at(ports.admin)} peer=${at(ports.peer)}`
  );
}

async function portsOf({ port, index }: NodeStart): Promise<NodePorts> {
  if (port !== 0) {
    const http = port + 10 * index;
    return { http, grpc: http + 1, peer: http + 2, admin: http + 3 };
  }
  return {
    http: await freePort(host),
    grpc: await freePort(host),
    peer: await freePort(host),
    admin: await freePort(host),
  };
}

/** Resolves at the node's `ready`; what it prints later, user code's console, is passed on. */
function served({ name, child }: LocalNode, print: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let pending = '';
    let isReady = false;
    const timer = setTimeout(() => {
      reject(new CommandError(`node ${name} did not start within ${startTimeoutMs} ms`));
    }, startTimeoutMs);
    child.stdout?.on('data', (chunk: Buffer) => {
      pending += String(chunk);
      const lines = pending.split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) {
        if (!isReady && line.startsWith('ready')) {
          isReady = true;
          clearTimeout(timer);
          resolve();
        } else print(`${name}: ${line}`);
      }
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      if (isReady) print(`node ${name} ended (${signal ?? code})`);
      else reject(new CommandError(`node ${name} ended (${signal ?? code}) before it served`));
    });
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(timer);
}
