/**
 * Arguments and results as JSON, which is what google.protobuf.Value carries.
 *
 *     bytes      {"$type": "bytes", "value": "<base64>"}        Uint8Array; buffers become it
 *     Date       {"$type": "date", "value": "<ISO 8601>"}       null for an invalid date
 *     Map        {"$type": "map", "value": [[key, value], …]}
 *     Set        {"$type": "set", "value": [value, …]}
 *     bigint     {"$type": "bigint", "value": "<decimal>"}
 *     undefined  {"$type": "undefined"}
 *     NaN, ±∞    {"$type": "number", "value": "NaN" | "Infinity" | "-Infinity"}
 *     Error      {"$type": "error", "name": …, "message": …}
 *     an object with a key "$type"   {"$type": "object", "value": {…}}
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Throws `TypeError` for what has no form here: functions, stubs, cycles, too deep nesting. */
export function toJson(value: unknown, depthMax: number): Json {
  if (depthMax < 0) throw new TypeError('the value is nested too deeply or contains itself');
  switch (typeof value) {
    case 'boolean':
    case 'string':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : { $type: 'number', value: String(value) };
    case 'bigint':
      return { $type: 'bigint', value: String(value) };
    case 'undefined':
      return { $type: 'undefined' };
    case 'object':
      return value === null ? null : objectToJson(value, depthMax - 1);
    default:
      throw new TypeError(`a ${typeof value} cannot travel over gRPC`);
  }
}

function objectToJson(value: object, depthMax: number): Json {
  if (Array.isArray(value)) return Array.from(value, (item) => toJson(item, depthMax));
  if (value instanceof Date) {
    const isValid = !Number.isNaN(value.getTime());
    return { $type: 'date', value: isValid ? value.toISOString() : null };
  }
  if (value instanceof Map) {
    const entries = [...value].map((pair) => pair.map((item) => toJson(item, depthMax)));
    return { $type: 'map', value: entries };
  }
  if (value instanceof Set) {
    return { $type: 'set', value: [...value].map((item) => toJson(item, depthMax)) };
  }
  if (value instanceof ArrayBuffer) return bytesToJson(new Uint8Array(value));
  if (ArrayBuffer.isView(value)) {
    return bytesToJson(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
  if (value instanceof Error) {
    return { $type: 'error', name: value.name, message: value.message };
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    throw new TypeError(`a ${value.constructor?.name ?? 'class instance'} cannot travel over gRPC`);
  }
  // The generated code of google.protobuf.Struct would take it for the prototype and lose it.
  if (Object.hasOwn(value, '__proto__')) {
    throw new TypeError('a key named "__proto__" cannot travel over gRPC');
  }
  const fields = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, toJson(item, depthMax)]),
  );
  return Object.hasOwn(fields, '$type') ? { $type: 'object', value: fields } : fields;
}

function bytesToJson(bytes: Uint8Array): Json {
  const { buffer, byteOffset, byteLength } = bytes;
  return {
    $type: 'bytes',
    value: Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
  };
}

/** Throws `TypeError` for an unknown `$type` or a form that is not one of the above. */
export function fromJson(json: unknown, depthMax: number): unknown {
  if (depthMax < 0) throw new TypeError('the arguments are nested too deeply');
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map((item) => fromJson(item, depthMax - 1));
  const fields = json as Readonly<Record<string, unknown>>;
  if (!Object.hasOwn(fields, '$type')) return plainFromJson(fields, depthMax - 1);
  const { $type: type, value } = fields;
  switch (type) {
    case 'undefined':
      return undefined;
    case 'bytes':
      if (typeof value === 'string') return new Uint8Array(Buffer.from(value, 'base64'));
      break;
    case 'date':
      if (value === null) return new Date(Number.NaN);
      if (typeof value === 'string' || typeof value === 'number') return new Date(value);
      break;
    case 'bigint':
      if (typeof value === 'string' && /^-?\d+$/.test(value)) return BigInt(value);
      break;
    case 'number':
      if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
      break;
    case 'set':
      if (Array.isArray(value)) return new Set(value.map((item) => fromJson(item, depthMax - 1)));
      break;
    case 'map':
      if (Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2)) {
        return new Map(
          value.map(([key, item]) => [fromJson(key, depthMax - 2), fromJson(item, depthMax - 2)]),
        );
      }
      break;
    case 'error': {
      const error = new Error(String(fields['message'] ?? ''));
      if (typeof fields['name'] === 'string') error.name = fields['name'];
      return error;
    }
    case 'object':
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        return plainFromJson(value as Readonly<Record<string, unknown>>, depthMax - 1);
      }
      break;
    default:
      throw new TypeError(`unknown $type ${JSON.stringify(type)}`);
  }
  throw new TypeError(`malformed value of $type "${type}"`);
}

function plainFromJson(
  fields: Readonly<Record<string, unknown>>,
  depthMax: number,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, item]) => [key, fromJson(item, depthMax)]),
  );
}
