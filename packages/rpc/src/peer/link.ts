/**
 * One standing link: a stream of frames after its handshake.
 *
 * What is sent in one turn of the event loop goes into one frame. At most two frames are with gRPC,
 * one being written and one to follow it; the rest waits here, so that a slower peer gets fewer and
 * fuller frames, and what it costs is counted. Both ends give signs of life; an end that hears
 * nothing for a while ends the link. gRPC's own pings are not used: they wait behind what is being
 * sent, so that a slow network under load looks dead to them. Silence is counted in turns of a
 * timer and not read from a clock, since after a pause of this process the timer runs before what
 * came meanwhile is read.
 *
 * Invariants: it ends once; after that it delivers nothing and takes nothing.
 */
import {
  type LinkPurpose,
  type LogFields,
  type NetworkHandler,
  type PeerRun,
  type Timer,
  type Timers,
  WireError,
} from '@homing/base';
import { batchedBytes, FrameReader, FrameWriter, signOfLife } from './frames.ts';
import type { Hello } from './handshake.ts';
import type { PeerLimits } from './limits.ts';

const framesInFlightMax = 2;
/** Turns without a sign of life that end a link. */
const silentTurnsMax = 4;

/** Counts of all links of a network, those that ended too. */
export interface SentCounts {
  messagesSent: number;
  framesSent: number;
  bytesSent: number;
}

export interface LinkOptions {
  readonly stream: { write(frame: Buffer, onTaken: () => void): unknown };
  /** The peer's. */
  readonly hello: Hello;
  /** The version of the protocol that both ends agreed on. */
  readonly protocol: number;
  readonly handler: NetworkHandler;
  readonly limits: PeerLimits;
  readonly timers: Timers;
  readonly counts: SentCounts;
  /** How late what comes is heard, for trials; 0 for at once. */
  readonly delayMs: () => number;
  /** Closes the stream. Called once, when the link ends. */
  readonly hangUp: (reason: string) => void;
}

export class Link {
  readonly peer: PeerRun;
  readonly purpose: LinkPurpose;
  readonly attempt: number;
  readonly #options: LinkOptions;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #flush: () => void;
  readonly #deliver: (message: Uint8Array) => boolean;
  #onEnd: (reason: string) => void = () => {};
  #isFlushDue = false;
  #framesInFlight = 0;
  #bytesInFlight = 0;
  #isHeard = false;
  #silentTurns = 0;
  #beat: Timer | undefined;
  #listening: Timer | undefined;
  /** Frames that came and are not heard yet, oldest first. */
  readonly #delayed: Buffer[] = [];
  /** A message that must not be left out was not taken: it ends with this turn. */
  #isFull = false;
  #isOver = false;

  constructor(options: LinkOptions) {
    const { hello, handler, limits } = options;
    this.peer = { node: hello.node, storeId: hello.storeId, run: hello.run };
    this.purpose = hello.purpose;
    this.attempt = hello.attempt;
    this.#options = options;
    this.#writer = new FrameWriter(limits.frameBytesMax);
    this.#reader = new FrameReader(limits.messageBytesMax);
    this.#flush = () => {
      this.#isFlushDue = false;
      this.#write();
    };
    this.#deliver = (message) => {
      handler.message(this.peer, message);
      return !this.#isOver;
    };
  }

  /** What a log says of it. */
  get details(): LogFields {
    const { hello, protocol } = this.#options;
    return { version: hello.version, protocol };
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes taken by `send` that the peer's end has not. */
  get buffered(): number {
    return this.#writer.bytes + this.#bytesInFlight;
  }

  /** Once, when both ends have agreed. `onEnd` is called once, before `end` returns. */
  start(onEnd: (reason: string) => void): void {
    this.#onEnd = onEnd;
    this.#keepAlive();
    this.#listen();
  }

  /** As `Network.send`. */
  send(message: Uint8Array): boolean {
    return this.#take(message, this.#options.limits.linkBufferBytesMax);
  }

  /** As `Network.sendOrEnd`. */
  sendOrEnd(message: Uint8Array): void {
    const { linkBufferBytesMax, linkReserveBytes } = this.#options.limits;
    if (this.#take(message, linkBufferBytesMax + linkReserveBytes) || this.#isFull) return;
    this.#isFull = true;
    queueMicrotask(() => this.end('the peer does not take what it is sent'));
  }

  #take(message: Uint8Array, bufferBytesMax: number): boolean {
    const { messageBytesMax } = this.#options.limits;
    if (message.length > messageBytesMax) {
      throw new TypeError(
        `network: a message of ${message.length} bytes, messageBytesMax is ${messageBytesMax}`,
      );
    }
    const { buffered } = this;
    if (this.#isOver || this.#isFull) return false;
    if (buffered > 0 && buffered + batchedBytes(message) > bufferBytesMax) return false;
    this.#writer.push(message);
    this.#options.counts.messagesSent++;
    if (!this.#isFlushDue && this.#framesInFlight < framesInFlightMax) {
      this.#isFlushDue = true;
      setImmediate(this.#flush);
    }
    return true;
  }

  /** Takes a frame that came on the stream. */
  receive(frame: Buffer): void {
    if (this.#isOver) return;
    this.#isHeard = true;
    const delayMs = this.#options.delayMs();
    if (delayMs === 0 && this.#delayed.length === 0) {
      this.#read(frame);
      return;
    }
    // Read from the stream at once, so that the delay takes nothing off what can be under way.
    this.#delayed.push(frame);
    this.#options.timers.after(delayMs, () => {
      const oldest = this.#delayed.shift();
      if (oldest !== undefined) this.#read(oldest);
    });
  }

  #read(frame: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#reader.read(frame, this.#deliver);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.end(`the peer broke the protocol: ${error.message}`);
    }
  }

  end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#beat?.cancel();
    this.#listening?.cancel();
    this.#options.hangUp(reason);
    this.#onEnd(reason);
  }

  #write(): void {
    while (!this.#isOver && this.#framesInFlight < framesInFlightMax) {
      const frame = this.#writer.next();
      if (frame === undefined) return;
      this.#writeFrame(frame);
    }
  }

  #writeFrame(frame: Buffer): void {
    const { stream, counts } = this.#options;
    const { length } = frame;
    this.#framesInFlight++;
    this.#bytesInFlight += length;
    counts.framesSent++;
    counts.bytesSent += length;
    stream.write(frame, () => {
      this.#framesInFlight--;
      this.#bytesInFlight -= length;
      this.#write();
    });
  }

  #keepAlive(): void {
    const { timers, limits } = this.#options;
    this.#beat = timers.after(limits.keepaliveMs, () => {
      // Bytes on their way are a sign of life too, and one in mid-message would not be understood.
      if (this.buffered === 0) this.#writeFrame(signOfLife());
      this.#keepAlive();
    });
  }

  #listen(): void {
    const { timers, limits, hello } = this.#options;
    const silenceMs = hello.keepaliveMs + limits.keepaliveTimeoutMs;
    this.#listening = timers.after(silenceMs / silentTurnsMax, () => {
      this.#silentTurns = this.#isHeard ? 0 : this.#silentTurns + 1;
      this.#isHeard = false;
      if (this.#silentTurns < silentTurnsMax) this.#listen();
      else this.end(`nothing came from the peer for ${silenceMs} ms`);
    });
  }
}
