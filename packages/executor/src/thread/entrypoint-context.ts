/**
 * The I/O context of one run of a stateless entrypoint: no gates, because there is no state. Lives
 * as long as its session, and after that until what it gave to `waitUntil` has settled. That time is
 * bounded unless it has a socket, timer or fetch open; then everything still under way is undone.
 */
import type { EntryKind, IoContext, IoFrame, Scope } from '@homing/base';
import { runInFrame } from '@homing/base';
import { clearTimer, startTimer } from './platform.ts';
import { requestOver } from './session-ends.ts';

const afterEndMaxMs = 30_000;

export class EntrypointContext implements IoContext {
  readonly label: string;
  #broken: { readonly reason: unknown } | undefined;
  readonly #frame: IoFrame;
  #undo: Map<(reason: unknown) => void, boolean> | undefined;
  #pending = 0;
  #finishing = false;
  #timer: ReturnType<typeof startTimer> | undefined;

  constructor(label: string) {
    this.label = label;
    this.#frame = { context: this, scope: undefined };
  }

  get broken(): { readonly reason: unknown } | undefined {
    return this.#broken;
  }

  enter(_kind: EntryKind, _scope: Scope, run: () => unknown, refuse: (error: unknown) => void) {
    if (this.#broken !== undefined) refuse(this.#broken.reason);
    else runInFrame(this.#frame, run);
  }

  output(send: () => void): void {
    if (this.#broken === undefined) send();
  }

  post(send: () => void): void {
    this.output(send);
  }

  /** It keeps no state: what objects told it has left them. */
  outputOutside(send: () => void): void {
    this.output(send);
  }

  scope(): Scope {
    return undefined;
  }

  waitUntil(promise: Promise<unknown>): void {
    this.#pending++;
    const settled = (): void => {
      this.#pending--;
      if (this.#finishing && this.#pending === 0) this.end(requestOver);
    };
    Promise.resolve(promise).then(settled, settled);
  }

  onEnd(undo: (reason: unknown) => void, keepsAlive = false): () => void {
    this.#undo ??= new Map();
    this.#undo.set(undo, keepsAlive);
    return () => this.#undo?.delete(undo);
  }

  /** The session is over: ends the context when nothing it waits for is left. */
  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    if (this.#pending === 0) this.end(requestOver);
    else this.#watch();
  }

  /** Waits longer while something is open that is not the code's own, as a socket. */
  #watch(): void {
    this.#timer = startTimer(() => {
      if ([...(this.#undo?.values() ?? [])].includes(true)) this.#watch();
      else this.end(requestOver);
    }, afterEndMaxMs);
  }

  end(reason: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = { reason };
    if (this.#timer !== undefined) clearTimer(this.#timer);
    const undo = this.#undo;
    this.#undo = undefined;
    for (const run of undo?.keys() ?? []) run(reason);
  }
}
