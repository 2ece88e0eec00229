/**
 * How the node notices that an executor's thread is stuck in user code. The executor's event loop
 * counts beats in shared memory; user code that never returns to the loop stops them.
 *
 * The watcher measures silence in its own looks, not in wall time: a process that was stopped and
 * resumed as a whole sees one late look, not an executor that was silent for an hour.
 */

export const beatIntervalMs = 100;

/** Slots of the shared array. */
const beatSlot = 0;
const runningSlot = 1;

export type HeartbeatMemory = SharedArrayBuffer;

export function heartbeatMemory(): HeartbeatMemory {
  return new SharedArrayBuffer(8);
}

/** The executor's side. */
export class Heartbeat {
  readonly #slots: Int32Array;

  constructor(memory: HeartbeatMemory) {
    this.#slots = new Int32Array(memory);
  }

  beat(): void {
    Atomics.add(this.#slots, beatSlot, 1);
  }

  /** Which activation's code runs now, 0 for none: whom to name when it never returns. */
  running(activation: number): void {
    this.#slots[runningSlot] = activation;
  }
}

/** The node's side: call `look` every `beatIntervalMs`. */
export class HeartbeatWatch {
  readonly #slots: Int32Array;
  #last = 0;
  #silentLooks = 0;

  constructor(memory: HeartbeatMemory) {
    this.#slots = new Int32Array(memory);
  }

  /** For how long the executor has not been back in its event loop, in milliseconds. */
  look(): number {
    const beats = Atomics.load(this.#slots, beatSlot);
    this.#silentLooks = beats === this.#last ? this.#silentLooks + 1 : 0;
    this.#last = beats;
    return this.#silentLooks * beatIntervalMs;
  }

  get running(): number {
    return Atomics.load(this.#slots, runningSlot);
  }
}
