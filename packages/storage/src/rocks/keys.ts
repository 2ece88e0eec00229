/**
 * Every key of the database, byte for byte: docs/data-model.md says why. All numbers are big-endian,
 * so that byte order is number order. `id` is the 32 bytes of an object id.
 *
 *     m name                                meta: format, store, starts
 *     o name                                notes: small values of the node's own
 *     h id                                  head of an object
 *     n length(2) namespace id              the objects of a namespace
 *     g id space(1)                         generation of a space, absent while it is 0
 *     s id space(1) generation(4) key       state: what the user stored
 *     l id LSN(8)                           log record above `applied` that the head's tail lacks, sealed
 *     a due(8) id                           alarm index; the value is the namespace
 *     x id space(1) generation(4)           a generation that was cleared, to be erased
 *     i id                                  generation under which a snapshot is being installed
 *     q id                                  what was held of a damaged object: epoch, LSN, reason
 *     f bucket(1)                           floor of a bucket of ids, absent while it is 0
 */
import { type ObjectIdHex, objectIdBytes, writeUint64 } from '@homing/base';

export const families = {
  meta: 0x6d,
  note: 0x6f,
  head: 0x68,
  namespace: 0x6e,
  generation: 0x67,
  state: 0x73,
  log: 0x6c,
  alarm: 0x61,
  garbage: 0x78,
  install: 0x69,
  floor: 0x66,
  quarantine: 0x71,
} as const;
export type Family = (typeof families)[keyof typeof families];

/** Bytes before the user's part of a state key. */
export const statePrefixBytes = 1 + objectIdBytes + 1 + 4;
export const generationOffset = 1 + objectIdBytes + 1;

/** The smallest key above all keys that start with `prefix`. A prefix is never all 0xff. */
export function afterPrefix(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  let last = end.length - 1;
  while (end[last] === 0xff) last -= 1;
  end[last] = (end[last] as number) + 1;
  return end.subarray(0, last + 1);
}

export function metaKey(name: 'format' | 'store' | 'starts'): Buffer {
  return Buffer.concat([Buffer.of(families.meta), Buffer.from(name)]);
}

export function noteKey(name: string): Buffer {
  return Buffer.concat([Buffer.of(families.note), Buffer.from(name)]);
}

export function installKeyOf(id: Uint8Array): Buffer {
  const key = idKey(families.install, 1 + objectIdBytes);
  key.set(id, 1);
  return key;
}

export function quarantineKeyOf(id: Uint8Array): Buffer {
  const key = idKey(families.quarantine, 1 + objectIdBytes);
  key.set(id, 1);
  return key;
}

export function floorKey(bucket: number): Buffer {
  return Buffer.of(families.floor, bucket);
}

function idKey(family: Family, size: number): Buffer {
  const key = Buffer.allocUnsafe(size);
  key[0] = family;
  return key;
}

export function headKey(id: ObjectIdHex): Buffer {
  const key = idKey(families.head, 1 + objectIdBytes);
  key.write(id, 1, 'hex');
  return key;
}

export function headKeyOf(id: Uint8Array): Buffer {
  const key = idKey(families.head, 1 + objectIdBytes);
  key.set(id, 1);
  return key;
}

export function generationKeyOf(id: Uint8Array, space: number): Buffer {
  const key = idKey(families.generation, 2 + objectIdBytes);
  key.set(id, 1);
  key[1 + objectIdBytes] = space;
  return key;
}

/** `s id space generation`, to which the user's key is appended. */
export function statePrefixOf(id: Uint8Array, space: number, generation: number): Buffer {
  const key = idKey(families.state, statePrefixBytes);
  key.set(id, 1);
  key[1 + objectIdBytes] = space;
  key.writeUInt32BE(generation, generationOffset);
  return key;
}

export function garbageKeyOf(id: Uint8Array, space: number, generation: number): Buffer {
  const key = statePrefixOf(id, space, generation);
  key[0] = families.garbage;
  return key;
}

/** The state prefix that a garbage key stands for. */
export function garbagePrefix(garbageKey: Uint8Array): Buffer {
  const prefix = Buffer.from(garbageKey);
  prefix[0] = families.state;
  return prefix;
}

/** Of all records of an object. */
export function logPrefixOf(id: Uint8Array): Buffer {
  const prefix = idKey(families.log, 1 + objectIdBytes);
  prefix.set(id, 1);
  return prefix;
}

export function logKeyOf(id: Uint8Array, lsn: number): Buffer {
  const key = idKey(families.log, 9 + objectIdBytes);
  key.set(id, 1);
  writeUint64(key, lsn, 1 + objectIdBytes);
  return key;
}

export function alarmKeyOf(id: Uint8Array, dueMs: number): Buffer {
  const key = idKey(families.alarm, 9 + objectIdBytes);
  writeUint64(key, dueMs, 1);
  key.set(id, 9);
  return key;
}

export function namespacePrefix(namespace: string): Buffer {
  const name = Buffer.from(namespace);
  const prefix = Buffer.allocUnsafe(3 + name.length);
  prefix[0] = families.namespace;
  prefix.writeUInt16BE(name.length, 1);
  prefix.set(name, 3);
  return prefix;
}

export function idHexOf(key: Buffer, offset: number): ObjectIdHex {
  return key.toString('hex', offset, offset + objectIdBytes) as ObjectIdHex;
}
