/** Stubs of objects and services: proxies whose unknown properties are remote. */
import type { Path, PendingCall } from './callee.ts';
import { makeProperty, markServiceStub } from './stub.ts';

export interface ServiceStubOptions {
  /** Calls what `path` leads to, or reads it where `args` is undefined. Never throws. */
  send(path: Path, args: readonly unknown[] | undefined): PendingCall;
  /** Prototype: members that are the stub's own (`fetch`, `dup` …). */
  readonly members: object;
  /** Own properties (`id`, `name`). */
  readonly own: Readonly<Record<string, unknown>>;
  /** What the host knows it by: see `serviceReference`. */
  readonly reference: object;
}

export function makeServiceStub({ send, members, own, reference }: ServiceStubOptions): object {
  const callee = { send };
  const target = Object.create(members) as object;
  // None of their names is one of `members`, so that this makes properties of the stub's own.
  Object.assign(target, own);
  const stub: object = new Proxy(target, {
    get(self, name, receiver) {
      if (typeof name === 'symbol' || name in self) return Reflect.get(self, name, receiver);
      // A stub that looked thenable would be called by every `await` and `return` of it.
      if (name === 'then') return undefined;
      return makeProperty(callee, [name]);
    },
    has(self, name) {
      return typeof name === 'symbol' || name === 'then' ? name in self : true;
    },
  });
  markServiceStub(stub, reference);
  return stub;
}
