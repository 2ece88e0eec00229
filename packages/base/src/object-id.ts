/**
 * Object ids: 32 bytes, shown as 64 lowercase hex digits.
 *
 * byte 0       flags: bit 7 unique (else named), bit 6 has a jurisdiction
 * bytes 1–2    default home: the region tag of the region that made a unique id; for a named id
 *              16 bits of its hash, which placement maps onto the configured regions
 * bytes 3–4    jurisdiction tag, where bit 6 says so; else hash or random bytes like the rest
 * bytes 5–15   hash of the name, or random bytes
 * bytes 16–31  HMAC of bytes 0–15 under the namespace key: binds the id to its namespace
 *
 * So an id alone tells where its object lives by default, without a lookup, and an id of another
 * namespace is refused without one. The namespace key is `<worker name>/<class>`, where a renamed
 * class keeps the name it was first made under.
 */
import { createHash, createHmac, randomFillSync } from 'node:crypto';

export const objectIdBytes = 32;
const uniqueFlag = 0x80;
const jurisdictionFlag = 0x40;

/** 64 lowercase hex digits. Globally unique: the second half binds it to its namespace. */
export type ObjectIdHex = string & { readonly __brand: 'object-id' };

/** 16 bits that stand for a region or a jurisdiction inside an id. */
export function placementTag(name: string): number {
  return createHash('sha256').update(`tag\0${name}`).digest().readUInt16BE(0);
}

function seal(half: Buffer, namespaceKey: string): ObjectIdHex {
  const mac = createHmac('sha256', namespaceKey).update(half).digest();
  return (half.toString('hex') + mac.toString('hex', 0, 16)) as ObjectIdHex;
}

/** The id of `name` in a namespace: always the same one. */
export function namedObjectId(
  namespaceKey: string,
  name: string,
  jurisdiction?: string,
): ObjectIdHex {
  const scope = jurisdiction === undefined ? '' : `${jurisdiction}\0`;
  const half = createHmac('sha256', `name\0${namespaceKey}`)
    .update(`${scope.length}\0${scope}${name}`)
    .digest()
    .subarray(0, 16);
  half[0] = (half[0] ?? 0) & 0x3f;
  if (jurisdiction !== undefined) {
    half[0] |= jurisdictionFlag;
    half.writeUInt16BE(placementTag(jurisdiction), 3);
  }
  return seal(half, namespaceKey);
}

/** A new id that nobody else has, whose default home is `region`. */
export function uniqueObjectId(
  namespaceKey: string,
  region: string,
  jurisdiction?: string,
): ObjectIdHex {
  const half = randomFillSync(Buffer.alloc(16));
  half[0] = ((half[0] ?? 0) & 0x3f) | uniqueFlag;
  half.writeUInt16BE(placementTag(region), 1);
  if (jurisdiction !== undefined) {
    half[0] |= jurisdictionFlag;
    half.writeUInt16BE(placementTag(jurisdiction), 3);
  }
  return seal(half, namespaceKey);
}

export type ObjectIdProblem = 'malformed' | 'foreign';

/** Checks form, then namespace. `malformed`: not 64 hex digits; `foreign`: of another namespace. */
export function checkObjectId(namespaceKey: string, hex: string): ObjectIdHex | ObjectIdProblem {
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) return 'malformed';
  const id = hex.toLowerCase() as ObjectIdHex;
  const half = Buffer.from(id.slice(0, 32), 'hex');
  return seal(half, namespaceKey) === id ? id : 'foreign';
}

/** What an id says about where its object lives. */
export interface ObjectIdPlacement {
  readonly unique: boolean;
  readonly regionTag: number;
  /** `placementTag` of the jurisdiction, or undefined without one. */
  readonly jurisdictionTag: number | undefined;
}

export function objectIdPlacement(id: ObjectIdHex): ObjectIdPlacement {
  const half = Buffer.from(id.slice(0, 10), 'hex');
  const flags = half.readUInt8(0);
  return {
    unique: (flags & uniqueFlag) !== 0,
    regionTag: half.readUInt16BE(1),
    jurisdictionTag: (flags & jurisdictionFlag) !== 0 ? half.readUInt16BE(3) : undefined,
  };
}
