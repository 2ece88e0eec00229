/**
 * A process that is started, signalled and started again with the same command. Owns the child and
 * the end of what it printed. Every started process is registered, and killed when this one exits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';

export interface ManagedProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Resolves with true once the process serves; asked again and again. */
  readonly isReady: () => Promise<boolean>;
  /** Default 60,000. */
  readonly readyTimeoutMs?: number;
  /** Everything printed goes there too. */
  readonly logFile?: string;
}

const outputCharsMax = 64 * 1024;
const readyPollMs = 50;

const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export class ManagedProcess {
  readonly #options: ManagedProcessOptions;
  #child: ChildProcess | undefined;
  #ended: Promise<number | null> | undefined;
  /** Open until the end of this process, also where the file is removed meanwhile. */
  readonly #log: number | undefined;
  #output = '';
  #isEndExpected = true;
  #crashes = 0;

  constructor(options: ManagedProcessOptions) {
    this.#options = options;
    this.#log = options.logFile === undefined ? undefined : openSync(options.logFile, 'a');
  }

  get name(): string {
    return this.#options.name;
  }

  /** Undefined while none runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The end of what it printed, over all starts. */
  get output(): string {
    return this.#output;
  }

  /** How often it ended after it had served, without having been told to. */
  get crashes(): number {
    return this.#crashes;
  }

  /** Resolves when it is ready. Rejects with its output when it ends before, or is too slow. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.name} runs already`);
    const { command, args, env, readyTimeoutMs = 60_000 } = this.#options;
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    this.#isEndExpected = true;
    alive.add(child);
    child.stdout.on('data', (chunk) => this.#print(String(chunk)));
    child.stderr.on('data', (chunk) => this.#print(String(chunk)));
    this.#ended = new Promise((resolve) => {
      const end = (code: number | null) => {
        alive.delete(child);
        if (this.#child === child) this.#child = undefined;
        if (!this.#isEndExpected) this.#crashes += 1;
        resolve(code);
      };
      child.once('exit', (code) => end(code));
      child.once('error', (error) => {
        this.#print(`${error.message}\n`);
        end(null);
      });
    });
    const deadline = performance.now() + readyTimeoutMs;
    while (!(await this.#options.isReady())) {
      if (this.#child !== child) throw new Error(`${this.name} ended early:\n${this.#output}`);
      if (performance.now() > deadline) {
        await this.kill();
        throw new Error(`${this.name} did not serve in ${readyTimeoutMs} ms:\n${this.#output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, readyPollMs));
    }
    this.#isEndExpected = false;
  }

  /** False where none runs. */
  signal(signal: NodeJS.Signals): boolean {
    if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#isEndExpected = true;
    return this.#child?.kill(signal) ?? false;
  }

  /** Resolves with its status when it has ended; at once where none runs. */
  async ended(): Promise<number | null> {
    return (await this.#ended) ?? null;
  }

  /** SIGKILL; resolves when the process is gone. Also ends one that is stopped. Idempotent. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  #print(text: string): void {
    this.#output = (this.#output + text).slice(-outputCharsMax);
    if (this.#log !== undefined) writeSync(this.#log, text);
  }
}

/** True where a GET is answered with 200. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
