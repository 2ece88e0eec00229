/**
 * What a call finds on a value of this end, and the reference to such a value. Every rule about what
 * is reachable from outside is here.
 *
 * On a class instance (`RpcTarget`) only what its class declares is reachable: never what the
 * instance owns, nor what every object inherits. On a plain object, its own properties.
 */
import { type Hook, type Path, PendingCall } from './callee.ts';
import { isServiceStub, isStub, makeStub, RpcTarget, stubHook } from './stub.ts';

/** What the other end calls when it calls the session itself; made by the host. */
export interface MainTarget {
  /** `stub.name(...args)`. May throw, may return a promise. */
  call(name: string, args: readonly unknown[]): unknown;
  /** `await stub.name`, and the first step of `stub.name.more(...)`. */
  get(name: string): unknown;
}

export function missingMethod(name: string): TypeError {
  return new TypeError(`The RPC receiver does not implement the method "${name}".`);
}

/** Calls what `path` leads to on `root`, or reads it where `args` is undefined. */
export function invokePath(
  root: unknown,
  path: Path,
  args: readonly unknown[] | undefined,
): unknown {
  let value = root;
  for (let index = 0; index < path.length; index++) {
    if (isThenable(value)) {
      const rest = path.slice(index);
      return Promise.resolve(value).then((settled) => invokePath(settled, rest, args));
    }
    if (isStub(value)) return stubHook(value).invoke(path.slice(index), args);
    const name = path[index] as string;
    if (isServiceStub(value)) return remainder(value, path, index, args);
    const member = memberOf(value, name);
    if (args !== undefined && index === path.length - 1) return call(member, value, args, name);
    value = member;
  }
  if (args === undefined) return value;
  if (isStub(value)) return stubHook(value).invoke([], args);
  if (isThenable(value)) {
    return Promise.resolve(value).then((settled) => invokePath(settled, [], args));
  }
  return call(value, undefined, args, path.at(-1) ?? '(target)');
}

/** As `invokePath`, from the session's main target. */
export function invokeMain(
  main: MainTarget,
  path: Path,
  args: readonly unknown[] | undefined,
): unknown {
  const [name, ...rest] = path;
  if (name === undefined) throw new TypeError('The RPC receiver is not a function.');
  if (args !== undefined && rest.length === 0) return main.call(name, args);
  return invokePath(main.get(name), rest, args);
}

function remainder(
  stub: unknown,
  path: Path,
  index: number,
  args: readonly unknown[] | undefined,
): unknown {
  let value = stub;
  let receiver: unknown;
  for (const name of path.slice(index)) {
    receiver = value;
    value = (value as Record<string, unknown>)[name];
  }
  if (args === undefined) return value;
  return (value as (...values: unknown[]) => unknown).apply(receiver, [...args]);
}

function call(member: unknown, receiver: unknown, args: readonly unknown[], name: string): unknown {
  if (isStub(member)) return stubHook(member).invoke([], args);
  if (typeof member !== 'function') {
    if (member === undefined) throw missingMethod(name);
    throw new TypeError(`"${name}" is not a function.`);
  }
  return Reflect.apply(member, receiver, args);
}

function memberOf(value: unknown, name: string): unknown {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) {
    throw missingMethod(name);
  }
  if (value instanceof RpcTarget) return declaredMember(value, RpcTarget.prototype, name);
  const isOwn = Object.hasOwn(value, name);
  if (!isOwn || (typeof value === 'function' && functionNames.has(name))) {
    throw missingMethod(name);
  }
  return (value as Record<string, unknown>)[name];
}

const functionNames = new Set(['length', 'name', 'prototype', 'arguments', 'caller']);

/**
 * The member that the class of `instance` or a class between it and `base` declares; undefined
 * results are what the member itself gives. Throws for everything else.
 */
export function declaredMember(instance: object, base: object, name: string): unknown {
  if (name !== 'constructor' && !Object.hasOwn(instance, name)) {
    let prototype: object | null = Object.getPrototypeOf(instance);
    while (prototype !== null && prototype !== base && prototype !== Object.prototype) {
      if (Object.hasOwn(prototype, name)) return (instance as Record<string, unknown>)[name];
      prototype = Object.getPrototypeOf(prototype);
    }
  }
  throw missingMethod(name);
}

function isThenable(value: unknown): boolean {
  return value instanceof Promise;
}

interface Shared {
  references: number;
}

/** A function or target of this end. Its `[Symbol.dispose]` runs when the last reference goes. */
export class LocalHook implements Hook {
  readonly #target: object;
  readonly #shared: Shared;
  #disposed = false;

  constructor(target: object, shared: Shared = { references: 0 }) {
    this.#target = target;
    this.#shared = shared;
    shared.references++;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    const pending = new PendingCall(localPipeline);
    queueMicrotask(async () => {
      try {
        pending.resolve(asReference(await this.invoke(path, args)));
      } catch (error) {
        pending.reject(error);
      }
    });
    return pending;
  }

  invoke(path: Path, args: readonly unknown[] | undefined): unknown {
    this.#check();
    return invokePath(this.#target, path, args);
  }

  dup(): Hook {
    this.#check();
    return new LocalHook(this.#target, this.#shared);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#shared.references > 0) return;
    const dispose = (this.#target as Partial<Disposable>)[Symbol.dispose];
    if (typeof dispose === 'function') dispose.call(this.#target);
  }

  #check(): void {
    if (this.#disposed) throw new Error('RPC stub used after being disposed.');
  }
}

function asReference(value: unknown): unknown {
  const isTarget = value instanceof RpcTarget || (typeof value === 'function' && !isStub(value));
  return isTarget ? makeStub(new LocalHook(value as object)) : value;
}

/** Calls on a result that is here already. */
export function pipelineLocally(
  on: PendingCall,
  path: Path,
  args: readonly unknown[] | undefined,
): PendingCall {
  const pending = new PendingCall(localPipeline);
  on.onSettled(() => {
    if (on.isRejected) {
      pending.reject(on.outcome);
      return;
    }
    Promise.resolve()
      .then(() => invokePath(on.outcome, path, args))
      .then(
        (value) => pending.resolve(asReference(value)),
        (error: unknown) => pending.reject(error),
      );
  });
  return pending;
}

const localPipeline = { pipeline: pipelineLocally };

/** `new RpcStub(target)`. */
class RpcStubClass {
  constructor(target: unknown) {
    const isTarget = typeof target === 'function' || target instanceof RpcTarget;
    if (!isTarget) {
      throw new TypeError('RpcStub needs an RpcTarget or a function.');
    }
    // biome-ignore lint/correctness/noConstructorReturn: a stub is a proxy, and `new` must give one
    return makeStub(isStub(target) ? stubHook(target).dup() : new LocalHook(target as object));
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isStub(value);
  }
}

export { RpcStubClass as RpcStub };
