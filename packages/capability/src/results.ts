/** What becomes of results and of what was thrown, at the end that gets them. */
import { disposeStub, isStub, RpcTarget } from './stub.ts';

export function refuseReference(): never {
  throw new DOMException(
    'A call with a request id cannot return references or streams.',
    'DataCloneError',
  );
}

/** True for a result that further calls could lead into. */
export function isReachable(value: unknown): boolean {
  if (typeof value === 'function') return true;
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || Array.isArray(value) || value instanceof RpcTarget;
}

/** What was thrown, as the caller gets it: an error, and marked as not its own. */
export function markRemote(value: unknown): unknown {
  const error = value instanceof Error ? value : new Error(String(value));
  if (!('remote' in error)) {
    Object.defineProperty(error, 'remote', {
      value: true,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return error;
}

/** Disposing a result disposes the stubs in it. */
export function ownReferences(value: unknown, references: readonly object[]): void {
  if (typeof value !== 'object' || value === null || isStub(value)) return;
  if (Symbol.dispose in value) return;
  if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return;
  Object.defineProperty(value, Symbol.dispose, {
    value: () => {
      for (const stub of references) disposeStub(stub);
    },
    enumerable: false,
    configurable: true,
    writable: true,
  });
}
