/**
 * Runs the services of docker-compose.yml as processes of this machine: their commands and
 * environments as written there, but for what a container would have made of its own. A service's
 * name becomes 127.0.0.1, each port of a container a free one, a volume a temporary folder, and the
 * image's folder this checkout.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { freePorts } from '../../chaos/src/free-ports.ts';
import { type ComposeService, readCompose, repository } from './compose-file.ts';

/** What the images bring, where it is here. Anything else is taken from PATH. */
const programs: Readonly<Record<string, readonly string[]>> = {
  homing: [process.execPath, join(repository, 'packages/server/bin/homing.js')],
  node: [process.execPath],
  'make-certs.sh': ['sh', join(repository, 'deploy/certs/make-certs.sh')],
};

/** The ports that a node listens on in its container, where its environment does not say. */
const nodePorts = { HTTP: 8787, GRPC: 8788, PEER: 8789, ADMIN: 8790 } as const;

const portsMax = 32;
const outputMax = 64 * 1024;

export function isInstalled(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class LocalCompose {
  readonly services: Readonly<Record<string, ComposeService>> = readCompose();
  readonly #dir = mkdtempSync(join(tmpdir(), 'homing-compose-'));
  readonly #ports = new Map<string, number>();
  readonly #running = new Map<string, ChildProcess>();
  readonly #outputs = new Map<string, string>();
  #free: number[] = [];

  private constructor() {}

  static async create(): Promise<LocalCompose> {
    const compose = new LocalCompose();
    compose.#free = await freePorts(portsMax);
    return compose;
  }

  /** Names of the services that run `program`. */
  running(program: string): string[] {
    return Object.keys(this.services).filter((name) => this.#service(name).command[0] === program);
  }

  /** Where a port of a service's container is here. */
  port(service: string, port: number): number {
    const key = `${service}:${port}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const free = this.#free.pop();
    if (free === undefined) throw new Error(`more than ${portsMax} ports`);
    this.#ports.set(key, free);
    return free;
  }

  /** What a service has printed, the last of it. */
  output(service: string): string {
    return this.#outputs.get(service) ?? '';
  }

  start(service: string): void {
    const { command } = this.#service(service);
    const child = this.#spawn(service, command);
    this.#running.set(service, child);
    const keep = (chunk: unknown) =>
      this.#outputs.set(service, (this.output(service) + String(chunk)).slice(-outputMax));
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', (error) => keep(error));
  }

  /** Runs a service that ends by itself; resolves with how. */
  async runToEnd(service: string): Promise<Ending> {
    this.start(service);
    return this.#ended(service);
  }

  /** Whether a service's own healthcheck passes. */
  async isHealthy(service: string): Promise<boolean> {
    const { healthcheck } = this.#service(service);
    if (healthcheck === undefined) throw new Error(`${service} has no healthcheck`);
    const child = this.#spawn(service, healthcheck);
    const [code] = (await once(child, 'exit')) as [number | null];
    return code === 0;
  }

  hasEnded(service: string): boolean {
    const child = this.#running.get(service);
    return child === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  async stop(service: string, signal: NodeJS.Signals): Promise<Ending> {
    this.#running.get(service)?.kill(signal);
    return this.#ended(service);
  }

  /** Ends what still runs, and leaves nothing behind. */
  async dispose(): Promise<void> {
    for (const service of this.#running.keys()) {
      if (!this.hasEnded(service)) await this.stop(service, 'SIGKILL');
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #ended(service: string): Promise<Ending> {
    const child = this.#running.get(service);
    if (child === undefined) throw new Error(`${service} was not started`);
    if (!this.hasEnded(service)) await once(child, 'exit');
    return { code: child.exitCode, signal: child.signalCode };
  }

  #service(name: string): ComposeService {
    const service = this.services[name];
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  }

  #spawn(service: string, command: readonly string[]): ChildProcess {
    const [program = '', ...args] = command;
    const [file = '', ...before] = programs[program] ?? [program];
    return spawn(file, [...before, ...args.map((arg) => this.#translate(service, arg))], {
      cwd: this.#dir,
      env: { PATH: process.env['PATH'], ...this.#environment(service) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  #environment(service: string): Record<string, string> {
    const environment: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.#service(service).environment)) {
      environment[name] = name.endsWith('_HOST') ? '127.0.0.1' : this.#translate(service, value);
    }
    if (this.#service(service).command[0] === 'homing') {
      for (const [name, port] of Object.entries(nodePorts)) {
        environment[`HOMING_LISTEN_${name}`] = String(this.port(service, port));
      }
    }
    return environment;
  }

  /** A word of a command, a value of a variable, or a file that is mounted, as it is right here. */
  #translate(service: string, text: string): string {
    const names = Object.keys(this.services).join('|');
    const address = new RegExp(`(?<![\\w.-])(${names}|0\\.0\\.0\\.0|127\\.0\\.0\\.1):(\\d+)`, 'g');
    const here = text.replace(address, (_, host: string, port: string) => {
      const owner = Object.hasOwn(this.services, host) ? host : service;
      return `127.0.0.1:${this.port(owner, Number(port))}`;
    });
    // A path stands alone or behind an equals sign.
    const path = /^((?:[^=/]*=)?)(\/.*)$/.exec(here);
    return path === null ? here : `${path[1]}${this.#localPath(service, path[2] as string)}`;
  }

  #localPath(service: string, path: string): string {
    const isUnder = (folder: string) => path === folder || path.startsWith(`${folder}/`);
    if (isUnder('/opt/homing')) return repository + path.slice('/opt/homing'.length);
    const volume = this.#service(service).volumes.find(({ target }) => isUnder(target));
    if (volume === undefined) throw new Error(`${service}: ${path} is in no volume`);
    const { source, target } = volume;
    if (source.startsWith('.')) return this.#mountFile(service, join(repository, source));
    const folder = join(this.#dir, source);
    mkdirSync(folder, { recursive: true });
    return folder + path.slice(target.length);
  }

  /** A copy of a mounted file with the addresses that hold here; Prometheus looks more often. */
  #mountFile(service: string, file: string): string {
    const lines = readFileSync(file, 'utf8').split('\n');
    const copy = join(this.#dir, basename(file));
    const here = lines.map((line) =>
      this.#translate(service, line.replace(/(scrape_(interval|timeout)): \d+s/, '$1: 1s')),
    );
    writeFileSync(copy, here.join('\n'));
    return copy;
  }
}
