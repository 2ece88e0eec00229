/**
 * The output gate of one activation: nothing that reveals a write leaves before the write is
 * durable. Writes are counted in groups; what is sent waits for the newest group that was begun
 * before it, and for everything sent before it. This is the one place where that rule lives.
 */
interface Waiting {
  readonly group: number;
  readonly send: () => void;
}

export class OutputGate {
  #durable = 0;
  #waiting: Waiting[] = [];
  #closed = false;

  /** Sends once groups up to `group` are durable: at once where they are and nothing waits. */
  output(group: number, send: () => void): void {
    if (this.#closed) return;
    if (group <= this.#durable && this.#waiting.length === 0) send();
    else this.#waiting.push({ group, send });
  }

  /** Groups up to `group` are durable. */
  durable(group: number): void {
    if (group <= this.#durable) return;
    this.#durable = group;
    let count = 0;
    while (count < this.#waiting.length && (this.#waiting[count] as Waiting).group <= group)
      count++;
    if (count === 0) return;
    const ready = this.#waiting.splice(0, count);
    for (const { send } of ready) {
      if (!this.#closed) send();
    }
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Drops what waits: it will never be true. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }
}
