/** Calls of a session, as its two ends keep them. */
import { type Hook, PendingCall, type Pipeline } from './callee.ts';

export interface CallOptions {
  /** Runs the call at most once for this id; see `SessionHost.once`. */
  readonly requestId?: string | undefined;
  /** How long ago the call was first made. */
  readonly elapsedMs?: number | undefined;
}

/** A call that this end made. */
export class OutgoingCall extends PendingCall {
  /** @internal Its number in the session. */
  readonly number: number;
  /** @internal The critical section it was made in. */
  readonly scope: object | undefined;
  /** True where the result is that of an earlier call with the same request id. */
  replayed = false;

  constructor(pipeline: Pipeline, number: number, scope: object | undefined) {
    super(pipeline);
    this.number = number;
    this.scope = scope;
  }
}

export interface IncomingCall {
  readonly number: number;
  /** Stubs among the arguments: disposed when the call is answered. */
  references: readonly object[];
  /** Settles with the raw result. */
  readonly outcome: PendingCall;
}

export interface Export {
  readonly hook: Hook;
  /** The critical section it was exported in: calls of it belong there. */
  readonly scope: object | undefined;
  references: number;
}

export interface Target {
  readonly kind: number;
  readonly number: number;
}
