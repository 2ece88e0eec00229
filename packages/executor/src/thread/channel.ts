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
  type HostValueCodec,
  type Path,
  PendingCall,
  Session,
  type SessionOptions,
} from '@homing/capability';

import { platformError } from './platform-error.ts';
import { callerEnded } from './session-ends.ts';
import { ContextHost } from './session-host.ts';

/** An open connection to user code. */
export interface Connection extends FramePort {
  /** It is no code of this thread: to send is to post to the node. */
  readonly isPosted?: boolean;
  /** Why the instance behind it broke, once it has; also after the connection was closed. */
  broken?(): { readonly reason: unknown } | undefined;
}

/** What all sessions of a thread have in common. */
export type SharedSessionOptions = Required<Pick<SessionOptions, 'dupParams' | 'limits'>>;

export interface ChannelOptions {
  readonly context: IoContext;
  readonly open: (sink: FrameSink) => Connection;
  readonly codec: HostValueCodec;
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
    const { context, open, codec, sessionOptions } = this.#options;
    const { dupParams, limits } = sessionOptions;
    const line = new Line(context, codec, this);
    const session = new Session({ host: line, dupParams, limits });
    line.session = session;
    const connection = open(line);
    line.connection = connection;
    this.#session = session;
    this.#connection = connection;
    this.#forget = context.onEnd((reason) => {
      session.close(reason);
      connection.close();
    });
    return session;
  }

  /** @internal Nothing is outstanding on the session any more. */
  onIdle(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#forget?.();
    session.close(callerEnded);
    this.#connection?.close();
  }

  /** @internal */
  onFailed(session: Session, error: unknown): void {
    if (this.#session !== session) return;
    this.#broken = { reason: error };
    this.#session = undefined;
    this.#forget?.();
    session.close(error);
  }
}

/** Between a channel's session and its connection. Nothing is sent before it has both. */
class Line extends ContextHost implements FrameSink {
  session: Session | undefined;
  connection: Connection | undefined;
  readonly #channel: Channel;

  constructor(context: IoContext, codec: HostValueCodec, channel: Channel) {
    super(context, codec);
    this.#channel = channel;
  }

  protected override get isPosted(): boolean {
    return this.connection?.isPosted === true;
  }

  protected pass(frame: Uint8Array): void {
    this.connection?.send(frame);
  }

  present(error: unknown): unknown {
    return platformError(error);
  }

  idle(): void {
    if (this.session !== undefined) this.#channel.onIdle(this.session);
  }

  broken(error: Error): void {
    this.closed(error);
  }

  frame(frame: Uint8Array): void {
    this.session?.receive(frame);
  }

  closed(error: unknown): void {
    if (this.session !== undefined) this.#channel.onFailed(this.session, error);
  }
}
