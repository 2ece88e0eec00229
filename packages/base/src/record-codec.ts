/**
 * The bytes of a log record: how one atomic group of writes travels between threads and nodes and
 * lies in the log.
 *
 * Sealed record (`encodeRecord`, big-endian):
 *
 *     version   1 byte    1
 *     length    4 bytes   bytes of the body
 *     body      …         below
 *     checksum  4 bytes   CRC-32 (zlib) of everything before it
 *
 * Body: epoch 8, LSN 8, number of operations 4, then each operation:
 *
 *     put     1, space, varint key length, varint value length, key, value
 *     delete  2, space, varint key length, key
 *     clear   3, space
 *     alarm   4, due time 8 (milliseconds since 1970; 2^64 − 1 for none)
 *
 * Varints are unsigned LEB128 of at most 32 bits in their shortest form, so one record has one
 * encoding. Bodies travel unsealed between the threads of one process, which need no checksum.
 *
 * Invariant: `decodeRecord(encodeRecord(r))` equals `r`; whatever else it is given (cut off, altered,
 * longer, of another version) is refused with `corruption`, never read in part.
 */
import { crc32 } from 'node:zlib';
import type { Epoch, RecordName } from './epoch.ts';
import { HomingError } from './errors.ts';
import { type LogRecord, type RecordOperation, type Space, spaces, type WallMs } from './ports.ts';

export const recordVersion = 1;

const headerBytes = 5;
const checksumBytes = 4;
const bodyHeaderBytes = 20;
const noAlarm = 0xffff_ffff_ffff_ffffn;
const uint32 = 2 ** 32;

export const operationTypes = { put: 1, delete: 2, clear: 3, alarm: 4 } as const;

/** Spaces this version knows; a record that names another was written by a newer one. */
const knownSpaces: ReadonlySet<number> = new Set(Object.values(spaces));

function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(target: Buffer, value: number, offset: number): number {
  let rest = value;
  let at = offset;
  while (rest >= 0x80) {
    target[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[at++] = rest;
  return at;
}

function operationBytes(operation: RecordOperation): number {
  switch (operation.type) {
    case 'put': {
      const { key, value } = operation;
      const lengths = varintBytes(key.length) + varintBytes(value.length);
      return 2 + lengths + key.length + value.length;
    }
    case 'delete':
      return 2 + varintBytes(operation.key.length) + operation.key.length;
    case 'clear':
      return 2;
    case 'alarm':
      return 9;
  }
}

/** The exact size of `writeBody`'s output. */
export function bodyBytes(record: LogRecord): number {
  let total = bodyHeaderBytes;
  for (const operation of record.operations) total += operationBytes(operation);
  return total;
}

export function writeUint64(target: Buffer, value: number, offset: number): number {
  target.writeUInt32BE(Math.floor(value / uint32), offset);
  target.writeUInt32BE(value % uint32, offset + 4);
  return offset + 8;
}

/** Reads what `writeUint64` wrote. Larger values lose precision, so callers check with it. */
export function readUint64(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * uint32 + source.readUInt32BE(offset + 4);
}

function writeOperation(target: Buffer, operation: RecordOperation, offset: number): number {
  let at = offset;
  target[at++] = operationTypes[operation.type];
  if (operation.type === 'alarm') {
    if (operation.dueMs === null) return target.writeBigUInt64BE(noAlarm, at);
    if (!Number.isSafeInteger(operation.dueMs) || operation.dueMs < 0) {
      throw new TypeError(`an alarm's time must be whole milliseconds >= 0: ${operation.dueMs}`);
    }
    return writeUint64(target, operation.dueMs, at);
  }
  target[at++] = operation.space;
  if (operation.type === 'clear') return at;
  const { key } = operation;
  at = writeVarint(target, key.length, at);
  if (operation.type === 'put') at = writeVarint(target, operation.value.length, at);
  target.set(key, at);
  at += key.length;
  if (operation.type === 'put') {
    target.set(operation.value, at);
    at += operation.value.length;
  }
  return at;
}

/**
 * Writes a body at `offset`, where `bodyBytes(record)` are free, and returns the offset after it.
 * Throws a `TypeError` for an alarm time that is no whole number of milliseconds.
 */
export function writeBody(target: Buffer, record: LogRecord, offset: number): number {
  let at = target.writeBigUInt64BE(record.name.epoch, offset);
  at = writeUint64(target, record.name.lsn, at);
  at = target.writeUInt32BE(record.operations.length, at);
  for (const operation of record.operations) at = writeOperation(target, operation, at);
  return at;
}

/** Puts version, length and checksum around a body. The result is a buffer of its own. */
export function sealBody(body: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafeSlow(headerBytes + body.length + checksumBytes);
  sealed[0] = recordVersion;
  sealed.writeUInt32BE(body.length, 1);
  sealed.set(body, headerBytes);
  const end = headerBytes + body.length;
  sealed.writeUInt32BE(crc32(sealed.subarray(0, end)), end);
  return sealed;
}

/** The body in what `sealBody` has just made: a view, unchecked. */
export function bodyOfSealed(sealed: Buffer): Buffer {
  return sealed.subarray(headerBytes, sealed.length - checksumBytes);
}

/** How long the sealed body is that begins at `offset`, if it is one. Throws `corruption`. */
export function sealedBytesAt(bytes: Buffer, offset: number): number {
  if (bytes.length - offset < headerBytes) throw corrupt('too short');
  return headerBytes + bytes.readUInt32BE(offset + 1) + checksumBytes;
}

export function encodeRecord(record: LogRecord): Buffer {
  const body = Buffer.allocUnsafe(bodyBytes(record));
  writeBody(body, record, 0);
  return sealBody(body);
}

function corrupt(what: string): HomingError {
  return new HomingError('corruption', `damaged log record: ${what}`);
}

/** Checks version, length and checksum and returns the body, a view of `bytes`. */
export function unsealBody(bytes: Uint8Array): Buffer {
  const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (sealed.length < headerBytes + bodyHeaderBytes + checksumBytes) throw corrupt('too short');
  if (sealed[0] !== recordVersion) {
    throw corrupt(`version ${sealed[0]}, this program reads version ${recordVersion}`);
  }
  const end = headerBytes + sealed.readUInt32BE(1);
  if (end + checksumBytes !== sealed.length) throw corrupt('length does not match');
  if (sealed.readUInt32BE(end) !== crc32(sealed.subarray(0, end))) {
    throw corrupt('checksum does not match');
  }
  return sealed.subarray(headerBytes, end);
}

/**
 * Walks the operations of a body without making an object of each. `next` moves to the next one and
 * sets the fields that its type has; all offsets are into the buffer given to `open`. Reused from
 * record to record by the thread that applies them.
 */
export class OperationCursor {
  body: Buffer = Buffer.alloc(0);
  epoch = 0n as Epoch;
  lsn = 0;
  type = 0;
  space = 0;
  keyStart = 0;
  keyEnd = 0;
  valueEnd = 0;
  dueMs: WallMs | null = null;
  #at = 0;
  #end = 0;
  #left = 0;

  /** Points at the body in `[start, end)` of `buffer`. */
  open(buffer: Buffer, start: number, end: number): void {
    if (end - start < bodyHeaderBytes) throw corrupt('too short');
    this.body = buffer;
    this.epoch = buffer.readBigUInt64BE(start) as Epoch;
    this.lsn = readUint64(buffer, start + 8);
    if (!Number.isSafeInteger(this.lsn)) throw corrupt('LSN out of range');
    this.#left = buffer.readUInt32BE(start + 16);
    this.#at = start + bodyHeaderBytes;
    this.#end = end;
  }

  /** How many operations are left. */
  get left(): number {
    return this.#left;
  }

  /** False at the end; throws `corruption` where the body does not end there too. */
  next(): boolean {
    if (this.#left === 0) {
      if (this.#at !== this.#end) throw corrupt('bytes after the last operation');
      return false;
    }
    this.#left -= 1;
    this.type = this.#byte();
    if (this.type === operationTypes.alarm) {
      this.#alarm();
      return true;
    }
    this.space = this.#byte();
    if (!knownSpaces.has(this.space)) throw corrupt(`unknown space ${this.space}`);
    if (this.type === operationTypes.clear) return true;
    if (this.type !== operationTypes.put && this.type !== operationTypes.delete) {
      throw corrupt(`unknown operation ${this.type}`);
    }
    const keyLength = this.#varint();
    const valueLength = this.type === operationTypes.put ? this.#varint() : 0;
    this.keyStart = this.#at;
    this.keyEnd = this.keyStart + keyLength;
    this.valueEnd = this.keyEnd + valueLength;
    if (this.valueEnd > this.#end) throw corrupt('operation reaches past the end');
    this.#at = this.valueEnd;
    return true;
  }

  #alarm(): void {
    if (this.#at + 8 > this.#end) throw corrupt('operation reaches past the end');
    const raw = this.body.readBigUInt64BE(this.#at);
    this.#at += 8;
    if (raw !== noAlarm && raw > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt('alarm time');
    this.dueMs = raw === noAlarm ? null : (Number(raw) as WallMs);
  }

  #byte(): number {
    if (this.#at >= this.#end) throw corrupt('operation reaches past the end');
    return this.body[this.#at++] as number;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 5; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if ((byte === 0 && count > 0) || value >= uint32) break;
        return value;
      }
      scale *= 0x80;
    }
    throw corrupt('bad length');
  }
}

function copyOperation(cursor: OperationCursor): RecordOperation {
  if (cursor.type === operationTypes.alarm) return { type: 'alarm', dueMs: cursor.dueMs };
  const space = cursor.space as Space;
  if (cursor.type === operationTypes.clear) return { type: 'clear', space };
  const key = new Uint8Array(cursor.body.subarray(cursor.keyStart, cursor.keyEnd));
  if (cursor.type === operationTypes.delete) return { type: 'delete', space, key };
  const value = new Uint8Array(cursor.body.subarray(cursor.keyEnd, cursor.valueEnd));
  return { type: 'put', space, key, value };
}

/** The body of a record, in a buffer of its own. */
export function encodeBody(record: LogRecord): Buffer {
  const body = Buffer.allocUnsafeSlow(bodyBytes(record));
  writeBody(body, record, 0);
  return body;
}

/** The record of a sealed encoding. Keys and values are copies. Throws `corruption`. */
export function decodeRecord(bytes: Uint8Array): LogRecord {
  return decodeBody(unsealBody(bytes));
}

/** The record of a body. Keys and values are copies. Throws `corruption`. */
export function decodeBody(bytes: Uint8Array): LogRecord {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cursor = new OperationCursor();
  cursor.open(body, 0, body.length);
  const name: RecordName = { epoch: cursor.epoch, lsn: cursor.lsn };
  const operations: RecordOperation[] = [];
  while (cursor.next()) operations.push(copyOperation(cursor));
  return { name, operations };
}
