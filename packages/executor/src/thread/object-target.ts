/**
 * What callers reach of an object: its `fetch`, and over RPC the methods and getters that its class
 * declares. The rules and messages are the platform's.
 */
import type { Actor } from '@homing/actor';
import { type CallReport, type Clock, isHomingError, isOverloaded } from '@homing/base';
import { declaredMember, type MainTarget, missingMethod } from '@homing/capability';
import { Request, Response } from '@homing/web';
import { DurableObject } from './workers-module.ts';

const reservedNames = new Set([
  'alarm',
  'webSocketMessage',
  'webSocketClose',
  'webSocketError',
  'constructor',
  'connect',
  'dup',
]);

export const noRpc =
  'The receiving Durable Object does not support RPC, because its class was not declared with `extends DurableObject`. In order to enable RPC, make sure your class extends the special class `DurableObject`, which can be imported from the module "cloudflare:workers".';

export function reserved(name: string): TypeError {
  return new TypeError(`'${name}' is a reserved method and cannot be called over RPC.`);
}

export interface ObjectTargetOptions {
  readonly actor: Actor;
  readonly id: string;
  readonly clock: Clock;
  readonly measured: (
    kind: CallReport['kind'],
    outcome: CallReport['outcome'],
    durationMs: number,
  ) => void;
}

export class ObjectTarget implements MainTarget {
  readonly #options: ObjectTargetOptions;

  constructor(options: ObjectTargetOptions) {
    this.#options = options;
  }

  call(name: string, args: readonly unknown[]): unknown {
    if (name === 'fetch') return this.#measure('fetch', () => this.#fetch(args[0]));
    return this.#measure('call', () => {
      const instance = this.#requireRpc(name);
      const method = declaredMember(instance, DurableObject.prototype, name);
      if (typeof method !== 'function') throw missingMethod(name);
      return this.#run(() => Reflect.apply(method, instance, args));
    });
  }

  get(name: string): unknown {
    const instance = this.#requireRpc(name);
    const value = declaredMember(instance, DurableObject.prototype, name);
    return typeof value === 'function' ? value.bind(instance) : value;
  }

  #requireRpc(name: string): object {
    const { instance } = this.#options.actor;
    if (!(instance instanceof DurableObject)) throw new TypeError(noRpc);
    if (reservedNames.has(name)) throw reserved(name);
    return instance;
  }

  #fetch(request: unknown): unknown {
    const { instance } = this.#options.actor;
    const handler = (instance as { fetch?: unknown }).fetch;
    if (typeof handler !== 'function')
      throw new Error('Handler does not export a fetch() function.');
    if (!(request instanceof Request)) throw new TypeError('fetch takes a Request.');
    const result = this.#run(() => Reflect.apply(handler, instance, [request]));
    return asResponse(result, request);
  }

  /** What user code throws tells which object it came from. */
  #run(run: () => unknown): unknown {
    try {
      const result = run();
      if (!(result instanceof Promise)) return result;
      return result.catch((error: unknown) => {
        throw this.#marked(error);
      });
    } catch (error) {
      throw this.#marked(error);
    }
  }

  #measure(kind: CallReport['kind'], run: () => unknown): unknown {
    const { clock, measured } = this.#options;
    const startMs = clock.monotonicMs();
    const failed = (error: unknown): never => {
      measured(kind, isOverloaded(error) ? 'overloaded' : 'error', clock.monotonicMs() - startMs);
      throw error;
    };
    let result: unknown;
    try {
      result = run();
    } catch (error) {
      return failed(error);
    }
    if (!(result instanceof Promise)) {
      measured(kind, 'ok', clock.monotonicMs() - startMs);
      return result;
    }
    return result.then((value: unknown) => {
      measured(kind, 'ok', clock.monotonicMs() - startMs);
      return value;
    }, failed);
  }

  #marked(error: unknown): unknown {
    const isOurs = isHomingError(error) || this.#options.actor.isOwnError(error);
    if (isOurs || typeof error !== 'object' || error === null) return error;
    if ('durableObjectId' in error) return error;
    if (Object.isExtensible(error)) {
      Object.assign(error, { durableObjectId: this.#options.id });
    }
    return error;
  }
}

/** Checks what a `fetch` handler gave for a request. */
export function asResponse(result: unknown, request: Request): unknown {
  if (result instanceof Promise) return result.then((value) => asResponse(value, request));
  if (!(result instanceof Response)) {
    throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  }
  if (result.webSocket !== null && !isUpgrade(request)) {
    throw new TypeError(
      'Worker tried to return a WebSocket in a response to a request which did not contain the header "Upgrade: websocket".',
    );
  }
  return result;
}

function isUpgrade(request: Request): boolean {
  return request.headers.get('Upgrade')?.toLowerCase() === 'websocket';
}
