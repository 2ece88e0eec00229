/**
 * The executors of one application version, and their replacement: when one ends its successor is
 * started with a delay that grows while starts keep failing. Knows nothing of objects or sessions:
 * the owner is told of every message and every end.
 *
 * Invariant: `ready` executors have reported their exports and have not ended; only they get work.
 */
import {
  assert,
  type ErrorData,
  type ExecutorFactory,
  type ExecutorLink,
  type FromExecutor,
  HomingError,
  type Logger,
  type Timers,
  type ToExecutor,
  type WorkerExports,
} from '@homing/base';

/** One executor as the node sees it. */
export class Executor {
  readonly id: number;
  #link: ExecutorLink | undefined;
  ready = false;
  ended = false;
  /** Activations and sessions placed on it; what least-loaded placement compares. */
  load = 0;

  constructor(id: number) {
    this.id = id;
  }

  /** @internal Called once by the pool. */
  connect(link: ExecutorLink): void {
    assert(this.#link === undefined, 'executor connected twice');
    this.#link = link;
  }

  post(message: ToExecutor): void {
    if (!this.ended) this.#link?.post(message);
  }

  async stop(): Promise<void> {
    await this.#link?.stop();
  }
}

/** What a running executor says; its start is the pool's own business. */
export type ExecutorMessage = Exclude<FromExecutor, { type: 'ready' | 'load-failed' }>;

export type ExecutorChoice = 'least-loaded' | 'next';

export interface ExecutorPoolEvents {
  started(executor: Executor): void;
  message(executor: Executor, message: ExecutorMessage): void;
  ended(executor: Executor, reason: string): void;
}

export interface ExecutorPoolOptions {
  readonly factory: ExecutorFactory;
  readonly count: number;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly events: ExecutorPoolEvents;
  /** Numbers executors over all pools of the process. */
  readonly nextId: () => number;
  /** Delay before the first restart after a start that never became ready. Doubles up to the max. */
  readonly restartDelayMs: number;
  readonly restartDelayMaxMs: number;
}

interface Start {
  readonly settle: (result: WorkerExports | ErrorData) => void;
}

export class ExecutorPool {
  readonly #options: ExecutorPoolOptions;
  readonly #executors = new Set<Executor>();
  readonly #starting = new Map<Executor, Start>();
  #turn = 0;
  #failures = 0;
  #stopReason: string | undefined;
  #waiting: ((executor: Executor) => void)[] = [];

  constructor(options: ExecutorPoolOptions) {
    this.#options = options;
  }

  /**
   * Starts all executors. Resolves with what the worker exports once every one has loaded it, or
   * with the error of the first that could not; then the others are stopped.
   */
  async start(): Promise<WorkerExports | ErrorData> {
    const starts = Array.from({ length: this.#options.count }, () => this.#spawn());
    let failure: ErrorData | undefined;
    let exports: WorkerExports | undefined;
    for (const result of await Promise.all(starts)) {
      if ('objects' in result) exports ??= result;
      else failure ??= result;
    }
    if (failure !== undefined) {
      await this.stop('the worker could not be loaded');
      return failure;
    }
    assert(exports !== undefined, 'executor pool: at least one executor');
    return exports;
  }

  /** A ready executor with the least load, or undefined while none is ready. */
  leastLoaded(): Executor | undefined {
    let best: Executor | undefined;
    for (const executor of this.#executors) {
      if (executor.ready && (best === undefined || executor.load < best.load)) best = executor;
    }
    return best;
  }

  /** Ready executors in turn: for stateless work. */
  next(): Executor | undefined {
    const ready: Executor[] = [];
    for (const executor of this.#executors) if (executor.ready) ready.push(executor);
    if (ready.length <= 1) return ready[0];
    this.#turn = (this.#turn + 1) % ready.length;
    return ready[this.#turn];
  }

  /**
   * Calls back with an executor, the least loaded or the next in turn: at once, or when one becomes
   * ready.
   */
  whenReady(callback: (executor: Executor) => void, which: ExecutorChoice): void {
    const executor = which === 'next' ? this.next() : this.leastLoaded();
    if (executor !== undefined) callback(executor);
    else this.#waiting.push(callback);
  }

  get readyCount(): number {
    let count = 0;
    for (const executor of this.#executors) if (executor.ready) count++;
    return count;
  }

  /** Stops every executor; their ends are reported with `reason`. No successors are started. */
  async stop(reason: string): Promise<void> {
    this.#stopReason = reason;
    await Promise.all([...this.#executors].map((executor) => executor.stop()));
  }

  #spawn(): Promise<WorkerExports | ErrorData> {
    const executor = new Executor(this.#options.nextId());
    this.#executors.add(executor);
    this.#options.events.started(executor);
    return new Promise((settle) => {
      this.#starting.set(executor, { settle });
      executor.connect(
        this.#options.factory.start({
          message: (message) => this.#onMessage(executor, message),
          ended: (reason) => this.#onEnded(executor, reason),
        }),
      );
    });
  }

  #onMessage(executor: Executor, message: FromExecutor): void {
    if (message.type === 'ready') {
      executor.ready = true;
      this.#failures = 0;
      this.#settle(executor, message.exports);
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const callback of waiting) callback(executor);
      return;
    }
    if (message.type === 'load-failed') {
      this.#settle(executor, message.error);
      // It serves nothing: its end makes room for the next try.
      void executor.stop();
      return;
    }
    this.#options.events.message(executor, message);
  }

  #settle(executor: Executor, result: WorkerExports | ErrorData): void {
    this.#starting.get(executor)?.settle(result);
    this.#starting.delete(executor);
  }

  #onEnded(executor: Executor, reason: string): void {
    if (executor.ended) return;
    const wasReady = executor.ready;
    executor.ended = true;
    executor.ready = false;
    this.#executors.delete(executor);
    this.#settle(executor, { name: 'Error', message: reason, properties: {} });
    this.#options.events.ended(executor, this.#stopReason ?? reason);
    if (this.#stopReason === undefined) this.#replace(wasReady, reason);
  }

  #replace(wasReady: boolean, reason: string): void {
    const { restartDelayMs, restartDelayMaxMs, timers, logger } = this.#options;
    if (wasReady) {
      logger.warn('executor ended, starting another', { reason });
      void this.#spawn();
      return;
    }
    const delayMs = Math.min(restartDelayMs * 2 ** this.#failures, restartDelayMaxMs);
    this.#failures++;
    logger.error('executor could not start, trying again', { reason, delayMs });
    timers.after(delayMs, () => {
      if (this.#stopReason === undefined) void this.#spawn();
    });
  }
}

/** What callers see when the thread under an object is gone: retryable, and it may have run. */
export function executorEnded(reason: string): Error {
  const error = new HomingError('outcome_unknown', `Durable Object reset because ${reason}.`);
  return Object.assign(error, { durableObjectReset: true });
}
