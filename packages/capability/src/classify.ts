/**
 * What becomes of a value in a message. Every rule about what may travel, and the platform's
 * message for what may not, is here.
 */
import { types } from 'node:util';
import type { HostValue } from './host.ts';
import { RpcBlob } from './rpc-blob.ts';
import { isServiceStub, isStub, pendingTypeName, RpcTarget } from './stub.ts';

/** A message on its way out, as the codec sees it. Both answers are the same for the same value. */
export interface Outlet {
  /** The place of a function, target, stub, stream or signal in the message's table. */
  reference(value: object): number;
  /** The parts of a value that the host knows, else undefined. */
  disassemble(value: object): HostValue | undefined;
}

export const valueKinds = {
  /** An object literal. */
  plain: 0,
  array: 1,
  /** Exactly a Uint8Array, or a Buffer, which arrives as one. */
  bytes: 2,
  reference: 3,
  /** Travels in parts. */
  host: 4,
  error: 5,
  /** Left to V8: views, buffers, dates, boxed primitives and the like. Nothing is inside. */
  leaf: 6,
  map: 7,
  set: 8,
} as const;
export type ValueKind = (typeof valueKinds)[keyof typeof valueKinds];

export function dataCloneError(message: string): DOMException {
  return new DOMException(message, 'DataCloneError');
}

function typeName(value: object): string {
  const name = (value.constructor as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : 'Object';
}

function unsupported(name: string): DOMException {
  return dataCloneError(
    `Could not serialize object of type "${name}". This type does not support serialization.`,
  );
}

/** Throws the platform's `DataCloneError` for what cannot travel. */
export function classify(value: object, outlet: Outlet): ValueKind {
  if (typeof value === 'function') return classifyFunction(value, outlet);
  if (isServiceStub(value)) {
    if (outlet.disassemble(value) === undefined) throw unsupported(typeName(value));
    return valueKinds.host;
  }
  if (types.isProxy(value)) return classifyProxy(value);
  if (Array.isArray(value)) return valueKinds.array;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) {
    // `arguments`, generator objects' kin and such have other tags; literals have none.
    return valueKinds.plain;
  }
  if (prototype === Uint8Array.prototype || prototype === Buffer.prototype) return valueKinds.bytes;
  if (value instanceof RpcTarget) return valueKinds.reference;
  if (outlet.disassemble(value) !== undefined) return valueKinds.host;
  return classifyBuiltin(value);
}

function classifyFunction(value: object, outlet: Outlet): ValueKind {
  if (isStub(value)) return valueKinds.reference;
  const pending = pendingTypeName(value);
  if (pending !== undefined) throw unsupported(pending);
  return outlet.disassemble(value) === undefined ? valueKinds.reference : valueKinds.host;
}

/** The platform keeps a proxy's traps alive: it travels by reference even around a plain object. */
function classifyProxy(value: object): ValueKind {
  if (value instanceof RpcTarget || Object.getPrototypeOf(value) === Object.prototype) {
    return valueKinds.reference;
  }
  throw dataCloneError(
    'Proxy could not be serialized because it is not a valid RPC receiver type. The Proxy must ' +
      "emulate either a plain object or an RpcTarget, as indicated by the Proxy's prototype chain.",
  );
}

function classifyBuiltin(value: object): ValueKind {
  if (
    value instanceof ReadableStream ||
    value instanceof WritableStream ||
    value instanceof AbortSignal
  ) {
    return valueKinds.reference;
  }
  if (types.isNativeError(value) || value instanceof Error) return valueKinds.error;
  if (types.isMap(value)) return valueKinds.map;
  if (types.isSet(value)) return valueKinds.set;
  if (
    ArrayBuffer.isView(value) ||
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isArrayBuffer(value) ||
    (types.isBoxedPrimitive(value) && !types.isSymbolObject(value))
  ) {
    return valueKinds.leaf;
  }
  if (isPlainBlob(value)) return valueKinds.host;
  if (types.isGeneratorObject(value)) {
    throw dataCloneError('[object Generator] could not be cloned.');
  }
  if (
    types.isPromise(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isSharedArrayBuffer(value) ||
    types.isSymbolObject(value) ||
    value instanceof WeakRef
  ) {
    throw dataCloneError(`#<${typeName(value)}> could not be cloned.`);
  }
  throw unsupported(typeName(value));
}

/** Not a `File`: the platform does not send those. */
export function isPlainBlob(value: object): value is Blob {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Blob.prototype || prototype === RpcBlob.prototype;
}
