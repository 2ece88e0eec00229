/**
 * How fast pages leave of copies that nobody waits for: so many bytes in a second where this node has
 * little else to do, and fewer where it is busy. Whoever sends a page asks for its turn; what has to wait comes
 * back by a timer. Where the node's thread was at work for more than a share of an interval, the rate is
 * halved, down to a least one. It grows again, by a sixteenth of the greatest in each other interval.
 *
 * Invariants
 * 1. The rate is never below `rebuildBusyBytesPerSecond` (or the greatest, where that is less): a copy ends.
 * 2. What is urgent goes at `rebuildBytesPerSecond`, however busy the node is.
 *
 * One for a node; used by `SnapshotSender`. Knows no clock but the one it is told.
 */
import type { ReplicationLimits } from './limits.ts';

type Limits = Pick<
  ReplicationLimits,
  'rebuildBytesPerSecond' | 'rebuildBusyBytesPerSecond' | 'rebuildBusyPercent'
>;

/** The least time between two changes of the rate, and that which its next one goes by. */
const intervalMs = 100;
/** After so long without a page that had to wait, the time before says nothing of the copy that begins. */
const staleMs = 10 * intervalMs;
/** So many intervals take it from nothing to the greatest. */
const steps = 16;

export class CopyPace {
  readonly #limits: Limits;
  readonly #utilisation: () => number;
  /** Bytes in a second. */
  #rate: number;
  /** When the next page may leave. */
  #untilMs = 0;
  #sinceMs = 0;

  /** `utilisation`: as `ReplicationOptions` has it. */
  constructor(limits: Limits, utilisation: () => number) {
    this.#limits = limits;
    this.#utilisation = utilisation;
    this.#rate = limits.rebuildBytesPerSecond;
  }

  get bytesPerSecond(): number {
    return this.#rate;
  }

  /** How long a page has to wait; 0: it may leave, and is counted. */
  ask(nowMs: number, bytes: number, isUrgent: boolean): number {
    if (nowMs < this.#untilMs) return this.#untilMs - nowMs;
    const rate = isUrgent ? this.#limits.rebuildBytesPerSecond : this.#rate;
    this.#untilMs = nowMs + (bytes / rate) * 1000;
    return 0;
  }

  /** A page that had to wait comes back. */
  cameBack(nowMs: number): void {
    const passedMs = nowMs - this.#sinceMs;
    if (passedMs < intervalMs) return;
    this.#sinceMs = nowMs;
    const utilisation = this.#utilisation();
    if (passedMs > staleMs) return;
    const { rebuildBytesPerSecond, rebuildBusyBytesPerSecond, rebuildBusyPercent } = this.#limits;
    const isBusy = utilisation * 100 > rebuildBusyPercent;
    const wanted = isBusy ? this.#rate / 2 : this.#rate + rebuildBytesPerSecond / steps;
    const least = Math.min(rebuildBusyBytesPerSecond, rebuildBytesPerSecond);
    this.#rate = Math.min(rebuildBytesPerSecond, Math.max(least, wanted));
  }
}
