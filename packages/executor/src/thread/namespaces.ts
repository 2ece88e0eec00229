/**
 * `env.ROOM`: the namespace of one object class. Everything here is synchronous and makes no
 * connection; a stub opens its session at the first use.
 */

import { DurableObjectId, namespaceOfId, setNamespaceOfId } from '@homing/actor';
import {
  checkObjectId,
  namedObjectId,
  type ObjectIdHex,
  type ObjectRef,
  objectIdPlacement,
  placementTag,
  uniqueObjectId,
} from '@homing/base';

/** The jurisdictions that exist; an id carries only a tag of its name. */
const jurisdictions = ['eu', 'us', 'fedramp', 'fedramp-high'] as const;
const jurisdictionByTag = new Map<number, string>(
  jurisdictions.map((name) => [placementTag(name), name]),
);

/** The name of the jurisdiction an id is bound to, or undefined. */
export function jurisdictionOf(id: ObjectIdHex): string | undefined {
  const { jurisdictionTag } = objectIdPlacement(id);
  return jurisdictionTag === undefined ? undefined : jurisdictionByTag.get(jurisdictionTag);
}

/**
 * Ids of names that are remembered, and how long such a name may be: making one hashes twice. Nothing
 * that an operator could want to set: at most a few MiB, and a name that is forgotten costs a hash.
 */
const namesMax = 10_000;
const nameUnitsMax = 256;

export interface NamespaceOptions {
  /** `<worker>/<class>`. */
  readonly key: string;
  readonly region: string;
  readonly makeStub: (object: ObjectRef, id: DurableObjectId) => object;
}

export interface GetOptions {
  readonly locationHint?: string;
}

export class DurableObjectNamespace {
  readonly #options: NamespaceOptions;
  readonly #jurisdiction: string | undefined;
  readonly #idsOfNames = new Map<string, ObjectIdHex>();

  constructor(options: NamespaceOptions, jurisdiction?: string) {
    this.#options = options;
    this.#jurisdiction = jurisdiction;
  }

  idFromName(name: string): DurableObjectId {
    if (name === undefined) {
      throw new TypeError(
        "Failed to execute 'idFromName' on 'DurableObjectNamespace': parameter 1 is not of type 'string'.",
      );
    }
    const text = String(name);
    return this.#made({
      id: this.#idOfName(text),
      name: text,
      jurisdiction: this.#jurisdiction,
    });
  }

  idFromString(hex: string): DurableObjectId {
    const id = checkObjectId(this.#options.key, String(hex));
    if (id === 'malformed') {
      throw new TypeError('Invalid Durable Object ID: must be 64 hex digits');
    }
    if (id === 'foreign') {
      throw new TypeError('Durable Object ID is not valid for this namespace.');
    }
    const jurisdiction = jurisdictionOf(id);
    if (this.#jurisdiction !== undefined && jurisdiction !== this.#jurisdiction) {
      throw new TypeError(foreignJurisdiction);
    }
    return this.#made({ id, name: undefined, jurisdiction });
  }

  newUniqueId(options?: { readonly jurisdiction?: string | null }): DurableObjectId {
    const jurisdiction = checkJurisdiction(options?.jurisdiction) ?? this.#jurisdiction;
    const id = uniqueObjectId(this.#options.key, this.#options.region, jurisdiction);
    return this.#made({ id, name: undefined, jurisdiction });
  }

  get(id: DurableObjectId, options?: GetOptions): object {
    if (!(id instanceof DurableObjectId)) {
      throw new TypeError(
        "Failed to execute 'get' on 'DurableObjectNamespace': parameter 1 is not of type 'DurableObjectId'.",
      );
    }
    if (this.#jurisdiction !== undefined && id.jurisdiction !== this.#jurisdiction) {
      throw new TypeError(foreignJurisdiction);
    }
    const isKnown = namespaceOfId(id) === this.#options.key;
    const hex = isKnown ? id.toString() : checkObjectId(this.#options.key, id.toString());
    if (hex === 'foreign' || hex === 'malformed') {
      throw new TypeError('Durable Object ID is not valid for this namespace.');
    }
    const object: ObjectRef = {
      namespace: this.#options.key,
      id: hex,
      name: id.name,
      locationHint: options?.locationHint,
    };
    return this.#options.makeStub(object, id);
  }

  getByName(name: string, options?: GetOptions): object {
    return this.get(this.idFromName(name), options);
  }

  #idOfName(name: string): ObjectIdHex {
    let id = this.#idsOfNames.get(name);
    if (id === undefined) {
      id = namedObjectId(this.#options.key, name, this.#jurisdiction);
      if (this.#idsOfNames.size >= namesMax) this.#idsOfNames.clear();
      if (name.length <= nameUnitsMax) this.#idsOfNames.set(name, id);
    }
    return id;
  }

  #made(parts: ConstructorParameters<typeof DurableObjectId>[0]): DurableObjectId {
    const id = new DurableObjectId(parts);
    setNamespaceOfId(id, this.#options.key);
    return id;
  }

  get [Symbol.toStringTag](): string {
    return 'DurableObjectNamespace';
  }

  jurisdiction(name?: string | null): DurableObjectNamespace {
    return new DurableObjectNamespace(this.#options, checkJurisdiction(name));
  }
}

const foreignJurisdiction =
  'get called on jurisdictional subnamespace with an ID from a different jurisdiction';

function checkJurisdiction(name: string | null | undefined): string | undefined {
  if (name === null || name === undefined) return undefined;
  if (!(jurisdictions as readonly string[]).includes(name)) {
    throw new TypeError(
      `Unknown jurisdiction ${JSON.stringify(name)}: use one of ${jurisdictions.join(', ')}.`,
    );
  }
  return name;
}
