/** Ids and epochs as they stand in frames between nodes: 32 bytes, and 8 in two halves. */
import type { Epoch } from './epoch.ts';
import { type ObjectIdHex, objectIdBytes } from './object-id.ts';
import type { WireReader, WireWriter } from './wire.ts';

export function putObjectId(writer: WireWriter, id: ObjectIdHex): void {
  writer.hex(id, objectIdBytes);
}

export function takeObjectId(reader: WireReader): ObjectIdHex {
  return reader.hex(objectIdBytes) as ObjectIdHex;
}

const uint32 = 2 ** 32;

export function putEpoch(writer: WireWriter, epoch: Epoch): void {
  const number = Number(epoch);
  // Without more big integers, which are objects each, as long as that is exact.
  if (number <= Number.MAX_SAFE_INTEGER) {
    writer.u32(Math.floor(number / uint32));
    writer.u32(number % uint32);
    return;
  }
  writer.u32(Number(epoch >> 32n));
  writer.u32(Number(epoch & 0xffff_ffffn));
}

export function takeEpoch(reader: WireReader): Epoch {
  const high = reader.u32();
  const low = reader.u32();
  const number = high * uint32 + low;
  if (number <= Number.MAX_SAFE_INTEGER) return BigInt(number) as Epoch;
  return ((BigInt(high) << 32n) | BigInt(low)) as Epoch;
}
