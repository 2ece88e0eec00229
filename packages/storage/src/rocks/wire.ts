/**
 * How append requests travel from the node's thread to the storage thread: all requests of one tick
 * in one buffer that is handed over, not copied. Structured clone of the request objects would cost
 * more than writing them to RocksDB, and would copy the whole pool behind a small key.
 *
 * One request, big-endian:
 *
 *     size       4   of what follows
 *     id         32
 *     committed  16  epoch, LSN
 *     namespace  2 + n
 *     name       4 + n   length + 1, 0 for none
 *     records    4, then each: size 4, body as in record-codec.ts
 *
 * Both ends are one program in one process: nothing here is versioned or checksummed.
 */
import {
  type AppendRequest,
  assert,
  type Epoch,
  objectIdBytes,
  type RecordName,
} from '@homing/base';
import { bodyBytes, readUint64, writeBody, writeUint64 } from '../record-codec.ts';
import { namespaceBytesMax } from './head-codec.ts';

const initialBytes = 16 * 1024;
const requestFixedBytes = 4 + objectIdBytes + 16 + 2 + 4 + 4;

/** Gathers requests. The buffer that `take` returns is the receiver's. */
export class WireWriter {
  #buffer = Buffer.allocUnsafeSlow(initialBytes);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /**
   * Adds one request and returns its size in bytes. Throws a `TypeError` for a request that cannot
   * be written, and then leaves what was gathered before as it was.
   */
  add(request: AppendRequest): number {
    const { object, records, committed } = request;
    const start = this.#length;
    this.#reserve(requestBytesMax(request));
    const buffer = this.#buffer;
    const written = buffer.write(object.id, start + 4, 'hex');
    if (written !== objectIdBytes) throw new TypeError(`not an object id: ${object.id}`);
    let at = start + 4 + objectIdBytes;
    at = buffer.writeBigUInt64BE(committed.epoch, at);
    at = writeUint64(buffer, committed.lsn, at);
    const namespaceBytes = buffer.write(object.namespace, at + 2, 'utf8');
    if (namespaceBytes > namespaceBytesMax) throw new TypeError('namespace key too long');
    at = buffer.writeUInt16BE(namespaceBytes, at) + namespaceBytes;
    const hasName = object.name !== undefined;
    const nameBytes = hasName ? buffer.write(object.name, at + 4, 'utf8') : 0;
    at = buffer.writeUInt32BE(hasName ? nameBytes + 1 : 0, at) + nameBytes;
    at = buffer.writeUInt32BE(records.length, at);
    for (const record of records) {
      const end = writeBody(buffer, record, at + 4);
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

/** What a request needs at most: strings are counted at three bytes per UTF-16 unit. */
export function requestBytesMax(request: AppendRequest): number {
  const { namespace, name } = request.object;
  let total = requestFixedBytes + (namespace.length + (name?.length ?? 0)) * 3;
  for (const record of request.records) total += 4 + bodyBytes(record);
  return total;
}

/** Walks the requests of a buffer; one instance serves for all of them. */
export class WireReader {
  buffer: Buffer = Buffer.alloc(0);
  idStart = 0;
  committed: RecordName = { epoch: 0n as Epoch, lsn: 0 };
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
    this.idStart = offset + 4;
    let at = this.idStart + objectIdBytes;
    this.committed = {
      epoch: buffer.readBigUInt64BE(at) as Epoch,
      lsn: readUint64(buffer, at + 8),
    };
    at += 16;
    this.namespaceStart = at + 2;
    this.namespaceEnd = this.namespaceStart + buffer.readUInt16BE(at);
    const name = buffer.readUInt32BE(this.namespaceEnd);
    this.hasName = name > 0;
    this.nameEnd = this.namespaceEnd + 4 + Math.max(0, name - 1);
    this.#readRecords(this.nameEnd, end);
    return end;
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
      names.push({
        epoch: buffer.readBigUInt64BE(start) as Epoch,
        lsn: readUint64(buffer, start + 8),
      });
      bodies.push(start, at);
    }
    assert(at === end, 'wire: request of a wrong size');
  }
}
