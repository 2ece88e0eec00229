/**
 * How append requests travel from the node's thread to the storage thread: all requests of one tick
 * in one buffer that is handed over, not copied. Structured clone of the request objects would cost
 * more than writing them to RocksDB, and would copy the whole pool behind a small key.
 *
 * One request, big-endian:
 *
 *     size       4   of what follows
 *     kind       1   append, seal, install, note, forget, erase, floors or quarantine
 *     id         32
 *     epoch      8   the sender's
 *     committed  16  epoch, LSN; of an install: what the pages have folded in
 *     previous   16  epoch, LSN; all ones where none is named
 *     page       4   of an install: its number
 *     isLast     1   of an install
 *     alarm      8   of an install; 2^64 − 1 for none
 *     namespace  2 + n
 *     name       4 + n   length + 1, 0 for none
 *     records    4, then each: size 4, body as in record-codec.ts
 *
 * A note has its name in place of the object's and its value as the only record; floors come as the
 * only record, 8 bytes each, and so does the reason for a quarantine.
 *
 * Both ends are one program in one process: nothing here is versioned or checksummed.
 */
import {
  type AppendRequest,
  assert,
  bodyBytes,
  type EncodedRecord,
  type Epoch,
  type InstallRequest,
  type LogRecord,
  noRecord,
  type ObjectIdHex,
  type ObjectRef,
  objectIdBytes,
  type RecordName,
  readUint64,
  type WallMs,
  writeBody,
  writeUint64,
} from '@homing/base';
import { namespaceBytesMax } from './head-codec.ts';

export const requestKinds = {
  append: 1,
  seal: 2,
  install: 3,
  note: 4,
  forget: 5,
  erase: 6,
  floors: 7,
  quarantine: 8,
} as const;

const initialBytes = 16 * 1024;
const requestFixedBytes = 4 + 1 + objectIdBytes + 8 + 16 + 16 + 13 + 2 + 4 + 4;
const none = 0xffff_ffff_ffff_ffffn;
/** Notes and floors belong to no object. */
const noObject: ObjectRef = { namespace: '', id: '00'.repeat(objectIdBytes) as ObjectIdHex };

interface Request {
  readonly kind: number;
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  readonly committed: RecordName;
  readonly previous: RecordName | undefined;
  readonly page: number;
  readonly isLast: boolean;
  readonly alarmMs: WallMs | null;
  readonly records: readonly (LogRecord | EncodedRecord)[];
}

const plain = { committed: noRecord, previous: undefined, page: 0, isLast: false, alarmMs: null };

function recordBytes(record: LogRecord | EncodedRecord): number {
  return 'body' in record ? record.body.length : bodyBytes(record);
}

/** Gathers requests. The buffer that `take` returns is the receiver's. */
export class WireWriter {
  #buffer = Buffer.allocUnsafeSlow(initialBytes);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Each of these adds one request and returns its size in bytes, or throws a `TypeError`. */
  append(request: AppendRequest): number {
    const { object, records, committed, previous } = request;
    // Without records and without an epoch it only tells what is committed: no promise changes.
    const epoch = request.epoch ?? records.at(-1)?.name.epoch ?? (none as Epoch);
    const kind = requestKinds.append;
    return this.#add({
      kind,
      object,
      epoch,
      committed,
      previous,
      page: 0,
      isLast: false,
      alarmMs: null,
      records,
    });
  }

  seal(object: ObjectRef, epoch: Epoch): number {
    return this.#add({ ...plain, kind: requestKinds.seal, object, epoch, records: [] });
  }

  install(request: InstallRequest): number {
    const { object, epoch, applied, index, isLast, alarmMs, page } = request;
    return this.#add({
      kind: requestKinds.install,
      object,
      epoch,
      committed: applied,
      previous: undefined,
      page: index,
      isLast,
      alarmMs,
      records: [{ name: applied, body: page }],
    });
  }

  note(name: string, value: Uint8Array): number {
    const record = { name: noRecord, body: value };
    const object = { ...noObject, name };
    return this.#add({
      ...plain,
      kind: requestKinds.note,
      object,
      epoch: noRecord.epoch,
      records: [record],
    });
  }

  forget(id: ObjectIdHex, epoch: Epoch): number {
    const object = { namespace: '', id };
    return this.#add({ ...plain, kind: requestKinds.forget, object, epoch, records: [] });
  }

  erase(id: ObjectIdHex): number {
    const object = { namespace: '', id };
    const { epoch } = noRecord;
    return this.#add({ ...plain, kind: requestKinds.erase, object, epoch, records: [] });
  }

  quarantine(id: ObjectIdHex, reason: string): number {
    return this.#add({
      ...plain,
      kind: requestKinds.quarantine,
      object: { namespace: '', id },
      epoch: noRecord.epoch,
      records: [{ name: noRecord, body: Buffer.from(reason) }],
    });
  }

  floors(floors: readonly Epoch[]): number {
    const body = Buffer.alloc(8 * floors.length);
    for (const [bucket, epoch] of floors.entries()) body.writeBigUInt64BE(epoch, 8 * bucket);
    return this.#add({
      ...plain,
      kind: requestKinds.floors,
      object: noObject,
      epoch: noRecord.epoch,
      records: [{ name: noRecord, body }],
    });
  }

  /** Leaves what was gathered before as it was when it throws. */
  #add(request: Request): number {
    const { object, records } = request;
    const start = this.#length;
    this.#reserve(requestBytesMax(object, records));
    const buffer = this.#buffer;
    buffer[start + 4] = request.kind;
    let at = start + 5;
    const written = buffer.write(object.id, at, 'hex');
    if (written !== objectIdBytes) throw new TypeError(`not an object id: ${object.id}`);
    at = buffer.writeBigUInt64BE(request.epoch, at + objectIdBytes);
    at = writeName(buffer, request.committed, at);
    if (request.previous === undefined) {
      at = buffer.writeBigUInt64BE(none, buffer.writeBigUInt64BE(none, at));
    } else at = writeName(buffer, request.previous, at);
    at = buffer.writeUInt32BE(request.page, at);
    buffer[at++] = request.isLast ? 1 : 0;
    at =
      request.alarmMs === null
        ? buffer.writeBigUInt64BE(none, at)
        : writeUint64(buffer, request.alarmMs, at);
    const namespaceBytes = buffer.write(object.namespace, at + 2, 'utf8');
    if (namespaceBytes > namespaceBytesMax) throw new TypeError('namespace key too long');
    at = buffer.writeUInt16BE(namespaceBytes, at) + namespaceBytes;
    const hasName = object.name !== undefined;
    const nameBytes = hasName ? buffer.write(object.name, at + 4, 'utf8') : 0;
    at = buffer.writeUInt32BE(hasName ? nameBytes + 1 : 0, at) + nameBytes;
    at = buffer.writeUInt32BE(records.length, at);
    for (const record of records) {
      let end = at + 4;
      if ('body' in record) {
        buffer.set(record.body, end);
        end += record.body.length;
      } else end = writeBody(buffer, record, end);
      buffer.writeUInt32BE(end - at - 4, at);
      at = end;
    }
    buffer.writeUInt32BE(at - start - 4, start);
    this.#length = at;
    return at - start;
  }

  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.#buffer.buffer as ArrayBuffer, 0, this.#length);
    // The next tick is likely to be like this one.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(initialBytes, this.#length * 2));
    this.#length = 0;
    return taken;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

function writeName(buffer: Buffer, name: RecordName, offset: number): number {
  return writeUint64(buffer, name.lsn, buffer.writeBigUInt64BE(name.epoch, offset));
}

/** What a request needs at most: strings are counted at three bytes per UTF-16 unit. */
function requestBytesMax(object: ObjectRef, records: Request['records']): number {
  let total = requestFixedBytes + (object.namespace.length + (object.name?.length ?? 0)) * 3;
  for (const record of records) total += 4 + recordBytes(record);
  return total;
}

/** Walks the requests of a buffer; one instance serves for all of them. */
export class WireReader {
  buffer: Buffer = Buffer.alloc(0);
  kind = 0;
  idStart = 0;
  /** The sender's; undefined where an append without records names none. */
  epoch: Epoch | undefined;
  committed: RecordName = noRecord;
  previous: RecordName | undefined;
  page = 0;
  isLast = false;
  alarmMs: WallMs | null = null;
  namespaceStart = 0;
  namespaceEnd = 0;
  hasName = false;
  nameEnd = 0;
  readonly names: RecordName[] = [];
  /** Start and end of each record's body, in pairs. */
  readonly bodies: number[] = [];

  /** Reads the request at `offset` and returns the offset after it. */
  read(buffer: Buffer, offset: number): number {
    const end = offset + 4 + buffer.readUInt32BE(offset);
    assert(end <= buffer.length, 'wire: request reaches past the buffer');
    this.buffer = buffer;
    this.kind = buffer[offset + 4] as number;
    this.idStart = offset + 5;
    let at = this.idStart + objectIdBytes;
    const epoch = buffer.readBigUInt64BE(at);
    this.epoch = epoch === none ? undefined : (epoch as Epoch);
    this.committed = this.#name(at + 8);
    at += 24;
    this.previous = buffer.readBigUInt64BE(at) === none ? undefined : this.#name(at);
    this.page = buffer.readUInt32BE(at + 16);
    this.isLast = buffer[at + 20] === 1;
    const alarm = buffer.readBigUInt64BE(at + 21);
    this.alarmMs = alarm === none ? null : (Number(alarm) as WallMs);
    this.namespaceStart = at + 29 + 2;
    this.namespaceEnd = this.namespaceStart + buffer.readUInt16BE(at + 29);
    const name = buffer.readUInt32BE(this.namespaceEnd);
    this.hasName = name > 0;
    this.nameEnd = this.namespaceEnd + 4 + Math.max(0, name - 1);
    this.#readRecords(this.nameEnd, end);
    return end;
  }

  #name(offset: number): RecordName {
    const { buffer } = this;
    return {
      epoch: buffer.readBigUInt64BE(offset) as Epoch,
      lsn: readUint64(buffer, offset + 8),
    };
  }

  #readRecords(offset: number, end: number): void {
    const { buffer, names, bodies } = this;
    names.length = 0;
    bodies.length = 0;
    const count = buffer.readUInt32BE(offset);
    let at = offset + 4;
    for (let index = 0; index < count; index++) {
      const start = at + 4;
      at = start + buffer.readUInt32BE(at);
      if (this.kind === requestKinds.append) names.push(this.#name(start));
      bodies.push(start, at);
    }
    assert(at === end, 'wire: request of a wrong size');
  }
}
