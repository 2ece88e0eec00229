/** What the two composition roots, `homing dev` and `homing node`, have in common. */
import type { Logger, ReaderHandle, Store } from '@homing/base';
import type { WorkerLog } from '@homing/node';
import { CommandError } from './usage-error.ts';

/** What executors read the store by. */
export function readerOf(store: Store): ReaderHandle {
  const { readerHandle } = store;
  if (readerHandle === undefined) throw new Error('the store cannot be read by other threads');
  return readerHandle;
}

/** Says which flag or key to change. */
export function portTaken(flag: string, port: number): (error: unknown) => never {
  return (error) => {
    if ((error as { code?: string }).code === 'EADDRINUSE') {
      throw new CommandError(
        `port ${port} is taken: stop what listens there, or give another ${flag}`,
      );
    }
    throw error;
  };
}

/** A line of user code's console. */
export function printLog(
  print: (line: string) => void,
  { level, label, message }: WorkerLog,
): void {
  print(`[${label}] ${level === 'info' ? '' : `${level}: `}${message}`);
}

/** What the gateway has to say of the worker's failures, as its other lines are printed. */
export function forPeople(logger: Logger, print: (line: string) => void): Logger {
  return {
    warn: (message, fields) => logger.warn(message, fields),
    info: (message, fields) => logger.info(message, fields),
    debug: (message, fields) => logger.debug(message, fields),
    child: (fields) => logger.child(fields),
    error: (message, fields = {}) => {
      const { method, url, error } = fields;
      const request = url === undefined ? '' : `${String(method)} ${String(url)}: `;
      print(
        `[worker] error: ${request}${message}${error === undefined ? '' : `\n${String(error)}`}`,
      );
    },
  };
}
