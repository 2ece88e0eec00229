/** What the two composition roots, `homing dev` and `homing node`, have in common. */
import { createServer } from 'node:net';
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

/** Below those that kernels give to outgoing connections, one of which could take it at any time. */
const portsToChoose = { first: 20_000, count: 12_000 };
/** One after the other, so that none is chosen again before it is listened on. */
let portsChosen = Math.floor(Math.random() * portsToChoose.count);

/** A TCP port that nobody listens on now, and that a node may keep over restarts. */
export async function freePort(host: string): Promise<number> {
  const { first, count } = portsToChoose;
  for (let attempt = 0; attempt < count; attempt++) {
    const port = first + (portsChosen++ % count);
    if (await isFree(host, port)) return port;
  }
  throw new CommandError(`no free port was found on ${host}: name the ports to use`);
}

function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
