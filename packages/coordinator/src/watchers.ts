/** Who is told when something changed. A watcher that throws does not keep the others from hearing. */
import type { CoordinatorEvent } from '@homing/base';

type Watcher = (event: CoordinatorEvent) => void;

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #failed: (cause: unknown) => void;

  constructor(failed: (cause: unknown) => void) {
    this.#failed = failed;
  }

  add(callback: Watcher): { stop(): void } {
    // A wrapper of its own, so that one callback may watch twice.
    const watcher: Watcher = (event) => callback(event);
    this.#watchers.add(watcher);
    return { stop: () => void this.#watchers.delete(watcher) };
  }

  tell(event: CoordinatorEvent): void {
    for (const watcher of [...this.#watchers]) {
      if (!this.#watchers.has(watcher)) continue;
      try {
        watcher(event);
      } catch (cause) {
        this.#failed(cause);
      }
    }
  }

  clear(): void {
    this.#watchers.clear();
  }
}
