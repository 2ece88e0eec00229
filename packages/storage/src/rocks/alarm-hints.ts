/**
 * What the alarm index says of one object whose records cannot be read, and which therefore do not tell
 * what they had put there. Reads the whole index, a page at a time: for damage only.
 */
import { afterPrefix, families } from './keys.ts';
import { type Database, native } from './native.ts';

const pageRows = 10_000;
/** Behind the family and the time. */
const idOffset = 9;

/** The keys under which the object is in the index on disk. */
export function alarmKeysOf(database: Database, id: Buffer): readonly Buffer[] {
  const prefix = Buffer.of(families.alarm);
  const iterator = native.iterator_init(database, {
    gte: prefix,
    lt: afterPrefix(prefix),
    values: false,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  const found: Buffer[] = [];
  try {
    for (;;) {
      const { rows, finished } = native.iterator_nextv_sync(iterator, pageRows);
      for (let index = 0; index < rows.length; index += 2) {
        const key = rows[index] as Buffer;
        if (key.subarray(idOffset).equals(id)) found.push(key);
      }
      if (finished) return found;
    }
  } finally {
    native.iterator_close(iterator);
  }
}
