/** What homing's store reaches without anything before it: appends of one record, so many in flight. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeEpoch, namedObjectId, noRecord, spaces } from '@homing/base';
import { openRocksStore } from '@homing/storage';

const objects = 10_000;

/**
 * @param {number} inFlight
 * @param {number} durationMs
 * @returns {Promise<number>} records a second
 */
export async function storeRecordsPerSecond(inFlight, durationMs) {
  const directory = mkdtempSync(join(tmpdir(), 'bench-store-'));
  const store = await openRocksStore({ directory: join(directory, 'store') });
  const epoch = makeEpoch(1n, 0);
  const ids = Array.from({ length: objects }, (_, index) => namedObjectId('bench', `o${index}`));
  const lsns = ids.map(() => noRecord.lsn);
  const key = new TextEncoder().encode('value');
  let next = 0;
  let records = 0;
  const endMs = performance.now() + durationMs;
  const one = async () => {
    while (performance.now() < endMs) {
      const index = next++ % objects;
      const id = /** @type {ReturnType<typeof namedObjectId>} */ (ids[index]);
      lsns[index] = (lsns[index] ?? 0) + 1;
      const name = { epoch, lsn: lsns[index] ?? 1 };
      const value = new Uint8Array(16);
      await store.append({
        object: { namespace: 'bench', id },
        records: [{ name, operations: [{ type: 'put', space: spaces.kv, key, value }] }],
        committed: name,
      });
      records++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  await store.close();
  rmSync(directory, { recursive: true, force: true });
  return (records * 1000) / durationMs;
}
