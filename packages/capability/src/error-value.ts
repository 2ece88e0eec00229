/**
 * Errors as they travel: class (of the built-in ones), name, message, stack and own properties.
 * The class goes by the error's name, as in a structured clone: one that a user's class named otherwise
 * arrives as an `Error` of that name.
 */
import {
  type ErrorCode,
  type Executed,
  errorCodes,
  HomingError,
  isHomingError,
  WireError,
  type WireReader,
  type WireWriter,
} from '@homing/base';

type ErrorClass = new (message: string) => Error;

/** Derived classes; `Error` itself is what is left. */
const builtinClasses: Readonly<Record<string, ErrorClass>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

function className(error: Error): string {
  if (isHomingError(error)) return 'HomingError';
  if (error instanceof DOMException) return 'DOMException';
  if (error instanceof AggregateError) return 'AggregateError';
  if (Object.hasOwn(builtinClasses, error.name)) return error.name;
  return 'Error';
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : String(value);
}

/** Writes all but the own properties. */
export function writeError(writer: WireWriter, error: Error): void {
  const kind = className(error);
  writer.string(kind);
  writer.string(text(error.name));
  writer.string(text(error.message));
  writer.string(typeof error.stack === 'string' ? error.stack : '');
  if (!isHomingError(error)) return;
  writer.string(error.code);
  writer.string(error.executed);
  const details = Object.entries(error.details);
  writer.varint(details.length);
  for (const [key, value] of details) {
    writer.string(key);
    writer.string(value);
  }
}

export function readError(reader: WireReader): Error {
  const kind = reader.string();
  const name = reader.string();
  const message = reader.string();
  const stack = reader.string();
  const error =
    kind === 'HomingError' ? readHomingError(reader, message) : makeError(kind, name, message);
  if (error.name !== name) define(error, 'name', name);
  if (stack !== '') define(error, 'stack', stack);
  return error;
}

/** Without a stack of its own: the sender's takes its place. */
function makeError(kind: string, name: string, message: string): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    if (kind === 'DOMException') return new DOMException(message, name);
    if (kind === 'AggregateError') return new AggregateError([], message);
    return new (builtinClasses[kind] ?? Error)(message);
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function readHomingError(reader: WireReader, message: string): HomingError {
  const code = reader.string();
  const executed = reader.string();
  const details: Record<string, string> = {};
  const count = reader.varint();
  for (let index = 0; index < count; index++) {
    const key = reader.string();
    details[key] = reader.string();
  }
  if (!Object.hasOwn(errorCodes, code) || !['no', 'maybe', 'yes'].includes(executed)) {
    throw new WireError('an error has an unknown code');
  }
  return new HomingError(code as ErrorCode, message, { executed: executed as Executed, details });
}

function define(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, {
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

const hiddenProperties = ['cause', 'errors'];

/** Own properties worth carrying: enumerable ones, and those that the language hides. */
export function ownErrorProperties(error: Error): [key: string, value: unknown][] {
  const properties: [string, unknown][] = [];
  const owned = isHomingError(error) ? ['code', 'executed', 'details', 'name'] : [];
  for (const key of Object.keys(error)) {
    if (key !== 'stack' && key !== 'message' && !owned.includes(key)) {
      properties.push([key, (error as unknown as Record<string, unknown>)[key]]);
    }
  }
  for (const key of hiddenProperties) {
    if (Object.hasOwn(error, key) && !Object.prototype.propertyIsEnumerable.call(error, key)) {
      properties.push([key, (error as unknown as Record<string, unknown>)[key]]);
    }
  }
  return properties;
}

/** `properties` as they came, trusted no more than that. */
export function assignErrorProperties(error: Error, properties: unknown): void {
  if (typeof properties !== 'object' || properties === null) {
    throw new WireError('the properties of an error are not an object');
  }
  for (const [key, value] of Object.entries(properties)) {
    if (hiddenProperties.includes(key)) define(error, key, value);
    else {
      Object.defineProperty(error, key, {
        value,
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
  }
}
