/**
 * `console` as user code has it: every line goes to the node with the name of the object or
 * entrypoint that wrote it.
 */
import { formatWithOptions } from 'node:util';
import { currentFrame, type FromExecutor } from '@homing/base';

type Level = Extract<FromExecutor, { type: 'log' }>['level'];

const levels: Readonly<Record<string, Level>> = {
  debug: 'debug',
  trace: 'debug',
  log: 'info',
  info: 'info',
  dir: 'info',
  table: 'info',
  warn: 'warn',
  error: 'error',
};

const lineLengthMax = 64 * 1024;

export type WriteLog = (level: Level, label: string, message: string) => void;

/** Replaces the logging methods of `target`; the others stay Node's. */
export function installConsole(target: Console, write: WriteLog): void {
  for (const [method, level] of Object.entries(levels)) {
    Object.defineProperty(target, method, {
      configurable: true,
      writable: true,
      value: (...args: unknown[]) => {
        const text = formatWithOptions({ colors: false, depth: 4 }, ...args);
        write(level, currentFrame()?.context.label ?? 'worker', text.slice(0, lineLengthMax));
      },
    });
  }
}
