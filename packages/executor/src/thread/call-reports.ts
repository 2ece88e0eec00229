/** Counts what objects handled, and tells the node in batches. */
import type { CallReport, FromExecutor } from '@homing/base';

type Report = Extract<FromExecutor, { type: 'report' }>;

interface Batch {
  readonly report: Omit<CallReport, 'durationsMs'>;
  readonly ms: number[];
}

export class CallReports {
  /** By namespace, and there a few: a key of all three would be made and hashed for each call. */
  readonly #batches = new Map<string, Batch[]>();

  add(
    namespace: string,
    kind: CallReport['kind'],
    outcome: CallReport['outcome'],
    durationMs: number,
  ): void {
    let batches = this.#batches.get(namespace);
    if (batches === undefined) {
      batches = [];
      this.#batches.set(namespace, batches);
    }
    for (const { report, ms } of batches) {
      if (report.kind !== kind || report.outcome !== outcome) continue;
      ms.push(durationMs);
      return;
    }
    batches.push({ report: { namespace, kind, outcome }, ms: [durationMs] });
  }

  /** What was added since the last call, or undefined. */
  take(): Report | undefined {
    if (this.#batches.size === 0) return undefined;
    const calls = [...this.#batches.values()].flat().map(({ report, ms }) => ({
      ...report,
      durationsMs: Float64Array.from(ms),
    }));
    this.#batches.clear();
    return { type: 'report', calls };
  }
}
