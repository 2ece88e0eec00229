/**
 * What happened in a run, line by line: hashed, so that two runs can be compared, and kept only
 * where somebody wants to read it.
 */
import { createHash } from 'node:crypto';

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #keep: ((line: string) => void) | undefined;
  readonly #now: () => number;

  constructor(now: () => number, keep?: (line: string) => void) {
    this.#now = now;
    this.#keep = keep;
  }

  /** `detail` is for readers only. */
  line(text: string, detail?: () => string): void {
    const line = `${this.#now().toFixed(3)} ${text}`;
    this.#hash.update(line);
    this.#keep?.(detail === undefined ? line : `${line} ${detail()}`);
  }

  /** Of all lines so far; nothing may be added afterwards. */
  digest(): string {
    return this.#hash.digest('hex').slice(0, 16);
  }
}
