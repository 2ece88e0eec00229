/**
 * Messages to another thread, posted in batches: everything posted in one turn of the event loop
 * crosses at once. Order is kept.
 *
 * A message is written down when it is posted, frames and the operations of appends included; other
 * byte arrays are cloned later, with their whole underlying buffer: whoever posts a view of a larger
 * one (a pooled `Buffer`) copies it out first, with `ownBytes`.
 */
import type { FromExecutor, ToExecutor } from '@homing/base';
import { type Batch, BatchWriter } from './batch.ts';

export interface Port {
  postMessage(batch: Batch): void;
}

export class Outbox<T extends ToExecutor | FromExecutor> {
  readonly #port: Port;
  readonly #schedule: (flush: () => void) => void;
  readonly #batch = new BatchWriter();
  readonly #flush = (): void => this.#port.postMessage(this.#batch.take());

  /** `schedule` runs a function once, later in this turn of the event loop. */
  constructor(port: Port, schedule: (flush: () => void) => void) {
    this.#port = port;
    this.#schedule = schedule;
  }

  post(message: T): void {
    const isFirst = this.#batch.isEmpty;
    this.#batch.push(message);
    if (isFirst) this.#schedule(this.#flush);
  }

  /** Posts what waits at once: before the thread ends. */
  flush(): void {
    if (!this.#batch.isEmpty) this.#flush();
  }
}
