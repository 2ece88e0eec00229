/**
 * What a session needs of the context that it runs for: its gates, and the codec of host values.
 * Extended by whoever knows where the frames go. Classes, since one is made with every session.
 */
import type { EntryKind, IoContext, Scope } from '@homing/base';
import type { HostValue, HostValueCodec, SessionHost } from '@homing/capability';

export abstract class ContextHost implements SessionHost {
  protected readonly context: IoContext;
  readonly #codec: HostValueCodec;

  constructor(context: IoContext, codec: HostValueCodec) {
    this.context = context;
    this.#codec = codec;
  }

  /** Takes a frame that may leave the context. */
  protected abstract pass(frame: Uint8Array): void;

  /** Whether `pass` does no more than post to the node. */
  protected get isPosted(): boolean {
    return false;
  }

  send(frame: Uint8Array): void {
    const pass = () => this.pass(frame);
    if (this.isPosted) this.context.post(pass);
    else this.context.output(pass);
  }

  scope(): Scope {
    return this.context.scope();
  }

  enter(kind: EntryKind, scope: Scope, run: () => unknown, refuse: (error: unknown) => void): void {
    this.context.enter(kind, scope, run, refuse);
  }

  disassemble(value: object): HostValue | undefined {
    return this.#codec.disassemble(value);
  }

  assemble(value: HostValue): unknown {
    return this.#codec.assemble(value);
  }
}
