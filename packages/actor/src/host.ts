/**
 * What one activation needs of the executor it runs in. The simulator and tests give it memory
 * versions of all of these.
 */
import type {
  AlarmOutcome,
  AutoResponsePair,
  CallReport,
  Clock,
  Logger,
  ObjectIdHex,
  RecordOperation,
  SocketState,
  StateReader,
  Timers,
} from '@homing/base';

export interface ActorHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Committed state; the actor overlays its own unconfirmed writes. */
  readonly reader: StateReader;
  /**
   * Schedules `turn` in a macrotask of its own, in the order of the calls: microtasks are drained
   * between any two.
   */
  macrotask(turn: () => void): void;
  /**
   * Appends one atomic group to the object's log. Groups are counted from 1; the host calls
   * `Actor.appended` when they are durable and visible to `reader`, or `Actor.reset` when they
   * never will be.
   */
  append(operations: readonly RecordOperation[]): void;
  /**
   * Runs `send`, and has all that it posts held by the node until groups up to the `group`-th are
   * durable, behind what is held already; drops it when they never will be. False where too much is
   * held: then nothing was run.
   */
  ahead(group: number, send: () => void): boolean;
  /** Something here waits for groups up to the `group`-th: the host is to tell of them at once. */
  awaits(group: number): void;
  /** As `awaits`, where nothing goes on until they are visible to the reader, too: not to be put off. */
  needsFolded(group: number): void;
  /** Whether `permit` asks the node, and so does no more than post. */
  readonly asksPermits: boolean;
  /**
   * Calls `pass` when what the object has read so far may leave the cluster, in the order of the
   * calls, or `refuse` when the object may not act any more.
   */
  permit(pass: () => void, refuse: (error: unknown) => void): void;
  /** The constructor and the critical sections it opened are done. Once. */
  activated(): void;
  /** The instance is gone: abort, broken gate, failed constructor, eviction. Once, at the end. */
  ended(cause: 'evicted' | 'broken', reason: unknown): void;
  /** Whether an event, timer, socket, fetch or unconfirmed write keeps the object busy. */
  idle(isIdle: boolean): void;
  /** The outcome of an alarm, when what it wrote is durable. */
  alarmDone(outcome: AlarmOutcome): void;
  /** An alarm or socket event ended. */
  measured(kind: CallReport['kind'], outcome: CallReport['outcome'], durationMs: number): void;
  /** Announces a hibernatable socket that the object accepted. */
  acceptSocket(socket: string, tags: readonly string[]): void;
  setAutoResponse(pair: AutoResponsePair | undefined): void;
}

export interface ActivationSpec {
  /** For logs: `Counter "alice"`. */
  readonly label: string;
  readonly id: ObjectIdHex;
  readonly name: string | undefined;
  readonly jurisdiction: string | undefined;
  readonly storage: 'kv' | 'sqlite';
  /** Makes the user's instance. */
  readonly construct: (ctx: object) => object;
  /** What `ctx.exports` and `ctx.props` are. */
  readonly exports: unknown;
  readonly props: unknown;
  readonly sockets: readonly SocketState[];
  readonly autoResponse: AutoResponsePair | undefined;
}

export interface ActorLimits {
  /** Events that wait for the input gate; past it they are refused as overloaded. */
  readonly queueMax: number;
  /** Events begun and not ended; past it further ones are refused as overloaded. */
  readonly runningMax: number;
  /** Bytes of socket events that wait to be queued; past it sockets are closed. */
  readonly socketEventBytesMax: number;
  /** Clean storage entries kept in memory. */
  readonly cacheBytes: number;
  /** Writes of a group; past it the next entry begins another. */
  readonly groupBytes: number;
  /** Writes that are not durable; past it storage operations wait. */
  readonly unconfirmedBytesMax: number;
  /** How long a critical section may last. */
  readonly criticalSectionMs: number;
  /** How long an alarm handler may run. */
  readonly alarmMs: number;
  /** Results kept for calls that carry a request id. */
  readonly requestResultsMax: number;
  readonly requestResultAgeMs: number;
}

export const actorLimits: ActorLimits = {
  queueMax: 1000,
  runningMax: 10_000,
  socketEventBytesMax: 64 * 1024 * 1024,
  cacheBytes: 16 * 1024 * 1024,
  groupBytes: 256 * 1024,
  unconfirmedBytesMax: 16 * 1024 * 1024,
  criticalSectionMs: 30_000,
  alarmMs: 15 * 60_000,
  requestResultsMax: 1000,
  requestResultAgeMs: 600_000,
};
