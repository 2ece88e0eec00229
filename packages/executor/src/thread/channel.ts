/**
 * What a stub calls through. A channel opens a session at its first call and closes it when nothing
 * is outstanding, so a stub that lies about costs nothing. Calls on one channel are delivered in
 * order, because a session that still has calls outstanding goes on being used.
 *
 * Invariant: a channel whose session ended with an error, or whose object's instance broke since,
 * stays broken: what its user assumed of the object may not hold any more.
 */
import type { FramePort, FrameSink, IoContext } from '@homing/base';
import {
  type Path,
  PendingCall,
  Session,
  type SessionHost,
  type SessionOptions,
} from '@homing/capability';

import { platformError } from './platform-error.ts';
import { callerEnded } from './session-ends.ts';

/** An open connection to user code. */
export interface Connection extends FramePort {
  /** Why the instance behind it broke, once it has; also after the connection was closed. */
  broken?(): { readonly reason: unknown } | undefined;
}

/** What all sessions of a thread have in common. */
export type SharedSessionOptions = Pick<SessionOptions, 'dupParams' | 'limits'>;

export interface ChannelOptions {
  readonly context: IoContext;
  readonly open: (sink: FrameSink) => Connection;
  /** Makes the host of a session whose frames go to `send`. */
  readonly host: (context: IoContext, send: (frame: Uint8Array) => void) => SessionHost;
  readonly sessionOptions: SharedSessionOptions;
}

export class Channel {
  readonly #options: ChannelOptions;
  #session: Session | undefined;
  #connection: Connection | undefined;
  #broken: { readonly reason: unknown } | undefined;
  #forget: (() => void) | undefined;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    this.#broken ??= this.#connection?.broken?.();
    if (this.#broken !== undefined) return PendingCall.rejected(platformError(this.#broken.reason));
    const session = this.#session ?? this.#open();
    return args === undefined ? session.read(path) : session.call(path, args);
  }

  #open(): Session {
    const { context, open, host, sessionOptions } = this.#options;
    let connection: Connection | undefined;
    const session: Session = new Session({
      host: {
        ...host(context, (frame) => connection?.send(frame)),
        present: platformError,
        idle: () => this.#idle(session),
        broken: (error) => this.#fail(session, error),
      },
      ...sessionOptions,
    });
    connection = open({
      frame: (frame) => session.receive(frame),
      closed: (error) => this.#fail(session, error),
    });
    this.#session = session;
    this.#connection = connection;
    this.#forget = context.onEnd((reason) => {
      session.close(reason);
      connection?.close();
    });
    return session;
  }

  #idle(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#forget?.();
    session.close(callerEnded);
    this.#connection?.close();
  }

  #fail(session: Session, error: unknown): void {
    if (this.#session !== session) return;
    this.#broken = { reason: error };
    this.#session = undefined;
    this.#forget?.();
    session.close(error);
  }
}
