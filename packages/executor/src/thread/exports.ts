/** What a worker's module exports: which of it are objects' classes, which are entrypoints. */
import type { WorkerExports } from '@homing/base';
import { DurableObject, WorkerEntrypoint } from './workers-module.ts';

export type Constructor = new (ctx: object, env: unknown) => object;

/** Handlers of an entrypoint written as an object. */
export type Handlers = Readonly<Record<string, unknown>>;

export type Entrypoint =
  | { readonly kind: 'class'; readonly constructor: Constructor }
  | { readonly kind: 'handlers'; readonly handlers: Handlers };

export class WorkerModule {
  readonly #objects = new Map<string, Constructor>();
  readonly #entrypoints = new Map<string, Entrypoint>();

  /** `objectClasses`: names that the configuration says are objects, for old-style classes. */
  constructor(module: Readonly<Record<string, unknown>>, objectClasses: ReadonlySet<string>) {
    for (const [name, value] of Object.entries(module)) {
      if (typeof value === 'function') this.#addClass(name, value as Constructor, objectClasses);
      else if (typeof value === 'object' && value !== null) {
        this.#entrypoints.set(name, { kind: 'handlers', handlers: value as Handlers });
      }
    }
  }

  object(className: string): Constructor | undefined {
    return this.#objects.get(className);
  }

  entrypoint(name: string): Entrypoint | undefined {
    return this.#entrypoints.get(name);
  }

  get names(): WorkerExports {
    return { objects: [...this.#objects.keys()], entrypoints: [...this.#entrypoints.keys()] };
  }

  #addClass(name: string, value: Constructor, objectClasses: ReadonlySet<string>): void {
    if (value.prototype instanceof WorkerEntrypoint) {
      this.#entrypoints.set(name, { kind: 'class', constructor: value });
    } else if (value.prototype instanceof DurableObject || objectClasses.has(name)) {
      this.#objects.set(name, value);
    }
  }
}
