/**
 * What of an error goes to another node, as the end of a session. That message is never left out: it
 * takes the last room of a link, and ends the link where it finds none. So it is bounded, whatever an
 * object was aborted with.
 *
 * An error of the project itself has no stack there: the other end makes an error of its own, and which
 * files the code lies in is nobody else's business. What an object's code threw keeps the stack that it had.
 *
 * Called by `PeerSessions`.
 */
import { type ErrorData, errorToData, isHomingError } from '@homing/base';

/** Characters of each text, and of all own properties together. */
const textMax = 8192;

export function errorToPeer(error: unknown): ErrorData {
  const { name, message, stack, properties } = errorToData(error);
  const isOwn = isHomingError(error);
  return {
    name: cut(name),
    message: cut(message),
    stack: isOwn || stack === undefined ? undefined : cut(stack),
    properties: fitting(properties),
  };
}

/** Those that there is room for, the first ones first: an error's `code` is there before any other. */
function fitting(properties: ErrorData['properties']): ErrorData['properties'] {
  const kept: Record<string, unknown> = {};
  let left = textMax;
  for (const [key, value] of Object.entries(properties)) {
    const size = key.length + JSON.stringify(value).length;
    if (size > left) continue;
    left -= size;
    kept[key] = value;
  }
  return kept;
}

/** Of an error that code has changed anything may be asked. */
function cut(said: unknown): string {
  const text = String(said);
  return text.length <= textMax ? text : `${text.slice(0, textMax)}…`;
}
