/**
 * Which objects may be stored. The platform's own that stand for something outside of the value (a
 * stream, a URL, an id) are refused by name: V8 would take them for instances of a class of the
 * user's, and store objects without anything in them.
 */
import { Request, Response, WebSocket } from '@homing/web';
import { DurableObjectId } from './durable-object-id.ts';

const refused: readonly (abstract new (...args: never[]) => object)[] = [
  DurableObjectId,
  Request,
  Response,
  WebSocket,
  URL,
  URLSearchParams,
  FormData,
  ReadableStream,
  WritableStream,
  TransformStream,
  EventTarget,
  Event,
];

const streams = 'ReadableStream can only be serialized for RPC.';

function refusal(value: object): DOMException {
  const isStream = value instanceof ReadableStream || value instanceof Response;
  const name = value.constructor.name;
  const message = `Could not serialize object of type "${name}". This type does not support serialization.`;
  return new DOMException(isStream ? streams : message, 'DataCloneError');
}

/** Throws `DataCloneError` where `root` is, or holds, what cannot be stored. */
export function checkStorable(root: object): void {
  visit(root, new Set());
}

function visit(value: object, seen: Set<object>): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Uint8Array.prototype || prototype === Date.prototype) return;
  if (seen.has(value)) return;
  seen.add(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) {
    if (ArrayBuffer.isView(value)) return;
    if (refused.some((one) => value instanceof one)) throw refusal(value);
    if (value instanceof Map || value instanceof Set) {
      for (const pair of value.entries()) visit(pair, seen);
      return;
    }
  }
  // The values that are there: an array may be long and hold little.
  for (const entry of Object.values(value)) {
    if (typeof entry === 'object' && entry !== null) visit(entry, seen);
  }
}
