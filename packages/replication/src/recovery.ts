/**
 * The wait for one object's recovery. Where it has to bring others the state it may take any time as long
 * as it gets further, since whoever began it anew would send the same from the first page.
 *
 * Invariants
 * 1. What was got before counts once: a copy that begins anew extends nothing until it is further than
 *    any before it. So a recovery that only repeats itself ends.
 *
 * Owned by `ReplicatedLog`, from `start` until recovery is over.
 */
import type { Timer, Timers } from '@homing/base';

interface RecoveryOptions {
  readonly timers: Timers;
  /** How long it may get no further. */
  readonly timeoutMs: number;
  readonly expired: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Of another store: pages of the state that it took, or the LSN up to which it has acknowledged. */
type Advance = 'pages' | 'records';

export class Recovery {
  readonly #options: RecoveryOptions;
  /** The furthest so far, by kind and store. */
  readonly #furthest = new Map<string, number>();
  #timer: Timer | undefined;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#arm();
  }

  reached(kind: Advance, store: string, count: number): void {
    const key = `${kind} ${store}`;
    if (count <= (this.#furthest.get(key) ?? 0)) return;
    this.#furthest.set(key, count);
    this.#arm();
  }

  resolve(): void {
    this.#timer?.cancel();
    this.#options.resolve();
  }

  reject(error: unknown): void {
    this.#timer?.cancel();
    this.#options.reject(error);
  }

  #arm(): void {
    const { timers, timeoutMs, expired } = this.#options;
    this.#timer?.cancel();
    this.#timer = timers.after(timeoutMs, expired);
  }
}
