/** Ids of objects as user code holds them. */
import type { ObjectIdHex } from '@homing/base';

export interface DurableObjectIdParts {
  readonly id: ObjectIdHex;
  /** Known where the id was made from a name, or the object was called by one. */
  readonly name: string | undefined;
  readonly jurisdiction: string | undefined;
}

export class DurableObjectId {
  readonly #id: ObjectIdHex;
  /** Own and enumerable, in this order, as on the platform. */
  readonly jurisdiction: string | undefined;
  /** Undefined for an id that was not made from a name. */
  readonly name: string | undefined;

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
