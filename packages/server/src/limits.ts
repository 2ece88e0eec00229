/** The limits of a node that its user may set, by name. */
import { availableParallelism } from 'node:os';
import { type ExecutorLimits, executorLimits } from '@homing/executor';
import { nodeLimits } from '@homing/node';
import { UsageError } from './usage-error.ts';

export interface DevLimits extends ExecutorLimits {
  /** Executor threads. */
  readonly executors: number;
  /** Bytes of one socket's frames that wait, each way, while its object or client cannot be reached. */
  readonly socketWaitingBytes: number;
  /** Bytes said about sockets that are kept for one other node, until it has them. */
  readonly laneKeptBytes: number;
}

export const devLimits: DevLimits = {
  ...executorLimits,
  executors: Math.max(1, availableParallelism() - 1),
  socketWaitingBytes: nodeLimits.socketWaitingBytesMax,
  laneKeptBytes: nodeLimits.laneKeptBytesMax,
};

export const limitNames = Object.keys(devLimits) as readonly (keyof DevLimits)[];

/** `NAME=N` each, over the defaults. Throws `UsageError` for a name or number that is none. */
export function parseLimits(given: readonly string[]): DevLimits {
  const limits: Record<string, number> = { ...devLimits };
  for (const text of given) {
    const [name = '', value = ''] = text.split('=');
    if (!Object.hasOwn(limits, name)) {
      throw new UsageError(`--limit knows no ${JSON.stringify(name)}`);
    }
    if (!/^[1-9]\d{0,14}$/.test(value)) {
      throw new UsageError(`--limit ${name} must be a whole number of at least 1, as ${name}=1000`);
    }
    limits[name] = Number(value);
  }
  return limits as unknown as DevLimits;
}
