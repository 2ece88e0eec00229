/**
 * One end of an RPC session: calls both ways, results, references, streams. The two ends are equal
 * but that only an end with a `main` target can be called by number zero.
 *
 * Frames (first byte the type; numbers are varints):
 *
 *     call     call, target, path, flags, [request id, elapsed ms], [arguments]
 *     result   call, flags, value          a value, or what was thrown
 *     forget   count, calls                no further calls will be made on these results
 *     release  export, count               so many references are gone
 *     chunk    pipe, value                 pipes: see pipe.ts
 *     end      pipe
 *     fail     pipe, value
 *     credit   pipe, bytes
 *     cancel   pipe, value
 *     abort    export, value               an AbortSignal was aborted
 *
 * A target is the other end's main, one of its exports, or the result of an earlier call, which may
 * not have come yet (pipelining). Exports and pipes are numbered by the end that has the thing.
 *
 * Invariants: frames take effect in the order they came; calls on one target begin in the order they
 * were made; every call is answered once, or the session ends; what one end exports is let go when
 * the other released it, or when the session ends. An end with nothing outstanding keeps no state
 * that the other relies on: it may be replaced by a fresh one.
 */
import { HomingError } from '@homing/base';
import { type Hook, type Path, PendingCall, type Pipeline } from './callee.ts';
import type { SessionHost } from './host.ts';
import { type CapabilityLimits, capabilityLimits } from './limits.ts';
import { PayloadReader, PayloadWriter } from './payload.ts';
import {
  IncomingReadable,
  IncomingWrites,
  OutgoingReadable,
  OutgoingWrites,
  type Pipe,
  type PipeWire,
} from './pipe.ts';
import { disposeStub, isStub, makeStub, RpcTarget, stubHook } from './stub.ts';
import { invokeMain, invokePath, LocalHook, type MainTarget, pipelineLocally } from './target.ts';
import { acquireWriter, releaseWriter, WireError, WireReader, type WireWriter } from './wire.ts';

const frames = {
  call: 1,
  result: 2,
  forget: 3,
  release: 4,
  chunk: 5,
  end: 6,
  fail: 7,
  credit: 8,
  cancel: 9,
  abort: 10,
} as const;

/** A call has a value only where its flags say so, but always a place for its streams. */
const framesWithValues: ReadonlySet<number> = new Set([
  frames.call,
  frames.result,
  frames.chunk,
  frames.fail,
  frames.cancel,
  frames.abort,
]);

const targets = { main: 0, export: 1, result: 2 } as const;
const callFlags = { args: 1, requestId: 2 } as const;
const resultFlags = { threw: 1, kept: 2, replayed: 4, own: 8 } as const;
const referenceKinds = { stub: 0, yours: 1, readable: 2, writable: 3, signal: 4 } as const;

export interface SessionOptions {
  readonly host: SessionHost;
  /** What the other end calls. Without it the other end can call references only. */
  readonly main?: MainTarget | undefined;
  readonly limits?: Partial<CapabilityLimits>;
  /** See `rpc_params_dup_stubs`: stubs among arguments stay the caller's. */
  readonly dupParams?: boolean;
}

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

interface IncomingCall {
  readonly number: number;
  /** Stubs among the arguments: disposed when the call is answered. */
  references: readonly object[];
  /** Settles with the raw result. */
  readonly outcome: PendingCall;
}

interface Export {
  readonly hook: Hook;
  /** The critical section it was exported in: calls of it belong there. */
  readonly scope: object | undefined;
  references: number;
}

interface Target {
  readonly kind: number;
  readonly number: number;
}

/** Results of so many calls are forgotten together. */
const forgetBatch = 16;

const resultPipeline: Pipeline = { pipeline: pipelineLocally };

/** A reference to something that the other end exports. */
class RemoteHook implements Hook {
  readonly #session: Session;
  readonly #number: number;
  readonly #shared: { references: number };
  #disposed = false;

  constructor(session: Session, number: number, shared = { references: 0 }) {
    this.#session = session;
    this.#number = number;
    this.#shared = shared;
    shared.references++;
  }

  /** The number, where the reference belongs to `session`. */
  numberIn(session: Session): number | undefined {
    return this.#session === session ? this.#number : undefined;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    return this.#session.sendCall({ kind: targets.export, number: this.#number }, path, args);
  }

  invoke(path: Path, args: readonly unknown[] | undefined): unknown {
    return this.send(path, args).promise();
  }

  dup(): Hook {
    if (this.#disposed) throw new Error('RPC stub used after being disposed.');
    return new RemoteHook(this.#session, this.#number, this.#shared);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#shared.references === 0) this.#session.release(this.#number);
  }
}

export class Session implements Pipeline {
  readonly #host: SessionHost;
  readonly #main: MainTarget | undefined;
  readonly #limits: CapabilityLimits;
  readonly #dupParams: boolean;
  #closed: { readonly error: unknown } | undefined;

  #nextCall = 1;
  readonly #outgoing = new Map<number, OutgoingCall>();
  readonly #incoming = new Map<number, IncomingCall>();
  #running = 0;
  #forgotten: number[] = [];

  #nextExport = 1;
  readonly #exports = new Map<number, Export>();
  readonly #signals = new Map<number, AbortController>();
  #imports = 0;
  /** Pipes by who numbered them. */
  readonly #myPipes = new Map<number, Pipe>();
  readonly #theirPipes = new Map<number, Pipe>();
  readonly #mySignals = new Map<number, () => void>();
  /** Announced and not read yet. */
  readonly #lines = new Map<number, Line>();

  constructor(options: SessionOptions) {
    this.#host = options.host;
    this.#main = options.main;
    this.#limits = { ...capabilityLimits, ...options.limits };
    this.#dupParams = options.dupParams ?? true;
  }

  /** Nothing is outstanding either way: no call, reference or stream. */
  get isIdle(): boolean {
    return !this.isBusy && this.#exports.size === 0 && this.#imports === 0;
  }

  /** A call or stream is under way. */
  get isBusy(): boolean {
    return (
      this.#outgoing.size + this.#running + this.#myPipes.size + this.#theirPipes.size > 0 ||
      this.#mySignals.size + this.#signals.size > 0
    );
  }

  /** Calls the other end's main target. Never throws. */
  call(path: Path, args: readonly unknown[], options?: CallOptions): OutgoingCall | PendingCall {
    return this.sendCall({ kind: targets.main, number: 0 }, path, args, options);
  }

  /** Reads a property of the other end's main target. */
  read(path: Path): PendingCall {
    return this.sendCall({ kind: targets.main, number: 0 }, path, undefined);
  }

  /** As `Pipeline.pipeline`: a call on the result of one that this session made. */
  pipeline(on: PendingCall, path: Path, args: readonly unknown[] | undefined): PendingCall {
    if (on instanceof OutgoingCall && on.isPending) {
      return this.sendCall({ kind: targets.result, number: on.number }, path, args);
    }
    return pipelineLocally(on, path, args);
  }

  /** @internal */
  sendCall(
    target: Target,
    path: Path,
    args: readonly unknown[] | undefined,
    options?: CallOptions,
  ): PendingCall {
    if (this.#closed !== undefined) return PendingCall.rejected(this.#present(this.#closed.error));
    if (this.#outgoing.size >= this.#limits.callsMax) {
      return PendingCall.rejected(
        new HomingError('overloaded', `more than ${this.#limits.callsMax} calls are under way`),
      );
    }
    const call = new OutgoingCall(this, this.#nextCall++, this.#host.scope());
    const requestId = options?.requestId;
    const flags =
      (args === undefined ? 0 : callFlags.args) |
      (requestId === undefined ? 0 : callFlags.requestId);
    try {
      this.#send(
        (writer, payload) => {
          writer.u8(frames.call);
          writer.varint(call.number);
          writer.u8(target.kind);
          writer.varint(target.number);
          writer.varint(path.length);
          for (const name of path) writer.string(name);
          writer.u8(flags);
          if (requestId !== undefined) {
            writer.string(requestId);
            writer.varint(Math.max(0, Math.trunc(options?.elapsedMs ?? 0)));
          }
          const values = payload();
          if (args !== undefined) values.args(args);
        },
        () => this.#outgoing.set(call.number, call),
      );
    } catch (error) {
      this.#outgoing.delete(call.number);
      return PendingCall.rejected(error);
    }
    if (!this.#dupParams && args !== undefined) {
      for (const arg of args) if (isStub(arg)) disposeStub(arg);
    }
    return call;
  }

  /** @internal A reference of this end's is given up. */
  release(number: number): void {
    this.#imports--;
    this.#send((writer) => {
      writer.u8(frames.release);
      writer.varint(number);
      writer.varint(1);
    });
    this.#checkIdle();
  }

  /**
   * Takes one frame of the other end. A frame that is not of this protocol closes the session and
   * calls `host.broken`.
   */
  receive(frame: Uint8Array): void {
    if (this.#closed !== undefined) return;
    try {
      this.#receive(new WireReader(frame));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends this end: what waits is rejected with `error`, what is exported let go. Idempotent. */
  close(error: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    const calls = [...this.#outgoing.values()];
    const pipes = [...this.#myPipes.values(), ...this.#theirPipes.values()];
    const exports = [...this.#exports.values()];
    const signals = [...this.#signals.values()];
    this.#outgoing.clear();
    this.#exports.clear();
    this.#signals.clear();
    this.#incoming.clear();
    this.#lines.clear();
    for (const stop of this.#mySignals.values()) stop();
    this.#mySignals.clear();
    for (const call of calls) {
      const reject = () => call.reject(this.#present(error));
      this.#host.enter('answer', call.scope, reject, reject);
    }
    for (const pipe of pipes) pipe.onBroken(error);
    this.#myPipes.clear();
    this.#theirPipes.clear();
    if (exports.length + signals.length === 0) return;
    const letGo = () => {
      for (const { hook } of exports) hook.dispose();
      for (const signal of signals) signal.abort(error);
    };
    this.#host.enter('answer', undefined, letGo, () => {});
  }

  // ── Sending ────────────────────────────────────────────────────────────────────────────────

  /**
   * Writes one frame and sends it. When writing throws nothing is sent, and the references that
   * were made for it are taken back. `written` runs before the frame leaves.
   */
  #send(
    write: (writer: WireWriter, payload: () => PayloadWriter) => void,
    written?: () => void,
  ): void {
    if (this.#closed !== undefined) return;
    const writer = acquireWriter();
    const made: (() => void)[] = [];
    const started: (() => void)[] = [];
    const lines: number[] = [];
    let frame: Uint8Array;
    try {
      let hasPayload = false;
      write(writer, () => {
        hasPayload = true;
        return new PayloadWriter(writer, this.#host, {
          write: (target, value) => this.#writeReference(target, value, { made, started, lines }),
          read: unreachable,
        });
      });
      if (hasPayload) writeLines(writer, lines);
      if (writer.length > this.#limits.messageBytesMax) {
        throw new Error(
          `Serialized RPC arguments or return values are limited to ${this.#limits.messageBytesMax / 2 ** 20}MiB, but the size of this value was: ${writer.length} bytes.`,
        );
      }
      frame = writer.copy();
    } catch (error) {
      for (const undo of made) undo();
      throw error;
    } finally {
      releaseWriter(writer);
    }
    written?.();
    this.#host.send(frame);
    for (const start of started) start();
  }

  #writeReference(writer: WireWriter, value: object, { made, started, lines }: Written): void {
    if (value instanceof ReadableStream) {
      this.#requireUnlocked(value);
      const number = this.#nextExport++;
      writer.u8(referenceKinds.readable);
      writer.varint(number);
      lines.push(referenceKinds.readable, number);
      started.push(() => {
        const wire = this.#pipeWire(this.#myPipes, number, true);
        this.#myPipes.set(
          number,
          new OutgoingReadable(wire, value, this.#limits.streamWindowBytes),
        );
      });
      return;
    }
    if (value instanceof WritableStream) {
      this.#requireUnlocked(value);
      const number = this.#nextExport++;
      writer.u8(referenceKinds.writable);
      writer.varint(number);
      lines.push(referenceKinds.writable, number);
      started.push(() => {
        const wire = this.#pipeWire(this.#myPipes, number, true);
        this.#myPipes.set(number, new IncomingWrites(wire, value));
      });
      return;
    }
    if (value instanceof AbortSignal) {
      lines.push(referenceKinds.signal, this.#writeSignal(writer, value, started));
      return;
    }
    const hook = isStub(value) ? stubHook(value) : undefined;
    const theirs = hook instanceof RemoteHook ? hook.numberIn(this) : undefined;
    if (theirs !== undefined) {
      writer.u8(referenceKinds.yours);
      writer.varint(theirs);
      return;
    }
    if (this.#exports.size >= this.#limits.exportsMax) {
      throw new HomingError(
        'overloaded',
        `more than ${this.#limits.exportsMax} references are held by the other end`,
      );
    }
    const number = this.#nextExport++;
    const exported = hook === undefined ? new LocalHook(value) : hook.dup();
    this.#exports.set(number, { hook: exported, scope: this.#host.scope(), references: 1 });
    made.push(() => this.#exports.delete(number));
    writer.u8(referenceKinds.stub);
    writer.varint(number);
  }

  #requireUnlocked(stream: ReadableStream | WritableStream): void {
    if (stream.locked) {
      throw new TypeError(
        `The ${stream instanceof ReadableStream ? 'ReadableStream' : 'WritableStream'} has been locked to a ${stream instanceof ReadableStream ? 'reader' : 'writer'}.`,
      );
    }
  }

  #writeSignal(writer: WireWriter, signal: AbortSignal, started: (() => void)[]): number {
    const number = this.#nextExport++;
    writer.u8(referenceKinds.signal);
    writer.varint(number);
    const abort = () => {
      this.#mySignals.delete(number);
      this.#sendValue(frames.abort, number, undefined, signal.reason);
      this.#checkIdle();
    };
    started.push(() => {
      if (signal.aborted) {
        abort();
        return;
      }
      signal.addEventListener('abort', abort, { once: true });
      this.#mySignals.set(number, () => signal.removeEventListener('abort', abort));
    });
    return number;
  }

  /** A frame of a number and a value; what cannot be sent as a value goes as an error. */
  #sendValue(type: number, number: number, mine: boolean | undefined, value: unknown): void {
    const write = (sent: unknown) =>
      this.#send((writer, payload) => {
        writer.u8(type);
        writer.varint(number);
        if (mine !== undefined) writer.u8(mine ? 1 : 0);
        payload().value(sent);
      });
    try {
      write(value);
    } catch (error) {
      write(error instanceof Error ? new Error(error.message) : new Error('not serializable'));
    }
  }

  #pipeWire(table: Map<number, Pipe>, number: number, mine: boolean): ScopedWire {
    const plain = (type: number) =>
      this.#send((writer) => {
        writer.u8(type);
        writer.varint(number);
        writer.u8(mine ? 1 : 0);
      });
    const wire: ScopedWire = {
      scope: mine ? this.#host.scope() : undefined,
      chunk: (value) =>
        this.#send((writer, payload) => {
          writer.u8(frames.chunk);
          writer.varint(number);
          writer.u8(mine ? 1 : 0);
          payload().value(value);
        }),
      end: () => plain(frames.end),
      fail: (reason) => this.#sendValue(frames.fail, number, mine, reason),
      cancel: (reason) => this.#sendValue(frames.cancel, number, mine, reason),
      credit: (bytes) =>
        this.#send((writer) => {
          writer.u8(frames.credit);
          writer.varint(number);
          writer.u8(mine ? 1 : 0);
          writer.varint(Math.floor(bytes));
        }),
      enter: (run) => this.#host.enter('answer', wire.scope, run, run),
      over: () => {
        table.delete(number);
        this.#checkIdle();
      },
    };
    return wire;
  }

  // ── Receiving ──────────────────────────────────────────────────────────────────────────────

  #receive(reader: WireReader): void {
    const type = reader.u8();
    if (framesWithValues.has(type)) this.#readLines(reader);
    switch (type) {
      case frames.call:
        this.#onCall(reader);
        return;
      case frames.result:
        this.#onResult(reader);
        return;
      case frames.forget:
        for (let count = reader.varint(); count > 0; count--)
          this.#incoming.delete(reader.varint());
        return;
      case frames.release:
        this.#onRelease(reader.varint(), reader.varint());
        return;
      case frames.abort:
        this.#onAbort(reader);
        return;
      case frames.chunk:
      case frames.end:
      case frames.fail:
      case frames.credit:
      case frames.cancel:
        this.#onPipe(type, reader);
        return;
      default:
        throw new WireError(`a frame has the unknown type ${type}`);
    }
  }

  /**
   * Makes the streams and signals that the frame brings, before anything else is received: what
   * comes for them may be here before the value they stand in is read.
   */
  #readLines(reader: WireReader): void {
    const last = new WireReader(reader.frame, reader.end - 1);
    const count = last.u8();
    const start = reader.end - 1 - count * lineBytes;
    if (start < reader.position) throw new WireError('it ends too early');
    const lines = new WireReader(reader.frame, start);
    reader.end = start;
    for (let index = 0; index < count; index++) this.#makeLine(lines.u8(), lines.u32());
  }

  #makeLine(kind: number, number: number): void {
    if (this.#lines.has(number)) throw new WireError('two streams have one number');
    if (this.#lines.size >= this.#limits.exportsMax) throw new WireError('too many streams');
    if (kind === referenceKinds.signal) {
      const controller = new AbortController();
      this.#signals.set(number, controller);
      this.#lines.set(number, { value: controller.signal, wire: undefined });
      return;
    }
    const wire = this.#pipeWire(this.#theirPipes, number, false);
    const pipe =
      kind === referenceKinds.readable
        ? new IncomingReadable(wire, this.#limits.streamWindowBytes)
        : new OutgoingWrites(wire, this.#limits.streamWindowBytes);
    this.#theirPipes.set(number, pipe);
    this.#lines.set(number, { value: pipe.stream, wire });
  }

  #onCall(reader: WireReader): void {
    const number = reader.varint();
    const target: Target = { kind: reader.u8(), number: reader.varint() };
    const path: string[] = [];
    const steps = reader.varint();
    if (steps > reader.remaining) throw new WireError('it ends too early');
    for (let index = 0; index < steps; index++) path.push(reader.string());
    const flags = reader.u8();
    const once =
      (flags & callFlags.requestId) === 0
        ? undefined
        : { requestId: reader.string(), elapsedMs: reader.varint() };
    if (this.#incoming.has(number)) throw new WireError('a call has the number of another');
    if (this.#running >= this.#limits.callsMax) throw new WireError('too many calls are under way');
    const hasArgs = (flags & callFlags.args) !== 0;
    const call: IncomingCall = { number, references: [], outcome: new PendingCall(resultPipeline) };
    this.#incoming.set(number, call);
    this.#running++;
    const begin = (invoke: Invoke, scope: object | undefined) => {
      this.#host.enter(
        'event',
        scope,
        () =>
          this.#run(call, once, () =>
            invoke(path, hasArgs ? this.#readArgs(call, reader) : undefined),
          ),
        (error) => this.#answer(call, error, true, false),
      );
    };
    this.#begin(target, begin);
  }

  #begin(target: Target, begin: (invoke: Invoke, scope: object | undefined) => void): void {
    switch (target.kind) {
      case targets.main: {
        const main = this.#main;
        if (main === undefined) throw new WireError('this end has no main target');
        begin((path, args) => invokeMain(main, path, args), undefined);
        return;
      }
      case targets.export: {
        const found = this.#exports.get(target.number);
        if (found === undefined) throw new WireError('a call is on an export that is gone');
        begin((path, args) => found.hook.invoke(path, args), found.scope);
        return;
      }
      case targets.result: {
        const on = this.#incoming.get(target.number)?.outcome;
        if (on === undefined) {
          begin((path) => {
            throw new TypeError(`"${path.at(-1) ?? ''}" cannot be reached on this result.`);
          }, undefined);
          return;
        }
        on.onSettled(() => {
          begin((path, args) => {
            if (on.isRejected) throw on.outcome;
            return invokePath(on.outcome, path, args);
          }, undefined);
        });
        return;
      }
      default:
        throw new WireError('a call has an unknown kind of target');
    }
  }

  #readArgs(call: IncomingCall, reader: WireReader): unknown[] {
    const references: object[] = [];
    call.references = references;
    return this.#payload(reader, references).args();
  }

  async #run(
    call: IncomingCall,
    once: { requestId: string; elapsedMs: number } | undefined,
    invoke: () => unknown,
  ): Promise<void> {
    if (once !== undefined) {
      await this.#runOnce(call, once, invoke);
      return;
    }
    let result: unknown;
    try {
      result = await invoke();
    } catch (error) {
      if (error instanceof WireError) this.#fail(error);
      else this.#answer(call, error, true, false);
      return;
    }
    this.#answer(call, result, false, false);
  }

  async #runOnce(
    call: IncomingCall,
    once: { requestId: string; elapsedMs: number },
    invoke: () => unknown,
  ): Promise<void> {
    try {
      if (this.#host.once === undefined) {
        throw new HomingError('invalid_argument', 'this target does not keep results of calls');
      }
      const { result, replayed } = await this.#host.once(once, async () => {
        try {
          return this.#encodeKept(await invoke(), false);
        } catch (error) {
          if (error instanceof WireError || this.#host.isOwnError?.(error)) throw error;
          return this.#encodeKept(error, true);
        }
      });
      this.#answerKept(call, result, replayed);
    } catch (error) {
      if (error instanceof WireError) this.#fail(error);
      else this.#answer(call, error, true, true);
    }
  }

  /** One byte of flags, and the value. */
  #encodeKept(value: unknown, threw: boolean): Uint8Array {
    const writer = acquireWriter();
    try {
      writer.u8(threw ? resultFlags.threw : 0);
      new PayloadWriter(writer, this.#host, { write: refuseReference, read: unreachable }).value(
        value,
      );
      return writer.copy();
    } finally {
      releaseWriter(writer);
    }
  }

  #answerKept(call: IncomingCall, result: Uint8Array, replayed: boolean): void {
    if (this.#closed !== undefined) return;
    this.#running--;
    this.#incoming.delete(call.number);
    call.outcome.resolve(undefined);
    this.#send((writer) => {
      writer.u8(frames.result);
      writer.varint(call.number);
      writer.u8((result[0] ?? 0) | (replayed ? resultFlags.replayed : 0));
      writer.raw(result.subarray(1));
      writeLines(writer, []);
    });
    this.#checkIdle();
  }

  /** `own`: an error of the host's own, which the caller sees unmarked. */
  #answer(call: IncomingCall, value: unknown, threw: boolean, own: boolean): void {
    if (this.#closed !== undefined) return;
    this.#running--;
    const isKept = !threw && isReachable(value);
    const isOwn = threw && (own || value instanceof HomingError || this.#host.isOwnError?.(value));
    const flags =
      (threw ? resultFlags.threw : 0) |
      (isKept ? resultFlags.kept : 0) |
      (isOwn ? resultFlags.own : 0);
    try {
      this.#send((writer, payload) => {
        writer.u8(frames.result);
        writer.varint(call.number);
        writer.u8(flags);
        payload().value(value);
      });
    } catch (error) {
      this.#incoming.delete(call.number);
      call.outcome.reject(error);
      this.#sendResultError(call.number, error);
      this.#disposeReferences(call);
      this.#checkIdle();
      return;
    }
    this.#disposeReferences(call);
    if (!isKept) this.#incoming.delete(call.number);
    if (threw) call.outcome.reject(value);
    else call.outcome.resolve(value);
    this.#checkIdle();
  }

  #disposeReferences(call: IncomingCall): void {
    for (const stub of call.references) disposeStub(stub);
  }

  #sendResultError(number: number, error: unknown): void {
    this.#send((writer, payload) => {
      writer.u8(frames.result);
      writer.varint(number);
      writer.u8(resultFlags.threw);
      payload().value(error instanceof Error ? error : new Error(String(error)));
    });
  }

  #onResult(reader: WireReader): void {
    const number = reader.varint();
    const flags = reader.u8();
    const call = this.#outgoing.get(number);
    if (call === undefined) throw new WireError('a result is of no call');
    const read = () => {
      let value: unknown;
      try {
        const references: object[] = [];
        value = this.#payload(reader, references).value();
        ownReferences(value, references);
      } catch (error) {
        this.#fail(error);
        call.reject(error);
        return;
      }
      this.#outgoing.delete(number);
      if ((flags & resultFlags.kept) !== 0) this.#forget(number);
      call.replayed = (flags & resultFlags.replayed) !== 0;
      if ((flags & resultFlags.threw) === 0) call.resolve(value);
      else if ((flags & resultFlags.own) === 0) call.reject(markRemote(value));
      else call.reject(this.#present(value));
      this.#checkIdle();
    };
    this.#host.enter('answer', call.scope, read, (error) => {
      this.#outgoing.delete(number);
      call.reject(error);
    });
  }

  #present(error: unknown): unknown {
    return this.#host.present?.(error) ?? error;
  }

  /** Told in batches: most sessions end before there is one. */
  #forget(number: number): void {
    if (this.#forgotten.push(number) < forgetBatch) return;
    const numbers = this.#forgotten;
    this.#forgotten = [];
    this.#send((writer) => {
      writer.u8(frames.forget);
      writer.varint(numbers.length);
      for (const forgotten of numbers) writer.varint(forgotten);
    });
  }

  #onRelease(number: number, count: number): void {
    const found = this.#exports.get(number);
    if (found === undefined) throw new WireError('a reference was released that is not held');
    found.references -= count;
    if (found.references > 0) return;
    this.#exports.delete(number);
    this.#host.enter(
      'answer',
      found.scope,
      () => found.hook.dispose(),
      () => {},
    );
    this.#checkIdle();
  }

  #onAbort(reader: WireReader): void {
    const number = reader.varint();
    const reason = this.#payload(reader, []).value();
    const controller = this.#signals.get(number);
    this.#signals.delete(number);
    if (controller === undefined) return;
    const abort = () => controller.abort(reason);
    this.#host.enter('answer', undefined, abort, () => {});
    this.#checkIdle();
  }

  #onPipe(type: number, reader: WireReader): void {
    const number = reader.varint();
    const table = reader.u8() === 1 ? this.#theirPipes : this.#myPipes;
    const pipe = table.get(number);
    // A pipe ends at both ends on its own: frames may still be on their way.
    if (pipe === undefined) return;
    switch (type) {
      case frames.chunk:
        pipe.onChunk(this.#payload(reader, []));
        return;
      case frames.end:
        pipe.onEnd();
        return;
      case frames.fail:
        pipe.onFail(this.#payload(reader, []));
        return;
      case frames.credit:
        pipe.onCredit(reader.varint());
        return;
      default:
        pipe.onCancel(this.#payload(reader, []));
    }
  }

  #payload(reader: WireReader, references: object[]): PayloadReader {
    return new PayloadReader(reader, this.#host, {
      write: unreachable,
      read: (source) => {
        const value = this.#readReference(source);
        if (isStub(value)) references.push(value);
        return value;
      },
    });
  }

  #readReference(reader: WireReader): object {
    const kind = reader.u8();
    const number = reader.varint();
    switch (kind) {
      case referenceKinds.stub:
        this.#imports++;
        return makeStub(new RemoteHook(this, number));
      case referenceKinds.yours: {
        const found = this.#exports.get(number);
        if (found === undefined) throw new WireError('a reference is to an export that is gone');
        return makeStub(found.hook.dup());
      }
      case referenceKinds.readable:
      case referenceKinds.writable:
      case referenceKinds.signal: {
        const line = this.#lines.get(number);
        if (line === undefined) throw new WireError('a stream was not announced');
        this.#lines.delete(number);
        if (line.wire !== undefined) line.wire.scope = this.#host.scope();
        return line.value;
      }
      default:
        throw new WireError('a reference has an unknown kind');
    }
  }

  #fail(error: unknown): void {
    if (this.#closed !== undefined) return;
    const reason =
      error instanceof WireError
        ? new HomingError('internal', `the RPC session received a bad frame: ${error.message}`)
        : error;
    this.close(reason);
    this.#host.broken?.(reason instanceof Error ? reason : new Error(String(reason)));
  }

  #checkIdle(): void {
    if (this.#closed === undefined && this.isIdle) this.#host.idle?.();
  }
}

/** What writing a message brings about beside its bytes. */
interface Written {
  /** Takes references back. */
  readonly made: (() => void)[];
  /** What begins once the frame is sent. */
  readonly started: (() => void)[];
  /** Kind and number of each stream and signal. */
  readonly lines: number[];
}

interface ScopedWire extends PipeWire {
  /** The critical section that the stream is used in. */
  scope: object | undefined;
}

/** A stream or signal that came, until the value it stands in is read. */
interface Line {
  readonly value: object;
  readonly wire: ScopedWire | undefined;
}

/** A kind and a number. */
const lineBytes = 5;
const linesMax = 255;

/** The streams and signals of a message stand at its end, so that they are found without reading it. */
function writeLines(writer: WireWriter, lines: readonly number[]): void {
  const count = lines.length / 2;
  if (count > linesMax) throw new RangeError(`A message holds at most ${linesMax} streams.`);
  for (let index = 0; index < count; index++) {
    writer.u8(lines[index * 2] as number);
    writer.u32(lines[index * 2 + 1] as number);
  }
  writer.u8(count);
}

type Invoke = (path: Path, args: readonly unknown[] | undefined) => unknown;

function unreachable(): never {
  throw new Error('a payload is either read or written');
}

function refuseReference(): never {
  throw new DOMException(
    'A call with a request id cannot return references or streams.',
    'DataCloneError',
  );
}

/** True for a result that further calls could lead into. */
function isReachable(value: unknown): boolean {
  if (typeof value === 'function') return true;
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || Array.isArray(value) || value instanceof RpcTarget;
}

/** What was thrown, as the caller gets it: an error, and marked as not its own. */
function markRemote(value: unknown): unknown {
  const error = value instanceof Error ? value : new Error(String(value));
  if (!('remote' in error)) {
    Object.defineProperty(error, 'remote', {
      value: true,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return error;
}

/** Disposing a result disposes the stubs in it. */
function ownReferences(value: unknown, references: readonly object[]): void {
  if (typeof value !== 'object' || value === null || isStub(value)) return;
  if (Symbol.dispose in value) return;
  if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return;
  Object.defineProperty(value, Symbol.dispose, {
    value: () => {
      for (const stub of references) disposeStub(stub);
    },
    enumerable: false,
    configurable: true,
    writable: true,
  });
}
