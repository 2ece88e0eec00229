/**
 * Messages to another thread, posted in batches: everything posted in one turn of the event loop
 * crosses in one structured clone. Order is kept.
 *
 * Byte arrays are cloned with their whole underlying buffer, so a view of a larger one (a pooled
 * `Buffer`, a slice of a frame) must be copied out by whoever builds the message: `ownBytes`.
 */

export interface Port {
  postMessage(batch: unknown): void;
}

export class Outbox<T> {
  readonly #port: Port;
  readonly #schedule: (flush: () => void) => void;
  #batch: T[] = [];
  readonly #flush = (): void => {
    const batch = this.#batch;
    this.#batch = [];
    this.#port.postMessage(batch);
  };

  /** `schedule` runs a function once, later in this turn of the event loop. */
  constructor(port: Port, schedule: (flush: () => void) => void) {
    this.#port = port;
    this.#schedule = schedule;
  }

  post(message: T): void {
    if (this.#batch.push(message) === 1) this.#schedule(this.#flush);
  }

  /** Posts what waits at once: before the thread ends. */
  flush(): void {
    if (this.#batch.length > 0) this.#flush();
  }
}

/** `bytes`, or a copy of them that shares its buffer with nothing else. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength
    ? bytes
    : Uint8Array.prototype.slice.call(bytes);
}
