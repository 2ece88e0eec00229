/**
 * `Headers` as workerd has them. Kept as a flat list of lower-case names and values, which is how
 * they travel: most requests are built, read once or twice and sent on. Values of one name are
 * joined when read, so appending is O(1) and a lookup O(n) in the few headers there are.
 */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const forbiddenInValue = /[\0\r\n]/;
const surroundingSpace = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** Names seen before, as given and as kept: saves the check and the lower-casing. */
const knownNames = new Map<string, string>();
const knownNamesMax = 1000;

function checkedName(name: unknown): string {
  const given = `${name}`;
  const known = knownNames.get(given);
  if (known !== undefined) return known;
  if (!token.test(given)) throw new TypeError('Invalid header name.');
  const lower = given.toLowerCase();
  if (knownNames.size < knownNamesMax) knownNames.set(given, lower);
  return lower;
}

/** A name to look for: one that cannot exist is simply not found. */
function soughtName(name: unknown): string {
  const given = `${name}`;
  return knownNames.get(given) ?? given.toLowerCase();
}

function checkedValue(value: unknown): string {
  const given = `${value}`.replace(surroundingSpace, '');
  if (forbiddenInValue.test(given)) throw new TypeError('Invalid header value.');
  return given;
}

function requireArguments(method: string, given: number, wanted: number): void {
  if (given >= wanted) return;
  throw new TypeError(
    `Failed to execute '${method}' on 'Headers': parameter ${given + 1} is not of type 'string'.`,
  );
}

export type HeadersInit =
  | Headers
  | Iterable<Iterable<string>>
  | Readonly<Record<string, string>>
  | undefined;

interface Internals {
  make(flat: string[], immutable: boolean): Headers;
  flat(headers: Headers): readonly string[];
}

let internals: Internals;

export class Headers {
  #flat: string[] = [];
  #immutable = false;

  static {
    internals = {
      make: (flat, immutable) => {
        const headers = new Headers();
        headers.#flat = flat;
        headers.#immutable = immutable;
        return headers;
      },
      flat: (headers) => headers.#flat,
    };
  }

  constructor(init?: HeadersInit) {
    if (init === undefined) return;
    if (init === null || (typeof init !== 'object' && typeof init !== 'function')) {
      throw new TypeError(
        "Failed to construct 'Headers': constructor parameter 1 is not of type 'Headers or Sequence or object'.",
      );
    }
    if (init instanceof Headers) {
      this.#flat = init.#flat.slice();
    } else if (Symbol.iterator in init) {
      for (const pair of init as Iterable<Iterable<string>>) {
        const [name, value, ...more] = [...pair];
        if (name === undefined || value === undefined || more.length > 0) {
          throw new TypeError(
            'To initialize a Headers object from a sequence, each inner sequence must have exactly two elements.',
          );
        }
        this.#flat.push(checkedName(name), checkedValue(value));
      }
    } else {
      for (const name of Object.keys(init)) {
        this.#flat.push(checkedName(name), checkedValue(init[name]));
      }
    }
  }

  get(name: string): string | null {
    requireArguments('get', arguments.length, 1);
    return this.#get(soughtName(name));
  }

  #get(sought: string): string | null {
    const flat = this.#flat;
    let found: string | null = null;
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i] !== sought) continue;
      found = found === null ? (flat[i + 1] as string) : `${found}, ${flat[i + 1]}`;
    }
    return found;
  }

  getAll(name: string): string[] {
    requireArguments('getAll', arguments.length, 1);
    if (soughtName(name) !== 'set-cookie') {
      throw new TypeError('getAll() can only be used with the header name "Set-Cookie".');
    }
    return this.getSetCookie();
  }

  getSetCookie(): string[] {
    const flat = this.#flat;
    const found: string[] = [];
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i] === 'set-cookie') found.push(flat[i + 1] as string);
    }
    return found;
  }

  has(name: string): boolean {
    requireArguments('has', arguments.length, 1);
    const flat = this.#flat;
    const sought = soughtName(name);
    for (let i = 0; i < flat.length; i += 2) if (flat[i] === sought) return true;
    return false;
  }

  set(name: string, value: string): void {
    requireArguments('set', arguments.length, 2);
    this.#requireMutable();
    const key = checkedName(name);
    const checked = checkedValue(value);
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i] !== key) continue;
      flat[i + 1] = checked;
      this.#remove(key, i + 2);
      return;
    }
    flat.push(key, checked);
  }

  append(name: string, value: string): void {
    requireArguments('append', arguments.length, 2);
    this.#requireMutable();
    this.#flat.push(checkedName(name), checkedValue(value));
  }

  delete(name: string): void {
    requireArguments('delete', arguments.length, 1);
    this.#requireMutable();
    this.#remove(soughtName(name), 0);
  }

  forEach(
    callback: (this: unknown, value: string, name: string, headers: Headers) => void,
    thisArg?: unknown,
  ): void {
    for (const [name, value] of this.#sorted()) callback.call(thisArg, value, name, this);
  }

  *entries(): IterableIterator<[string, string]> {
    yield* this.#sorted();
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.#sorted()) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.#sorted()) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return 'Headers';
  }

  /** Sorted by name, values of one name joined, except that each cookie stands alone. */
  #sorted(): [string, string][] {
    const flat = this.#flat;
    const joined = new Map<string, string>();
    const cookies: [string, string][] = [];
    for (let i = 0; i < flat.length; i += 2) {
      const name = flat[i] as string;
      const value = flat[i + 1] as string;
      if (name === 'set-cookie') {
        cookies.push([name, value]);
        continue;
      }
      const before = joined.get(name);
      joined.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    const entries: [string, string][] = [...joined, ...cookies];
    // Stable, so cookies keep their order.
    return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }

  #remove(name: string, from: number): void {
    const flat = this.#flat;
    let kept = from;
    for (let i = from; i < flat.length; i += 2) {
      if (flat[i] === name) continue;
      flat[kept] = flat[i] as string;
      flat[kept + 1] = flat[i + 1] as string;
      kept += 2;
    }
    flat.length = kept;
  }

  #requireMutable(): void {
    if (this.#immutable) throw new TypeError("Can't modify immutable headers.");
  }
}

/** Headers that came from elsewhere: checked already, names in any case. */
export function headersFromFlat(flat: readonly string[], immutable: boolean): Headers {
  const own: string[] = new Array(flat.length);
  for (let i = 0; i < flat.length; i += 2) {
    own[i] = checkedName(flat[i]);
    own[i + 1] = flat[i + 1] as string;
  }
  return internals.make(own, immutable);
}

/** A copy that has its own list, for passing on. */
export function flatHeaders(headers: Headers): readonly string[] {
  return internals.flat(headers).slice();
}

export function copyHeaders(headers: Headers, immutable: boolean): Headers {
  return internals.make(internals.flat(headers).slice(), immutable);
}
