/** What an older version wrote is taken over; and what is written then is refused by that version. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noRecord, type ObjectIdHex, type Store } from '@homing/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRocksStore } from '../src/index.ts';
import { headKey, metaKey } from '../src/rocks/keys.ts';
import { type Database, native, noOptions } from '../src/rocks/native.ts';
import { closeDatabase, openDatabase } from '../src/rocks/open-database.ts';
import { epochOf, keysOf, put } from './records.ts';

const id = 'a1'.repeat(32) as ObjectIdHex;
const epoch = epochOf(5);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homing-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function append(store: Store, lsn: number, committed: number): Promise<void> {
  return store.append({
    object: { namespace: 'worker/Class', id, name: 'alice' },
    records: [{ name: { epoch, lsn }, operations: [put(`key ${lsn}`, 'value')] }],
    committed: committed === 0 ? noRecord : { epoch, lsn: committed },
  });
}

const lsns = (store: Store) => store.tail(id).map(({ name }) => name.lsn);

const withDatabase = async (change: (database: Database) => void): Promise<void> => {
  const options = { memtableBytes: 1 << 20, blockCacheBytes: 1 << 20, rescue: false };
  const { database } = await openDatabase(directory, options);
  change(database);
  await closeDatabase(database);
};

const readStore = () => JSON.parse(readFileSync(join(directory, 'STORE'), 'utf8'));

/** Without tails in heads a store is as format 1 had it, but for the versions. */
async function makeFormat1(): Promise<void> {
  await withDatabase((database) => {
    const head = native.db_get_many_sync(database, [headKey(id)], noOptions)[0] as Buffer;
    head[0] = 1;
    const batch = native.batch_init();
    native.batch_put(batch, headKey(id), head, noOptions);
    native.batch_put(batch, metaKey('format'), Buffer.of(0, 0, 0, 1), noOptions);
    native.batch_write(database, batch, { sync: true });
  });
  writeFileSync(join(directory, 'STORE'), JSON.stringify({ ...readStore(), format: 1 }));
}

test('a store of format 1 is taken over, and is of format 2 from then on', async () => {
  let store = await openRocksStore({ directory, headTailBytes: 0 });
  for (const lsn of [1, 2, 3]) await append(store, lsn, 1);
  const { storeId } = store;
  await store.close();
  await makeFormat1();
  store = await openRocksStore({ directory });
  expect(store.storeId).toBe(storeId);
  expect(readStore()).toEqual({ homing: 'store', format: 2, id: storeId });
  expect(store.head(id)).toMatchObject({ name: 'alice', last: { lsn: 3 }, applied: { lsn: 1 } });
  expect(lsns(store)).toEqual([2, 3]);
  await append(store, 4, 2);
  await store.close();
  await withDatabase((database) => {
    const [format] = native.db_get_many_sync(database, [metaKey('format')], noOptions);
    expect(format).toEqual(Buffer.of(0, 0, 0, 2));
  });
  store = await openRocksStore({ directory });
  // One lies where format 1 has put it, the other in the head.
  expect(lsns(store)).toEqual([3, 4]);
  await append(store, 5, 5);
  expect(lsns(store)).toEqual([]);
  expect(keysOf(store, id)).toEqual([1, 2, 3, 4, 5].map((lsn) => `key ${lsn}`));
  await store.close();
});

test('heads hold records up to a size, and others lie under keys of their own', async () => {
  const store = await openRocksStore({ directory, headTailBytes: 150 });
  for (const lsn of [1, 2, 3, 4]) await append(store, lsn, 0);
  expect(lsns(store)).toEqual([1, 2, 3, 4]);
  await append(store, 5, 2);
  expect(lsns(store)).toEqual([3, 4, 5]);
  expect(store.head(id)).toMatchObject({ name: 'alice', last: { lsn: 5 }, applied: { lsn: 2 } });
  await store.close();
  const again = await openRocksStore({ directory });
  expect(lsns(again)).toEqual([3, 4, 5]);
  await append(again, 6, 6);
  expect(keysOf(again, id)).toEqual([1, 2, 3, 4, 5, 6].map((lsn) => `key ${lsn}`));
  await again.close();
});
