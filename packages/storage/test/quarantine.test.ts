/** What becomes of an object whose replica is damaged, in both adapters; and how damage is found. */
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  damagedObjectOf,
  encodeBody,
  noRecord,
  type ObjectIdHex,
  type RecordName,
  type RecordOperation,
  type Store,
  type WallMs,
} from '@homing/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryStore, openRocksStore } from '../src/index.ts';
import { headTail } from '../src/rocks/head-codec.ts';
import { headKey, logKeyOf } from '../src/rocks/keys.ts';
import { type Database, native, noOptions } from '../src/rocks/native.ts';
import { alarm, epochOf, keysOf, put } from './records.ts';

const idA = 'a1'.repeat(32) as ObjectIdHex;
const idB = 'b2'.repeat(32) as ObjectIdHex;
const object = { namespace: 'worker/Class', id: idA, name: 'alice' };
const epoch = epochOf(5);

function send(
  store: Store,
  name: RecordName,
  committed: RecordName,
  options: { previous?: RecordName; id?: ObjectIdHex; operations?: RecordOperation[] } = {},
): Promise<void> {
  const { previous, id = idA, operations = [put(`key ${name.lsn}`, 'value')] } = options;
  return store.append({
    object: { ...object, id },
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

describe.each(adapters)('%s store', (kind, open) => {
  let store: Store;
  beforeEach(async () => {
    store = await open();
    await send(
      store,
      { epoch, lsn: 1 },
      { epoch, lsn: 1 },
      { operations: [put('a', '1'), alarm(70)] },
    );
    await send(store, { epoch, lsn: 2 }, noRecord, { operations: [put('b', '2'), alarm(80)] });
    await send(store, { epoch, lsn: 3 }, noRecord);
    await store.seal(object, epochOf(6));
    await store.quarantine(idA, 'a checksum does not match');
  });
  afterEach(() => store.close());

  test('keeps of a quarantined object what it has promised, and nothing else', async () => {
    if (kind === 'rocks') {
      await store.close();
      store = await open();
    }
    expect(store.head(idA)).toEqual({
      namespace: 'worker/Class',
      id: idA,
      name: 'alice',
      promised: epochOf(6),
      last: noRecord,
      applied: noRecord,
      alarmMs: null,
      isQuarantined: true,
    });
    expect(keysOf(store, idA)).toEqual([]);
    expect(store.tail(idA)).toEqual([]);
    expect(store.dueAlarms({ untilMs: 99 as WallMs, limit: 9 })).toEqual([]);
    const reason = 'a checksum does not match';
    expect(store.quarantined(9)).toEqual([{ id: idA, through: { epoch, lsn: 3 }, reason }]);
    await expect(store.seal(object, epoch)).rejects.toMatchObject({ code: 'fenced' });
    await store.seal(object, epochOf(7));
    expect(store.head(idA)).toMatchObject({ promised: epochOf(7), isQuarantined: true });
    const gap = { code: 'invalid_argument' };
    const next = { epoch: epochOf(7), lsn: 4 };
    const previous = { epoch, lsn: 3 };
    await expect(send(store, next, noRecord, { previous })).rejects.toMatchObject(gap);
  });

  const copyAt = (applied: RecordName) =>
    store.install({
      object,
      epoch: epochOf(7),
      applied,
      alarmMs: null,
      index: 0,
      isLast: true,
      page: encodeBody({ name: applied, operations: [put('copied', '1')] }),
    });

  test('takes the object for good again with a copy that reaches as far as it ever had', async () => {
    await copyAt({ epoch, lsn: 3 });
    expect(keysOf(store, idA)).toEqual(['copied']);
    expect(store.head(idA)).toMatchObject({ last: { epoch, lsn: 3 }, isQuarantined: undefined });
    expect(store.quarantined(9)).toEqual([]);
  });

  test('stays silent with one that does not, until records follow it', async () => {
    await copyAt({ epoch, lsn: 1 });
    expect(store.head(idA)).toMatchObject({ last: { epoch, lsn: 1 }, isQuarantined: true });
    // Damaged once more, it still knows how far it had been.
    await store.quarantine(idA, 'again');
    await copyAt({ epoch, lsn: 1 });
    expect(store.quarantined(9)).toMatchObject([{ through: { epoch, lsn: 3 } }]);
    const previous = { epoch, lsn: 1 };
    await send(store, { epoch: epochOf(7), lsn: 2 }, noRecord, { previous });
    expect(store.head(idA)?.isQuarantined).toBeUndefined();
  });

  test('takes the whole log in place of a copy, where the sender has it', async () => {
    for (const lsn of [1, 2, 3]) {
      const previous = lsn === 1 ? noRecord : { epoch, lsn: lsn - 1 };
      const options = { epoch: epochOf(7), previous, operations: [put(`new ${lsn}`, '')] };
      await send(store, { epoch, lsn }, { epoch, lsn }, options).catch(() => undefined);
      await store.append({
        object,
        epoch: epochOf(7),
        previous,
        records: [{ name: { epoch, lsn }, operations: options.operations }],
        committed: { epoch, lsn },
      });
      expect(store.head(idA)?.isQuarantined).toBe(lsn < 3 ? true : undefined);
    }
    expect(keysOf(store, idA)).toEqual(['new 1', 'new 2', 'new 3']);
  });

  test('forgets it like any other; one that it does not know cannot be damaged', async () => {
    await store.forget(idA, epochOf(9));
    expect(store.quarantined(9)).toEqual([]);
    await store.quarantine(idA, 'unknown');
    await store.quarantine(idB, 'unknown');
    expect(store.heads({ limit: 9 })).toEqual([]);
    await store.seal({ ...object, id: idB }, epoch);
    await store.quarantine(idB, 'nothing was held');
    expect(store.head(idB)).toMatchObject({ promised: epoch, isQuarantined: undefined });
  });
});

async function openDatabase(): Promise<Database> {
  const database = native.db_init(join(directory, 'db'));
  await new Promise<void>((resolve, reject) => {
    const options = { createIfMissing: false, compaction: 'level', parallelism: 1 } as const;
    const plain = { walCompression: false, compression: false };
    const rest = { memtableMemoryBudget: 1 << 22, cacheSize: 1 << 22, ...plain };
    native.db_open(database, { ...options, ...rest }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return database;
}

/** Changes keys behind the store's back. */
async function tamper(change: (database: Database) => void): Promise<void> {
  const database = await openDatabase();
  change(database);
  await new Promise<void>((resolve) => native.db_close(database, () => resolve()));
}

describe('a data directory', () => {
  const log = (lsn: number) => logKeyOf(Buffer.from(idA, 'hex'), lsn);
  const write = (database: Database, key: Buffer, value: Buffer | undefined) => {
    const batch = native.batch_init();
    if (value === undefined) native.batch_del(batch, key, noOptions);
    else native.batch_put(batch, key, value, noOptions);
    native.batch_write(database, batch, { sync: true });
  };

  test.each([
    ['altered', 0],
    ['altered', 1024],
    ['missing', 0],
    ['missing', 1024],
    ['missing in the middle', 0],
  ])(
    'in which a record is %s, heads having room for %i bytes, names the object, and serves all others',
    async (how, headTailBytes) => {
      let store = await openRocksStore({ directory, headTailBytes });
      for (const lsn of [1, 2, 3]) await send(store, { epoch, lsn }, noRecord);
      await send(store, { epoch, lsn: 1 }, { epoch, lsn: 1 }, { id: idB });
      await store.close();
      await tamper((database) => {
        if (headTailBytes > 0) {
          const key = headKey(idA);
          const head = native.db_get_many_sync(database, [key], noOptions)[0] as Buffer;
          const { length } = headTail(head)[2] as Buffer;
          const at = head.length - length - 20;
          head[at] = (head[at] as number) ^ 1;
          write(database, key, how === 'altered' ? head : head.subarray(0, head.length - length));
          return;
        }
        const lsn = how === 'missing' ? 3 : 2;
        const [sealed] = native.db_get_many_sync(database, [log(lsn)], noOptions);
        (sealed as Buffer)[20] = ((sealed as Buffer)[20] as number) ^ 1;
        write(database, log(lsn), how === 'altered' ? sealed : undefined);
      });
      store = await openRocksStore({ directory });
      const failure = await store.seal(object, epochOf(6)).catch((error: unknown) => error);
      expect(damagedObjectOf(failure)).toBe(idA);
      expect(() => store.tail(idA)).toThrow(/damaged/);
      // Nothing is lost of the others, and writing goes on.
      await send(store, { epoch, lsn: 2 }, { epoch, lsn: 2 }, { id: idB });
      expect(keysOf(store, idB)).toEqual(['key 1', 'key 2']);
      await store.quarantine(idA, 'a record is damaged');
      await store.seal(object, epochOf(6));
      expect(store.head(idA)).toMatchObject({ promised: epochOf(6), isQuarantined: true });
      expect(store.quarantined(9)).toMatchObject([{ through: { epoch, lsn: 3 } }]);
      await store.close();
      store = await openRocksStore({ directory });
      expect(store.tail(idA)).toEqual([]);
      await store.close();
    },
  );

  test('in which bytes of a table have changed names the object that is read', async () => {
    let store = await openRocksStore({ directory });
    const records = 20;
    for (let lsn = 1; lsn <= records; lsn++) {
      const operations = [put(`key ${lsn}`, `marker-${lsn}-`.repeat(800))];
      await send(store, { epoch, lsn }, { epoch, lsn }, { operations });
    }
    await send(store, { epoch, lsn: 1 }, { epoch, lsn: 1 }, { id: idB });
    // Opening puts what is in the log into a table, and two of those are made one, which no compaction
    // looks at again before two more have come.
    const tables = () => readdirSync(join(directory, 'db')).filter((name) => name.endsWith('.sst'));
    for (let opening = 0; opening < 2; opening++) {
      await store.close();
      store = await openRocksStore({ directory });
    }
    await expect.poll(() => tables().length, { timeout: 20_000 }).toBe(1);
    await store.close();
    const flips = tables();
    expect(flips.length).toBeGreaterThan(0);
    let changed = 0;
    for (const name of flips) {
      const path = join(directory, 'db', name);
      // In the middle: blocks at either end may hold the store's own keys, too.
      const content = readFileSync(path);
      const at = content.indexOf('marker-', content.length / 2);
      if (at === -1) continue;
      const file = openSync(path, 'r+');
      writeSync(file, Buffer.from('M'), 0, 1, at);
      closeSync(file);
      changed += 1;
    }
    expect(changed).toBeGreaterThan(0);
    store = await openRocksStore({ directory });
    let failure: unknown;
    try {
      keysOf(store, idA);
    } catch (error) {
      failure = error;
    }
    expect(damagedObjectOf(failure)).toBe(idA);
    let copyFailure: unknown;
    try {
      const snapshot = store.snapshot(idA);
      while (snapshot?.next(1 << 20) !== undefined);
    } catch (error) {
      copyFailure = error;
    }
    expect(damagedObjectOf(copyFailure)).toBe(idA);
    await store.quarantine(idA, 'a table is damaged');
    expect(keysOf(store, idA)).toEqual([]);
    // What was damaged is erased all the same.
    for (let turn = 0; turn < 20; turn++) await store.putNote('turn', Buffer.of(turn));
    const applied = { epoch, lsn: records };
    const page = encodeBody({ name: applied, operations: [put('copied', '1')] });
    const copy = { object, epoch, applied, alarmMs: null, index: 0, isLast: true, page };
    await store.install(copy);
    expect(keysOf(store, idA)).toEqual(['copied']);
    expect(keysOf(store, idB)).toEqual(['key 1']);
    await store.close();
  });
});
