/**
 * Permission for what leaves the cluster from this thread: an object that only read must know that
 * its lease stands, which the node thread does. One message there and one back, in order; where the
 * node is alone there is nothing to ask.
 *
 * Called by the objects of this thread.
 */
import { errorFromData, type ToExecutor, type UnmarkedMessage } from '@homing/base';

interface Asked {
  readonly pass: () => void;
  readonly refuse: (error: unknown) => void;
}

export class Permits {
  readonly #post: (message: UnmarkedMessage) => void;
  readonly #isClustered: boolean;
  readonly #asked = new Map<number, Asked>();
  #next = 1;

  constructor(post: (message: UnmarkedMessage) => void, isClustered: boolean) {
    this.#post = post;
    this.#isClustered = isClustered;
  }

  /** Whether `ask` asks the node, and so does no more than post. */
  get areAsked(): boolean {
    return this.#isClustered;
  }

  /** Calls `pass` when what the activation has read so far may leave, or `refuse`. Once. */
  ask(activation: number, pass: () => void, refuse: (error: unknown) => void): void {
    if (!this.#isClustered) {
      pass();
      return;
    }
    const request = this.#next++;
    this.#asked.set(request, { pass, refuse });
    this.#post({ type: 'permit', activation, request });
  }

  onPermitted({ request, error }: Extract<ToExecutor, { type: 'permitted' }>): void {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    if (error === undefined) asked?.pass();
    else asked?.refuse(errorFromData(error));
  }
}
