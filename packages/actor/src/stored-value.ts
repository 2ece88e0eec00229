/**
 * Values as they lie in storage: V8's structured clone. Serializing is the copy that `put` owes its
 * caller; every read deserializes anew, so no two callers share an object.
 */
import { Buffer } from 'node:buffer';
import { DefaultSerializer, Deserializer } from 'node:v8';
import { checkStorable } from './storable.ts';

/** Largest value by kind of class, as on the platform. */
export const valueBytesMax = { kv: 128 * 1024, sqlite: 2 * 1024 * 1024 } as const;

/** Order of the types is part of the format: it is Node's own (`v8.serialize`). */
const viewTypes: readonly (new (buffer: ArrayBuffer) => ArrayBufferView)[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  DataView,
  Uint8Array,
  BigInt64Array,
  BigUint64Array,
];

interface HostObjectWriter {
  _writeHostObject(view: ArrayBufferView): void;
}

const writeView = (DefaultSerializer.prototype as unknown as HostObjectWriter)._writeHostObject;

/** Node calls it both as a function and with `new`. */
function dataCloneError(message: string): Error {
  return new DOMException(message, 'DataCloneError');
}

class ValueSerializer extends DefaultSerializer {
  readonly _getDataCloneError = dataCloneError;

  _writeHostObject(view: ArrayBufferView): void {
    // A Buffer comes back as what it is to everyone else.
    const plain = Buffer.isBuffer(view)
      ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
      : view;
    writeView.call(this as unknown as HostObjectWriter, plain);
  }
}

class ValueDeserializer extends Deserializer {
  _readHostObject(): unknown {
    const view = viewTypes[this.readUint32()];
    const length = this.readUint32();
    if (view === undefined) throw new Error('a stored value has a view of an unknown type');
    // A copy: what was read must not alias the bytes that the cache holds.
    return new view(new Uint8Array(this.readRawBytes(length)).buffer);
  }
}

/** Throws `DataCloneError` for what cannot be stored, `RangeError` for what is too big. */
export function serializeValue(value: unknown, bytesMax: number): Uint8Array {
  if (typeof value === 'object' && value !== null) checkStorable(value);
  const serializer = new ValueSerializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  const bytes = serializer.releaseBuffer();
  if (bytes.length > bytesMax) {
    throw new RangeError(
      `Values cannot be larger than ${bytesMax} bytes. A value of size ${bytes.length} was provided.`,
    );
  }
  return bytes;
}

export function deserializeValue(bytes: Uint8Array): unknown {
  const deserializer = new ValueDeserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}
