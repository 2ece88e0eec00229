/**
 * A value kept with an object that is not ours to change: a user's, or a proxy whose properties are
 * remote. It stands in a private field of the object, which nobody else can see, list or trap.
 *
 * Used instead of a WeakMap where objects come and go with every request. V8 collects young objects
 * without looking at which keys of an old WeakMap still live: each value in one, and all that it
 * refers to, is kept and moved to the old generation. A private field dies with its object.
 *
 * Invariant: an object that was given a value keeps it, or a later one, for life.
 */

/** Makes the object that is passed the one that a subclass's fields are put on. */
class Given {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is what puts fields on another object
    return object;
  }
}

export interface HiddenSlot<T> {
  get(object: object): T | undefined;
  has(object: object): boolean;
  set(object: object, value: T): void;
}

/** Each slot has a private field of its own. */
export function hiddenSlot<T>(): HiddenSlot<T> {
  class Slot extends Given {
    #value: T;

    constructor(object: object, value: T) {
      super(object);
      this.#value = value;
    }

    static get(object: object): T | undefined {
      return #value in object ? object.#value : undefined;
    }

    static has(object: object): boolean {
      return #value in object;
    }

    static set(object: object, value: T): void {
      if (#value in object) object.#value = value;
      else new Slot(object, value);
    }
  }
  return Slot;
}
