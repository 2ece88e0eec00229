/**
 * Things that come and go, in the order they came: a set for what leaves with every request.
 *
 * Used instead of a Set or Map that lives long and changes often: those begin a new table every few
 * changes, each old table refers to the one after it, and one that has reached V8's old generation
 * keeps all later ones, and what was in them, until that is collected. What is taken out of a chain
 * is referred to by nothing.
 */

/** A place in a chain. */
export interface Link {
  /** Takes it out; false where it had been before. */
  remove(): boolean;
}

class Place<T> implements Link {
  readonly value: T;
  chain: Chain<T> | undefined;
  before: Place<T> | undefined;
  after: Place<T> | undefined;

  constructor(value: T, chain: Chain<T>) {
    this.value = value;
    this.chain = chain;
  }

  remove(): boolean {
    const { chain } = this;
    if (chain === undefined) return false;
    chain.take(this);
    return true;
  }
}

export class Chain<T> {
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(value: T): Link {
    const place = new Place(value, this);
    place.before = this.#last;
    if (this.#last === undefined) this.#first = place;
    else this.#last.after = place;
    this.#last = place;
    this.#size++;
    return place;
  }

  /** What came first of what is left. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** Takes the first out. */
  shift(): T | undefined {
    const place = this.#first;
    if (place !== undefined) this.take(place);
    return place?.value;
  }

  /** Takes all out, and returns them in their order. */
  drain(): T[] {
    const all: T[] = [];
    while (this.#first !== undefined) all.push(this.shift() as T);
    return all;
  }

  some(holds: (value: T) => boolean): boolean {
    for (let place = this.#first; place !== undefined; place = place.after) {
      if (holds(place.value)) return true;
    }
    return false;
  }

  /** @internal */
  take(place: Place<T>): void {
    const { before, after } = place;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    place.before = undefined;
    place.after = undefined;
    place.chain = undefined;
    this.#size--;
  }
}
