/**
 * What objects of this thread send ahead of their own writes: posted at once with a mark that names
 * the group it waits for, and held by the node until that group is durable.
 *
 * Invariants
 * 1. The node holds at most `bytesMax` for this thread, and what one send has too much.
 * 2. From half of that on this thread asks to be told at once of all groups that something here waits for:
 *    unasked it hears of durable ones long after what waited for them has left.
 *
 * Called by the objects of this thread; all that leaves the thread goes through `post`.
 */
import { assert, type FromExecutor, type UnmarkedMessage } from '@homing/base';

interface Held {
  readonly group: number;
  bytes: number;
}

interface Output {
  /** In the order of groups. */
  readonly held: Held[];
  /** The newest group that was asked about. */
  asked: number;
}

/** What a message weighs beside the bytes that it carries. */
const messageBytes = 100;

export class SentAhead {
  readonly #post: (message: FromExecutor) => void;
  readonly #bytesMax: number;
  /** By activation, of those for which something is held. */
  readonly #outputs = new Map<number, Output>();
  #bytes = 0;
  #isAsking = false;
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
    if (this.#isAsking) this.#ask(this.#mark.activation);
    else if (this.#bytes >= this.#bytesMax / 2) {
      this.#isAsking = true;
      for (const activation of this.#outputs.keys()) this.#ask(activation);
    }
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
    const output = this.#outputs.get(activation);
    if (output === undefined) return;
    const { held } = output;
    let passed = 0;
    for (const { group, bytes } of held) {
      if (group > count) break;
      this.#bytes -= bytes;
      passed++;
    }
    if (passed === held.length) this.#outputs.delete(activation);
    else held.splice(0, passed);
    // Far enough below not to begin again with the next message.
    if (this.#bytes < this.#bytesMax / 4) this.#isAsking = false;
  }

  /** The activation is gone, and what was held with it. */
  ended(activation: number): void {
    this.durable(activation, Number.POSITIVE_INFINITY);
  }

  #count({ activation, group }: { activation: number; group: number }, bytes: number): void {
    this.#bytes += bytes;
    const output = this.#outputs.get(activation);
    const last = output?.held.at(-1);
    if (last?.group === group) last.bytes += bytes;
    else if (output === undefined) {
      this.#outputs.set(activation, { held: [{ group, bytes }], asked: 0 });
    } else output.held.push({ group, bytes });
  }

  #ask(activation: number): void {
    const output = this.#outputs.get(activation);
    const group = output?.held.at(-1)?.group ?? 0;
    if (output === undefined || group <= output.asked) return;
    output.asked = group;
    this.#post({ type: 'awaits', activation, group });
  }
}

function weightOf(message: UnmarkedMessage): number {
  if (message.type === 'frame') return messageBytes + message.frame.length;
  if (message.type !== 'socket' || message.event.type !== 'message') return messageBytes;
  return messageBytes + message.event.data.length;
}
