/**
 * The streams and signals of a session: those that this end gave away, and those that came.
 *
 * They are announced at the end of the frame that brings them, and made before anything else is
 * received: what comes for them may be here before the value they stand in is read. A pipe ends at
 * both ends on its own, so frames for one that is gone are no error.
 */
import { WireError, type WireReader, type WireWriter } from '@homing/base';
import { frames, referenceKinds } from './frames.ts';
import type { SessionHost } from './host.ts';
import { LazyMap } from './lazy-map.ts';
import type { CapabilityLimits } from './limits.ts';
import type { OutgoingFrame } from './outgoing-frame.ts';
import type { PayloadReader } from './payload.ts';
import {
  IncomingReadable,
  IncomingWrites,
  OutgoingReadable,
  OutgoingWrites,
  type Pipe,
  type PipeWire,
} from './pipe.ts';

export interface SessionStreamsOptions {
  readonly host: SessionHost;
  readonly limits: CapabilityLimits;
  /** Numbers exports, streams and signals of this end. */
  readonly nextNumber: () => number;
  readonly send: (write: (frame: OutgoingFrame) => void) => void;
  readonly payload: (reader: WireReader) => PayloadReader;
  /** Something ended: the session may be idle now. */
  readonly settled: () => void;
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

type Streamed = ReadableStream | WritableStream | AbortSignal;

/** What a session's streams carry. */
export function isStreamed(value: object): value is Streamed {
  return (
    value instanceof ReadableStream ||
    value instanceof WritableStream ||
    value instanceof AbortSignal
  );
}

export class SessionStreams {
  readonly #options: SessionStreamsOptions;
  /** Pipes by who numbered them. */
  readonly #myPipes = new LazyMap<number, Pipe>();
  readonly #theirPipes = new LazyMap<number, Pipe>();
  readonly #mySignals = new LazyMap<number, () => void>();
  readonly #signals = new LazyMap<number, AbortController>();
  /** Announced and not read yet. */
  readonly #lines = new LazyMap<number, Line>();

  constructor(options: SessionStreamsOptions) {
    this.#options = options;
  }

  /** Something is still to be sent or received. A signal that was not aborted holds nothing up. */
  get isFlowing(): boolean {
    return this.#myPipes.size + this.#theirPipes.size > 0;
  }

  write(writer: WireWriter, value: Streamed, frame: OutgoingFrame): void {
    if (value instanceof AbortSignal) {
      this.#writeSignal(writer, value, frame);
      return;
    }
    requireUnlocked(value);
    const number = this.#options.nextNumber();
    const kind =
      value instanceof ReadableStream ? referenceKinds.readable : referenceKinds.writable;
    writer.u8(kind);
    writer.varint(number);
    frame.announce(kind, number, () => {
      const wire = this.#pipeWire(this.#myPipes, number, true);
      const { streamWindowBytes } = this.#options.limits;
      const pipe =
        value instanceof ReadableStream
          ? new OutgoingReadable(wire, value, streamWindowBytes)
          : new IncomingWrites(wire, value);
      this.#myPipes.set(number, pipe);
    });
  }

  /**
   * Makes the streams and signals that the frame brings, before anything else is received: what
   * comes for them may be here before the value they stand in is read.
   */
  announce(lines: WireReader): void {
    while (lines.remaining > 0) this.#makeLine(lines.u8(), lines.u32());
  }

  #makeLine(kind: number, number: number): void {
    if (this.#lines.has(number)) throw new WireError('two streams have one number');
    if (this.#lines.size >= this.#options.limits.exportsMax)
      throw new WireError('too many streams');
    if (kind === referenceKinds.signal) {
      const controller = new AbortController();
      this.#signals.set(number, controller);
      this.#lines.set(number, { value: controller.signal, wire: undefined });
      return;
    }
    const wire = this.#pipeWire(this.#theirPipes, number, false);
    const pipe =
      kind === referenceKinds.readable
        ? new IncomingReadable(wire, this.#options.limits.streamWindowBytes)
        : new OutgoingWrites(wire, this.#options.limits.streamWindowBytes);
    this.#theirPipes.set(number, pipe);
    this.#lines.set(number, { value: pipe.stream, wire });
  }

  /** A stream or signal that was announced, for the value it stands in. */
  take(number: number, scope: object | undefined): object {
    const line = this.#lines.get(number);
    if (line === undefined) throw new WireError('a stream was not announced');
    this.#lines.delete(number);
    if (line.wire !== undefined) line.wire.scope = scope;
    return line.value;
  }

  /** A frame for a pipe. */
  onFrame(type: number, reader: WireReader): void {
    const number = reader.varint();
    const table = reader.u8() === 1 ? this.#theirPipes : this.#myPipes;
    const pipe = table.get(number);
    // A pipe ends at both ends on its own: frames may still be on their way.
    if (pipe === undefined) return;
    switch (type) {
      case frames.chunk:
        pipe.onChunk(this.#options.payload(reader));
        return;
      case frames.end:
        pipe.onEnd();
        return;
      case frames.fail:
        pipe.onFail(this.#options.payload(reader));
        return;
      case frames.credit:
        pipe.onCredit(reader.varint());
        return;
      default:
        pipe.onCancel(this.#options.payload(reader));
    }
  }

  onAbort(reader: WireReader): void {
    const number = reader.varint();
    const reason = this.#options.payload(reader).value();
    const controller = this.#signals.get(number);
    this.#signals.delete(number);
    if (controller === undefined) return;
    const abort = () => controller.abort(reason);
    this.#options.host.enter('answer', undefined, abort, () => {});
    this.#options.settled();
  }

  /** The session is over. */
  close(error: unknown): void {
    const pipes = [...this.#myPipes.drain(), ...this.#theirPipes.drain()];
    const signals = this.#signals.drain();
    for (const stop of this.#mySignals.drain()) stop();
    this.#lines.drain();
    for (const pipe of pipes) pipe.onBroken(error);
    if (signals.length === 0) return;
    const abort = () => {
      for (const signal of signals) signal.abort(error);
    };
    this.#options.host.enter('answer', undefined, abort, () => {});
  }

  #writeSignal(writer: WireWriter, signal: AbortSignal, frame: OutgoingFrame): void {
    const number = this.#options.nextNumber();
    writer.u8(referenceKinds.signal);
    writer.varint(number);
    const abort = () => {
      this.#mySignals.delete(number);
      this.#sendValue(frames.abort, number, undefined, signal.reason);
      this.#options.settled();
    };
    frame.announce(referenceKinds.signal, number, () => {
      if (signal.aborted) {
        abort();
        return;
      }
      signal.addEventListener('abort', abort, { once: true });
      this.#mySignals.set(number, () => signal.removeEventListener('abort', abort));
    });
  }

  /** A frame of a number and a value; what cannot be sent as a value goes as an error. */
  #sendValue(type: number, number: number, mine: boolean | undefined, value: unknown): void {
    const write = (sent: unknown) =>
      this.#options.send(({ writer, payload }) => {
        writer.u8(type);
        writer.varint(number);
        if (mine !== undefined) writer.u8(mine ? 1 : 0);
        payload.value(sent);
      });
    try {
      write(value);
    } catch (error) {
      write(error instanceof Error ? new Error(error.message) : new Error('not serializable'));
    }
  }

  #pipeWire(table: LazyMap<number, Pipe>, number: number, mine: boolean): ScopedWire {
    const plain = (type: number) =>
      this.#options.send(({ writer }) => {
        writer.u8(type);
        writer.varint(number);
        writer.u8(mine ? 1 : 0);
      });
    const wire: ScopedWire = {
      scope: mine ? this.#options.host.scope() : undefined,
      chunk: (value) =>
        this.#options.send(({ writer, payload }) => {
          writer.u8(frames.chunk);
          writer.varint(number);
          writer.u8(mine ? 1 : 0);
          payload.value(value);
        }),
      end: () => plain(frames.end),
      fail: (reason) => this.#sendValue(frames.fail, number, mine, reason),
      cancel: (reason) => this.#sendValue(frames.cancel, number, mine, reason),
      credit: (bytes) =>
        this.#options.send(({ writer }) => {
          writer.u8(frames.credit);
          writer.varint(number);
          writer.u8(mine ? 1 : 0);
          writer.varint(Math.floor(bytes));
        }),
      enter: (run) => this.#options.host.enter('answer', wire.scope, run, run),
      over: () => {
        table.delete(number);
        this.#options.settled();
      },
    };
    return wire;
  }
}

function requireUnlocked(stream: ReadableStream | WritableStream): void {
  if (stream.locked) {
    throw new TypeError(
      `The ${stream instanceof ReadableStream ? 'ReadableStream' : 'WritableStream'} has been locked to a ${stream instanceof ReadableStream ? 'reader' : 'writer'}.`,
    );
  }
}
