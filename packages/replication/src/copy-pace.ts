/**
 * How fast pages leave of copies that nobody waits for: so many bytes in a second where this node has
 * nothing else to do, and fewer where it is busy. Whoever sends a page asks for its turn; what has to
 * wait comes back by a timer, and says how late that was. Timers that come late, on average over an
 * interval, mean that the event loop or the processor has others to serve: then the rate is halved, down to
 * a least one. It grows again, by a sixteenth of the greatest in each interval without lateness.
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
  'rebuildBytesPerSecond' | 'rebuildBusyBytesPerSecond' | 'rebuildLateMs'
>;

/** How long lateness is averaged over, and the least time between two changes of the rate. */
const intervalMs = 100;
/** So many intervals take it from nothing to the greatest. */
const steps = 16;

export class CopyPace {
  readonly #limits: Limits;
  /** Bytes in a second. */
  #rate: number;
  /** When the next page may leave. */
  #untilMs = 0;
  #sinceMs = 0;
  #lateMs = 0;
  #turns = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
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

  /** A page that had to wait comes back, so much later than it wanted. */
  cameBack(nowMs: number, lateMs: number): void {
    // A turn that begins an interval after a time without copies says nothing of that time.
    if (this.#turns === 0) this.#sinceMs = nowMs;
    this.#turns += 1;
    this.#lateMs += Math.max(0, lateMs);
    if (nowMs - this.#sinceMs < intervalMs && this.#lateMs < intervalMs) return;
    const { rebuildBytesPerSecond, rebuildBusyBytesPerSecond, rebuildLateMs } = this.#limits;
    const isBusy = this.#lateMs / this.#turns > rebuildLateMs;
    const wanted = isBusy ? this.#rate / 2 : this.#rate + rebuildBytesPerSecond / steps;
    const least = Math.min(rebuildBusyBytesPerSecond, rebuildBytesPerSecond);
    this.#rate = Math.min(rebuildBytesPerSecond, Math.max(least, wanted));
    this.#turns = 0;
    this.#lateMs = 0;
  }
}
