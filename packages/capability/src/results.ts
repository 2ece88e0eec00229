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

/** What was thrown, as it travels: an error as it is, other objects as plain data where they are that. */
export function sentError(thrown: unknown): object {
  if (thrown instanceof Error) return thrown;
  if (typeof thrown === 'object' && thrown !== null) {
    try {
      return structuredClone(thrown);
    } catch {
      // Its text is all that can be said of it.
    }
  }
  return new Error(String(thrown));
}

/** What was thrown, as the caller gets it: an object, and marked as not its own. */
export function markRemote(value: unknown): unknown {
  const thrown = typeof value === 'object' && value !== null ? value : new Error(String(value));
  if (!('remote' in thrown)) {
    Object.defineProperty(thrown, 'remote', {
      value: true,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return thrown;
}

/** Disposing a result, whatever it is, disposes the stubs in it. */
export function ownReferences(value: unknown, references: readonly object[]): void {
  if (typeof value !== 'object' || value === null || isStub(value)) return;
  if (Symbol.dispose in value) return;
  Object.defineProperty(value, Symbol.dispose, {
    value: () => {
      for (const stub of references) disposeStub(stub);
    },
    enumerable: false,
    configurable: true,
    writable: true,
  });
}
