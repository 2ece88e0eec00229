/** What RocksDB itself reaches on this disk: synced batches of so many small records. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { RocksLevel } = require('@nxtedition/rocksdb');

/** Keys that homing writes for an increment: the value and the object's head. */
const keysPerRecord = 2;

/**
 * @param {number} batchRecords
 * @param {number} durationMs
 * @returns {Promise<number>} records a second
 */
export async function rawRecordsPerSecond(batchRecords, durationMs) {
  const directory = mkdtempSync(join(tmpdir(), 'bench-rocksdb-'));
  const db = new RocksLevel(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  let records = 0;
  const startMs = performance.now();
  while (performance.now() - startMs < durationMs) {
    const batch = db.batch();
    for (let index = 0; index < batchRecords * keysPerRecord; index++) {
      const key = Buffer.alloc(45);
      key.writeUInt32BE((records * 31 + index) % 20_000, 1);
      batch.put(key, Buffer.alloc(80, index));
    }
    batch._writeSync({ sync: true });
    records += batchRecords;
  }
  const perSecond = (records * 1000) / (performance.now() - startMs);
  await db.close();
  rmSync(directory, { recursive: true, force: true });
  return perSecond;
}
