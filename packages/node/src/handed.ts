/**
 * What last owners say of the objects that they hand to this node: which nodes have clients of them. The
 * new owner waits for these nodes only before it starts the object, so that without clients a move costs
 * no round trip for them.
 *
 * A hint: what is missing in it comes late and is not lost. It is believed once, and for a short time.
 */
import type { Clock, MonotonicMs, ObjectIdHex } from '@homing/base';

/** Past it the oldest is forgotten. */
const handedMax = 10_000;
const believedMs = 10_000;

export class Handed {
  readonly #clock: Clock;
  readonly #nodes = new Map<
    ObjectIdHex,
    { readonly nodes: readonly string[]; readonly atMs: MonotonicMs }
  >();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(id: ObjectIdHex, nodes: readonly string[]): void {
    this.#nodes.delete(id);
    this.#nodes.set(id, { nodes, atMs: this.#clock.monotonicMs() });
    const [oldest] = this.#nodes.keys();
    if (this.#nodes.size > handedMax && oldest !== undefined) this.#nodes.delete(oldest);
  }

  /** The nodes with clients, where they are known. */
  take(id: ObjectIdHex): readonly string[] | undefined {
    const handed = this.#nodes.get(id);
    this.#nodes.delete(id);
    if (handed === undefined || this.#clock.monotonicMs() - handed.atMs > believedMs) {
      return undefined;
    }
    return handed.nodes;
  }
}
