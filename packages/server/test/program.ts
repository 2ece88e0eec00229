/** The real program as a child process: started, killed, started again on the same data. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/homing.js', import.meta.url));

export function fixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
}

export function example(name: string): string {
  return fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export async function run(...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly admin: number;
}

/** One node of `homing dev`. */
export class Program {
  readonly #project: string;
  readonly #flags: readonly string[];
  readonly data: string;
  #child: ChildProcess | undefined;
  #ports: Ports | undefined;
  #output = '';
  #waiting: { pattern: RegExp; resolve: () => void }[] = [];

  private constructor(project: string, flags: readonly string[]) {
    this.#project = project;
    this.#flags = flags;
    this.data = mkdtempSync(join(tmpdir(), 'homing-program-'));
  }

  static async start(project: string, ...flags: string[]): Promise<Program> {
    const program = new Program(project, flags);
    await program.start();
    return program;
  }

  /** Everything printed since the first start. */
  get output(): string {
    return this.#output;
  }

  get ports(): Ports {
    if (this.#ports === undefined) throw new Error('the program is not running');
    return this.#ports;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.ports.http}${path}`;
  }

  /** Resolves when it serves; rejects with its output when it ends before. */
  async start(): Promise<void> {
    const anyPorts = ['--port', '0', '--grpc-port', '0', '--admin-port', '0'];
    const args = [bin, 'dev', this.#project, '--data', this.data, ...anyPorts, ...this.#flags];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const start = this.#output.length;
    await new Promise<void>((resolve, reject) => {
      const onData = (chunk: Buffer) => {
        this.#output += String(chunk);
        const text = this.#output.slice(start);
        for (const entry of [...this.#waiting]) if (entry.pattern.test(text)) entry.resolve();
        const http = /^ready http:\/\/127\.0\.0\.1:(\d+)/m.exec(text)?.[1];
        const grpc = /^ {2}grpc +localhost:(\d+)/m.exec(text)?.[1];
        const admin = /^ {2}admin +http:\/\/localhost:(\d+)/m.exec(text)?.[1];
        if (http === undefined) return;
        this.#ports = { http: Number(http), grpc: Number(grpc), admin: Number(admin) };
        resolve();
      };
      child.stdout?.on('data', onData);
      child.stderr?.on('data', onData);
      child.once('exit', (code) => {
        reject(new Error(`ended with ${code} before it served:\n${this.#output.slice(start)}`));
      });
    });
  }

  /** Resolves once what was printed since the last start matches. */
  printed(pattern: RegExp): Promise<void> {
    if (pattern.test(this.#output)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ pattern, resolve }));
  }

  async signal(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    this.#ports = undefined;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    child.kill(signal);
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  }

  async kill(): Promise<void> {
    await this.signal('SIGKILL');
  }

  /** Ends it and removes its data. */
  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }
}
