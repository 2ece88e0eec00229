/**
 * The floors of a database, in memory of the storage thread: read once, and written with the batch
 * that raises them. Owned by the committer.
 */
import type { Epoch } from '@homing/base';
import { noFloors } from '../floors.ts';
import { afterPrefix, families, floorKey } from './keys.ts';
import { type Batch, type Database, native, noOptions, readRange } from './native.ts';

export class Floors {
  readonly #floors: Epoch[];

  constructor(database: Database) {
    this.#floors = [...readFloors(database)];
  }

  of(id: Uint8Array): Epoch {
    return this.#floors[id[id.length - 1] as number] as Epoch;
  }

  raise(batch: Batch, bucket: number, epoch: Epoch): void {
    if (epoch <= (this.#floors[bucket] as Epoch)) return;
    this.#floors[bucket] = epoch;
    const value = Buffer.alloc(8);
    value.writeBigUInt64BE(epoch);
    native.batch_put(batch, floorKey(bucket), value, noOptions);
  }
}

/** What is written, on any thread. Throws what RocksDB throws. */
export function readFloors(database: Database): readonly Epoch[] {
  const family = Buffer.of(families.floor);
  const range = { gte: family, lt: afterPrefix(family) };
  const rows = readRange(database, range, noFloors.length);
  const floors = [...noFloors];
  for (let index = 0; index < rows.length; index += 2) {
    const bucket = (rows[index] as Buffer)[1] as number;
    floors[bucket] = (rows[index + 1] as Buffer).readBigUInt64BE() as Epoch;
  }
  return floors;
}
