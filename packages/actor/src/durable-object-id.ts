/** Ids of objects as user code holds them. */
import type { ObjectIdHex } from '@homing/base';

export interface DurableObjectIdParts {
  readonly id: ObjectIdHex;
  /** Known where the id was made from a name, or the object was called by one. */
  readonly name: string | undefined;
  readonly jurisdiction: string | undefined;
}

/** The key of the namespace that an id was made by; undefined for ids that came otherwise. */
export let namespaceOfId: (id: DurableObjectId) => string | undefined;
/** User code can not do it: an id may not be taken for one of a namespace that it is not of. */
export let setNamespaceOfId: (id: DurableObjectId, key: string) => void;

export class DurableObjectId {
  readonly #id: ObjectIdHex;
  /** A field and not a WeakMap, which would cost more than the id: see `hiddenSlot`. */
  #namespace: string | undefined;
  /** Own and enumerable, in this order, as on the platform. */
  readonly jurisdiction: string | undefined;
  /** Undefined for an id that was not made from a name. */
  readonly name: string | undefined;

  static {
    namespaceOfId = (id) => id.#namespace;
    setNamespaceOfId = (id, key) => {
      id.#namespace = key;
    };
  }

  constructor({ id, name, jurisdiction }: DurableObjectIdParts) {
    this.#id = id;
    this.jurisdiction = jurisdiction;
    this.name = name;
  }

  toString(): ObjectIdHex {
    return this.#id;
  }

  equals(other: DurableObjectId): boolean {
    return other instanceof DurableObjectId && other.#id === this.#id;
  }

  get [Symbol.toStringTag](): string {
    return 'DurableObjectId';
  }
}
