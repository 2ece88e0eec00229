/** Executors: threads that run user code. */
export { type ExecutorThreadsOptions, executorThreads } from './executor-threads.ts';
export { type ExecutorLimits, executorLimits } from './limits.ts';
export type {
  ObjectBinding,
  ObjectClass,
  ServiceBinding,
  WorkerDescription,
} from './thread-data.ts';
