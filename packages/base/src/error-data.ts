/** Errors as plain data and back, for channels whose cloning would drop their properties. */
import { type ErrorCode, type Executed, errorCodes, HomingError, isHomingError } from './errors.ts';
import type { ErrorData } from './executor-port.ts';

const builtins: Readonly<Record<string, ErrorConstructor>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

function isCloneable(value: unknown): boolean {
  const type = typeof value;
  return value === null || type === 'string' || type === 'number' || type === 'boolean';
}

/** Keeps name, message, stack and own properties that are primitives. Anything may be thrown. */
export function errorToData(error: unknown): ErrorData {
  if (!(error instanceof Error)) {
    return { name: 'Error', message: String(error), properties: {} };
  }
  const properties: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) {
    if (isCloneable(value)) properties[key] = value;
  }
  if (isHomingError(error)) properties.details = { ...error.details };
  return { name: error.name, message: error.message, stack: error.stack, properties };
}

export function errorFromData(data: ErrorData): Error {
  const { code, executed, details } = data.properties;
  if (data.name === 'HomingError' && typeof code === 'string' && code in errorCodes) {
    const error = new HomingError(code as ErrorCode, data.message, {
      executed: executed as Executed,
      details: (details ?? {}) as Record<string, string>,
    });
    return withoutReadonly(error, data.properties);
  }
  const error = new (builtins[data.name] ?? Error)(data.message);
  if (error.name !== data.name) error.name = data.name;
  if (data.stack !== undefined) error.stack = data.stack;
  return Object.assign(error, data.properties);
}

function withoutReadonly(error: HomingError, properties: Readonly<Record<string, unknown>>): Error {
  for (const [key, value] of Object.entries(properties)) {
    if (!(key in error)) Object.assign(error, { [key]: value });
  }
  return error;
}
