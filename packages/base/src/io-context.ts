/**
 * The I/O context: on whose behalf user code is running at this moment.
 *
 * Every piece of user code runs inside one: an object's activation, or one run of a stateless
 * entrypoint. Whatever comes in from outside the user's own code (a request, a reply, a timer, a
 * socket message) enters through `enter`, whatever goes out leaves through `output`; so the gates
 * of an object are in one place, and the web globals, RPC sessions and sockets know nothing of
 * them. The current context follows awaits by AsyncLocalStorage.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The critical section (`blockConcurrencyWhile`) that code runs in, or undefined outside any.
 * Whoever starts something whose answer comes back later keeps the scope of the start, and enters
 * with it, so that the answer gets through to the section that waits for it.
 */
export type Scope = object | undefined;

/**
 * event  something new: waits in the object's bounded queue, counts as a running event until its
 *        promise settles, and is refused when the object is overloaded or broken
 * answer the continuation of something the context itself began (a reply, a timer, a chunk)
 */
export type EntryKind = 'event' | 'answer';

export interface IoContext {
  /** For logs: `Counter "alice"`, `entrypoint default`. */
  readonly label: string;
  /** Why this context ended, once it has; nothing enters or leaves afterwards. */
  readonly broken: { readonly reason: unknown } | undefined;
  /**
   * Runs `run` inside the context as soon as the input gate lets it in, each entry in a macrotask
   * of its own with microtasks drained between, in the order of the calls per scope. Calls
   * `refuse` instead, with the error to give the caller, when it will never run.
   */
  enter(kind: EntryKind, scope: Scope, run: () => unknown, refuse: (error: unknown) => void): void;
  /**
   * Runs `send` once everything the object has written so far is durable: at once where nothing is
   * pending. Sends leave in the order of the calls, and are dropped when the context breaks.
   */
  output(send: () => void): void;
  /**
   * As `output`, for a `send` that only posts messages to the node: it may run at once, and the node
   * holds what it posts.
   */
  post(send: () => void): void;
  /**
   * As `output`, for what leaves the cluster: `send` runs once it is also known that the object may
   * still act, so that no other server is told what an owner read that is none any more. Calls
   * `refuse` where that cannot be known.
   */
  outputOutside(send: () => void, refuse: (error: unknown) => void): void;
  /** The critical section the caller is in now. */
  scope(): Scope;
  /** Keeps a stateless context alive until `promise` settles; nothing more for an object. */
  waitUntil(promise: Promise<unknown>): void;
  /**
   * Registers something to be undone when the context ends (a timer, a fetch, a session). While at
   * least one registered with `keepsAlive` is there an object is not evicted as idle. The returned
   * function removes it.
   */
  onEnd(undo: (reason: unknown) => void, keepsAlive?: boolean): () => void;
}

export interface IoFrame {
  readonly context: IoContext;
  readonly scope: Scope;
}

const frames = new AsyncLocalStorage<IoFrame>();

/** Runs `run` with `frame` as the current one; continuations of its awaits keep it. */
export function runInFrame<T>(frame: IoFrame, run: () => T): T {
  return frames.run(frame, run);
}

/** The current frame, or undefined at module scope. */
export function currentFrame(): IoFrame | undefined {
  return frames.getStore();
}

/** The current context; throws the platform's error at module scope. */
export function currentContext(): IoContext {
  const frame = frames.getStore();
  if (frame === undefined) throw new Error('Disallowed operation called within global scope.');
  return frame.context;
}
