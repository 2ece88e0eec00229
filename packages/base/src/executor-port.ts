/**
 * What passes between the node and one executor, in order both ways. An executor runs user code;
 * the node decides what runs there and owns everything that must outlive it (the log, sockets,
 * sessions from elsewhere). In production the two are threads and messages are posted in batches;
 * the simulator joins them in memory. Every message is structured-cloneable. What is received owns
 * the buffers of its byte arrays, but for the operations of an append: the log copies them at once.
 *
 * Sessions are numbered by whoever opened them: even by the node, odd by the executor. Activations
 * are numbered by the node and never reused in one process.
 */
import type { Target } from './dispatch.ts';
import type { Epoch } from './epoch.ts';
import type { ObjectIdHex } from './object-id.ts';
import type { ObjectRef, RecordOperation, WallMs } from './ports.ts';

/** An error as plain data; `properties` holds its own enumerable ones (`retryable` …). */
export interface ErrorData {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** Which end of a socket: the one an object or entrypoint accepted, or the client's. */
export type SocketSide = 'object' | 'client';

export type SocketEvent =
  | { readonly type: 'message'; readonly data: string | Uint8Array }
  | {
      readonly type: 'close';
      readonly code: number;
      readonly reason: string;
      readonly wasClean: boolean;
    };

export interface AutoResponsePair {
  readonly request: string;
  readonly response: string;
}

/** A hibernatable socket as it outlives the activation. */
export interface SocketState {
  readonly socket: string;
  readonly tags: readonly string[];
  /** Serialized by `serializeAttachment`, or undefined. */
  readonly attachment: Uint8Array | undefined;
  /** When the last automatic answer went out, or undefined. */
  readonly autoResponseMs: WallMs | undefined;
}

export type ToExecutor =
  | {
      readonly type: 'activate';
      readonly activation: number;
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly sockets: readonly SocketState[];
      readonly autoResponse: AutoResponsePair | undefined;
    }
  /** Asks the executor to let an idle activation go; it answers `ended` or `busy`. */
  | { readonly type: 'evict'; readonly activation: number }
  /** Ends an activation now, whatever runs; it answers `ended`. */
  | { readonly type: 'reset'; readonly activation: number; readonly error: ErrorData }
  | {
      readonly type: 'open';
      readonly session: number;
      readonly to: { readonly activation: number } | { readonly entrypoint: string };
    }
  | { readonly type: 'frame'; readonly session: number; readonly frame: Uint8Array }
  | { readonly type: 'closed'; readonly session: number; readonly error: ErrorData | undefined }
  /** All groups of the activation up to the `count`-th are durable: what reveals them may leave. */
  | { readonly type: 'committed'; readonly activation: number; readonly count: number }
  /** They are durable, and part of the state that is read from the store. */
  | { readonly type: 'appended'; readonly activation: number; readonly count: number }
  | { readonly type: 'append-failed'; readonly activation: number; readonly error: ErrorData }
  | { readonly type: 'alarm'; readonly activation: number }
  /** An event of a hibernatable socket of the activation. */
  | {
      readonly type: 'object-socket';
      readonly activation: number;
      readonly socket: string;
      readonly event: SocketEvent;
    }
  /** Hibernatable sockets of the object that this activation did not begin with. */
  | {
      readonly type: 'adopt-sockets';
      readonly activation: number;
      readonly sockets: readonly SocketState[];
      readonly autoResponse: AutoResponsePair | undefined;
    }
  /** An automatic answer went out. */
  | {
      readonly type: 'auto-responded';
      readonly activation: number;
      readonly socket: string;
      readonly atMs: WallMs;
    }
  /** An event for an end that lives in the executor's memory. */
  | {
      readonly type: 'socket';
      readonly socket: string;
      readonly side: SocketSide;
      readonly event: SocketEvent;
    }
  /** The answer to `permit`: what the object had read by then may leave, or why it may not. */
  | {
      readonly type: 'permitted';
      readonly request: number;
      readonly error: ErrorData | undefined;
    }
  /** The answer to `connect`: the socket of an outgoing WebSocket, or why there is none. */
  | {
      readonly type: 'connected';
      readonly request: number;
      readonly socket: string | undefined;
      readonly protocol: string;
      readonly error: ErrorData | undefined;
    };

export type AlarmOutcome = 'done' | 'retry' | 'gave-up' | 'stale' | 'failed';

export type FromExecutor =
  /** The bundle is loaded; what it exports. Nothing is sent to the executor before this. */
  | { readonly type: 'ready'; readonly exports: WorkerExports }
  | { readonly type: 'load-failed'; readonly error: ErrorData }
  | UnmarkedMessage
  /**
   * Held by the node until the activation's groups up to the `group`-th, which may be appended later,
   * are durable; dropped when they never will be. What is held of one activation leaves in order.
   */
  | {
      readonly type: 'after';
      readonly activation: number;
      readonly group: number;
      readonly message: UnmarkedMessage;
    };

/** What takes effect as it arrives. */
export type UnmarkedMessage =
  /** The object's constructor is done: events are being delivered. */
  | { readonly type: 'activated'; readonly activation: number }
  | {
      readonly type: 'ended';
      readonly activation: number;
      /** evicted: idle; broken: abort, failed gate or constructor. */
      readonly cause: 'evicted' | 'broken';
      readonly error: ErrorData | undefined;
    }
  /** The answer to an `evict` that came too late. */
  | { readonly type: 'busy'; readonly activation: number }
  /** The activation has been idle for long enough to be evicted. */
  | { readonly type: 'evictable'; readonly activation: number }
  | {
      readonly type: 'open';
      readonly session: number;
      readonly target: Target;
      /** The object that opens it, or undefined for a stateless entrypoint. */
      readonly activation: number | undefined;
    }
  | { readonly type: 'frame'; readonly session: number; readonly frame: Uint8Array }
  | {
      readonly type: 'closed';
      readonly session: number;
      readonly error: ErrorData | undefined;
    }
  /** One atomic group of an activation's writes; groups are counted from 1. */
  | {
      readonly type: 'append';
      readonly activation: number;
      readonly operations: readonly RecordOperation[];
    }
  /**
   * Something in the executor waits for the groups up to the `group`-th, or it has much held for them: it is
   * told of them at once. Else it hears `appended` after a while, and `committed` not at all.
   */
  | { readonly type: 'awaits'; readonly activation: number; readonly group: number }
  /** As `awaits`; and the activation takes no more events until they are folded in. */
  | { readonly type: 'needs-folded'; readonly activation: number; readonly group: number }
  | {
      readonly type: 'alarm-done';
      readonly activation: number;
      readonly outcome: AlarmOutcome;
    }
  | {
      readonly type: 'accept-socket';
      readonly activation: number;
      readonly socket: string;
      readonly tags: readonly string[];
    }
  /** An end in the executor's memory whose other end left in a response. */
  | {
      readonly type: 'export-socket';
      readonly socket: string;
      /** Undefined for a stateless entrypoint's. */
      readonly activation: number | undefined;
    }
  /** The executor itself takes the client's end of a socket, for an object or an entrypoint. */
  | {
      readonly type: 'attach-socket';
      readonly socket: string;
      readonly activation: number | undefined;
    }
  | {
      readonly type: 'socket';
      readonly socket: string;
      readonly side: SocketSide;
      readonly event:
        | { readonly type: 'message'; readonly data: string | Uint8Array }
        | {
            readonly type: 'close';
            readonly code: number | undefined;
            readonly reason: string | undefined;
          };
    }
  | {
      readonly type: 'socket-attachment';
      readonly socket: string;
      readonly attachment: Uint8Array | undefined;
    }
  | {
      readonly type: 'auto-response';
      readonly activation: number;
      readonly pair: AutoResponsePair | undefined;
    }
  /** An outgoing WebSocket that user code asked for with `fetch`. */
  | {
      readonly type: 'connect';
      readonly request: number;
      /** The object that asked, or undefined for a stateless entrypoint. */
      readonly activation: number | undefined;
      readonly url: string;
      readonly headers: readonly string[];
    }
  /** Something of the object is to leave the cluster. Answered by `permitted`, in order. */
  | { readonly type: 'permit'; readonly activation: number; readonly request: number }
  | {
      readonly type: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      /** Who wrote it: an object's label or an entrypoint's. */
      readonly label: string;
      readonly message: string;
    }
  /** What the store holds of the object cannot be read. */
  | { readonly type: 'damaged'; readonly id: ObjectIdHex; readonly reason: string }
  /** What ran since the last report. */
  | { readonly type: 'report'; readonly calls: readonly CallReport[] };

export interface CallReport {
  readonly namespace: string;
  readonly kind: 'fetch' | 'call' | 'alarm' | 'websocket';
  readonly outcome: 'ok' | 'error' | 'overloaded';
  readonly durationsMs: Float64Array;
}

export interface WorkerExports {
  /** Exported classes that can be objects: those extending `DurableObject`, and old-style ones. */
  readonly objects: readonly string[];
  /** Stateless entrypoints, `default` among them where it can serve. */
  readonly entrypoints: readonly string[];
}

export interface ExecutorLink {
  /** Dropped after the executor ended. */
  post(message: ToExecutor): void;
  /** Ends it, whatever it is doing. Resolves when the thread is gone. */
  stop(): Promise<void>;
}

export interface ExecutorEvents {
  message(message: FromExecutor): void;
  /**
   * The executor is gone: out of memory, exit by user code, the CPU limit, or `stop`. Nothing more
   * comes from it. `reason` is for people.
   */
  ended(reason: string): void;
}

/** Makes executors; one application version each. */
export interface ExecutorFactory {
  start(events: ExecutorEvents): ExecutorLink;
}
