/**
 * The output gate of one activation: nothing that reveals a write leaves before the write is
 * durable. Writes are counted in groups; what is sent waits for the newest group that was begun
 * before it, and for everything sent before it.
 *
 * What is only posted to the node goes ahead with the group that it waits for, and waits there, which
 * spares it the way back from the disk through this thread. What has an effect in this thread waits
 * here, and so does what follows it.
 */
interface Waiting {
  readonly group: number;
  readonly send: () => void;
}

export interface OutputGateHooks {
  /** As `ActorHost.ahead`. */
  ahead(group: number, send: () => void): boolean;
  /** As `ActorHost.awaits`. */
  awaits(group: number): void;
}

export class OutputGate {
  readonly #hooks: OutputGateHooks;
  #durable = 0;
  #awaited = 0;
  #waiting: Waiting[] = [];
  #closed = false;

  constructor(hooks: OutputGateHooks) {
    this.#hooks = hooks;
  }

  /** Sends once groups up to `group` are durable: at once where they are and nothing waits. */
  output(group: number, send: () => void): void {
    if (this.#closed) return;
    if (group <= this.#durable && this.#waiting.length === 0) send();
    else this.#wait(group, send);
  }

  /** As `output`, for a `send` that only posts. */
  post(group: number, send: () => void): void {
    if (this.#closed) return;
    if (this.#waiting.length > 0) this.#wait(group, send);
    else if (group <= this.#durable) send();
    else if (!this.#hooks.ahead(group, send)) this.#wait(group, send);
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

  #wait(group: number, send: () => void): void {
    this.#waiting.push({ group, send });
    if (group <= this.#awaited) return;
    this.#awaited = group;
    this.#hooks.awaits(group);
  }

  /** Drops what waits: it will never be true. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }
}
