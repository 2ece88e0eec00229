/**
 * A child process that says when it is ready. Owns spawning, collecting output, waiting for the
 * ready line, and ending it; knows nothing about what the process is. Used by both runners.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

import { START_TIMEOUT_MS } from './runner.ts';

/** Output kept for messages of failure; older output is dropped. */
const LOG_CHARS_MAX = 64 * 1024;

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The file descriptor (1 or 3) on which the ready line appears. */
  readonly readyFd: 1 | 3;
  /** Given one line of `readyFd`, the port it announces, or null when it announces none. */
  readonly portOf: (line: string) => number | null;
}

export interface Child {
  readonly port: number;
  readonly log: () => string;
  /** Sends the signal, by default SIGKILL, and resolves when the process is gone. Idempotent. */
  readonly kill: (signal?: NodeJS.Signals) => Promise<void>;
}

/** Resolves with the running child once it announced its port; rejects with its output otherwise. */
export function startChild(options: ChildOptions): Promise<Child> {
  const process_ = spawn(options.command, [...options.args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  let log = '';
  const append = (chunk: Buffer | string) => {
    log = (log + String(chunk)).slice(-LOG_CHARS_MAX);
  };
  process_.stdout?.on('data', append);
  process_.stderr?.on('data', append);
  const gone = new Promise<void>((resolve) => {
    process_.once('exit', () => resolve());
    process_.once('error', (error) => {
      append(`${error.stack}\n`);
      resolve();
    });
  });
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    process_.kill(signal);
    await gone;
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      void kill();
      reject(new Error(`${options.command} did not serve within ${START_TIMEOUT_MS} ms:\n${log}`));
    }, START_TIMEOUT_MS);
    void gone.then(() => {
      clearTimeout(timer);
      reject(new Error(`${options.command} ended before it served:\n${log}`));
    });
    readLines(process_, options.readyFd, (line) => {
      const port = options.portOf(line);
      if (port === null) return;
      clearTimeout(timer);
      resolve({ port, log: () => log, kill });
    });
  });
}

function readLines(child: ChildProcess, fd: 1 | 3, onLine: (line: string) => void): void {
  const stream = child.stdio[fd] as Readable;
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
}
