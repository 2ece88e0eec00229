/**
 * The value of a head key. The fixed part comes first, so that the storage thread overwrites it in
 * place and writes the same buffer again for every record of an object:
 *
 *     0   version      1   2, or 1 by format 1, which had no tail; and 128 where it is quarantined
 *     1   promised     8
 *     9   last         16  epoch, LSN
 *     25  applied      16  epoch, LSN
 *     41  alarm        8   milliseconds since 1970; 2^64 − 1 for none
 *     49  namespace    2   length
 *     51  name         4   length + 1; 0 where the object is not known by a name
 *     55  namespace, then name, in UTF-8; what follows is the tail
 *
 * The tail: records above `applied`, sealed, one after another. With the records of family `l` they are
 * all that are held. Which record is where, its size has decided; most are folded in with the next one,
 * and in the head they cost no key of their own.
 */
import {
  type Epoch,
  HomingError,
  type ObjectHead,
  type RecordName,
  readUint64,
  sealedBytesAt,
  unsealBody,
  type WallMs,
  writeUint64,
} from '@homing/base';
import { idHexOf } from './keys.ts';

const headVersion = 2;
const oldestHeadVersion = 1;

const fixedBytes = 55;
const quarantineFlag = 0x80;
const noAlarm = 0xffff_ffff_ffff_ffffn;
export const namespaceBytesMax = 0xffff;

export interface HeadFields {
  readonly promised: Epoch;
  readonly last: RecordName;
  readonly applied: RecordName;
  readonly alarmMs: WallMs | null;
  readonly isQuarantined: boolean;
}

/** A head without a tail, with room for its strings; the rest is to be written with `writeHeadFields`. */
export function newHead(namespace: Uint8Array, name: Uint8Array | undefined): Buffer {
  const head = Buffer.alloc(fixedBytes + namespace.length + (name?.length ?? 0));
  head[0] = headVersion;
  head.writeUInt16BE(namespace.length, 49);
  head.writeUInt32BE(name === undefined ? 0 : name.length + 1, 51);
  head.set(namespace, fixedBytes);
  if (name !== undefined) head.set(name, fixedBytes + namespace.length);
  return head;
}

export function writeHeadFields(head: Buffer, fields: HeadFields): void {
  head[0] = fields.isQuarantined ? headVersion | quarantineFlag : headVersion;
  head.writeBigUInt64BE(fields.promised, 1);
  head.writeBigUInt64BE(fields.last.epoch, 9);
  writeUint64(head, fields.last.lsn, 17);
  head.writeBigUInt64BE(fields.applied.epoch, 25);
  writeUint64(head, fields.applied.lsn, 33);
  if (fields.alarmMs === null) head.writeBigUInt64BE(noAlarm, 41);
  else writeUint64(head, fields.alarmMs, 41);
}

/** Where the tail begins. */
function tailStart(head: Buffer): number {
  return fixedBytes + head.readUInt16BE(49) + Math.max(0, head.readUInt32BE(51) - 1);
}

function checkHead(head: Buffer): void {
  const version = (head[0] as number) & ~quarantineFlag;
  if (version < oldestHeadVersion || version > headVersion) {
    throw new HomingError('corruption', `object head of version ${version}`);
  }
  if (head.length < tailStart(head)) {
    throw new HomingError('corruption', 'object head of a wrong length');
  }
}

/** A view of the head without its tail. */
export function withoutTail(head: Buffer): Buffer {
  return head.subarray(0, tailStart(head));
}

/** The sealed records in the tail, as views. Throws `corruption` where one is damaged. */
export function headTail(head: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = tailStart(head); at < head.length; ) {
    const record = head.subarray(at, at + sealedBytesAt(head, at));
    unsealBody(record);
    records.push(record);
    at += record.length;
  }
  return records;
}

/** Throws `corruption` for anything that is no head. */
export function readHeadFields(head: Buffer): HeadFields {
  if (head.length < fixedBytes) throw new HomingError('corruption', 'object head too short');
  checkHead(head);
  const alarm = head.readBigUInt64BE(41);
  return {
    promised: head.readBigUInt64BE(1) as Epoch,
    last: { epoch: head.readBigUInt64BE(9) as Epoch, lsn: readUint64(head, 17) },
    applied: { epoch: head.readBigUInt64BE(25) as Epoch, lsn: readUint64(head, 33) },
    alarmMs: alarm === noAlarm ? null : (Number(alarm) as WallMs),
    isQuarantined: ((head[0] as number) & quarantineFlag) !== 0,
  };
}

/** A view of the namespace's bytes. */
export function headNamespace(head: Buffer): Buffer {
  return head.subarray(fixedBytes, fixedBytes + head.readUInt16BE(49));
}

export function headHasName(head: Buffer): boolean {
  return head.readUInt32BE(51) !== 0;
}

/** The head of the object whose head key is `key`. */
export function decodeHead(key: Buffer, head: Buffer): ObjectHead {
  const { isQuarantined, ...fields } = readHeadFields(head);
  const namespace = headNamespace(head);
  return {
    namespace: namespace.toString(),
    id: idHexOf(key, 1),
    name: headHasName(head)
      ? head.toString('utf8', fixedBytes + namespace.length, tailStart(head))
      : undefined,
    ...fields,
    isQuarantined: isQuarantined ? true : undefined,
  };
}
