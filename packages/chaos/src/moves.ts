/**
 * Moves the workload's objects between regions without a pause, by what an operator would type, and
 * counts how it went. A move that is refused or called off is no fault: nodes are down, objects asleep
 * or on their way already.
 *
 * Called by `run.ts`.
 */
import type { ClusterNode } from './cluster.ts';
import type { SeededRandom } from './random.ts';

export interface MovesOptions {
  readonly nodes: readonly ClusterNode[];
  readonly random: SeededRandom;
  /** Names of the objects there are now. */
  readonly objects: () => readonly string[];
  /** At a time. */
  readonly count: number;
}

export interface MoveCounts {
  moved: number;
  notMoved: number;
}

const namespace = 'LEDGER';
const timeoutMs = 20_000;
const pauseMs = 20;

export class Moves {
  readonly counts: MoveCounts = { moved: 0, notMoved: 0 };
  readonly #options: MovesOptions;
  #isStopped = false;
  readonly #running: Promise<unknown>;

  constructor(options: MovesOptions) {
    this.#options = options;
    this.#running = Promise.all(Array.from({ length: options.count }, () => this.#go()));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #go(): Promise<void> {
    const { nodes, random, objects } = this.#options;
    while (!this.#isStopped) {
      const node = random.pick(nodes);
      const { region } = random.pick(nodes);
      const isMoved = await move(node, random.pick(objects()), region);
      if (isMoved) this.counts.moved += 1;
      else this.counts.notMoved += 1;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

async function move(node: ClusterNode, name: string, region: string): Promise<boolean> {
  try {
    const response = await fetch(new URL('/api/migrate', node.admin), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ namespace, name, region }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}
