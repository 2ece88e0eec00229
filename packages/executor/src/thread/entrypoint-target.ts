/** What callers reach of a stateless entrypoint: one instance for each session. */
import type { IoContext } from '@homing/base';
import { declaredMember, type MainTarget, missingMethod } from '@homing/capability';
import { Request } from '@homing/web';
import type { Entrypoint, Handlers } from './exports.ts';
import { asResponse, reserved } from './object-target.ts';
import { WorkerEntrypoint } from './workers-module.ts';

const reservedNames = new Set([
  'alarm',
  'constructor',
  'connect',
  'dup',
  'webSocketMessage',
  'webSocketClose',
  'webSocketError',
]);

/** `ctx` of an entrypoint. */
export class ExecutionContext {
  readonly #context: IoContext;
  readonly props: unknown;
  readonly exports: unknown;

  constructor(context: IoContext, props: unknown, exports: unknown) {
    this.#context = context;
    this.props = props;
    this.exports = exports;
  }

  waitUntil(promise: Promise<unknown>): void {
    this.#context.waitUntil(promise);
  }

  /** Nothing stands behind a worker here that could answer in its place. */
  passThroughOnException(): void {}

  get [Symbol.toStringTag](): string {
    return 'ExecutionContext';
  }
}

export interface EntrypointTargetOptions {
  readonly entrypoint: Entrypoint;
  readonly context: IoContext;
  readonly env: object;
  readonly exports: unknown;
  readonly props: unknown;
}

export class EntrypointTarget implements MainTarget {
  readonly #options: EntrypointTargetOptions;
  readonly #ctx: ExecutionContext;
  #instance: object | undefined;

  constructor(options: EntrypointTargetOptions) {
    this.#options = options;
    this.#ctx = new ExecutionContext(options.context, options.props, options.exports);
  }

  call(name: string, args: readonly unknown[]): unknown {
    if (name === 'fetch') return this.#fetch(args[0]);
    const instance = this.#requireRpc(name);
    const method = declaredMember(instance, WorkerEntrypoint.prototype, name);
    if (typeof method !== 'function') throw missingMethod(name);
    return Reflect.apply(method, instance, args);
  }

  get(name: string): unknown {
    const instance = this.#requireRpc(name);
    const value = declaredMember(instance, WorkerEntrypoint.prototype, name);
    return typeof value === 'function' ? value.bind(instance) : value;
  }

  #requireRpc(name: string): object {
    if (reservedNames.has(name)) throw reserved(name);
    const { entrypoint } = this.#options;
    if (entrypoint.kind === 'handlers') throw missingMethod(name);
    return this.#require(entrypoint.constructor);
  }

  #require(entrypointClass: new (ctx: object, env: unknown) => object): object {
    this.#instance ??= new entrypointClass(this.#ctx, this.#options.env);
    return this.#instance;
  }

  #fetch(request: unknown): unknown {
    if (!(request instanceof Request)) throw new TypeError('fetch takes a Request.');
    const { entrypoint, env } = this.#options;
    if (entrypoint.kind === 'handlers') {
      const { fetch: handler } = entrypoint.handlers as Handlers;
      if (typeof handler !== 'function') throw noFetch();
      const result = Reflect.apply(handler, entrypoint.handlers, [request, env, this.#ctx]);
      return asResponse(result, request);
    }
    const instance = this.#require(entrypoint.constructor);
    const handler = (instance as { fetch?: unknown }).fetch;
    if (typeof handler !== 'function') throw noFetch();
    return asResponse(Reflect.apply(handler, instance, [request]), request);
  }
}

function noFetch(): Error {
  return new Error('Handler does not export a fetch() function.');
}
