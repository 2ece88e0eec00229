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
import { frameOf, HomingError, WireError, WireReader, type WireWriter } from '@homing/base';
import { type Path, PendingCall, type Pipeline } from './callee.ts';
import {
  callFlags,
  frames,
  framesWithValues,
  referenceKinds,
  resultFlags,
  takeLines,
  targets,
  writeLines,
} from './frames.ts';
import type { SessionHost } from './host.ts';
import { LazyMap } from './lazy-map.ts';
import { type CapabilityLimits, capabilityLimits } from './limits.ts';
import { OutgoingFrame, type ReferenceSource } from './outgoing-frame.ts';
import { PayloadReader, PayloadWriter, type References } from './payload.ts';
import { RemoteHook, type RemoteOwner } from './remote-hook.ts';
import { isReachable, markRemote, ownReferences, refuseReference, sentError } from './results.ts';
import {
  type CallOptions,
  type Export,
  type IncomingCall,
  OutgoingCall,
  type Target,
} from './session-calls.ts';
import { isStreamed, SessionStreams } from './session-streams.ts';
import { disposeStub, isStub, makeStub, stubHook } from './stub.ts';
import { invokeMain, invokePath, LocalHook, type MainTarget, pipelineLocally } from './target.ts';

export interface SessionOptions {
  readonly host: SessionHost;
  /** What the other end calls. Without it the other end can call references only. */
  readonly main?: MainTarget | undefined;
  readonly limits?: CapabilityLimits;
  /** See `rpc_params_dup_stubs`: stubs among arguments stay the caller's. */
  readonly dupParams?: boolean;
}

/** Results of so many calls are forgotten together. */
const forgetBatch = 16;

const resultPipeline: Pipeline = { pipeline: pipelineLocally };

export class Session implements Pipeline, RemoteOwner, ReferenceSource, ReferenceReader {
  readonly #host: SessionHost;
  readonly #main: MainTarget | undefined;
  readonly #limits: CapabilityLimits;
  readonly #dupParams: boolean;
  #closed: { readonly error: unknown } | undefined;

  #nextCall = 1;
  readonly #outgoing = new LazyMap<number, OutgoingCall>();
  readonly #incoming = new LazyMap<number, IncomingCall>();
  #running = 0;
  #forgotten: number[] | undefined;

  #nextExport = 1;
  readonly #exports = new LazyMap<number, Export>();
  #imports = 0;
  #streamsMade: SessionStreams | undefined;

  constructor(options: SessionOptions) {
    this.#host = options.host;
    this.#main = options.main;
    this.#limits = options.limits ?? capabilityLimits;
    this.#dupParams = options.dupParams ?? true;
  }

  /** Nothing is outstanding either way: no call, reference or stream. */
  get isIdle(): boolean {
    return !this.isBusy && this.#exports.size === 0 && this.#imports === 0;
  }

  /** A call or stream is under way. */
  get isBusy(): boolean {
    return this.#outgoing.size + this.#running > 0 || this.#streamsMade?.isFlowing === true;
  }

  /** Calls the other end's main target. Never throws. */
  call(path: Path, args: readonly unknown[], options?: CallOptions): OutgoingCall | PendingCall {
    return this.#sendCall({ kind: targets.main, number: 0 }, path, args, options);
  }

  /** Reads a property of the other end's main target. */
  read(path: Path): PendingCall {
    return this.#sendCall({ kind: targets.main, number: 0 }, path, undefined);
  }

  /** As `Pipeline.pipeline`: a call on the result of one that this session made. */
  pipeline(on: PendingCall, path: Path, args: readonly unknown[] | undefined): PendingCall {
    if (on instanceof OutgoingCall && on.isPending) {
      return this.#sendCall({ kind: targets.result, number: on.number }, path, args);
    }
    return pipelineLocally(on, path, args);
  }

  #sendCall(
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
        (frame) => {
          const { writer } = frame;
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
          const { payload } = frame;
          if (args !== undefined) payload.args(args);
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

  /** @internal As `RemoteOwner`. */
  sendTo(exported: number, path: Path, args: readonly unknown[] | undefined): PendingCall {
    return this.#sendCall({ kind: targets.export, number: exported }, path, args);
  }

  /** @internal As `RemoteOwner`. */
  release(number: number): void {
    this.#imports--;
    this.#send(({ writer }) => {
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
    const calls = this.#outgoing.drain();
    const exports = this.#exports.drain();
    this.#incoming.drain();
    for (const call of calls) {
      const reject = () => call.reject(this.#present(error));
      this.#host.enter('answer', call.scope, reject, reject);
    }
    this.#streamsMade?.close(error);
    if (exports.length === 0) return;
    const letGo = () => {
      for (const { hook } of exports) hook.dispose();
    };
    this.#host.enter('answer', undefined, letGo, () => {});
  }

  // ── Sending ────────────────────────────────────────────────────────────────────────────────

  /**
   * Writes one frame and sends it. When writing throws nothing is sent, and the references that
   * were made for it are taken back. `written` runs before the frame leaves.
   */
  #send(write: (frame: OutgoingFrame) => void, written?: () => void): void {
    if (this.#closed !== undefined) return;
    const frame = new OutgoingFrame(this, this.#host);
    let bytes: Uint8Array;
    try {
      write(frame);
      bytes = frame.take(this.#limits.messageBytesMax);
    } catch (error) {
      frame.undo();
      throw error;
    }
    written?.();
    this.#host.send(bytes);
    frame.sent();
  }

  /** Made when there is a stream or signal: most sessions end without. */
  get #streams(): SessionStreams {
    this.#streamsMade ??= new SessionStreams({
      host: this.#host,
      limits: this.#limits,
      nextNumber: () => this.#nextExport++,
      send: (write) => this.#send(write),
      payload: (reader) => this.#payload(reader, []),
      settled: () => this.#checkIdle(),
    });
    return this.#streamsMade;
  }

  /** @internal As `ReferenceSource`. */
  writeReference(writer: WireWriter, value: object, frame: OutgoingFrame): void {
    if (isStreamed(value)) {
      this.#streams.write(writer, value, frame);
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
    frame.made(() => this.#exports.delete(number));
    writer.u8(referenceKinds.stub);
    writer.varint(number);
  }

  // ── Receiving ──────────────────────────────────────────────────────────────────────────────

  #receive(reader: WireReader): void {
    const type = reader.u8();
    if (framesWithValues.has(type)) {
      const lines = takeLines(reader);
      if (lines !== undefined) this.#streams.announce(lines);
    }
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
        this.#streamsMade?.onAbort(reader);
        return;
      case frames.chunk:
      case frames.end:
      case frames.fail:
      case frames.credit:
      case frames.cancel:
        this.#streamsMade?.onFrame(type, reader);
        return;
      default:
        throw new WireError(`a frame has the unknown type ${type}`);
    }
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
    const outcome = new PendingCall(resultPipeline);
    const call: IncomingCall = { number, references: nothing, outcome };
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
    const references = { write: refuseReference, read: unreachable };
    return frameOf((writer) => {
      writer.u8(threw ? resultFlags.threw : 0);
      new PayloadWriter(writer, this.#host, references).value(value);
    });
  }

  #answerKept(call: IncomingCall, result: Uint8Array, replayed: boolean): void {
    if (this.#closed !== undefined) return;
    this.#running--;
    this.#incoming.delete(call.number);
    call.outcome.resolve(undefined);
    this.#send(({ writer }) => {
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
      this.#send(({ writer, payload }) => {
        writer.u8(frames.result);
        writer.varint(call.number);
        writer.u8(flags);
        payload.value(value);
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
    this.#send(({ writer, payload }) => {
      writer.u8(frames.result);
      writer.varint(number);
      writer.u8(resultFlags.threw);
      payload.value(sentError(error));
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
        if ((flags & resultFlags.threw) === 0) ownReferences(value, references);
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
    this.#forgotten ??= [];
    if (this.#forgotten.push(number) < forgetBatch) return;
    const numbers = this.#forgotten;
    this.#forgotten = undefined;
    this.#send(({ writer }) => {
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

  /** `stubs` gathers the stubs among what is read. */
  #payload(reader: WireReader, stubs: object[]): PayloadReader {
    return new PayloadReader(reader, this.#host, new IncomingReferences(this, stubs));
  }

  /** @internal As `ReferenceReader`. */
  readReference(reader: WireReader): object {
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
      case referenceKinds.signal:
        return this.#streams.take(number, this.#host.scope());
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

/** Of a call that brought no stubs. */
const nothing: readonly object[] = [];

interface ReferenceReader {
  readReference(reader: WireReader): object;
}

/** References in a message that came. */
class IncomingReferences implements References {
  readonly #session: ReferenceReader;
  readonly #stubs: object[];

  constructor(session: ReferenceReader, stubs: object[]) {
    this.#session = session;
    this.#stubs = stubs;
  }

  write(): never {
    unreachable();
  }

  read(reader: WireReader): object {
    const value = this.#session.readReference(reader);
    if (isStub(value)) this.#stubs.push(value);
    return value;
  }
}

type Invoke = (path: Path, args: readonly unknown[] | undefined) => unknown;

function unreachable(): never {
  throw new Error('a payload is either read or written');
}
