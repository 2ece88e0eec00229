/**
 * What one activation needs of the executor it runs in. The simulator and tests give it memory
 * versions of all of these.
 */
import type {
  Clock,
  Epoch,
  Logger,
  ObjectRef,
  RecordOperation,
  StateReader,
  Timers,
  WallMs,
} from '@homing/base';

export interface ActorHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Committed state; the actor overlays its own unconfirmed writes. */
  readonly reader: StateReader;
  /** Schedules `turn` in a macrotask of its own: microtasks are drained before the next one. */
  macrotask(turn: () => void): void;
  /**
   * Appends one atomic group to the object's log. Calls are in order; resolves when the record is
   * durable and visible to `reader`; rejects when it will never be (the actor then breaks).
   */
  append(operations: readonly RecordOperation[]): Promise<void>;
  readonly sockets: SocketHost;
  /** The instance is gone (abort, broken gate, failed write). Called once, at the break. */
  broken(reason: unknown): void;
  /** Called when the actor became idle (no event, timer, client or unconfirmed write) or busy. */
  idle(isIdle: boolean): void;
}

/** A hibernatable socket as it outlives the activation. */
export interface SocketSnapshot {
  readonly socket: string;
  readonly tags: readonly string[];
  /** Serialized by `serializeAttachment`, or undefined. */
  readonly attachment: Uint8Array | undefined;
  /** Last automatic answer, or undefined. */
  readonly autoResponseMs: WallMs | undefined;
}

/**
 * The gateway's side of an object's sockets. The actor passes every call through its output gate
 * before it gets here, so nothing here waits.
 */
export interface SocketHost {
  /** Announces an end that the object accepted with `ctx.acceptWebSocket`. */
  accept(socket: string, tags: readonly string[]): void;
  send(socket: string, data: string | Uint8Array): void;
  close(socket: string, code: number | undefined, reason: string | undefined): void;
  attachment(socket: string, attachment: Uint8Array | undefined): void;
  autoResponse(pair: { readonly request: string; readonly response: string } | undefined): void;
}

export interface ActivationSpec {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  /** The class declares `alarm()`, `webSocketMessage()` … as methods of its prototype. */
  readonly construct: (ctx: object, env: unknown) => object;
  readonly sockets: readonly SocketSnapshot[];
  readonly autoResponse: { readonly request: string; readonly response: string } | undefined;
}
