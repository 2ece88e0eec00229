/** A cluster of real processes: `homing cluster`, whose nodes are killed, stopped and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../src/free-port.ts';

const bin = fileURLToPath(new URL('../bin/homing.js', import.meta.url));

export const hasEtcd = spawnSync('etcd', ['--version'], { stdio: 'ignore' }).status === 0;

export interface TestNode {
  readonly name: string;
  pid: number;
  readonly http: string;
  readonly grpc: string;
  readonly admin: string;
}

const line = /^node=(\S+) region=\S+ pid=(\d+) http=(\S+) grpc=(\S+) admin=(\S+)/gm;

export class TestCluster {
  readonly data = mkdtempSync(join(tmpdir(), 'homing-cluster-'));
  readonly #children: ChildProcess[] = [];
  #env: Readonly<Record<string, string>> = {};
  #output = '';
  nodes: TestNode[] = [];

  static start(project: string, ...flags: string[]): Promise<TestCluster> {
    return TestCluster.startWith({}, project, ...flags);
  }

  /** `env` overrides what the nodes' configuration says. */
  static async startWith(
    env: Readonly<Record<string, string>>,
    project: string,
    ...flags: string[]
  ): Promise<TestCluster> {
    const cluster = new TestCluster();
    cluster.#env = env;
    const args = [bin, 'cluster', project, '--port', '0', '--data', cluster.data, ...flags];
    const child = cluster.#spawn(args);
    await cluster.#printed(child, /^ready$/m);
    for (const [, name = '', pid, http = '', grpc = '', admin = ''] of cluster.#output.matchAll(
      line,
    )) {
      cluster.nodes.push({ name, pid: Number(pid), http, grpc, admin });
    }
    return cluster;
  }

  get output(): string {
    return this.#output;
  }

  node(name: string): TestNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  }

  others(name: string): TestNode[] {
    return this.nodes.filter((node) => node.name !== name);
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.node(name).pid, signal);
  }

  /** Starts a node that was killed, on the same disk and ports. */
  async restart(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const before = this.#output.length;
    const child = this.#spawn([bin, 'node', '--config', join(this.data, `${name}.json`)], env);
    await this.#printed(child, /^ready /m, before);
    this.node(name).pid = child.pid ?? 0;
  }

  /** Starts one node more, configured as the first one but for what `env` says. */
  async add(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const config = JSON.parse(readFileSync(join(this.data, 'n1.json'), 'utf8')) as object;
    const host = '127.0.0.1';
    const [http, grpc, peer, admin] = [
      await freePort(host),
      await freePort(host),
      await freePort(host),
      await freePort(host),
    ];
    const own = {
      node: name,
      zone: name,
      data: join(this.data, name),
      listen: { host, http, grpc, peer, admin },
    };
    writeFileSync(join(this.data, `${name}.json`), JSON.stringify({ ...config, ...own }));
    const at = (port: number) => `${host}:${port}`;
    this.nodes.push({ name, pid: 0, http: at(http), grpc: at(grpc), admin: at(admin) });
    await this.restart(name, env);
  }

  /** Resolves with the exit status of a node that was started by `restart`. */
  async ended(name: string): Promise<number | null> {
    const { pid } = this.node(name);
    const child = this.#children.find((candidate) => candidate.pid === pid);
    if (child === undefined) throw new Error(`${name} was not started by restart`);
    if (child.exitCode !== null) return child.exitCode;
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  }

  /** The node that runs the object now. */
  async ownerOf(namespace: string, name: string, ask: string): Promise<string> {
    const query = new URLSearchParams({ namespace, name });
    const response = await fetch(`http://${this.node(ask).admin}/api/describe?${query}`);
    const { node } = (await response.json()) as { node: string | null };
    if (node === null) throw new Error(`${name} is on no node`);
    return node;
  }

  async admin(node: string, path: string, body: object): Promise<Response> {
    return fetch(`http://${this.node(node).admin}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
  }

  /** The private etcd's process. */
  get etcdPid(): number {
    const found = spawnSync('pgrep', ['-f', `etcd.*${this.data}`]);
    return Number(String(found.stdout).trim().split('\n')[0]);
  }

  /** Kills etcd, loses its disk, and starts it again as it was. */
  async wipeEtcd(): Promise<void> {
    const pid = this.etcdPid;
    const [command = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .filter((part) => part !== '');
    kill(pid);
    while (existsSync(`/proc/${pid}`) && !isZombie(pid)) await sleep(20);
    rmSync(join(this.data, 'etcd'), { recursive: true, force: true });
    const url = args[args.indexOf('--listen-client-urls') + 1];
    for (let attempt = 0; attempt < 20; attempt++) {
      const child = spawn(command, args, { stdio: 'ignore' });
      this.#children.push(child);
      // Its ports may not be free yet: then it ends at once.
      while (child.exitCode === null) {
        const health = await fetch(`${url}/health`).catch(() => undefined);
        if (health?.ok) return;
        await sleep(50);
      }
      await sleep(200);
    }
    throw new Error('etcd does not start again');
  }

  dispose(): void {
    for (const { pid } of this.nodes) kill(pid);
    const etcd = this.etcdPid;
    if (etcd > 0) kill(etcd);
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.data, { recursive: true, force: true, maxRetries: 5 });
  }

  #spawn(args: string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#env, ...env },
    });
    this.#children.push(child);
    const onData = (chunk: Buffer) => (this.#output += String(chunk));
    child.stdout?.on('data', onData);
    child.stderr?.on('data', onData);
    return child;
  }

  async #printed(child: ChildProcess, pattern: RegExp, from = 0): Promise<void> {
    while (!pattern.test(this.#output.slice(from))) {
      if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function isZombie(pid: number): boolean {
  return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
