/** Reads notes: small values of the node's own, which lie beside the objects. */
import type { Store } from '@homing/base';
import { afterPrefix, noteKey } from './keys.ts';
import { type Database, readRange } from './native.ts';

/** More notes than this of one prefix cannot be: there is one for each shard. */
const notesMax = 1_000_000;

/** Those whose names begin with `prefix`, in order of their names. Throws what RocksDB throws. */
export function readNotes(database: Database, prefix: string): ReturnType<Store['notes']> {
  const gte = noteKey(prefix);
  const rows = readRange(database, { gte, lt: afterPrefix(gte) }, notesMax);
  const notes: { name: string; value: Uint8Array }[] = [];
  for (let index = 0; index < rows.length; index += 2) {
    const name = (rows[index] as Buffer).subarray(1).toString();
    notes.push({ name, value: rows[index + 1] as Buffer });
  }
  return notes;
}
