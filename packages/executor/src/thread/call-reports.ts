/** Counts what objects handled, and tells the node in batches. */
import type { CallReport, FromExecutor } from '@homing/base';

type Report = Extract<FromExecutor, { type: 'report' }>;

export class CallReports {
  readonly #batches = new Map<string, { report: Omit<CallReport, 'durationsMs'>; ms: number[] }>();

  add(
    namespace: string,
    kind: CallReport['kind'],
    outcome: CallReport['outcome'],
    durationMs: number,
  ): void {
    const key = `${kind} ${outcome} ${namespace}`;
    const batch = this.#batches.get(key);
    if (batch !== undefined) batch.ms.push(durationMs);
    else this.#batches.set(key, { report: { namespace, kind, outcome }, ms: [durationMs] });
  }

  /** What was added since the last call, or undefined. */
  take(): Report | undefined {
    if (this.#batches.size === 0) return undefined;
    const calls = [...this.#batches.values()].map(({ report, ms }) => ({
      ...report,
      durationsMs: Float64Array.from(ms),
    }));
    this.#batches.clear();
    return { type: 'report', calls };
  }
}
