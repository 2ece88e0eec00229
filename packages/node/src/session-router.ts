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
  type ErrorData,
  errorFromData,
  errorToData,
  type FramePort,
  type FrameSink,
  HomingError,
  type ObjectRef,
  type Target,
} from '@homing/base';
import type { Executor } from './executor-pool.ts';
import type { Activation, Delivery } from './object-table.ts';

export interface SessionRouterOptions {
  readonly deliver: (object: ObjectRef, delivery: Delivery) => void;
  /** Calls back with an executor for stateless work: at once, or when one has started. */
  readonly whenExecutor: (callback: (executor: Executor) => void) => void;
  /** Sessions that wait for an executor; past it they are refused as overloaded. */
  readonly waitingMax: number;
  /** Bytes of frames kept for one session while its object is being placed. */
  readonly waitingBytesMax: number;
}

type State = 'unopened' | 'placing' | 'open' | 'closed';

/** One session to user code here; the node's side of it is numbered even. */
class Session implements FramePort, Delivery {
  readonly number: number;
  readonly #router: SessionRouter;
  readonly #target: Target;
  readonly sink: FrameSink;
  #state: State = 'unopened';
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  executor: Executor | undefined;

  constructor(router: SessionRouter, number: number, target: Target, sink: FrameSink) {
    this.#router = router;
    this.number = number;
    this.#target = target;
    this.sink = sink;
  }

  send(frame: Uint8Array): void {
    switch (this.#state) {
      case 'open':
        this.executor?.post({ type: 'frame', session: this.number, frame });
        return;
      case 'closed':
        return;
      case 'unopened':
        this.#hold(frame);
        this.#state = 'placing';
        this.#router.place(this, this.#target);
        return;
      case 'placing':
        this.#hold(frame);
    }
  }

  close(): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'open') {
      this.executor?.post({ type: 'closed', session: this.number, error: undefined });
    }
    this.#forget();
  }

  deliver(activation: Activation): void {
    this.opened(activation.executor, { activation: activation.number });
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

  #hold(frame: Uint8Array): void {
    this.#waitingBytes += frame.byteLength;
    if (this.#waitingBytes > this.#router.waitingBytesMax) {
      this.refuse(new HomingError('overloaded', 'too much was sent before the object was placed'));
      return;
    }
    this.#waiting.push(frame);
  }

  #forget(): void {
    this.#state = 'closed';
    this.#waiting = [];
    this.#router.forget(this);
  }
}

export class SessionRouter {
  readonly #options: SessionRouterOptions;
  readonly #sessions = new Map<number, Session>();
  /** Sessions that an executor opened, by executor and its own number. */
  readonly #fromExecutors = new Map<Executor, Map<number, FramePort>>();
  #next = 2;
  #waiting = 0;

  constructor(options: SessionRouterOptions) {
    this.#options = options;
  }

  get waitingBytesMax(): number {
    return this.#options.waitingBytesMax;
  }

  /** As `Dispatcher.open`. */
  open(target: Target, sink: FrameSink): FramePort {
    const session = new Session(this, this.#next, target, sink);
    this.#next += 2;
    this.#sessions.set(session.number, session);
    return session;
  }

  /** A session that code in an executor opens. */
  openFrom(executor: Executor, number: number, target: Target): void {
    const ports = this.#portsOf(executor);
    const port = this.open(target, {
      frame: (frame) => executor.post({ type: 'frame', session: number, frame }),
      closed: (error) => {
        ports.delete(number);
        executor.post({ type: 'closed', session: number, error: errorToData(error) });
      },
    });
    ports.set(number, port);
  }

  onFrame(executor: Executor, number: number, frame: Uint8Array): void {
    if (number % 2 === 0) this.#sessions.get(number)?.sink.frame(frame);
    else this.#fromExecutors.get(executor)?.get(number)?.send(frame);
  }

  onClosed(executor: Executor, number: number, error: ErrorData | undefined): void {
    if (number % 2 === 0) {
      const reason = error === undefined ? sessionOver : errorFromData(error);
      this.#sessions.get(number)?.refuse(reason);
      return;
    }
    const ports = this.#fromExecutors.get(executor);
    const port = ports?.get(number);
    ports?.delete(number);
    port?.close();
  }

  /** All sessions to and from the executor end. */
  onExecutorEnded(executor: Executor, error: Error): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.executor === executor) session.refuse(error);
    }
    const ports = this.#fromExecutors.get(executor);
    this.#fromExecutors.delete(executor);
    for (const port of ports?.values() ?? []) port.close();
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

  #portsOf(executor: Executor): Map<number, FramePort> {
    let ports = this.#fromExecutors.get(executor);
    if (ports === undefined) {
      ports = new Map();
      this.#fromExecutors.set(executor, ports);
    }
    return ports;
  }
}

/** Made once: sessions end with every request. */
const sessionOver = new HomingError('cancelled', 'the other side ended the session');
