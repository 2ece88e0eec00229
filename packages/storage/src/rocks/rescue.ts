/**
 * Rescue: copies a database in which RocksDB itself met damage into a new one beside it, without the
 * objects that cannot be read whole. These are quarantined there, so that the other members of their
 * sets send them again. RocksDB refuses every write once a compaction has read a damaged block, and
 * after a restart the next compaction reads it again, so the block has to go, and only a copy that
 * leaves it out makes it go.
 *
 * Invariants
 * 1. Nothing of the old database is changed or removed; it stays where it is until the next rescue.
 * 2. STORE names the database in use. It is replaced, in one step, when the new one is whole and on
 *    disk: after a crash before that the rescue begins anew, after it is done.
 * 3. The old database stays open, and so locked, until STORE names the new one.
 * 4. What does not belong to one object's state or log (heads, promises, notes, floors) is copied
 *    whole or not at all: a store that forgot a promise must not come up.
 *
 * Called by open-database.ts, with the old database open, before anything else uses it.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '@homing/base';
import { Committer } from './committer.ts';
import { damaged, databasesIn } from './directory.ts';
import {
  afterPrefix,
  families,
  generationKeyOf,
  idHexOf,
  logPrefixOf,
  statePrefixOf,
} from './keys.ts';
import { type Database, isDamage, native, noOptions, type RangeOptions } from './native.ts';
import { spaceNumbers } from './object-cache.ts';
import { WireWriter } from './wire.ts';

/** Rows read, and written, at a time. */
const pageRows = 1000;
const pageBytes = 1 << 20;

/** Families that name no object's state or log, or that reading those depends on. */
const indexFamilies = [
  families.meta,
  families.note,
  families.floor,
  families.head,
  families.namespace,
  families.generation,
  families.alarm,
  families.quarantine,
];

/** Calls `take` with the rows of a range, page by page. Throws what RocksDB throws. */
function eachPage(database: Database, range: RangeOptions, take: (rows: Buffer[]) => void): void {
  const iterator = native.iterator_init(database, {
    ...range,
    highWaterMarkBytes: pageBytes,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  try {
    for (;;) {
      const page = native.iterator_nextv_sync(iterator, pageRows);
      if (page.rows.length > 0) take(page.rows);
      if (page.finished) return;
    }
  } finally {
    native.iterator_close(iterator);
  }
}

function copyRange(from: Database, to: Database, range: RangeOptions): void {
  eachPage(from, range, (rows) => {
    const batch = native.batch_init();
    for (let index = 0; index < rows.length; index += 2) {
      native.batch_put(batch, rows[index] as Buffer, rows[index + 1] as Buffer, noOptions);
    }
    native.batch_write(to, batch, { sync: false });
  });
}

/** What is staged or cleared is left behind: it is garbage. */
function copyObject(from: Database, to: Database, id: Buffer): void {
  const keys = spaceNumbers.map((space) => generationKeyOf(id, space));
  const generations = native.db_get_many_sync(from, keys, noOptions);
  for (const [index, space] of spaceNumbers.entries()) {
    const generation = generations[index]?.readUInt32BE(0) ?? 0;
    const prefix = statePrefixOf(id, space, generation);
    copyRange(from, to, { gte: prefix, lt: afterPrefix(prefix) });
  }
  const log = logPrefixOf(id);
  copyRange(from, to, { gte: log, lt: afterPrefix(log) });
}

/** Quarantines objects as the storage thread does. The mark of the directory is not its business. */
class Quarantines {
  readonly #committer: Committer;
  readonly #writer = new WireWriter();

  constructor(database: Database) {
    const limits = {
      batchBytesMax: pageBytes,
      batchRequestsMax: 1,
      headCacheEntries: 1,
      headTailBytes: 0,
    };
    this.#committer = new Committer(database, { write: () => {} }, limits);
  }

  add(id: Buffer, reason: string): void {
    this.#writer.quarantine(idHexOf(id, 0), reason);
    this.#committer.add(this.#writer.take());
    this.#committer.commit();
  }
}

/**
 * Copies what can be read of `from` to `to`, which is new and empty, and makes it durable. Returns how
 * many objects were quarantined. Throws `corruption` when something cannot be read without which the
 * store may not come up.
 */
export function rescueInto(directory: string, from: Database, to: Database): number {
  for (const family of indexFamilies) {
    const prefix = Buffer.of(family);
    try {
      copyRange(from, to, { gte: prefix, lt: afterPrefix(prefix) });
    } catch (error) {
      if (!isDamage(error)) throw error;
      const what = `not only single objects of it: ${messageOf(error)}`;
      throw damaged(directory, what, error);
    }
  }
  const quarantines = new Quarantines(to);
  let lost = 0;
  const heads = Buffer.of(families.head);
  eachPage(from, { gte: heads, lt: afterPrefix(heads) }, (rows) => {
    for (let index = 0; index < rows.length; index += 2) {
      const id = (rows[index] as Buffer).subarray(1);
      try {
        copyObject(from, to, id);
      } catch (error) {
        if (!isDamage(error)) throw error;
        quarantines.add(id, messageOf(error));
        lost += 1;
      }
    }
  });
  // A write that is synced takes all before it along.
  const end = native.batch_init();
  native.batch_write(to, end, { sync: true });
  return lost;
}

/** Takes away what earlier rescues left: databases that STORE does not name. */
export function removeOtherDatabases(directory: string, inUse: string): void {
  for (const name of databasesIn(directory)) {
    if (name !== inUse) rmSync(join(directory, name), { recursive: true });
  }
}
