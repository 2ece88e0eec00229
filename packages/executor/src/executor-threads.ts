/**
 * Executors as worker threads: the node's side. Starts a thread, passes messages in batches, and
 * ends it when user code keeps it from its event loop for longer than the CPU limit.
 *
 * A thread that runs out of memory, throws outside any context or calls `process.exit` ends alone:
 * the node and the other executors go on. This contains faults; it is not a sandbox.
 */
import { Worker } from 'node:worker_threads';
import type {
  ExecutorEvents,
  ExecutorFactory,
  ExecutorLink,
  FromExecutor,
  Logger,
  ReaderHandle,
  Timers,
  ToExecutor,
} from '@homing/base';
import { type Batch, readBatch } from './batch.ts';
import { beatIntervalMs, HeartbeatWatch, heartbeatMemory } from './heartbeat.ts';
import type { ExecutorLimits } from './limits.ts';
import { Outbox } from './outbox.ts';
import type { ThreadData, WorkerDescription } from './thread-data.ts';

export interface ExecutorThreadsOptions {
  readonly worker: WorkerDescription;
  /** File URL of the bundled worker module. */
  readonly bundleUrl: string;
  readonly reader: ReaderHandle;
  readonly region: string;
  readonly socketPrefix: string;
  readonly isClustered: boolean;
  readonly limits: ExecutorLimits;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** A factory of executor threads that run one version of a worker. */
export function executorThreads(options: ExecutorThreadsOptions): ExecutorFactory {
  return { start: (events) => startThread(options, events) };
}

function startThread(options: ExecutorThreadsOptions, events: ExecutorEvents): ExecutorLink {
  const memory = heartbeatMemory();
  const data: ThreadData = {
    worker: options.worker,
    bundleUrl: options.bundleUrl,
    reader: options.reader,
    region: options.region,
    socketPrefix: options.socketPrefix,
    isClustered: options.isClustered,
    limits: options.limits,
    heartbeat: memory,
  };
  const thread = new Worker(new URL('./thread/main.js', import.meta.url), {
    workerData: data,
    name: 'homing-executor',
    env: {},
    stdout: true,
    stderr: true,
    resourceLimits: {
      maxOldGenerationSizeMb: Math.ceil(options.limits.executorHeapBytes / 2 ** 20),
    },
  });
  const outbox = new Outbox<ToExecutor>(thread, setImmediate, options.timers);
  let reason: string | undefined;
  const take = (message: FromExecutor): void => events.message(message);
  thread.on('message', (batch: Batch) => readBatch(batch, take));
  thread.on('error', (error: Error & { code?: string }) => {
    reason ??=
      error.code === 'ERR_WORKER_OUT_OF_MEMORY'
        ? 'its executor ran out of memory'
        : `its executor failed: ${error.message}`;
  });
  for (const stream of [thread.stdout, thread.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      events.message({ type: 'log', level: 'info', label: 'worker', message: text.trimEnd() });
    });
  }
  const stopWatching = watch(thread, new HeartbeatWatch(memory), options, (why) => {
    reason ??= why;
  });
  thread.on('exit', (code) => {
    stopWatching();
    events.ended(reason ?? `its executor exited with code ${code}`);
  });
  return {
    post: (message) => outbox.post(message),
    stop: async () => {
      reason ??= 'its executor was stopped';
      await thread.terminate();
    },
  };
}

/** Ends the thread when it is silent for longer than the CPU limit. Returns how to stop watching. */
function watch(
  thread: Worker,
  heart: HeartbeatWatch,
  { limits, timers, logger }: ExecutorThreadsOptions,
  stuck: (why: string) => void,
): () => void {
  let stopped = false;
  const look = (): void => {
    if (stopped) return;
    if (heart.look() > limits.cpuPerEventMs) {
      logger.error('user code exceeded its CPU limit, its executor is replaced', {
        activation: heart.running,
        limitMs: limits.cpuPerEventMs,
      });
      stuck('user code in its executor exceeded the CPU limit');
      void thread.terminate();
      return;
    }
    timers.after(beatIntervalMs, look);
  };
  thread.once('online', () => timers.after(beatIntervalMs, look));
  return () => {
    stopped = true;
  };
}
