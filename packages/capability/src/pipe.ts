/**
 * One stream over a session: who sends chunks, who receives them, and how many bytes may be on the
 * way. The sender starts with a window of credit, spends it on chunks and waits when none is left;
 * the receiver gives back what its consumer has taken.
 *
 * Frames reach a pipe by its number; what user code sees of them enters its context through
 * `PipeWire.enter`.
 */
import type { PayloadReader } from './payload.ts';

/** What a pipe needs of its session. */
export interface PipeWire {
  chunk(value: unknown): void;
  end(): void;
  /** The sender failed. */
  fail(reason: unknown): void;
  /** The receiver takes `bytes` more. */
  credit(bytes: number): void;
  /** The receiver wants nothing more. */
  cancel(reason: unknown): void;
  /** Runs in the context that the stream belongs to. */
  enter(run: () => void): void;
  /** Nothing more will be sent or received: the session forgets the pipe. */
  over(): void;
}

/** What the session tells a pipe. A pipe ignores what its side cannot get. */
export interface Pipe {
  onChunk(payload: PayloadReader): void;
  onEnd(): void;
  onFail(payload: PayloadReader): void;
  onCredit(bytes: number): void;
  onCancel(payload: PayloadReader): void;
  /** The session is over. */
  onBroken(error: unknown): void;
}

const encoder = new TextEncoder();

/** Bytes that a chunk counts for; what is not bytes counts for a round number. */
function sizeOf(chunk: unknown): number {
  return ArrayBuffer.isView(chunk) ? Math.max(chunk.byteLength, 1) : 1024;
}

/** Sends what a ReadableStream of this end gives. */
export class OutgoingReadable implements Pipe {
  readonly #wire: PipeWire;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  #credit: number;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(wire: PipeWire, stream: ReadableStream<unknown>, windowBytes: number) {
    this.#wire = wire;
    this.#reader = stream.getReader();
    this.#credit = windowBytes;
    void this.#pump();
  }

  async #pump(): Promise<void> {
    try {
      for (;;) {
        while (this.#credit <= 0 && !this.#over) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
        if (this.#over) return;
        const { done, value } = await this.#reader.read();
        if (this.#over) return;
        if (done) {
          this.#wire.end();
          this.#finish();
          return;
        }
        // Streams carry bytes: text goes as what it is encoded to.
        const chunk = typeof value === 'string' ? encoder.encode(value) : value;
        this.#credit -= sizeOf(chunk);
        this.#wire.chunk(chunk);
      }
    } catch (error) {
      if (this.#over) return;
      this.#wire.fail(error);
      this.#finish();
    }
  }

  #finish(): void {
    this.#over = true;
    this.#wire.over();
  }

  onCredit(bytes: number): void {
    this.#credit += bytes;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  onCancel(payload: PayloadReader): void {
    this.#stop(payload.value());
  }

  onBroken(error: unknown): void {
    this.#stop(error);
  }

  #stop(reason: unknown): void {
    if (this.#over) return;
    this.#finish();
    this.onCredit(0);
    this.#wire.enter(() => {
      this.#reader.cancel(reason).catch(() => {});
    });
  }

  onChunk(): void {}
  onEnd(): void {}
  onFail(): void {}
}

/** A ReadableStream whose chunks come from the other end. */
export class IncomingReadable implements Pipe {
  readonly stream: ReadableStream<unknown>;
  readonly #wire: PipeWire;
  readonly #windowBytes: number;
  #controller: ReadableStreamDefaultController<unknown> | undefined;
  /** Bytes the sender may still send. */
  #allowed: number;
  #over = false;

  constructor(wire: PipeWire, windowBytes: number) {
    this.#wire = wire;
    this.#windowBytes = windowBytes;
    this.#allowed = windowBytes;
    const highWaterMark = windowBytes / 2;
    this.stream = new ReadableStream<unknown>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: (controller) => {
          const queued = highWaterMark - (controller.desiredSize ?? 0);
          const room = this.#windowBytes - queued - this.#allowed;
          if (this.#over || room < this.#windowBytes / 4) return;
          this.#allowed += room;
          this.#wire.credit(room);
        },
        cancel: (reason) => {
          if (this.#over) return;
          this.#finish();
          this.#wire.cancel(reason);
        },
      },
      { highWaterMark, size: sizeOf },
    );
  }

  onChunk(payload: PayloadReader): void {
    const value = payload.value();
    this.#allowed -= sizeOf(value);
    this.#wire.enter(() => {
      if (!this.#over) this.#controller?.enqueue(value);
    });
  }

  onEnd(): void {
    this.#wire.enter(() => {
      if (this.#over) return;
      this.#finish();
      this.#controller?.close();
    });
  }

  onFail(payload: PayloadReader): void {
    this.#fail(payload.value());
  }

  onBroken(error: unknown): void {
    this.#fail(error);
  }

  #fail(reason: unknown): void {
    this.#wire.enter(() => {
      if (this.#over) return;
      this.#finish();
      this.#controller?.error(reason);
    });
  }

  #finish(): void {
    this.#over = true;
    this.#wire.over();
  }

  onCredit(): void {}
  onCancel(): void {}
}

/** Writes what the other end sends into a WritableStream of this end. */
export class IncomingWrites implements Pipe {
  readonly #wire: PipeWire;
  readonly #writer: WritableStreamDefaultWriter<unknown>;
  #over = false;

  constructor(wire: PipeWire, stream: WritableStream<unknown>) {
    this.#wire = wire;
    this.#writer = stream.getWriter();
    this.#writer.closed.catch((error: unknown) => this.#stop(error));
  }

  onChunk(payload: PayloadReader): void {
    const value = payload.value();
    this.#wire.enter(() => {
      if (this.#over) return;
      this.#writer.write(value).then(
        () => {
          if (!this.#over) this.#wire.credit(sizeOf(value));
        },
        (error: unknown) => this.#stop(error),
      );
    });
  }

  onEnd(): void {
    this.#wire.enter(() => {
      if (this.#over) return;
      this.#writer.close().then(
        () => {
          if (this.#over) return;
          this.#wire.end();
          this.#finish();
        },
        (error: unknown) => this.#stop(error),
      );
    });
  }

  onFail(payload: PayloadReader): void {
    this.onBroken(payload.value());
  }

  onBroken(error: unknown): void {
    if (this.#over) return;
    this.#finish();
    this.#wire.enter(() => {
      this.#writer.abort(error).catch(() => {});
    });
  }

  #stop(error: unknown): void {
    if (this.#over) return;
    this.#wire.cancel(error);
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#wire.over();
  }

  onCredit(): void {}
  onCancel(): void {}
}

/** A WritableStream whose chunks go to the other end. */
export class OutgoingWrites implements Pipe {
  readonly stream: WritableStream<unknown>;
  readonly #wire: PipeWire;
  #controller: WritableStreamDefaultController | undefined;
  #credit: number;
  #waiting: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #over = false;

  constructor(wire: PipeWire, windowBytes: number) {
    this.#wire = wire;
    this.#credit = windowBytes;
    this.stream = new WritableStream<unknown>({
      start: (controller) => {
        this.#controller = controller;
      },
      write: async (chunk) => {
        while (this.#credit <= 0) await this.#wait();
        this.#credit -= sizeOf(chunk);
        wire.chunk(chunk);
      },
      close: async () => {
        wire.end();
        await this.#wait();
      },
      abort: (reason) => {
        if (this.#over) return;
        wire.fail(reason);
        this.#finish();
      },
    });
  }

  #wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #resume(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#wire.enter(() => waiting.resolve());
  }

  onCredit(bytes: number): void {
    this.#credit += bytes;
    this.#resume();
  }

  /** What was sent is written and the stream closed. */
  onEnd(): void {
    this.#finish();
    this.#resume();
  }

  onCancel(payload: PayloadReader): void {
    this.onBroken(payload.value());
  }

  onBroken(error: unknown): void {
    if (this.#over) return;
    this.#finish();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#wire.enter(() => {
      waiting?.reject(error);
      this.#controller?.error(error);
    });
  }

  #finish(): void {
    this.#over = true;
    this.#wire.over();
  }

  onChunk(): void {}
  onFail(): void {}
}
