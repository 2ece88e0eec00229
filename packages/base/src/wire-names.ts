/** Ids and epochs as they stand in frames between nodes: 32 bytes, and 8 in two halves. */
import type { Epoch } from './epoch.ts';
import { type ObjectIdHex, objectIdBytes } from './object-id.ts';
import type { WireReader, WireWriter } from './wire.ts';

export function putObjectId(writer: WireWriter, id: ObjectIdHex): void {
  writer.raw(Buffer.from(id, 'hex'));
}

export function takeObjectId(reader: WireReader): ObjectIdHex {
  return reader.hex(objectIdBytes) as ObjectIdHex;
}

export function putEpoch(writer: WireWriter, epoch: Epoch): void {
  writer.u32(Number(epoch >> 32n));
  writer.u32(Number(epoch & 0xffff_ffffn));
}

export function takeEpoch(reader: WireReader): Epoch {
  const high = BigInt(reader.u32());
  return ((high << 32n) | BigInt(reader.u32())) as Epoch;
}
