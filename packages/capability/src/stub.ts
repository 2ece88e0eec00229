/**
 * What user code holds of a remote thing: proxies whose properties are the remote ones.
 *
 * stub      a reference with an owner: `dup()`, `Symbol.dispose`, callable; never thenable
 * promise   the result of a call: thenable, and usable before it has come (pipelining)
 * property  a path from one of these: awaiting it reads, calling it calls
 *
 * As on the platform a name that the class itself defines (`then` of a promise, `dup` of a stub, and
 * what every object inherits) is local, and any other is remote. Calls never throw synchronously.
 */
import { hiddenSlot } from '@homing/base';
import { type Callee, type Hook, type Path, PendingCall } from './callee.ts';

/** Base class of objects that travel by reference. A mark only: it has no members. */
export class RpcTarget {}

const stubHooks = hiddenSlot<StubReference>();
const pendingCalls = hiddenSlot<PendingCall>();
const properties = hiddenSlot<PropertyReference>();
/** Stubs of objects and services: the host takes them apart, whatever prototype they show. */
const serviceStubs = hiddenSlot<object>();

/** A stub's hold on its hook: gone once it is disposed. */
class StubReference implements Callee {
  #hook: Hook | undefined;

  constructor(hook: Hook) {
    this.#hook = hook;
  }

  get hook(): Hook {
    if (this.#hook === undefined) throw new Error('RPC stub used after being disposed.');
    return this.#hook;
  }

  send(path: Path, args: readonly unknown[] | undefined): PendingCall {
    if (this.#hook === undefined) {
      return PendingCall.rejected(new Error('RPC stub used after being disposed.'));
    }
    return this.#hook.send(path, args);
  }

  dispose(): void {
    const hook = this.#hook;
    this.#hook = undefined;
    hook?.dispose();
  }
}

interface PropertyReference {
  readonly callee: Callee;
  readonly path: Path;
}

/** Members of stubs that are their own. */
class StubMembers {
  dup(): object {
    return makeStub(stubHook(this).dup());
  }

  [Symbol.dispose](): void {
    disposeStub(this);
  }

  get [Symbol.toStringTag](): string {
    return 'JsRpcStub';
  }
}

type Settled = ((value: unknown) => unknown) | null | undefined;

/** The result of a call: awaited it is the result, called or read it is a call on the result. */
export class RpcPromise {
  constructor() {
    throw new TypeError('Illegal constructor');
  }

  // biome-ignore lint/suspicious/noThenProperty: being thenable is the point of this class
  then(onFulfilled?: Settled, onRejected?: Settled): Promise<unknown> {
    return callOf(this).promise().then(onFulfilled, onRejected);
  }

  catch(onRejected?: Settled): Promise<unknown> {
    return callOf(this).promise().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<unknown> {
    return callOf(this).promise().finally(onFinally);
  }

  /** Disposes the result, also one that has not come yet. */
  [Symbol.dispose](): void {
    callOf(this).dispose();
  }

  get [Symbol.toStringTag](): string {
    return 'JsRpcPromise';
  }
}

/** A path from a stub or promise. Each await reads the property anew. */
export class RpcProperty {
  constructor() {
    throw new TypeError('Illegal constructor');
  }

  // biome-ignore lint/suspicious/noThenProperty: being thenable is the point of this class
  then(onFulfilled?: Settled, onRejected?: Settled): Promise<unknown> {
    return read(this).then(onFulfilled, onRejected);
  }

  catch(onRejected?: Settled): Promise<unknown> {
    return read(this).catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<unknown> {
    return read(this).finally(onFinally);
  }

  get [Symbol.toStringTag](): string {
    return 'JsRpcProperty';
  }
}

function callOf(promise: object): PendingCall {
  const call = pendingCalls.get(promise);
  if (call === undefined) throw new TypeError('Illegal invocation');
  return call;
}

function read(property: object): Promise<unknown> {
  const reference = properties.get(property);
  if (reference === undefined) throw new TypeError('Illegal invocation');
  return reference.callee.send(reference.path, undefined).promise();
}

/**
 * One proxy handler for the three kinds, which differ in their own members and in where names lead.
 * The proxy's target is a function of no use but that it makes the proxy callable and holds what
 * user code assigns.
 */
class Handler implements ProxyHandler<() => void> {
  readonly #callee: Callee;
  readonly #path: Path;
  readonly #members: object;

  constructor(callee: Callee, path: Path, members: object) {
    this.#callee = callee;
    this.#path = path;
    this.#members = members;
  }

  apply(_target: () => void, _self: unknown, args: unknown[]): object {
    return makePromise(this.#callee.send(this.#path, args));
  }

  get(target: () => void, name: string | symbol, receiver: unknown): unknown {
    if (typeof name === 'symbol' || name in this.#members) {
      return Reflect.get(this.#members, name, receiver);
    }
    // A stub that looked thenable would be called by every `await` and `return` of it.
    if (name === 'then') return undefined;
    if (isAssigned(target, name)) return Reflect.get(target, name);
    return makeProperty(this.#callee, [...this.#path, name]);
  }

  has(_target: () => void, name: string | symbol): boolean {
    if (typeof name === 'symbol' || name === 'then') return name in this.#members;
    return true;
  }

  set(target: () => void, name: string | symbol, value: unknown): boolean {
    return Reflect.defineProperty(target, name, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }

  ownKeys(target: () => void): (string | symbol)[] {
    return Reflect.ownKeys(target).filter((name) => isAssigned(target, name));
  }

  getOwnPropertyDescriptor(target: () => void, name: string | symbol) {
    return isAssigned(target, name) ? Reflect.getOwnPropertyDescriptor(target, name) : undefined;
  }

  getPrototypeOf(): object {
    return this.#members;
  }
}

function isAssigned(target: () => void, name: string | symbol): boolean {
  return name !== 'name' && name !== 'length' && Object.hasOwn(target, name);
}

/** Takes over the reference: disposing the stub disposes it. */
export function makeStub(hook: Hook): object {
  const reference = new StubReference(hook);
  const stub = new Proxy(() => {}, new Handler(reference, [], StubMembers.prototype));
  stubHooks.set(stub, reference);
  return stub;
}

export function makePromise(call: PendingCall): object {
  const promise = new Proxy(() => {}, new Handler(call, [], RpcPromise.prototype));
  pendingCalls.set(promise, call);
  return promise;
}

export function makeProperty(callee: Callee, path: Path): object {
  const property = new Proxy(() => {}, new Handler(callee, path, RpcProperty.prototype));
  properties.set(property, { callee, path });
  return property;
}

export function isStub(value: unknown): value is object {
  return typeof value === 'function' && stubHooks.has(value);
}

/** The stub's reference, still the stub's own. Throws on a disposed one. */
export function stubHook(stub: object): Hook {
  const reference = stubHooks.get(stub);
  if (reference === undefined) throw new TypeError('Illegal invocation');
  return reference.hook;
}

export function disposeStub(stub: object): void {
  stubHooks.get(stub)?.dispose();
}

/** For error messages: what a promise or property is called, or undefined for anything else. */
export function pendingTypeName(value: object): 'RpcPromise' | 'RpcProperty' | undefined {
  if (pendingCalls.has(value)) return 'RpcPromise';
  return properties.has(value) ? 'RpcProperty' : undefined;
}

export function markServiceStub(stub: object, reference: object): void {
  serviceStubs.set(stub, reference);
}

/** What the host knows a stub of an object or a service by; undefined for anything else. */
export function serviceReference(stub: object): object | undefined {
  return serviceStubs.get(stub);
}

export function isServiceStub(value: unknown): boolean {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return isObject && serviceStubs.has(value);
}
