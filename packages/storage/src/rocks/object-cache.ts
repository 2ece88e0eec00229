/**
 * What the storage thread remembers of objects it writes to: their heads, the records held above
 * `applied`, and the generations of their spaces. It is the only writer, so what is here is true
 * until it changes it; the rest is read from RocksDB when asked for.
 *
 * Invariant: an object that the batch in the making has touched is not forgotten before the batch is
 * written, since until then RocksDB has the older state. One that is forgotten while a snapshot is
 * being staged is staged anew: the next page finds none expected.
 */
import {
  bodyOfSealed,
  damagedObject,
  type Epoch,
  messageOf,
  noRecord,
  OperationCursor,
  objectIdBytes,
  type RecordName,
  spaces,
  unsealBody,
  type WallMs,
} from '@homing/base';
import type { ObjectLog } from '../append-plan.ts';
import { headTail, readHeadFields, withoutTail } from './head-codec.ts';
import {
  afterPrefix,
  generationKeyOf,
  headKeyOf,
  idHexOf,
  installKeyOf,
  logKeyOf,
  logPrefixOf,
  quarantineKeyOf,
} from './keys.ts';
import { type Database, native, noOptions, readRange } from './native.ts';
import { readQuarantine } from './quarantine.ts';

/** A record held above `applied`. */
export interface TailRecord extends RecordName {
  /** As it lies on disk, in a buffer of its own. */
  readonly sealed: Buffer;
  /** Unsealed. */
  readonly body: Buffer;
  /** In the tail of the head, and not under a key of its own. */
  readonly isInHead: boolean;
}

export class CachedObject implements ObjectLog {
  readonly id: Buffer;
  readonly headKey: Buffer;
  /** The stored head without its tail; undefined for an object never written to. */
  head: Buffer | undefined;
  promised = 0n as Epoch;
  applied: RecordName = noRecord;
  tail: TailRecord[] = [];
  /** Bytes of those of them that are in the head. */
  headTailBytes = 0;
  alarmMs: WallMs | null = null;
  /** By space. */
  readonly generations: number[] = [];
  /** The greatest generation that a snapshot was ever staged under; kept until one was installed. */
  stagedGeneration = 0;
  /** The snapshot being staged in this run. */
  staged: { readonly name: RecordName; pages: number } | undefined;
  /** While it is quarantined: the newest record that was ever held. */
  heldBefore: RecordName | undefined;
  /** Where the records could not be read: the newest of them. */
  unreadTo: RecordName | undefined;
  /** Changed by the batch in the making. */
  isDirty = false;

  constructor(id: Buffer) {
    this.id = id;
    this.headKey = headKeyOf(id);
  }

  get last(): RecordName {
    return this.tail.at(-1) ?? this.applied;
  }

  get isQuarantined(): boolean {
    return this.heldBefore !== undefined;
  }
}

export const spaceNumbers: readonly number[] = Object.values(spaces);
/** More records than this above `applied` cannot be: the owner limits what is in flight. */
const tailRecordsMax = 1_000_000;

function load(database: Database, id: Buffer, isDamageMeant: boolean): CachedObject {
  const object = new CachedObject(id);
  const keys = [
    object.headKey,
    installKeyOf(id),
    quarantineKeyOf(id),
    ...spaceNumbers.map((space) => generationKeyOf(id, space)),
  ];
  const [head, staged, quarantine, ...generations] = native.db_get_many_sync(
    database,
    keys,
    noOptions,
  );
  object.stagedGeneration = staged?.readUInt32BE(0) ?? 0;
  for (const [index, space] of spaceNumbers.entries()) {
    object.generations[space] = generations[index]?.readUInt32BE(0) ?? 0;
  }
  if (head === undefined) return object;
  const fields = readHeadFields(head);
  object.head = withoutTail(head);
  object.promised = fields.promised;
  object.applied = fields.applied;
  object.alarmMs = fields.alarmMs;
  if (quarantine !== undefined) object.heldBefore = readQuarantine(quarantine).through;
  try {
    if (fields.last.lsn > fields.applied.lsn) loadTail(database, object, fields, head);
    if (object.last.lsn !== fields.last.lsn) throw new Error('its newest record is not there');
  } catch (error) {
    if (!isDamageMeant) throw damagedObject(idHexOf(id, 0), messageOf(error), error);
    object.tail = [];
    object.headTailBytes = 0;
    object.unreadTo = fields.last;
  }
  return object;
}

function loadTail(database: Database, object: CachedObject, ends: LogEnds, head: Buffer): void {
  for (const record of readTail(database, object.id, ends, head)) {
    if (record.lsn !== object.last.lsn + 1) throw new Error('a record is not there');
    object.tail.push(record);
    if (record.isInHead) object.headTailBytes += record.sealed.length;
  }
}

export interface LogEnds {
  readonly last: RecordName;
  readonly applied: RecordName;
}

/**
 * The records in the tail of a head and those under keys of their own, in order: fewer than lie between
 * the ends where some are missing. Throws for damaged ones.
 */
export function readTail(
  database: Database,
  id: Buffer,
  { last, applied }: LogEnds,
  head: Buffer,
): TailRecord[] {
  const records = headTail(head).map((sealed) => tailRecord(sealed, true));
  if (records.length === last.lsn - applied.lsn) return records;
  const range = { gte: logKeyOf(id, applied.lsn + 1), lt: afterPrefix(logPrefixOf(id)) };
  const rows = readRange(database, range, tailRecordsMax);
  for (let index = 1; index < rows.length; index += 2) {
    const sealed = rows[index] as Buffer;
    unsealBody(sealed);
    records.push(tailRecord(sealed, false));
  }
  return records.sort((a, b) => a.lsn - b.lsn);
}

const cursor = new OperationCursor();

/** Of a sealed body that is known to be whole. */
export function tailRecord(sealed: Buffer, isInHead: boolean): TailRecord {
  const body = bodyOfSealed(sealed);
  cursor.open(body, 0, body.length);
  return { epoch: cursor.epoch, lsn: cursor.lsn, sealed, body, isInHead };
}

export class ObjectCache {
  readonly #database: Database;
  readonly #entriesMax: number;
  /** By the 32 bytes of the id as a Latin-1 string, which is cheaper to make than hex. */
  readonly #objects = new Map<string, CachedObject>();

  constructor(database: Database, entriesMax: number) {
    this.#database = database;
    this.#entriesMax = entriesMax;
  }

  /**
   * The object whose id is at `offset`. Throws `corruption`, which names the object where its records
   * are damaged, unless they are meant to be; or a RocksDB error on a bad disk.
   */
  get(buffer: Buffer, offset: number, isDamageMeant = false): CachedObject {
    const key = buffer.toString('latin1', offset, offset + objectIdBytes);
    let object = this.#objects.get(key);
    if (object === undefined) {
      const id = Buffer.allocUnsafeSlow(objectIdBytes);
      buffer.copy(id, 0, offset, offset + objectIdBytes);
      object = load(this.#database, id, isDamageMeant);
      this.#objects.set(key, object);
    }
    return object;
  }

  drop(id: Buffer): void {
    this.#objects.delete(id.toString('latin1'));
  }

  /**
   * Forgets those loaded longest ago above the limit. Called between batches only. Reloading a
   * busy object now and then is cheaper than counting its uses.
   */
  trim(): void {
    let excess = this.#objects.size - this.#entriesMax;
    if (excess <= 0) return;
    for (const key of this.#objects.keys()) {
      if (excess-- <= 0) return;
      this.#objects.delete(key);
    }
  }
}
