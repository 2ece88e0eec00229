/**
 * What calls are made on, and what a call is until it has settled. Sessions, stubs, promises and
 * properties all come down to these; none of them appears here, so that this file is the bottom of
 * the package.
 */

/** Property names from a reference to what is called or read. Empty: the reference itself. */
export type Path = readonly string[];

export interface Callee {
  /**
   * Calls what `path` leads to, or reads it where `args` is undefined. Never throws: whatever is
   * wrong rejects the call. Calls on one callee are delivered in the order of `send`.
   */
  send(path: Path, args: readonly unknown[] | undefined): PendingCall;
}

/** One reference that can be called. What it refers to is let go with the last of its references. */
export interface Hook extends Callee {
  /**
   * As `send`, for a call that came in on a session: on this end's own targets the call runs at
   * once, without copying `args`, and what it throws is thrown. Returns the result or a promise.
   */
  invoke(path: Path, args: readonly unknown[] | undefined): unknown;
  /** Another reference to the same thing. Throws on a disposed one. */
  dup(): Hook;
  /** Gives this reference up. Idempotent. */
  dispose(): void;
}

/** Where a call made on the result of another goes. */
export interface Pipeline {
  pipeline(on: PendingCall, path: Path, args: readonly unknown[] | undefined): PendingCall;
}

const pending = 0;
const fulfilled = 1;
const rejected = 2;

/**
 * A call on its way. The promise is made only when somebody asks for it: a call that nobody waits
 * for cannot become an unhandled rejection, nor can the first links of a pipelined chain.
 */
export class PendingCall implements Callee {
  readonly #pipeline: Pipeline;
  #state: typeof pending | typeof fulfilled | typeof rejected = pending;
  #value: unknown;
  #settled: (() => void)[] | undefined;
  #promise: Promise<unknown> | undefined;
  #resolve: ((value: unknown) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #disposed = false;

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline;
  }

  static rejected(error: unknown): PendingCall {
    const call = new PendingCall(brokenPipeline);
    call.reject(error);
    return call;
  }

  get isPending(): boolean {
    return this.#state === pending;
  }

  get isRejected(): boolean {
    return this.#state === rejected;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** The result, or the error. Undefined while pending. */
  get outcome(): unknown {
    return this.#value;
  }

  /** Settles the call; ignored once it has settled. */
  resolve(value: unknown): void {
    if (this.#state !== pending) return;
    this.#state = fulfilled;
    this.#value = value;
    this.#resolve?.(value);
    this.#finish();
    if (this.#disposed) disposeResult(value);
  }

  reject(error: unknown): void {
    if (this.#state !== pending) return;
    this.#state = rejected;
    this.#value = error;
    this.#reject?.(error);
    this.#finish();
  }

  #finish(): void {
    const settled = this.#settled;
    this.#settled = undefined;
    this.#resolve = undefined;
    this.#reject = undefined;
    if (settled !== undefined) for (const callback of settled) callback();
  }

  /** Runs `callback` when the call has settled: at once if it has. */
  onSettled(callback: () => void): void {
    if (this.#state !== pending) callback();
    else if (this.#settled === undefined) this.#settled = [callback];
    else this.#settled.push(callback);
  }

  /** Resolves with the result, rejects with the error. Always the same promise. */
  promise(): Promise<unknown> {
    if (this.#promise === undefined) {
      if (this.#state === fulfilled) this.#promise = Promise.resolve(this.#value);
      else if (this.#state === rejected) this.#promise = Promise.reject(this.#value);
      else {
        this.#promise = new Promise((resolve, reject) => {
          this.#resolve = resolve;
          this.#reject = reject;
        });
      }
    }
    return this.#promise;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    if (this.#disposed) {
      return PendingCall.rejected(new Error('RPC promise used after being disposed.'));
    }
    if (this.#state === rejected) return PendingCall.rejected(this.#value);
    return this.#pipeline.pipeline(this, path, args);
  }

  /** Disposes the result, now or when it comes. The promise still settles. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#state === fulfilled) disposeResult(this.#value);
  }
}

const brokenPipeline: Pipeline = {
  pipeline: (on) => PendingCall.rejected(on.outcome),
};

function disposeResult(value: unknown): void {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return;
  const dispose = (value as Partial<Disposable>)[Symbol.dispose];
  if (typeof dispose === 'function') dispose.call(value);
}
