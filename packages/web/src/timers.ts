/**
 * Timers that belong to the context they are set in: their callbacks enter it as answers, and they
 * end with it. While one is set its object is not idle.
 */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
import { currentContext } from '@homing/base';
import { compatibility } from './compatibility.ts';
import { onPlatform } from './platform-work.ts';

/** Node's own, kept before the globals are replaced. */
const native = { setTimeout, clearTimeout, setInterval, setImmediate };

type Callback = (...args: never[]) => unknown;

const active = new Map<number, TimerHandle>();
let lastId = 0;

/** What `setTimeout` returns; the methods of Node's handles that code calls do nothing here. */
export class TimerHandle {
  readonly #id: number;
  #cancel: (() => void) | undefined;

  constructor(cancel: () => void) {
    lastId += 1;
    this.#id = lastId;
    this.#cancel = cancel;
    active.set(this.#id, this);
  }

  /** @internal Idempotent. */
  static clear(handle: TimerHandle): void {
    active.delete(handle.#id);
    handle.#cancel?.();
    handle.#cancel = undefined;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return this.#cancel !== undefined;
  }

  close(): this {
    TimerHandle.clear(this);
    return this;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }
}

function checkCallback(callback: unknown): asserts callback is Callback {
  if (typeof callback === 'function') return;
  throw new TypeError(
    `The "callback" argument must be of type function. Received type ${typeof callback} (${JSON.stringify(callback)})`,
  );
}

/** What a timer's callback throws is nobody's answer: it is logged, and nothing else changes. */
function run(callback: Callback, args: never[]): unknown {
  try {
    return callback(...args);
  } catch (error) {
    console.error('Uncaught', error);
    return undefined;
  }
}

function startTimer(callback: Callback, delayMs: number, args: never[], repeat: boolean) {
  checkCallback(callback);
  const context = currentContext();
  const scope = context.scope();
  let cleared = false;
  let queued = false;
  const fire = () => {
    // A slow context gets one call for all the intervals it missed.
    if (queued) return;
    queued = true;
    const enter = () => {
      queued = false;
      if (cleared) return undefined;
      if (!repeat) TimerHandle.clear(handle);
      return run(callback, args);
    };
    context.enter('answer', scope, enter, () => TimerHandle.clear(handle));
  };
  const timer = repeat ? native.setInterval(fire, delayMs) : native.setTimeout(fire, delayMs);
  const release = context.onEnd(() => TimerHandle.clear(handle), true);
  const handle = new TimerHandle(() => {
    cleared = true;
    native.clearTimeout(timer);
    release();
  });
  return handle;
}

/** What code gets for a timer: a number, as in browsers, or with `nodejs_compat` Node's handle. */
function visible(handle: TimerHandle): TimerHandle | number {
  return compatibility('nodejs_compat') ? handle : Number(handle);
}

function setContextTimeout(
  callback: Callback,
  delayMs = 0,
  ...args: never[]
): TimerHandle | number | NodeJS.Timeout {
  if (onPlatform()) return native.setTimeout(callback, delayMs, ...args);
  return visible(startTimer(callback, Number(delayMs), args, false));
}

function setContextInterval(
  callback: Callback,
  delayMs = 0,
  ...args: never[]
): TimerHandle | number | NodeJS.Timeout {
  if (onPlatform()) return native.setInterval(callback, delayMs, ...args);
  return visible(startTimer(callback, Number(delayMs), args, true));
}

function setContextImmediate(callback: Callback, ...args: never[]): TimerHandle | NodeJS.Immediate {
  if (onPlatform()) return native.setImmediate(callback, ...args);
  return startTimer(callback, 0, args, false);
}

function clearContextTimer(handle?: unknown): void {
  if (handle instanceof TimerHandle) {
    TimerHandle.clear(handle);
    return;
  }
  const found = active.get(Number(handle));
  if (found !== undefined) TimerHandle.clear(found);
  else if (onPlatform()) native.clearTimeout(handle as NodeJS.Timeout);
}

export {
  clearContextTimer as clearTimeout,
  setContextImmediate as setImmediate,
  setContextInterval as setInterval,
  setContextTimeout as setTimeout,
};

/** `scheduler.wait`: resolves after `delayMs`, rejects with the reason of an aborted `signal`. */
export class Scheduler {
  async wait(delayMs: number, options?: { signal?: AbortSignal }): Promise<void> {
    if (arguments.length === 0) {
      throw new TypeError(
        "Failed to execute 'wait' on 'Scheduler': parameter 1 is not of type 'number'.",
      );
    }
    const signal = options?.signal;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const handle = setContextTimeout(() => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      }, delayMs);
      const aborted = () => {
        clearContextTimer(handle);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }
}

/** `AbortSignal.timeout` by the context's timers. */
export function timeoutSignal(delayMs: number): AbortSignal {
  const controller = new AbortController();
  setContextTimeout(() => {
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  }, delayMs);
  return controller.signal;
}
