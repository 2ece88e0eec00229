/** What is left of objects that were forgotten or erased, in both adapters; and that it is little. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  encodeBody,
  noRecord,
  type ObjectIdHex,
  type RecordName,
  type RecordOperation,
  type Store,
  spaces,
  type WallMs,
} from '@homing/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryStore, openRocksStore } from '../src/index.ts';
import { families } from '../src/rocks/keys.ts';
import { native, readRange } from '../src/rocks/native.ts';
import { alarm, epochOf, keysOf, put } from './records.ts';

const idA = `${'a1'.repeat(31)}07` as ObjectIdHex;
/** Of the same bucket. */
const idB = `${'b2'.repeat(31)}07` as ObjectIdHex;
const idC = `${'c3'.repeat(31)}08` as ObjectIdHex;
const namespace = 'worker/Class';

function send(
  store: Store,
  id: ObjectIdHex,
  name: RecordName,
  options: { operations?: RecordOperation[]; previous?: RecordName; isCommitted?: boolean } = {},
): Promise<void> {
  const { operations = [put(`key ${name.lsn}`, 'value')], previous, isCommitted } = options;
  const committed = isCommitted === false ? noRecord : name;
  return store.append({
    object: { namespace, id },
    previous,
    records: [{ name, operations }],
    committed,
  });
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homing-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const adapters: [string, () => Promise<Store>][] = [
  ['memory', async () => memoryStore()],
  ['rocks', () => openRocksStore({ directory })],
];

describe.each(adapters)('%s store', (_, open) => {
  let store: Store;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.close());

  test('of a forgotten object nothing is left but the floor', async () => {
    await send(store, idA, { epoch: epochOf(5), lsn: 1 }, { operations: [alarm(70)] });
    const tail = { epoch: epochOf(5), lsn: 2 };
    await send(store, idA, tail, { operations: [alarm(80), put('a', '1')], isCommitted: false });
    await store.forget(idA, epochOf(6));
    expect(store.head(idA)).toBeUndefined();
    expect(store.tail(idA)).toEqual([]);
    expect(store.snapshot(idA)).toBeUndefined();
    expect(store.heads({ limit: 9 })).toEqual([]);
    expect(store.heads({ namespace, limit: 9 })).toEqual([]);
    expect(store.dueAlarms({ untilMs: 99 as WallMs, limit: 9 })).toEqual([]);
    expect(keysOf(store, idA)).toEqual([]);
    expect([idA, idB, idC].map((id) => store.floor(id))).toEqual([epochOf(6), epochOf(6), 0n]);
  });

  test('a message from before does not start a forgotten object again, a later one does', async () => {
    await send(store, idA, { epoch: epochOf(5), lsn: 1 });
    await store.forget(idA, epochOf(6));
    const fenced = { code: 'fenced' };
    const object = { namespace, id: idA };
    await expect(send(store, idA, { epoch: epochOf(5), lsn: 1 })).rejects.toMatchObject(fenced);
    await expect(store.seal(object, epochOf(5))).rejects.toMatchObject(fenced);
    const page = encodeBody({ name: noRecord, operations: [put('a', '1')] });
    const applied = { epoch: epochOf(5), lsn: 1 };
    const copy = { object, applied, alarmMs: null, index: 0, isLast: true, page };
    await expect(store.install({ ...copy, epoch: epochOf(5) })).rejects.toMatchObject(fenced);
    expect(store.head(idA)).toBeUndefined();
    await store.seal(object, epochOf(7));
    await send(store, idA, { epoch: epochOf(7), lsn: 1 });
    expect(keysOf(store, idA)).toEqual(['key 1']);
    // Another of the bucket that is not known here counts as promised, too; one of another does not.
    await expect(send(store, idB, { epoch: epochOf(5), lsn: 1 })).rejects.toMatchObject(fenced);
    await send(store, idC, { epoch: epochOf(5), lsn: 1 });
  });

  test('an order that comes late deletes nothing', async () => {
    await send(store, idA, { epoch: epochOf(7), lsn: 1 });
    const fenced = { code: 'fenced' };
    await expect(store.forget(idA, epochOf(7))).rejects.toMatchObject(fenced);
    await expect(store.forget(idA, epochOf(6))).rejects.toMatchObject(fenced);
    expect(keysOf(store, idA)).toEqual(['key 1']);
    expect(store.floor(idA)).toBe(0n);
    // One for an object that is not here raises the floor all the same, and never lowers it.
    await store.forget(idB, epochOf(6));
    await store.forget(idB, epochOf(4));
    expect(store.floor(idA)).toBe(epochOf(6));
  });

  test('a store that did not hear of it gives its former life up for the next one', async () => {
    await send(store, idA, { epoch: epochOf(5), lsn: 1 }, { operations: [put('old', '1')] });
    await send(store, idA, { epoch: epochOf(5), lsn: 2 }, { operations: [alarm(70)] });
    const first = { epoch: epochOf(7), lsn: 1 };
    const gap = { code: 'invalid_argument' };
    // The next life's records do not follow the former's, whatever their numbers.
    const second = { epoch: epochOf(7), lsn: 2 };
    await expect(send(store, idA, second, { previous: first })).rejects.toMatchObject(gap);
    const third = { epoch: epochOf(7), lsn: 3 };
    await expect(send(store, idA, third, { previous: second })).rejects.toMatchObject(gap);
    const empty = store.append({
      object: { namespace, id: idA },
      epoch: epochOf(7),
      previous: first,
      records: [],
      committed: noRecord,
    });
    await expect(empty).rejects.toMatchObject(gap);
    await send(store, idA, first, { previous: noRecord, isCommitted: false });
    expect(keysOf(store, idA)).toEqual([]);
    expect(store.dueAlarms({ untilMs: 99 as WallMs, limit: 9 })).toEqual([]);
    expect(store.head(idA)).toMatchObject({ last: first, applied: noRecord, alarmMs: null });
    await send(store, idA, second, { previous: first });
    expect(keysOf(store, idA)).toEqual(['key 1', 'key 2']);
  });

  test('a copy of the next life replaces a former one that is longer', async () => {
    await send(store, idA, { epoch: epochOf(5), lsn: 1 });
    await send(store, idA, { epoch: epochOf(5), lsn: 2 });
    const applied = { epoch: epochOf(7), lsn: 1 };
    await store.install({
      object: { namespace, id: idA },
      epoch: epochOf(8),
      applied,
      alarmMs: null,
      index: 0,
      isLast: true,
      page: encodeBody({ name: applied, operations: [put('new', '1')] }),
    });
    expect(keysOf(store, idA)).toEqual(['new']);
    expect(store.head(idA)).toMatchObject({ last: applied, applied });
  });

  test('a copy of a former life takes nothing of the next one away', async () => {
    const object = { namespace, id: idA };
    await store.forget(idA, epochOf(6));
    // A store that missed the order is asked for what it has, while the next life begins.
    await store.seal(object, epochOf(7));
    const first = { epoch: epochOf(7), lsn: 1 };
    await send(store, idA, first, { isCommitted: false });
    const applied = { epoch: epochOf(5), lsn: 9 };
    const page = encodeBody({ name: applied, operations: [put('old', '1')] });
    const copy = {
      object,
      epoch: epochOf(7),
      applied,
      alarmMs: null,
      index: 0,
      isLast: true,
      page,
    };
    await expect(store.install(copy)).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(store.head(idA)).toMatchObject({ last: first, applied: noRecord });
    await send(store, idA, { epoch: epochOf(7), lsn: 2 }, { previous: first });
    expect(keysOf(store, idA)).toEqual(['key 1', 'key 2']);
  });

  test('floors are taken over from another store, and only rise', async () => {
    const other = memoryStore();
    await other.forget(idA, epochOf(6));
    await store.forget(idC, epochOf(9));
    await store.raiseFloors(other.floors());
    expect([idB, idC].map((id) => store.floor(id))).toEqual([epochOf(6), epochOf(9)]);
    await store.raiseFloors(memoryStore().floors());
    expect(store.floor(idB)).toBe(epochOf(6));
    await expect(store.raiseFloors([])).rejects.toThrow(TypeError);
  });

  test('objects of a shard are erased page by page, whatever they promised; floors stay', async () => {
    const ids = Array.from({ length: 10 }, (_, n) => `0${n}`.repeat(32) as ObjectIdHex);
    for (const id of ids) await send(store, id, { epoch: epochOf(5), lsn: 1 });
    await store.putNote('replica-set main/1', Buffer.from('{}'));
    const isMeant = (id: ObjectIdHex) => Number(id.slice(-1)) % 2 === 1;
    const looked: (ObjectIdHex | undefined)[] = [];
    let after: ObjectIdHex | undefined;
    do {
      after = await store.erasePage({ isMeant, after, limit: 3 });
      looked.push(after);
    } while (after !== undefined);
    expect(looked).toEqual([ids[2], ids[5], ids[8], undefined]);
    const left = store.heads({ limit: 99 }).map(({ id }) => id);
    expect(left).toEqual(ids.filter((id) => !isMeant(id)));
    expect(store.floor(ids[1] as ObjectIdHex)).toBe(0n);
    expect(store.note('replica-set main/1')).toBeDefined();
  });
});

/** The families of all keys there are. */
async function familiesLeft(): Promise<string> {
  const database = native.db_init(join(directory, 'db'));
  await new Promise<void>((resolve, reject) => {
    const options = { createIfMissing: false, compaction: 'level', parallelism: 1 } as const;
    const plain = { walCompression: false, compression: false };
    const rest = { memtableMemoryBudget: 1 << 22, cacheSize: 1 << 22, ...plain };
    native.db_open(database, { ...options, ...rest }, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  const rows = readRange(database, { gte: Buffer.of(0), lt: Buffer.of(0xff) }, 10_000);
  await new Promise<void>((resolve) => native.db_close(database, () => resolve()));
  const keys = rows.filter((_, index) => index % 2 === 0);
  return [...new Set(keys.map((key) => String.fromCharCode(key[0] as number)))].sort().join('');
}

describe('a data directory', () => {
  test('keeps nothing of what was forgotten but floors, also where a start comes between', async () => {
    for (const isClosedAtOnce of [false, true]) {
      const store = await openRocksStore({ directory });
      const base = isClosedAtOnce ? 20 : 10;
      for (let lsn = 1; lsn <= 3; lsn++) {
        const clear: RecordOperation = { type: 'clear', space: spaces.kv };
        const operations = [clear, put('a', '1'), alarm(70 + lsn)];
        await send(store, idA, { epoch: epochOf(base), lsn }, { operations });
      }
      const object = { namespace, id: idA };
      const applied = { epoch: epochOf(base), lsn: 9 };
      const page = encodeBody({ name: applied, operations: [put('staged', '1')] });
      const copy = { object, applied, alarmMs: null, index: 0, isLast: false, page };
      await store.install({ ...copy, epoch: epochOf(base) });
      await store.forget(idA, epochOf(base + 1));
      if (!isClosedAtOnce) {
        // The next life begins while the last is being erased.
        await send(store, idA, { epoch: epochOf(base + 2), lsn: 1 });
        expect(keysOf(store, idA)).toEqual(['key 1']);
        await store.forget(idA, epochOf(base + 3));
      }
      await store.close();
    }
    const store = await openRocksStore({ directory });
    // Erasing goes on between writes: these are turns for it.
    for (let turn = 0; turn < 100; turn++) await store.putNote('turn', Buffer.of(turn));
    expect(store.floor(idA)).toBe(epochOf(21));
    await store.close();
    expect(await familiesLeft()).toBe('fmo');
    const { floor, meta, note } = families;
    expect(String.fromCharCode(floor, meta, note)).toBe('fmo');
  });

  test('whose object was forgotten and erased begins anew, with generations from 0', async () => {
    let store = await openRocksStore({ directory });
    for (let life = 1; life <= 3; life++) {
      await send(store, idA, { epoch: epochOf(10 * life), lsn: 1 });
      expect(keysOf(store, idA)).toEqual(['key 1']);
      await store.forget(idA, epochOf(10 * life + 1));
      for (let turn = 0; turn < 20; turn++) await store.putNote('turn', Buffer.of(turn));
      if (life === 2) {
        await store.close();
        store = await openRocksStore({ directory });
      }
    }
    expect(keysOf(store, idA)).toEqual([]);
    await store.close();
  });
});
