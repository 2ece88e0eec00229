/**
 * Values of any shape, through V8's serializer: it keeps cycles, shared identity, Map, Set, Date,
 * RegExp, bigint and holes, and it knows nothing of ours. So whatever it cannot carry (functions,
 * stubs, streams, host values, errors with their properties) is replaced in a copy of the graph by
 * an empty Uint8Array that stands for it, and written as "item n"; the items travel beside the graph.
 *
 * Views are written as their own bytes, never with the buffer around them: a Buffer is a window
 * onto a pool that holds other people's data. Two views of one buffer thus arrive as two buffers.
 *
 * An error's own properties may refer back into the graph, so they are part of it: the graph is then
 * [value, properties of the first error, of the second …], and they are put on the errors after
 * everything has been read.
 */

import { Deserializer, Serializer } from 'node:v8';
import { WireError } from '@homing/base';
import { classify, dataCloneError, type Outlet, type ValueKind, valueKinds } from './classify.ts';
import { assignErrorProperties, ownErrorProperties } from './error-value.ts';

export interface Graph {
  readonly bytes: Uint8Array;
  /** What the graph refers to, in order: references, host values and errors. */
  readonly items: readonly object[];
  /** How many of the items are errors, which have their properties in the graph. */
  readonly errors: number;
}

const itemMark = 0;
/** Type of a view: its index here plus one. Part of the protocol: append only. */
const viewTypes = [
  'Uint8Array',
  'Int8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'DataView',
] as const;

const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get as (this: unknown) => string | undefined;

class GraphSerializer extends Serializer {
  readonly #placeholders: ReadonlyMap<object, number> | undefined;

  constructor(placeholders: ReadonlyMap<object, number> | undefined) {
    super();
    this.#placeholders = placeholders;
    (this as unknown as SerializerInternals)._setTreatArrayBufferViewsAsHostObjects(true);
    this.writeHeader();
  }

  _getDataCloneError(message: string): Error {
    return dataCloneError(message);
  }

  _writeHostObject(value: object): void {
    const item = this.#placeholders?.get(value);
    if (item !== undefined) {
      this.writeUint32(itemMark);
      this.writeUint32(item);
      return;
    }
    // Everything else that V8 hands over is a view: objects of ours were replaced before.
    if (!ArrayBuffer.isView(value)) {
      throw dataCloneError(`#<${value.constructor.name}> could not be cloned.`);
    }
    const type = viewTypes.indexOf((typedArrayTag.call(value) ?? 'DataView') as 'DataView');
    this.writeUint32(type + 1);
    this.writeUint32(value.byteLength);
    this.writeRawBytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
}

interface SerializerInternals {
  _setTreatArrayBufferViewsAsHostObjects(treat: boolean): void;
}

class GraphDeserializer extends Deserializer {
  readonly #items: readonly unknown[];

  constructor(bytes: Uint8Array, items: readonly unknown[]) {
    super(bytes);
    this.#items = items;
  }

  _readHostObject(): unknown {
    const mark = this.readUint32();
    if (mark === itemMark) {
      const index = this.readUint32();
      if (index >= this.#items.length) throw new WireError('a graph refers to a missing item');
      return this.#items[index];
    }
    const type = viewTypes[mark - 1];
    if (type === undefined) throw new WireError('a view has an unknown type');
    const length = this.readUint32();
    // V8 checks the length; the copy makes the view own its buffer.
    const { buffer } = new Uint8Array(this.readRawBytes(length));
    const view = globalThis[type];
    if ('BYTES_PER_ELEMENT' in view && length % view.BYTES_PER_ELEMENT !== 0) {
      throw new WireError('a view ends inside an element');
    }
    return new (view as new (source: ArrayBuffer) => ArrayBufferView)(buffer as ArrayBuffer);
  }
}

/** Throws `DataCloneError` for what cannot travel, and whatever a getter throws. */
export function serializeGraph(value: unknown, outlet: Outlet): Graph {
  const scan = new Scan(outlet);
  scan.visit(value);
  if (!scan.foundItems) {
    const serializer = new GraphSerializer(undefined);
    serializer.writeValue(value);
    return { bytes: serializer.releaseBuffer(), items: [], errors: 0 };
  }
  const copier = new Copier(outlet);
  const root = copier.copy(value);
  copier.copyErrorProperties();
  const serializer = new GraphSerializer(copier.placeholders);
  serializer.writeValue(copier.errors === 0 ? root : [root, ...copier.properties]);
  return { bytes: serializer.releaseBuffer(), items: copier.items, errors: copier.errors };
}

/** `items` as they were decoded. Throws on malformed bytes; whatever it throws, the bytes are bad. */
export function deserializeGraph(
  bytes: Uint8Array,
  items: readonly unknown[],
  errors: readonly Error[],
): unknown {
  const deserializer = new GraphDeserializer(bytes, items);
  deserializer.readHeader();
  const root: unknown = deserializer.readValue();
  if (errors.length === 0) return root;
  if (!Array.isArray(root) || root.length !== errors.length + 1) {
    throw new WireError('a graph lacks the properties of its errors');
  }
  for (const [index, error] of errors.entries()) assignErrorProperties(error, root[index + 1]);
  return root[0];
}

/** Looks a graph over without touching it: is it all allowed, and is there anything to replace? */
class Scan {
  readonly #outlet: Outlet;
  readonly #seen = new Set<object>();
  foundItems = false;

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  visit(value: unknown): void {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return;
    if (this.#seen.has(value)) return;
    this.#seen.add(value);
    const kind = classify(value, this.#outlet);
    switch (kind) {
      case valueKinds.plain:
      case valueKinds.array:
        for (const key of Object.keys(value)) this.visit((value as Record<string, unknown>)[key]);
        return;
      case valueKinds.map:
        for (const [key, entry] of value as Map<unknown, unknown>) {
          this.visit(key);
          this.visit(entry);
        }
        return;
      case valueKinds.set:
        for (const entry of value as Set<unknown>) this.visit(entry);
        return;
      case valueKinds.bytes:
      case valueKinds.leaf:
        return;
      default:
        this.foundItems = true;
    }
  }
}

/** Copies a graph with placeholders for its items. */
class Copier {
  readonly #outlet: Outlet;
  #copies = new Map<object, unknown>();
  /** Inside the properties of an error: no items but errors, and instances lose their class. */
  #lenient = false;
  readonly #errorItems: Error[] = [];
  readonly items: object[] = [];
  readonly placeholders = new Map<object, number>();
  readonly properties: object[] = [];

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  get errors(): number {
    return this.#errorItems.length;
  }

  copy(value: unknown): unknown {
    if (value === null || (typeof value !== 'object' && typeof value !== 'function')) {
      if (typeof value === 'symbol') throw dataCloneError(`${String(value)} could not be cloned.`);
      return value;
    }
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    switch (this.#kindOf(value)) {
      case valueKinds.plain:
        return this.#copyProperties(value, {});
      case valueKinds.array:
        return this.#copyArray(value as unknown[]);
      case valueKinds.map:
        return this.#copyMap(value as Map<unknown, unknown>);
      case valueKinds.set:
        return this.#copySet(value as Set<unknown>);
      case valueKinds.bytes:
      case valueKinds.leaf:
        return value;
      case valueKinds.error:
        this.#errorItems.push(value as Error);
        return this.#item(value);
      default:
        if (this.#lenient) throw dataCloneError('An error cannot carry references.');
        return this.#item(value);
    }
  }

  #kindOf(value: object): ValueKind {
    if (!this.#lenient) return classify(value, this.#outlet);
    try {
      return classify(value, this.#outlet);
    } catch {
      return valueKinds.plain;
    }
  }

  #item(value: object): object {
    const placeholder = new Uint8Array(0);
    this.placeholders.set(placeholder, this.items.length);
    this.items.push(value);
    this.#copies.set(value, placeholder);
    return placeholder;
  }

  #copyProperties(value: object, copy: object): object {
    this.#copies.set(value, copy);
    for (const key of Object.keys(value)) {
      setOwn(copy, key, this.copy((value as Record<string, unknown>)[key]));
    }
    return copy;
  }

  #copyArray(value: readonly unknown[]): object {
    const copy: unknown[] = [];
    copy.length = value.length;
    return this.#copyProperties(value, copy);
  }

  #copyMap(value: ReadonlyMap<unknown, unknown>): object {
    const copy = new Map<unknown, unknown>();
    this.#copies.set(value, copy);
    for (const [key, entry] of value) copy.set(this.copy(key), this.copy(entry));
    return copy;
  }

  #copySet(value: ReadonlySet<unknown>): object {
    const copy = new Set<unknown>();
    this.#copies.set(value, copy);
    for (const entry of value) copy.add(this.copy(entry));
    return copy;
  }

  /**
   * An error whose properties cannot travel goes without any, as on the platform: the message is
   * worth more than its decoration. Errors found on the way get their own turn.
   */
  copyErrorProperties(): void {
    this.#lenient = true;
    for (let index = 0; index < this.#errorItems.length; index++) {
      const error = this.#errorItems[index] as Error;
      const copies = this.#copies;
      const errors = this.#errorItems.length;
      const items = this.items.length;
      this.#copies = new Map(copies);
      try {
        const copy: object = {};
        for (const [key, value] of ownErrorProperties(error)) setOwn(copy, key, this.copy(value));
        this.properties.push(copy);
      } catch {
        this.#copies = copies;
        this.#errorItems.length = errors;
        this.items.length = items;
        this.properties.push({});
      }
    }
  }
}

/** Assignment that also makes an own property of `__proto__`. */
export function setOwn(target: object, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  } else {
    (target as Record<string, unknown>)[key] = value;
  }
}
