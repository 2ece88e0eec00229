/**
 * The node's end of the output gate: what activations send ahead of their own writes is held here
 * until these are durable, and dropped when it is not to leave any more. Executors are told how far
 * their writes are when something there waits for it, and else after a while, for many at once.
 *
 * Invariant: what one activation sends leaves in the order in which it was sent. How much is held is
 * bounded by each executor.
 *
 * Called by the node with what executors say, and by the object table with what becomes of logs.
 */
import {
  errorToData,
  HomingError,
  type Timer,
  type Timers,
  type UnmarkedMessage,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import type { Executor } from './executor-pool.ts';

export interface HeldOutputOptions {
  /** Takes what is held no more, as if it had just come. */
  readonly pass: (executor: Executor, message: UnmarkedMessage) => void;
  readonly timers: Timers;
  /** How long after its groups are folded in an executor is told, where it does not wait for them. */
  readonly noticeDelayMs: number;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

interface Held {
  readonly group: number;
  readonly message: UnmarkedMessage;
}

interface Output {
  readonly activation: number;
  readonly executor: Executor;
  /** Groups that are durable, and those that are folded in; and what its executor knows of either. */
  durable: number;
  folded: number;
  durableTold: number;
  foldedTold: number;
  /** The newest group that something in the executor waits for. */
  awaited: number;
  held: Held[];
}

export class HeldOutput {
  readonly #options: HeldOutputOptions;
  readonly #outputs = new Map<number, Output>();
  /** Whose executor does not know yet what is folded in. */
  #untold = new Set<Output>();
  #timer: Timer | undefined;

  constructor(options: HeldOutputOptions) {
    this.#options = options;
  }

  begin(activation: number, executor: Executor): void {
    this.#outputs.set(activation, {
      activation,
      executor,
      durable: 0,
      folded: 0,
      durableTold: 0,
      foldedTold: 0,
      awaited: 0,
      held: [],
    });
  }

  /** The activation sent `message` after it wrote its `group`-th group. */
  hold(executor: Executor, activation: number, group: number, message: UnmarkedMessage): void {
    const output = this.#outputs.get(activation);
    if (output === undefined) drop(executor, message);
    else if (output.held.length > 0 || group > this.#passable(output)) {
      output.held.push({ group, message });
    } else this.#options.pass(executor, message);
  }

  awaits(activation: number, group: number): void {
    const output = this.#outputs.get(activation);
    if (output === undefined) return;
    output.awaited = Math.max(output.awaited, group);
    this.#tellAwaited(output);
  }

  /** The activation's groups up to the `count`-th are durable. */
  committed(activation: number, count: number): void {
    const output = this.#outputs.get(activation);
    if (output === undefined || count <= output.durable) return;
    output.durable = count;
    this.#release(output);
    this.#tellAwaited(output);
  }

  /** They are folded in. */
  folded(activation: number, count: number, isAwaited: boolean): void {
    const output = this.#outputs.get(activation);
    if (output === undefined || count <= output.folded) return;
    output.folded = count;
    this.committed(activation, count);
    if (isAwaited) this.#tellFolded(output);
    else this.#tellAwaited(output);
    if (output.foldedTold === count) return;
    this.#untold.add(output);
    this.#timer ??= this.#options.timers.after(this.#options.noticeDelayMs, () => this.#tellAll());
  }

  /** Nothing that the activation has sent or sends from now on leaves. Idempotent. */
  end(activation: number): void {
    const output = this.#outputs.get(activation);
    if (output === undefined) return;
    this.#outputs.delete(activation);
    this.#untold.delete(output);
    for (const { message } of output.held.splice(0)) drop(output.executor, message);
  }

  #passable({ durable }: Output): number {
    const { bugs } = this.#options;
    return bugs?.['leaves-before-commit'] === true ? Number.POSITIVE_INFINITY : durable;
  }

  #release(output: Output): void {
    const { held, executor, durable } = output;
    let count = 0;
    while (count < held.length && (held[count] as Held).group <= durable) count++;
    if (count === 0) return;
    for (const { message } of held.splice(0, count)) {
      // What passes may end the activation.
      if (this.#outputs.get(output.activation) === output) this.#options.pass(executor, message);
      else drop(executor, message);
    }
  }

  #tellAwaited(output: Output): void {
    const { activation, executor, awaited, durable, folded } = output;
    if (folded > output.foldedTold && output.foldedTold < awaited) this.#tellFolded(output);
    if (durable <= output.durableTold || output.durableTold >= awaited) return;
    output.durableTold = durable;
    executor.post({ type: 'committed', activation, count: durable });
  }

  #tellFolded(output: Output): void {
    const { activation, executor, folded } = output;
    this.#untold.delete(output);
    output.foldedTold = folded;
    output.durableTold = Math.max(output.durableTold, folded);
    executor.post({ type: 'appended', activation, count: folded });
  }

  #tellAll(): void {
    this.#timer = undefined;
    const untold = this.#untold;
    this.#untold = new Set();
    for (const output of untold) this.#tellFolded(output);
  }
}

/** What waits in the executor for an answer is told that there is none. */
function drop(executor: Executor, message: UnmarkedMessage): void {
  if (message.type !== 'permit' && message.type !== 'connect') return;
  const { request } = message;
  const error = errorToData(new HomingError('outcome_unknown', 'the object was reset'));
  if (message.type === 'permit') executor.post({ type: 'permitted', request, error });
  else executor.post({ type: 'connected', request, socket: undefined, protocol: '', error });
}
