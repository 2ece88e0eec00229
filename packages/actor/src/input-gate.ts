/**
 * The input gate of one activation: who may run now.
 *
 * Entries run one at a time in the order they came, each in a macrotask of its own, so everything
 * that user code does without waiting for the outside world happens before the next entry. Reads
 * of storage resolve within microtasks: nothing comes between them and what follows. A storage
 * operation that does have to wait (too much unconfirmed) holds the gate meanwhile.
 *
 * A critical section (`blockConcurrencyWhile`) is a gate inside a gate: while it lasts its parent is
 * held, and only entries that carry it as their scope run. Sections form a tree, and the entries of
 * one that ended go to its parent. Sections that wait go before entries that wait: whoever asked
 * for one is running already.
 *
 * Used by the actor only. Knows no clock and no user code.
 */
import { assert, type IoContext, type IoFrame } from '@homing/base';

export const sectionDepthMax = 64;

export class InputGate {
  readonly #parent: InputGate | undefined;
  readonly #schedule: (turn: () => void) => void;
  readonly #depth: number;
  readonly frame: IoFrame;
  #holds = 0;
  #over = false;
  #sections: (() => void)[] = [];
  #entries: (() => void)[] = [];
  readonly #turn = (): void => {
    if (this.#holds > 0) return;
    const next = this.#sections.shift() ?? this.#entries.shift();
    next?.();
  };

  /** `schedule` runs a function in a macrotask of its own; in order. */
  constructor(context: IoContext, schedule: (turn: () => void) => void, parent?: InputGate) {
    this.#parent = parent;
    this.#schedule = schedule;
    this.#depth = parent === undefined ? 0 : parent.#depth + 1;
    this.frame = { context, scope: parent === undefined ? undefined : this };
  }

  /** Where entries for this gate go now: itself, or its nearest ancestor that is not over. */
  get current(): InputGate {
    let gate: InputGate = this;
    while (gate.#over && gate.#parent !== undefined) gate = gate.#parent;
    return gate;
  }

  /** Runs `run` when it is its turn. */
  enter(run: () => void): void {
    this.#entries.push(run);
    if (this.#holds === 0) this.#schedule(this.#turn);
  }

  /** Keeps everything out until the same number of `release`. */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    assert(this.#holds > 0, 'input gate: released more often than held');
    if (--this.#holds > 0) return;
    const waiting = this.#sections.length + this.#entries.length;
    for (let count = 0; count < waiting; count++) this.#schedule(this.#turn);
  }

  /**
   * Opens a critical section as soon as this gate lets it in; `run` is given the section's gate and
   * must end it. Throws when sections are nested too deeply.
   */
  section(run: (section: InputGate) => void): void {
    if (this.#depth >= sectionDepthMax) {
      throw new Error('blockConcurrencyWhile() calls are nested too deeply.');
    }
    const section = new InputGate(this.frame.context, this.#schedule, this);
    this.#sections.push(() => {
      this.hold();
      run(section);
    });
    if (this.#holds === 0) this.#schedule(this.#turn);
  }

  /** Ends this section: its parent goes on, and takes what still waits here. */
  end(): void {
    const parent = this.#parent;
    assert(parent !== undefined && !this.#over, 'input gate: only a live section ends');
    this.#over = true;
    const target = parent.current;
    target.#sections.push(...this.#sections);
    target.#entries.push(...this.#entries);
    this.#sections = [];
    this.#entries = [];
    parent.release();
  }
}
