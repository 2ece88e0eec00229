/**
 * An event target whose listeners may throw: Node's would end the thread. What they throw is
 * gathered, for the dispatcher to say what it means.
 */
type Callback = (event: Event) => unknown;
type Listener = Callback | { handleEvent(event: Event): unknown } | null;
type Options = boolean | { capture?: boolean; once?: boolean; passive?: boolean };

export class GuardedEventTarget extends EventTarget {
  readonly #wrapped = new WeakMap<object, Callback>();
  readonly #handlers = new Map<string, Callback>();
  #thrown: { readonly error: unknown } | undefined;

  override addEventListener(type: string, listener: Listener, options?: Options): void {
    if (listener === null || listener === undefined) return;
    let wrapped = this.#wrapped.get(listener);
    if (wrapped === undefined) {
      wrapped = (event) => {
        try {
          if (typeof listener === 'function') listener.call(this, event);
          else listener.handleEvent(event);
        } catch (error) {
          this.#thrown ??= { error };
        }
      };
      this.#wrapped.set(listener, wrapped);
    }
    super.addEventListener(type, wrapped as EventListener, options);
  }

  override removeEventListener(type: string, listener: Listener, options?: Options): void {
    if (listener === null || listener === undefined) return;
    const wrapped = this.#wrapped.get(listener);
    if (wrapped !== undefined) {
      super.removeEventListener(type, wrapped as EventListener, options);
    }
  }

  /** Dispatches, and tells what the first listener to throw threw. */
  protected dispatchGuarded(event: Event): { readonly error: unknown } | undefined {
    this.#thrown = undefined;
    super.dispatchEvent(event);
    const thrown = this.#thrown;
    this.#thrown = undefined;
    return thrown;
  }

  /** What an `on…` attribute holds. */
  protected handler(type: string): Callback | null {
    return this.#handlers.get(type) ?? null;
  }

  protected setHandler(type: string, handler: unknown): void {
    const before = this.#handlers.get(type);
    if (before !== undefined) this.removeEventListener(type, before);
    this.#handlers.delete(type);
    if (typeof handler !== 'function') return;
    this.#handlers.set(type, handler as Callback);
    this.addEventListener(type, handler as Callback);
  }
}

type EventListener = (event: Event) => void;
