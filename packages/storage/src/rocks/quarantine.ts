/**
 * What is kept of a damaged object beside its head: the newest record that was ever held, which it may
 * have acknowledged, and what was wrong. Value of a key of family `q`:
 *
 *     0   epoch   8
 *     8   LSN     8
 *     16  reason, in UTF-8
 */
import {
  type Epoch,
  type QuarantinedObject,
  type RecordName,
  readUint64,
  writeUint64,
} from '@homing/base';
import { afterPrefix, families, idHexOf } from './keys.ts';
import { type Database, readRange } from './native.ts';

const fixedBytes = 16;

export function encodeQuarantine(through: RecordName, reason: Uint8Array): Buffer {
  const value = Buffer.alloc(fixedBytes + reason.length);
  writeUint64(value, through.lsn, value.writeBigUInt64BE(through.epoch, 0));
  value.set(reason, fixedBytes);
  return value;
}

export function readQuarantine(value: Buffer): Omit<QuarantinedObject, 'id'> {
  return {
    through: { epoch: value.readBigUInt64BE(0) as Epoch, lsn: readUint64(value, 8) },
    reason: value.toString('utf8', fixedBytes),
  };
}

/** On any thread. Throws what RocksDB throws. */
export function readQuarantined(database: Database, limit: number): readonly QuarantinedObject[] {
  const family = Buffer.of(families.quarantine);
  const rows = readRange(database, { gte: family, lt: afterPrefix(family) }, limit);
  const found: QuarantinedObject[] = [];
  for (let index = 0; index < rows.length; index += 2) {
    const id = idHexOf(rows[index] as Buffer, 1);
    found.push({ id, ...readQuarantine(rows[index + 1] as Buffer) });
  }
  return found;
}
