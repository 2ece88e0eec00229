/** A database in which RocksDB itself meets damage, when it compacts: copied without what is damaged. */
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Epoch, makeEpoch, noRecord, type ObjectIdHex, spaces } from '@homing/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRocksStore, type RocksStore } from '../src/index.ts';

const epoch: Epoch = makeEpoch(5n, 0);
const promised: Epoch = makeEpoch(6n, 0);
const objects = 30;
const idOf = (index: number) => index.toString(16).padStart(2, '0').repeat(32) as ObjectIdHex;
const objectOf = (index: number) => ({
  namespace: 'worker/Class',
  id: idOf(index),
  name: `object number ${index}.`,
});
/** Long, and found in a table as it is. */
const markerOf = (index: number) => Buffer.from(`<marker ${index}>`.repeat(600));
const memtableBytes = 64 * 1024;

let directory: string;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homing-store-'));
  const store = await openRocksStore({ directory, memtableBytes });
  await store.putNote('adopted', Buffer.from('7'));
  for (let index = 0; index < objects; index++) await write(store, index, 1);
  await store.seal(objectOf(7), promised);
  await store.close();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function write(store: RocksStore, index: number, lsn: number): Promise<void> {
  const name = { epoch, lsn };
  await store.append({
    object: objectOf(index),
    previous: lsn === 1 ? noRecord : { epoch, lsn: lsn - 1 },
    records: [
      {
        name,
        operations: [
          { type: 'put', space: spaces.kv, key: Buffer.from(`key ${lsn}`), value: markerOf(index) },
        ],
      },
    ],
    committed: name,
  });
}

const keysOf = (store: RocksStore, index: number) =>
  [...store.reader().list(idOf(index), spaces.kv, {})].map(({ key, value }) => {
    expect(Buffer.from(value).equals(markerOf(index))).toBe(true);
    return Buffer.from(key).toString();
  });

/** Changes a byte in each table that has the text, so that a block does not fit its checksum. */
function damage(text: string): number {
  let changed = 0;
  for (const name of readdirSync(join(directory, 'db'))) {
    if (!name.endsWith('.sst')) continue;
    const path = join(directory, 'db', name);
    const at = readFileSync(path).lastIndexOf(text);
    if (at === -1) continue;
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.from('!'), 0, 1, at);
    closeSync(file);
    changed += 1;
  }
  return changed;
}

const databaseInUse = () =>
  (JSON.parse(readFileSync(join(directory, 'STORE'), 'utf8')) as { database?: string }).database;

test('only the object that is damaged is given up, whenever a compaction meets it', async () => {
  const { storeId, starts } = await openAndClose();
  expect(damage('<marker 7>')).toBeGreaterThan(0);
  let acknowledged = 1;
  for (let attempt = 0; databaseInUse() === undefined; attempt++) {
    expect(attempt).toBeLessThan(50);
    const store = await openRocksStore({ directory, memtableBytes, rescue: true });
    try {
      for (let n = 0; n < 40; n++) {
        await write(store, 0, acknowledged + 1);
        acknowledged += 1;
      }
    } catch (error) {
      expect(error).toMatchObject({ code: 'corruption' });
      // What was not acknowledged may be there all the same.
      await store.close().catch(() => {});
      const again = await openRocksStore({ directory, rescue: true });
      acknowledged = again.head(idOf(0))?.last.lsn ?? 0;
      await again.close();
      continue;
    }
    await store.close().catch(() => {});
  }
  const store = await openRocksStore({ directory, rescue: true });
  expect(store.storeId).toBe(storeId);
  expect(store.starts).toBeGreaterThan(starts);
  expect(Buffer.from(store.note('adopted') ?? []).toString()).toBe('7');
  expect(store.quarantined(9)).toMatchObject([{ id: idOf(7), through: { epoch, lsn: 1 } }]);
  expect(store.head(idOf(7))).toMatchObject({ promised, last: noRecord, isQuarantined: true });
  expect(keysOf(store, 0)).toHaveLength(acknowledged);
  for (let index = 1; index < objects; index++) {
    expect(keysOf(store, index)).toEqual(index === 7 ? [] : ['key 1']);
  }
  expect(store.heads({ namespace: 'worker/Class', limit: 99 })).toHaveLength(objects);
  await write(store, 1, 2);
  expect(keysOf(store, 1)).toHaveLength(2);
  await store.close();
  // What was damaged is kept for whoever wants to look at it.
  expect(existsSync(join(directory, 'db', 'CURRENT'))).toBe(true);
  expect(existsSync(join(directory, 'DAMAGED'))).toBe(false);
});

test('a copy that a crash cut short is begun anew', async () => {
  expect(damage('<marker 7>')).toBeGreaterThan(0);
  writeFileSync(join(directory, 'DAMAGED'), 'a block\n');
  // As if the process had ended in the midst: STORE does not name it yet.
  const other = mkdtempSync(join(tmpdir(), 'homing-store-'));
  const half = await openRocksStore({ directory: other });
  await half.putNote('adopted', Buffer.from('8'));
  await half.close();
  renameSync(join(other, 'db'), join(directory, 'db.1'));
  rmSync(other, { recursive: true });
  const store = await openRocksStore({ directory, rescue: true });
  expect(Buffer.from(store.note('adopted') ?? []).toString()).toBe('7');
  expect(store.quarantined(9)).toMatchObject([
    { id: idOf(7), reason: expect.stringMatching(/sst/) },
  ]);
  await store.close();
  expect(readdirSync(directory).filter((name) => name.startsWith('db.'))).toEqual([
    databaseInUse(),
  ]);
});

test('what nobody else has is not given up', async () => {
  expect(damage('<marker 7>')).toBeGreaterThan(0);
  writeFileSync(join(directory, 'DAMAGED'), 'a block\n');
  const asked: unknown[] = [];
  const rescue = (storeId: string, notes: (prefix: string) => readonly { name: string }[]) => {
    asked.push([storeId, notes('ado').map(({ name }) => name)]);
    return false;
  };
  const store = await openRocksStore({ directory, rescue }).catch((error: unknown) => error);
  expect(asked).toEqual([[expect.any(String), ['adopted']]]);
  // A compaction may meet the damage as soon as the database is open.
  if (store instanceof Error) expect(store).toMatchObject({ code: 'corruption' });
  else {
    expect((store as RocksStore).quarantined(9)).toEqual([]);
    await (store as RocksStore).close().catch(() => {});
  }
  expect(databaseInUse()).toBe(undefined);
});

test('without promises nothing comes up, and nothing is changed', async () => {
  expect(damage('object number 7.')).toBeGreaterThan(0);
  writeFileSync(join(directory, 'DAMAGED'), 'a block\n');
  await expect(openRocksStore({ directory, rescue: true })).rejects.toMatchObject({
    code: 'corruption',
    message: expect.stringMatching(/is damaged: .*Restore it from a backup, or move it away/s),
  });
  expect(readdirSync(directory)).not.toContain('db.1');
  expect(databaseInUse()).toBe(undefined);
  expect(existsSync(join(directory, 'DAMAGED'))).toBe(true);
});

test('an only copy is not given up', async () => {
  expect(damage('<marker 7>')).toBeGreaterThan(0);
  writeFileSync(join(directory, 'DAMAGED'), 'a block\n');
  const store = await openRocksStore({ directory }).catch((error: unknown) => error);
  if (store instanceof Error) expect(store).toMatchObject({ code: 'corruption' });
  else await (store as RocksStore).close().catch(() => {});
  expect(databaseInUse()).toBe(undefined);
});

async function openAndClose(): Promise<{ storeId: string; starts: number }> {
  const store = await openRocksStore({ directory, memtableBytes });
  const { storeId, starts } = store;
  await store.close();
  return { storeId, starts };
}
