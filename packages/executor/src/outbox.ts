/**
 * Messages to another thread, posted in batches: everything posted in one turn of the event loop
 * crosses at once. Order is kept. That a caller has closed its session waits for other messages, and goes
 * alone where there are none for a while.
 *
 * A message is written down when it is posted, frames and the operations of appends included; other
 * byte arrays are cloned later, with their whole underlying buffer: whoever posts a view of a larger
 * one (a pooled `Buffer`) copies it out first, with `ownBytes`.
 */
import type { FromExecutor, Timers, ToExecutor } from '@homing/base';
import { type Batch, BatchWriter } from './batch.ts';

export interface Port {
  postMessage(batch: Batch): void;
}

/** How long the end of a session waits for other messages to go with. */
const newsDelayMs = 5;

export class Outbox<T extends ToExecutor | FromExecutor> {
  readonly #port: Port;
  readonly #schedule: (flush: () => void) => void;
  readonly #timers: Timers;
  readonly #batch = new BatchWriter();
  #isFlushDue = false;
  #isNewsDue = false;
  readonly #flush = (): void => {
    this.#isFlushDue = false;
    if (!this.#batch.isEmpty) this.#port.postMessage(this.#batch.take());
  };
  readonly #tellNews = (): void => {
    this.#isNewsDue = false;
    if (!this.#isFlushDue) this.#flush();
  };

  /** `schedule` runs a function once, later in this turn of the event loop. */
  constructor(port: Port, schedule: (flush: () => void) => void, timers: Timers) {
    this.#port = port;
    this.#schedule = schedule;
    this.#timers = timers;
  }

  post(message: T): void {
    this.#batch.push(message);
    if (this.#isFlushDue) return;
    if (!isNews(message)) {
      this.#isFlushDue = true;
      this.#schedule(this.#flush);
    } else if (!this.#isNewsDue) {
      this.#isNewsDue = true;
      this.#timers.after(newsDelayMs, this.#tellNews);
    }
  }

  /** Posts what waits at once: before the thread ends. */
  flush(): void {
    this.#flush();
  }
}

/** That a caller has closed its session, which nobody waits for: it need not wake a thread. */
function isNews(message: ToExecutor | FromExecutor): boolean {
  return message.type === 'closed' && message.error === undefined;
}
