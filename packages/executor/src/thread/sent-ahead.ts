/**
 * What objects of this thread send ahead of their own writes: posted at once with a mark that names
 * the group it waits for, and held by the node until that group is durable.
 *
 * Invariant: the node holds at most `bytesMax` for this thread, and what one send has too much.
 *
 * Called by the objects of this thread; all that leaves the thread goes through `post`.
 */
import { assert, type FromExecutor, type UnmarkedMessage } from '@homing/base';

interface Held {
  readonly group: number;
  bytes: number;
}

/** What a message weighs beside the bytes that it carries. */
const messageBytes = 100;

export class SentAhead {
  readonly #post: (message: FromExecutor) => void;
  readonly #bytesMax: number;
  /** By activation, in the order of groups. */
  readonly #held = new Map<number, Held[]>();
  #bytes = 0;
  #mark: { readonly activation: number; readonly group: number } | undefined;

  constructor(post: (message: FromExecutor) => void, bytesMax: number) {
    this.#post = post;
    this.#bytesMax = bytesMax;
  }

  post(message: UnmarkedMessage): void {
    if (this.#mark === undefined) {
      this.#post(message);
      return;
    }
    this.#post({ type: 'after', ...this.#mark, message });
    this.#count(this.#mark, weightOf(message));
  }

  /** As `ActorHost.ahead`. */
  send(activation: number, group: number, send: () => void): boolean {
    if (this.#bytes >= this.#bytesMax) return false;
    assert(this.#mark === undefined, 'sent ahead: one send within another');
    this.#mark = { activation, group };
    try {
      send();
    } finally {
      this.#mark = undefined;
    }
    return true;
  }

  /** The activation's groups up to the `count`-th are durable: nothing is held for them. */
  durable(activation: number, count: number): void {
    const held = this.#held.get(activation);
    if (held === undefined) return;
    let passed = 0;
    for (const { group, bytes } of held) {
      if (group > count) break;
      this.#bytes -= bytes;
      passed++;
    }
    if (passed === held.length) this.#held.delete(activation);
    else held.splice(0, passed);
  }

  /** The activation is gone, and what was held with it. */
  ended(activation: number): void {
    this.durable(activation, Number.POSITIVE_INFINITY);
  }

  #count({ activation, group }: { activation: number; group: number }, bytes: number): void {
    this.#bytes += bytes;
    const held = this.#held.get(activation);
    const last = held?.at(-1);
    if (last?.group === group) last.bytes += bytes;
    else if (held === undefined) this.#held.set(activation, [{ group, bytes }]);
    else held.push({ group, bytes });
  }
}

function weightOf(message: UnmarkedMessage): number {
  if (message.type === 'frame') return messageBytes + message.frame.length;
  if (message.type !== 'socket' || message.event.type !== 'message') return messageBytes;
  return messageBytes + message.event.data.length;
}
