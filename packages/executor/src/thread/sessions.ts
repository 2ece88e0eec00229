/** Sessions of this thread with the rest of the world, by the numbers that the node knows them by. */
import {
  type ErrorData,
  errorFromData,
  errorToData,
  HomingError,
  NumberTable,
  type Target,
  type UnmarkedMessage,
} from '@homing/base';
import { type HostValueCodec, Session } from '@homing/capability';
import type { Connection, SharedSessionOptions } from './channel.ts';
import { EntrypointContext } from './entrypoint-context.ts';
import { EntrypointTarget } from './entrypoint-target.ts';
import type { WorkerModule } from './exports.ts';
import type { CalleeSession, CallerSide, ObjectHost } from './object-host.ts';
import { immediate } from './platform.ts';
import { callerEnded } from './session-ends.ts';
import { ContextHost } from './session-host.ts';
import type { ServiceRef } from './stubs.ts';

export interface SessionsOptions {
  readonly post: (message: UnmarkedMessage) => void;
  readonly objects: ObjectHost;
  readonly module: () => WorkerModule;
  readonly env: object;
  readonly exports: unknown;
  readonly codec: HostValueCodec;
  readonly sessionOptions: SharedSessionOptions;
}

export class Sessions {
  readonly #options: SessionsOptions;
  /** Opened by the node: even numbers. */
  readonly #callees = new NumberTable<CalleeSession>();
  /** Opened here: odd numbers. */
  readonly #callers = new NumberTable<CallerSide>();
  #next = 1;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** The node opens a session to something here. */
  onOpen(number: number, to: { activation: number } | { entrypoint: string }): void {
    const { post, objects } = this.#options;
    const caller = new NodeCaller(this, post, number);
    const callee =
      'activation' in to
        ? objects.connect(to.activation, caller)
        : this.#openEntrypoint({ entrypoint: to.entrypoint, props: {} }, caller);
    if (callee === undefined) {
      caller.closed(new HomingError('unavailable', 'the object is not here any more: try again'));
    } else {
      this.#callees.set(number, callee);
    }
  }

  onFrame(number: number, frame: Uint8Array): void {
    if (number % 2 === 0) this.#callees.get(number)?.receive(frame);
    else this.#callers.get(number)?.frame(frame);
  }

  onClosed(number: number, error: ErrorData | undefined): void {
    const reason = error === undefined ? callerEnded : errorFromData(error);
    if (number % 2 === 0) {
      const callee = this.#callees.get(number);
      this.#callees.delete(number);
      callee?.close(reason);
      return;
    }
    const caller = this.#callers.get(number);
    this.#callers.delete(number);
    caller?.closed(reason);
  }

  /** Code here opens a session to something that is not here. */
  openThroughNode(target: Target, activation: number | undefined, caller: CallerSide): Connection {
    const { post } = this.#options;
    const number = this.#next;
    this.#next += 2;
    this.#callers.set(number, caller);
    post({ type: 'open', session: number, target, activation });
    return {
      isPosted: true,
      send: (frame) => post({ type: 'frame', session: number, frame }),
      close: () => {
        if (this.#callers.delete(number)) {
          post({ type: 'closed', session: number, error: undefined });
        }
      },
    };
  }

  /** Code here calls an entrypoint: it runs in this thread, in a context of its own. */
  openService(service: ServiceRef, caller: CallerSide): Connection {
    const callee = this.#openEntrypoint(service, caller);
    if (callee === undefined) {
      return { send: () => {}, close: () => {} };
    }
    return {
      // Later: the callee must not run inside the caller's own call.
      send: (frame) => void immediate(() => callee.receive(frame)),
      close: () => callee.close(callerEnded),
    };
  }

  #openEntrypoint(service: ServiceRef, caller: CallerSide): CalleeSession | undefined {
    const { module, env, exports, codec, sessionOptions } = this.#options;
    const entrypoint = module().entrypoint(service.entrypoint);
    if (entrypoint === undefined) {
      immediate(() =>
        caller.closed(
          new HomingError(
            'not_found',
            `the worker has no entrypoint ${service.entrypoint}: export one, for instance an object with a fetch method`,
          ),
        ),
      );
      return undefined;
    }
    const context = new EntrypointContext(`entrypoint ${service.entrypoint}`);
    const { props } = service;
    const target = new EntrypointTarget({ entrypoint, context, env, exports, props });
    return new EntrypointSession(context, target, caller, codec, sessionOptions);
  }

  /** @internal The callee's end of a session that the node opened is over. */
  forget(number: number): void {
    this.#callees.delete(number);
  }
}

/** The node's end of a session that it opened to something here. */
class NodeCaller implements CallerSide {
  readonly isPosted = true;
  readonly #sessions: Sessions;
  readonly #post: SessionsOptions['post'];
  readonly #number: number;

  constructor(sessions: Sessions, post: SessionsOptions['post'], number: number) {
    this.#sessions = sessions;
    this.#post = post;
    this.#number = number;
  }

  frame(frame: Uint8Array): void {
    this.#post({ type: 'frame', session: this.#number, frame });
  }

  closed(error: unknown): void {
    this.#sessions.forget(this.#number);
    this.#post({ type: 'closed', session: this.#number, error: errorToData(error) });
  }
}

/** The end of a session at an entrypoint, which runs in a context of its own. */
class EntrypointSession extends ContextHost implements CalleeSession {
  readonly #session: Session;
  readonly #own: EntrypointContext;
  readonly #caller: CallerSide;

  constructor(
    context: EntrypointContext,
    main: EntrypointTarget,
    caller: CallerSide,
    codec: HostValueCodec,
    { dupParams, limits }: SharedSessionOptions,
  ) {
    super(context, codec);
    this.#own = context;
    this.#caller = caller;
    this.#session = new Session({ host: this, main, dupParams, limits });
  }

  protected pass(frame: Uint8Array): void {
    this.#caller.frame(frame);
  }

  broken(error: Error): void {
    this.#own.end(error);
    this.#caller.closed(error);
  }

  receive(frame: Uint8Array): void {
    this.#session.receive(frame);
  }

  close(error: unknown): void {
    this.#session.close(error);
    this.#own.finish();
  }
}
