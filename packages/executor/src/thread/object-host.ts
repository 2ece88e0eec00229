/**
 * The objects that live in this thread: their activations, the sessions to each, and when one may
 * leave memory.
 *
 * Eviction is a handshake. An activation that has been idle for long enough is offered to the node
 * (`evictable`); the node stops sending it work and asks for it (`evict`); it goes if it is still
 * idle (`ended`), else it stays (`busy`). So nothing is ever sent to an activation that is gone.
 */
import { Actor, type ActorLimits } from '@homing/actor';
import {
  assert,
  Chain,
  errorToData,
  type FromExecutor,
  HomingError,
  type IoContext,
  type Link,
  type ObjectIdHex,
  type ObjectRef,
  type StateReader,
  type ToExecutor,
  type UnmarkedMessage,
} from '@homing/base';
import { type HostValueCodec, Session } from '@homing/capability';
import type { Heartbeat } from '../heartbeat.ts';
import type { ExecutorLimits } from '../limits.ts';
import type { ObjectClass } from '../thread-data.ts';
import type { CallReports } from './call-reports.ts';
import type { SharedSessionOptions } from './channel.ts';
import type { WorkerModule } from './exports.ts';
import { jurisdictionOf } from './namespaces.ts';
import { ObjectTarget } from './object-target.ts';
import type { Permits } from './permits.ts';
import { clock, immediate, timers } from './platform.ts';
import type { SentAhead } from './sent-ahead.ts';
import { ContextHost } from './session-host.ts';
import { threadLogger } from './thread-log.ts';
import type { WriteLog } from './worker-console.ts';

/** The callee's end of a session to an object. */
export interface CalleeSession {
  receive(frame: Uint8Array): void;
  /** The caller closed. */
  close(error: unknown): void;
}

/** How the caller hears from it. */
export interface CallerSide {
  /** It is no code of this thread: frames are posted to the node. */
  readonly isPosted?: boolean;
  frame(frame: Uint8Array): void;
  closed(error: unknown): void;
}

interface OpenSession {
  readonly session: Session;
  readonly caller: CallerSide;
}

interface Hosted {
  readonly number: number;
  readonly object: ObjectRef;
  readonly actor: Actor;
  readonly target: ObjectTarget;
  readonly sessions: Chain<OpenSession>;
  /** When it became idle; undefined while it is busy. */
  idleSinceMs: number | undefined;
  offered: boolean;
}

export interface ObjectHostOptions {
  readonly post: (message: UnmarkedMessage) => void;
  readonly write: WriteLog;
  readonly reader: StateReader;
  readonly heartbeat: Heartbeat;
  readonly limits: ExecutorLimits;
  readonly actorLimits: ActorLimits;
  readonly reports: CallReports;
  readonly permits: Permits;
  readonly sentAhead: SentAhead;
  readonly classes: ReadonlyMap<string, ObjectClass>;
  readonly module: () => WorkerModule;
  readonly env: object;
  readonly exports: unknown;
  readonly codec: HostValueCodec;
  readonly sessionOptions: SharedSessionOptions;
}

export class ObjectHost {
  readonly #options: ObjectHostOptions;
  readonly #byNumber = new Map<number, Hosted>();
  readonly #byId = new Map<ObjectIdHex, Hosted>();
  readonly #byContext = new Map<IoContext, number>();
  /** Idle ones, in the order in which they became so. */
  readonly #idle = new Set<Hosted>();

  constructor(options: ObjectHostOptions) {
    this.#options = options;
  }

  activationOf(context: IoContext): number | undefined {
    return this.#byContext.get(context);
  }

  activate(message: Extract<ToExecutor, { type: 'activate' }>): void {
    const { activation, object, sockets, autoResponse } = message;
    const { classes, actorLimits, exports } = this.#options;
    const objectClass = classes.get(object.namespace);
    const className = objectClass?.className ?? object.namespace;
    const label = `${className} ${object.name === undefined ? object.id : JSON.stringify(object.name)}`;
    const actor = new Actor(
      {
        label,
        id: object.id,
        name: object.name,
        jurisdiction: jurisdictionOf(object.id),
        storage: objectClass?.storage ?? 'kv',
        construct: (ctx) => this.#construct(className, ctx),
        exports,
        props: {},
        sockets,
        autoResponse,
      },
      this.#actorHost(activation, object, label),
      actorLimits,
    );
    const target = new ObjectTarget({
      actor,
      id: object.id,
      clock,
      measured: (kind, outcome, durationMs) =>
        this.#options.reports.add(object.namespace, kind, outcome, durationMs),
    });
    const hosted: Hosted = {
      number: activation,
      object,
      actor,
      target,
      sessions: new Chain(),
      idleSinceMs: undefined,
      offered: false,
    };
    this.#byNumber.set(activation, hosted);
    this.#byId.set(object.id, hosted);
    this.#byContext.set(actor, activation);
    actor.start();
  }

  /** The session's callee end, or undefined where there is no such activation any more. */
  connect(activation: number, caller: CallerSide): CalleeSession | undefined {
    const hosted = this.#byNumber.get(activation);
    return hosted === undefined ? undefined : this.#connect(hosted, caller);
  }

  /** As `connect`, for code in this thread; also tells why the instance broke once it has. */
  connectLocally(
    id: ObjectIdHex,
    caller: CallerSide,
  ): (CalleeSession & { broken(): { readonly reason: unknown } | undefined }) | undefined {
    const hosted = this.#byId.get(id);
    if (hosted === undefined) return undefined;
    const callee = this.#connect(hosted, caller);
    let evicted = false;
    return {
      receive: (frame) => callee.receive(frame),
      close: (error) => callee.close(error),
      broken: () => {
        const { broken } = hosted.actor;
        evicted ||= broken !== undefined && broken.reason instanceof HomingError;
        return evicted ? undefined : broken;
      },
    };
  }

  committed(activation: number, count: number): void {
    this.#options.sentAhead.durable(activation, count);
    this.#byNumber.get(activation)?.actor.committed(count);
  }

  appended(activation: number, count: number): void {
    this.#options.sentAhead.durable(activation, count);
    this.#byNumber.get(activation)?.actor.appended(count);
  }

  reset(activation: number, error: unknown): void {
    this.#byNumber.get(activation)?.actor.reset(error);
  }

  alarm(activation: number): void {
    const hosted = this.#byNumber.get(activation);
    if (hosted !== undefined) hosted.actor.alarm();
  }

  objectSocket(message: Extract<ToExecutor, { type: 'object-socket' }>): void {
    this.#byNumber.get(message.activation)?.actor.socketEvent(message.socket, message.event);
  }

  adoptSockets(message: Extract<ToExecutor, { type: 'adopt-sockets' }>): void {
    const hosted = this.#byNumber.get(message.activation);
    hosted?.actor.adoptSockets(message.sockets, message.autoResponse);
  }

  autoResponded({
    activation,
    socket,
    atMs,
  }: Extract<ToExecutor, { type: 'auto-responded' }>): void {
    this.#byNumber.get(activation)?.actor.autoResponded(socket, atMs);
  }

  evict(activation: number): void {
    const hosted = this.#byNumber.get(activation);
    // Gone already: its `ended` is on the way.
    if (hosted === undefined) return;
    hosted.offered = false;
    if (this.#mayGo(hosted) && hosted.actor.evict()) return;
    this.#options.post({ type: 'busy', activation });
  }

  /** Offers what has been idle for long enough; everything idle where memory is short. */
  offerIdle(isMemoryShort: boolean): void {
    const { idleHibernateMs, idleEvictMs, idleObjectsMax } = this.#options.limits;
    const nowMs = clock.monotonicMs();
    // The longest idle go first.
    let excess = isMemoryShort ? this.#idle.size : this.#idle.size - idleObjectsMax;
    for (const hosted of this.#idle) {
      const idleMs = nowMs - (hosted.idleSinceMs ?? nowMs);
      if (idleMs < idleHibernateMs && !isMemoryShort) return;
      const isKept = excess <= 0 && !hosted.actor.holdsSockets;
      excess -= 1;
      if (hosted.offered) continue;
      if ((isKept || hosted.sessions.size > 0) && idleMs < idleEvictMs) continue;
      if (!this.#mayGo(hosted)) continue;
      hosted.offered = true;
      this.#options.post({ type: 'evictable', activation: hosted.number });
    }
  }

  get size(): number {
    return this.#byNumber.size;
  }

  /** Idle, and no call or stream of a session is under way. */
  #mayGo(hosted: Hosted): boolean {
    if (hosted.idleSinceMs === undefined) return false;
    return !hosted.sessions.some(({ session }) => session.isBusy);
  }

  #construct(className: string, ctx: object): object {
    const objectClass = this.#options.module().object(className);
    if (objectClass === undefined) {
      throw new HomingError(
        'not_found',
        `the worker exports no class ${className}: export it, or remove its binding`,
      );
    }
    return new objectClass(ctx, this.#options.env);
  }

  #actorHost(activation: number, object: ObjectRef, label: string) {
    const { post, reader, heartbeat, reports, permits, sentAhead, write } = this.#options;
    return {
      clock,
      timers,
      logger: threadLogger(write, label),
      random: Math.random,
      reader,
      macrotask: (turn: () => void) =>
        void immediate(() => {
          heartbeat.running(activation);
          turn();
        }),
      append: (operations: Extract<FromExecutor, { type: 'append' }>['operations']) =>
        post({ type: 'append', activation, operations }),
      ahead: (group: number, send: () => void) => sentAhead.send(activation, group, send),
      awaits: (group: number) => post({ type: 'awaits', activation, group }),
      needsFolded: (group: number) => post({ type: 'needs-folded', activation, group }),
      asksPermits: permits.areAsked,
      permit: (pass: () => void, refuse: (error: unknown) => void) =>
        permits.ask(activation, pass, refuse),
      activated: () => post({ type: 'activated', activation }),
      ended: (cause: 'evicted' | 'broken', reason: unknown) =>
        this.#ended(activation, cause, reason),
      idle: (isIdle: boolean) => this.#onIdle(activation, isIdle),
      alarmDone: (outcome: Extract<FromExecutor, { type: 'alarm-done' }>['outcome']) =>
        post({ type: 'alarm-done', activation, outcome }),
      measured: (
        kind: 'fetch' | 'call' | 'alarm' | 'websocket',
        outcome: 'ok' | 'error' | 'overloaded',
        durationMs: number,
      ) => reports.add(object.namespace, kind, outcome, durationMs),
      acceptSocket: (socket: string, tags: readonly string[]) =>
        post({ type: 'accept-socket', activation, socket, tags }),
      setAutoResponse: (pair: Extract<FromExecutor, { type: 'auto-response' }>['pair']) =>
        post({ type: 'auto-response', activation, pair }),
    };
  }

  #connect(hosted: Hosted, caller: CallerSide): CalleeSession {
    const { codec, sessionOptions } = this.#options;
    return new ObjectSession(hosted, caller, codec, sessionOptions);
  }

  #onIdle(activation: number, isIdle: boolean): void {
    const hosted = this.#byNumber.get(activation);
    if (hosted === undefined) return;
    if (isIdle) {
      hosted.idleSinceMs = clock.monotonicMs();
      this.#idle.add(hosted);
    } else {
      hosted.idleSinceMs = undefined;
      this.#idle.delete(hosted);
    }
  }

  #ended(activation: number, cause: 'evicted' | 'broken', reason: unknown): void {
    const hosted = this.#byNumber.get(activation);
    assert(hosted !== undefined, 'object host: an unknown activation ended');
    this.#byNumber.delete(activation);
    this.#byId.delete(hosted.object.id);
    this.#byContext.delete(hosted.actor);
    this.#idle.delete(hosted);
    this.#options.sentAhead.ended(activation);
    const error = cause === 'evicted' ? evictedError() : reason;
    for (const { session, caller } of hosted.sessions.drain()) {
      session.close(error);
      caller.closed(error);
    }
    this.#options.post({
      type: 'ended',
      activation,
      cause,
      error: cause === 'evicted' ? undefined : errorToData(reason),
    });
  }
}

/** The object's end of a session, and what that needs of the object. */
class ObjectSession extends ContextHost implements CalleeSession, OpenSession {
  readonly session: Session;
  readonly caller: CallerSide;
  readonly #actor: Actor;
  readonly #place: Link;

  constructor(
    { actor, target, sessions }: Hosted,
    caller: CallerSide,
    codec: HostValueCodec,
    { dupParams, limits }: SharedSessionOptions,
  ) {
    super(actor, codec);
    this.#actor = actor;
    this.caller = caller;
    this.session = new Session({ host: this, main: target, dupParams, limits });
    this.#place = sessions.add(this);
  }

  protected override get isPosted(): boolean {
    return this.caller.isPosted === true;
  }

  protected pass(frame: Uint8Array): void {
    this.caller.frame(frame);
  }

  once(
    call: Parameters<Actor['once']>[0],
    run: Parameters<Actor['once']>[1],
  ): ReturnType<Actor['once']> {
    return this.#actor.once(call, run);
  }

  isOwnError(error: unknown): boolean {
    return this.#actor.isOwnError(error);
  }

  broken(error: Error): void {
    this.#place.remove();
    this.caller.closed(error);
  }

  receive(frame: Uint8Array): void {
    this.session.receive(frame);
  }

  close(error: unknown): void {
    this.#place.remove();
    this.session.close(error);
  }
}

function evictedError(): HomingError {
  return new HomingError('unavailable', 'the object was evicted from memory: try again');
}
