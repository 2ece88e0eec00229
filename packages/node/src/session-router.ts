/**
 * Sessions: ordered frames between a caller (an edge, or code in an executor) and user code.
 *
 * Invariants: frames of one session arrive in the order sent, also while the object is being
 * placed; a session belongs to one activation for life, so an answer never comes from a later one;
 * `closed` is called exactly once unless the caller closed first, and nothing follows it.
 *
 * Called by the node on its thread.
 */
import {
  type Clock,
  type ErrorData,
  errorFromData,
  errorToData,
  type FramePort,
  type FrameSink,
  HomingError,
  isHomingError,
  NumberTable,
  type ObjectRef,
  type Target,
  type Timers,
} from '@homing/base';
import type { Executor } from './executor-pool.ts';
import type { Activation, Delivery } from './object-entry.ts';

/** What the router needs of other nodes; a single node has none. */
export interface RemoteSessions {
  /** Opens a session to an object that `node` owns, or is to own. */
  open(node: string, object: ObjectRef, sink: RemoteSink): FramePort;
}

/** As `FrameSink`; before `accepted` nothing has been executed unless an error says so. */
export interface RemoteSink extends FrameSink {
  accepted(): void;
}

export interface SessionRouterOptions {
  readonly deliver: (object: ObjectRef, delivery: Delivery) => void;
  /** Output of an activation; see `ReadGuard`. */
  readonly output: (
    activation: number,
    pass: () => void,
    refuse: (error: HomingError) => void,
  ) => void;
  readonly remote: RemoteSessions | undefined;
  /** Who calls objects here; undefined where nobody wants to know. */
  readonly callers: SessionCallers | undefined;
  readonly clock: Clock;
  readonly timers: Timers;
  /** How long a call that was surely not executed is sent again. */
  readonly placementTimeoutMs: number;
  /** Calls back with an executor for stateless work: at once, or when one has started. */
  readonly whenExecutor: (callback: (executor: Executor) => void) => void;
  /** Sessions that wait for an executor; past it they are refused as overloaded. */
  readonly waitingMax: number;
  /** Bytes of frames kept for one session while its object is being placed. */
  readonly waitingBytesMax: number;
}

/** Counts what goes to and from objects here. `node`: where it comes from, undefined for this one. */
export interface SessionCallers {
  call(object: ObjectRef, node: string | undefined): void;
  frame(object: ObjectRef, node: string | undefined, bytes: number): void;
}

/** Where a session comes from: what was forwarded once is not forwarded again. */
export type SessionOrigin =
  | { readonly kind: 'edge' }
  | {
      readonly kind: 'peer';
      readonly node: string;
      readonly accepted: (activation: Activation) => void;
    };

type State = 'unopened' | 'placing' | 'open' | 'closed';

/** Before a call that another node refused is placed again. */
const placeAgainMs = 20;

/** One session to user code, here or on another node; the node's side of it is numbered even. */
class Session implements FramePort, Delivery, RemoteSink {
  readonly number: number;
  readonly #router: SessionRouter;
  readonly #target: Target;
  readonly sink: FrameSink;
  #state: State = 'unopened';
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  executor: Executor | undefined;
  /** The object's activation here, where it is one. */
  activation: number | undefined;
  readonly #origin: SessionOrigin;
  #remote: FramePort | undefined;
  #giveUpAtMs: number | undefined;

  constructor(
    router: SessionRouter,
    number: number,
    target: Target,
    sink: FrameSink,
    origin: SessionOrigin,
  ) {
    this.#router = router;
    this.number = number;
    this.#target = target;
    this.sink = sink;
    this.#origin = origin;
  }

  send(frame: Uint8Array): void {
    switch (this.#state) {
      case 'open':
        if (this.#remote !== undefined) this.#remote.send(frame);
        else {
          this.count(frame);
          this.executor?.post({ type: 'frame', session: this.number, frame });
        }
        return;
      case 'closed':
        return;
      case 'unopened':
        this.#hold(frame);
        this.#state = 'placing';
        this.#router.place(this, this.#target);
        return;
      case 'placing':
        if (this.#hold(frame)) this.#remote?.send(frame);
    }
  }

  close(): void {
    if (this.#state === 'closed') return;
    if (this.#remote !== undefined) this.#remote.close();
    else if (this.#state === 'open') {
      this.executor?.post({ type: 'closed', session: this.number, error: undefined });
    }
    this.#forget();
  }

  get from(): string | undefined {
    return this.#origin.kind === 'peer' ? this.#origin.node : undefined;
  }

  get isForwarded(): boolean {
    return this.#origin.kind === 'peer';
  }

  /** A frame of a session that is open here, in either direction. */
  count(frame: Uint8Array): void {
    if (this.#target.kind !== 'object') return;
    this.#router.callers?.frame(this.#target.object, this.#from, frame.byteLength);
  }

  get #from(): string | undefined {
    return this.#origin.kind === 'peer' ? this.#origin.node : undefined;
  }

  deliver(activation: Activation): void {
    if (this.#state === 'closed') return;
    this.activation = activation.number;
    if (this.#origin.kind === 'peer') this.#origin.accepted(activation);
    if (this.#target.kind === 'object') this.#router.callers?.call(this.#target.object, this.#from);
    this.opened(activation.executor, { activation: activation.number });
  }

  /**
   * What was sent so far is kept until the other node accepts it: until then it may answer that it
   * has executed nothing, and the session is placed again.
   */
  forward(node: string): void {
    if (this.#state === 'closed') return;
    const { remote } = this.#router;
    if (this.#origin.kind === 'peer' || remote === undefined || this.#target.kind !== 'object') {
      this.refuse(notOwner(node));
      return;
    }
    const port = remote.open(node, this.#target.object, this);
    this.#remote = port;
    for (const frame of this.#waiting) port.send(frame);
  }

  /** As `RemoteSink`, here and below. */
  accepted(): void {
    if (this.#state !== 'placing') return;
    this.#state = 'open';
    this.#waiting = [];
  }

  frame(frame: Uint8Array): void {
    this.sink.frame(frame);
  }

  closed(error: unknown): void {
    const wasAccepted = this.#state === 'open';
    this.#remote = undefined;
    if (wasAccepted || !this.#router.maySendAgain(error)) this.refuse(error);
    else this.#placeAgain(error);
  }

  #placeAgain(error: unknown): void {
    const { clock, timers, placementTimeoutMs } = this.#router;
    const nowMs = clock.monotonicMs();
    this.#giveUpAtMs ??= nowMs + placementTimeoutMs;
    if (nowMs >= this.#giveUpAtMs) {
      this.refuse(error);
      return;
    }
    timers.after(placeAgainMs, () => {
      if (this.#state === 'placing') this.#router.place(this, this.#target);
    });
  }

  opened(executor: Executor, to: { activation: number } | { entrypoint: string }): void {
    if (this.#state === 'closed') return;
    this.#state = 'open';
    this.executor = executor;
    executor.post({ type: 'open', session: this.number, to });
    for (const frame of this.#waiting) {
      executor.post({ type: 'frame', session: this.number, frame });
    }
    this.#waiting = [];
  }

  /** Closed by the other side, or never opened. */
  refuse(error: unknown): void {
    if (this.#state === 'closed') return;
    this.#forget();
    this.sink.closed(error);
  }

  #hold(frame: Uint8Array): boolean {
    this.#waitingBytes += frame.byteLength;
    if (this.#waitingBytes > this.#router.waitingBytesMax) {
      // Another node may have begun with what it was sent so far.
      const executed = this.#remote === undefined ? 'no' : 'maybe';
      const message = 'too much was sent before the object was placed';
      this.#remote?.close();
      this.refuse(new HomingError('overloaded', message, { executed }));
      return false;
    }
    this.#waiting.push(frame);
    return true;
  }

  #forget(): void {
    this.#state = 'closed';
    this.#waiting = [];
    this.#router.forget(this);
  }
}

export class SessionRouter {
  readonly #options: SessionRouterOptions;
  readonly #sessions = new NumberTable<Session>();
  /** Sessions that an executor opened, by executor and its own number. */
  readonly #fromExecutors = new Map<Executor, NumberTable<ExecutorCaller>>();
  #next = 2;
  #waiting = 0;

  constructor(options: SessionRouterOptions) {
    this.#options = options;
  }

  get waitingBytesMax(): number {
    return this.#options.waitingBytesMax;
  }

  get remote(): RemoteSessions | undefined {
    return this.#options.remote;
  }

  get callers(): SessionCallers | undefined {
    return this.#options.callers;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get timers(): Timers {
    return this.#options.timers;
  }

  get placementTimeoutMs(): number {
    return this.#options.placementTimeoutMs;
  }

  /** Only what was surely not executed, and never what was refused for being too much. */
  maySendAgain(error: unknown): boolean {
    return isHomingError(error) && error.executed === 'no' && error.retryable;
  }

  /** As `Dispatcher.open`. */
  open(target: Target, sink: FrameSink, origin: SessionOrigin = edge): FramePort {
    const session = new Session(this, this.#next, target, sink, origin);
    this.#next += 2;
    this.#sessions.set(session.number, session);
    return session;
  }

  /** A session that code in an executor opens. */
  openFrom(
    executor: Executor,
    number: number,
    target: Target,
    activation: number | undefined,
  ): void {
    const callers = this.#callersOf(executor);
    const caller = new ExecutorCaller(callers, executor, number, activation);
    caller.port = this.open(target, caller);
    callers.set(number, caller);
  }

  onFrame(executor: Executor, number: number, frame: Uint8Array): void {
    if (number % 2 === 0) {
      const session = this.#sessions.get(number);
      if (session === undefined) return;
      this.#output(session, () => {
        if (this.#sessions.get(number) === undefined) return;
        session.count(frame);
        session.sink.frame(frame);
      });
      return;
    }
    const caller = this.#fromExecutors.get(executor)?.get(number);
    if (caller === undefined) return;
    const { activation, port } = caller;
    if (activation === undefined) {
      port?.send(frame);
      return;
    }
    this.#options.output(
      activation,
      () => port?.send(frame),
      (error) => {
        port?.close();
        caller.closed(error);
      },
    );
  }

  /** What leaves a session: the answer of an object is only as good as its lease. */
  #output(session: Session, pass: () => void): void {
    const { activation } = session;
    if (activation === undefined) pass();
    else {
      this.#options.output(activation, pass, (error) => {
        session.close();
        session.sink.closed(error);
      });
    }
  }

  onClosed(executor: Executor, number: number, error: ErrorData | undefined): void {
    if (number % 2 === 0) {
      const reason = error === undefined ? sessionOver : errorFromData(error);
      const session = this.#sessions.get(number);
      if (session !== undefined) this.#output(session, () => session.refuse(reason));
      return;
    }
    const caller = this.#fromExecutors.get(executor)?.get(number);
    if (caller === undefined) return;
    caller.forget();
    const { activation, port } = caller;
    // After the frames before it, which may wait for the lease to be confirmed.
    const close = () => port?.close();
    if (activation === undefined) close();
    else this.#options.output(activation, close, close);
  }

  /** All sessions to and from the executor end. */
  onExecutorEnded(executor: Executor, error: Error): void {
    for (const session of this.#sessions.values()) {
      if (session.executor === executor) session.refuse(error);
    }
    const callers = this.#fromExecutors.get(executor);
    this.#fromExecutors.delete(executor);
    for (const { port } of callers?.values() ?? []) port?.close();
  }

  /** @internal Finds the session its executor. */
  place(session: Session, target: Target): void {
    if (target.kind === 'object') {
      this.#options.deliver(target.object, session);
      return;
    }
    if (this.#waiting >= this.#options.waitingMax) {
      session.refuse(new HomingError('overloaded', 'the worker is starting and too much waits'));
      return;
    }
    this.#waiting++;
    this.#options.whenExecutor((executor) => {
      this.#waiting--;
      session.opened(executor, { entrypoint: target.entrypoint });
    });
  }

  /** @internal */
  forget(session: Session): void {
    this.#sessions.delete(session.number);
  }

  #callersOf(executor: Executor): NumberTable<ExecutorCaller> {
    let callers = this.#fromExecutors.get(executor);
    if (callers === undefined) {
      callers = new NumberTable();
      this.#fromExecutors.set(executor, callers);
    }
    return callers;
  }
}

/** Code in an executor that opened a session, under the executor's own number. */
class ExecutorCaller implements FrameSink {
  readonly #callers: NumberTable<ExecutorCaller>;
  readonly #executor: Executor;
  readonly #number: number;
  /** The activation whose code it is, where it is an object's. */
  readonly activation: number | undefined;
  port: FramePort | undefined;

  constructor(
    callers: NumberTable<ExecutorCaller>,
    executor: Executor,
    number: number,
    activation: number | undefined,
  ) {
    this.#callers = callers;
    this.#executor = executor;
    this.#number = number;
    this.activation = activation;
  }

  frame(frame: Uint8Array): void {
    this.#executor.post({ type: 'frame', session: this.#number, frame });
  }

  closed(error: unknown): void {
    this.forget();
    this.#executor.post({ type: 'closed', session: this.#number, error: errorToData(error) });
  }

  forget(): void {
    this.#callers.delete(this.#number);
  }
}

const edge: SessionOrigin = { kind: 'edge' };

function notOwner(owner: string): HomingError {
  return new HomingError('not_owner', `the object is on node ${owner}`, { details: { owner } });
}

/** Made once: sessions end with every request. */
const sessionOver = new HomingError('cancelled', 'the other side ended the session');
