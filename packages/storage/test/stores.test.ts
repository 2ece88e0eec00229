/** What every store must do, held against both adapters; and what only a directory can get wrong. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decodeBody,
  type Epoch,
  encodeBody,
  makeEpoch,
  noRecord,
  type ObjectIdHex,
  type RecordOperation,
  type Store,
  spaces,
  type WallMs,
} from '@homing/base';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryStore, openRocksStore, openStateReader } from '../src/index.ts';

const epoch = makeEpoch(1n, 1);
const idA = 'a1'.repeat(32) as ObjectIdHex;
const idB = 'b2'.repeat(32) as ObjectIdHex;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const put = (key: string, value: string): RecordOperation => ({
  type: 'put',
  space: spaces.kv,
  key: bytes(key),
  value: bytes(value),
});

function append(
  store: Store,
  id: ObjectIdHex,
  lsn: number,
  operations: RecordOperation[],
  options: { epoch?: Epoch; committed?: boolean } = {},
): Promise<void> {
  const name = { epoch: options.epoch ?? epoch, lsn };
  return store.append({
    object: { namespace: 'worker/Class', id },
    records: [{ name, operations }],
    committed: (options.committed ?? true) ? name : noRecord,
  });
}

function contents(store: Store, id: ObjectIdHex): [string, string][] {
  const reader = store.reader();
  return [...reader.list(id, spaces.kv, {})].map(({ key, value }) => [
    Buffer.from(key).toString(),
    Buffer.from(value).toString(),
  ]);
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

  test('an appended record is readable, in key order, both ways, with a limit', async () => {
    await append(store, idA, 1, [put('b', '2'), put('a', '1'), put('c', '3')]);
    expect(contents(store, idA)).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
    ]);
    const range = { start: bytes('a'), end: bytes('c'), reverse: true, limit: 1 };
    const [only, ...rest] = [...store.reader().list(idA, spaces.kv, range)];
    expect(Buffer.from(only!.key).toString()).toBe('b');
    expect(rest).toEqual([]);
    expect(contents(store, idB)).toEqual([]);
  });

  test('clear empties the space for what follows it in the record', async () => {
    await append(store, idA, 1, [put('a', '1')]);
    await append(store, idA, 2, [{ type: 'clear', space: spaces.kv }, put('b', '2')]);
    expect(contents(store, idA)).toEqual([['b', '2']]);
  });

  test('an older epoch is fenced and writes nothing; a gap is refused', async () => {
    await append(store, idA, 1, [put('a', '1')], { epoch: makeEpoch(2n, 0) });
    await expect(append(store, idA, 2, [put('a', '2')])).rejects.toMatchObject({ code: 'fenced' });
    await expect(
      append(store, idA, 3, [put('a', '3')], { epoch: makeEpoch(2n, 0) }),
    ).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(contents(store, idA)).toEqual([['a', '1']]);
  });

  test('an uncommitted record shows once it is known committed', async () => {
    await append(store, idA, 1, [put('a', '1')], { committed: false });
    expect(contents(store, idA)).toEqual([]);
    expect(store.head(idA)).toMatchObject({ last: { epoch, lsn: 1 }, applied: noRecord });
    await append(store, idA, 2, [put('b', '2')]);
    expect(contents(store, idA)).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
  });

  test('alarms come due in order, and go when they are taken away', async () => {
    const alarm = (dueMs: number | null): RecordOperation => ({
      type: 'alarm',
      dueMs: dueMs as WallMs | null,
    });
    await append(store, idA, 1, [alarm(200)]);
    await append(store, idB, 1, [alarm(100)]);
    const due = (untilMs: number) =>
      store.dueAlarms({ untilMs: untilMs as WallMs, limit: 9 }).map(({ id }) => id);
    expect(due(200)).toEqual([idB, idA]);
    expect(due(199)).toEqual([idB]);
    await append(store, idB, 2, [alarm(null)]);
    expect(due(200)).toEqual([idA]);
  });
});

test('random appends, clears and reopens agree with a Map', async () => {
  const key = fc.constantFrom('', 'a', 'b', 'ab');
  const step = fc.oneof(
    fc.record({ type: fc.constant('put' as const), key, value: fc.string({ maxLength: 8 }) }),
    fc.record({ type: fc.constant('delete' as const), key }),
    fc.record({ type: fc.constant('clear' as const) }),
    fc.record({ type: fc.constant('reopen' as const) }),
  );
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const place = join(directory, `run${run++}`);
      let store = await openRocksStore({ directory: place });
      const model = new Map<string, string>();
      let lsn = 0;
      for (const one of steps) {
        const space = spaces.kv;
        if (one.type === 'reopen') {
          await store.close();
          store = await openRocksStore({ directory: place });
        } else if (one.type === 'put') {
          model.set(one.key, one.value);
          await append(store, idA, ++lsn, [put(one.key, one.value)]);
        } else if (one.type === 'delete') {
          model.delete(one.key);
          await append(store, idA, ++lsn, [{ type: 'delete', space, key: bytes(one.key) }]);
        } else {
          model.clear();
          await append(store, idA, ++lsn, [{ type: 'clear', space }]);
        }
      }
      const seen = contents(store, idA);
      await store.close();
      expect(seen).toEqual([...model].sort(([a], [b]) => (a < b ? -1 : 1)));
    }),
    { numRuns: 15 },
  );
});

describe.each(adapters)('%s store as a replica', (_, open) => {
  const object = { namespace: 'worker/Class', id: idA, name: 'alice' };
  const later = makeEpoch(2n, 0);
  let store: Store;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.close());

  test('a seal ends writes of older epochs, and tells what is held', async () => {
    await append(store, idA, 1, [put('a', '1')]);
    await append(store, idA, 2, [put('a', '2')], { committed: false });
    await store.seal(object, later);
    await store.seal(object, later);
    await expect(append(store, idA, 3, [put('a', '3')])).rejects.toMatchObject({ code: 'fenced' });
    await expect(store.seal(object, epoch)).rejects.toMatchObject({ code: 'fenced' });
    expect(store.head(idA)).toMatchObject({
      promised: later,
      last: { epoch, lsn: 2 },
      applied: { epoch, lsn: 1 },
    });
    expect(store.tail(idA).map(({ name }) => name)).toEqual([{ epoch, lsn: 2 }]);
    await store.seal({ ...object, id: idB }, later);
    expect(store.head(idB)).toMatchObject({ promised: later, last: noRecord, name: 'alice' });
  });

  test('a record whose predecessor is not held is a gap, and is not taken', async () => {
    await append(store, idA, 1, [put('a', '1')], { committed: false });
    const send = (previous: { epoch: Epoch; lsn: number }) =>
      store.append({
        object,
        epoch: later,
        previous,
        records: [{ name: { epoch: later, lsn: previous.lsn + 1 }, operations: [put('a', '2')] }],
        committed: noRecord,
      });
    const gap = { code: 'invalid_argument' };
    await expect(send({ epoch: makeEpoch(1n, 9), lsn: 1 })).rejects.toMatchObject(gap);
    await expect(send({ epoch, lsn: 4 })).rejects.toMatchObject(gap);
    expect(store.head(idA)?.last.lsn).toBe(1);
    await send({ epoch, lsn: 1 });
    expect(store.head(idA)?.last).toEqual({ epoch: later, lsn: 2 });
  });

  test('what is committed is folded by name alone, and only where that record is held', async () => {
    await append(store, idA, 1, [put('a', '1')], { committed: false });
    const fold = (name: { epoch: Epoch; lsn: number }) =>
      store.append({ object, records: [], committed: name });
    await fold({ epoch: later, lsn: 1 });
    expect(contents(store, idA)).toEqual([]);
    await fold({ epoch, lsn: 1 });
    expect(contents(store, idA)).toEqual([['a', '1']]);
    expect(store.tail(idA)).toEqual([]);
  });

  test('a snapshot is the same for the same state, whatever was written in between', async () => {
    const system = (key: string): RecordOperation => ({
      type: 'put',
      space: spaces.system,
      key: bytes(key),
      value: bytes('value'),
    });
    await append(store, idA, 1, [put('b', '2'), put('a', '1'), system('s')]);
    await append(store, idB, 1, [system('s'), put('x', '0'), put('b', '2')]);
    await append(store, idB, 2, [
      { type: 'clear', space: spaces.kv },
      put('a', '1'),
      put('b', '2'),
    ]);
    const pagesOf = (id: ObjectIdHex) => {
      const snapshot = store.snapshot(id);
      const page = decodeBody(snapshot?.next(1 << 20) ?? new Uint8Array());
      snapshot?.close();
      return page.operations;
    };
    expect(pagesOf(idB)).toEqual(pagesOf(idA));
    expect(pagesOf(idA)).toHaveLength(3);
  });

  test('a snapshot takes the place of what another replica holds, all at once', async () => {
    const source = memoryStore();
    const entries = Array.from({ length: 200 }, (_, n) => put(`key${n}`, `value${n}`));
    await append(source, idA, 1, entries);
    await append(source, idA, 2, [{ type: 'alarm', dueMs: 77 as WallMs }]);
    const pages: Uint8Array[] = [];
    const snapshot = source.snapshot(idA);
    for (let page = snapshot?.next(200); page !== undefined; page = snapshot?.next(200)) {
      pages.push(page);
    }
    expect(pages.length).toBeGreaterThan(3);
    await append(store, idA, 1, [put('old', 'old')], { epoch: makeEpoch(0n, 1) });
    await append(store, idA, 2, [put('old', 'dead')], {
      epoch: makeEpoch(0n, 1),
      committed: false,
    });
    const install = (index: number) =>
      store.install({
        object,
        epoch: later,
        applied: { epoch, lsn: 2 },
        alarmMs: 77 as WallMs,
        index,
        isLast: index === pages.length - 1,
        page: pages[index] as Uint8Array,
      });
    // A first attempt breaks off; then a page that is not the next one is refused.
    await install(0);
    await install(1);
    await expect(install(3)).rejects.toMatchObject({ code: 'invalid_argument' });
    await install(0);
    for (let index = 1; index < pages.length - 1; index++) await install(index);
    expect(contents(store, idA)).toEqual([['old', 'old']]);
    await install(pages.length - 1);
    expect(contents(store, idA)).toEqual(contents(source, idA));
    expect(store.tail(idA)).toEqual([]);
    expect(store.head(idA)).toMatchObject({
      promised: later,
      applied: { epoch, lsn: 2 },
      last: { epoch, lsn: 2 },
      alarmMs: 77,
    });
    expect(store.dueAlarms({ untilMs: 100 as WallMs, limit: 10 })).toHaveLength(1);
    await append(store, idA, 3, [put('new', 'new')], { epoch: later });
    expect(contents(store, idA)).toContainEqual(['new', 'new']);
    const older = store.install({
      object,
      epoch,
      applied: { epoch, lsn: 2 },
      alarmMs: null,
      index: 0,
      isLast: true,
      page: pages[0] as Uint8Array,
    });
    await expect(older).rejects.toMatchObject({ code: 'fenced' });
    expect([...pagesOf(store, idA)].length).toBeGreaterThan(0);
  });

  test('notes are kept by name', async () => {
    expect(store.note('cluster')).toBeUndefined();
    await store.putNote('cluster', bytes('1'));
    await store.putNote('cluster', bytes('2'));
    expect(Buffer.from(store.note('cluster') ?? []).toString()).toBe('2');
    await store.putNote('set b', bytes('b'));
    await store.putNote('set a', bytes('a'));
    await store.putNote('seu', bytes('c'));
    expect(store.notes('set ').map(({ name, value }) => `${name}: ${Buffer.from(value)}`)).toEqual([
      'set a: a',
      'set b: b',
    ]);
  });
});

/** A store gives what another can install, whichever adapter it is. */
function* pagesOf(store: Store, id: ObjectIdHex): Generator<Uint8Array> {
  const snapshot = store.snapshot(id);
  for (let page = snapshot?.next(50); page !== undefined; page = snapshot?.next(50)) yield page;
  snapshot?.close();
}

test('a half copy that a crash left behind is erased, and the next attempt is whole', async () => {
  let store = await openRocksStore({ directory });
  const object = { namespace: 'worker/Class', id: idA };
  const page = (text: string) =>
    encodeBody({ name: { epoch, lsn: 5 }, operations: [put('key', text), put(text, '')] });
  const install = (index: number, isLast: boolean, text: string) =>
    store.install({
      object,
      epoch,
      applied: { epoch, lsn: 5 },
      alarmMs: null,
      index,
      isLast,
      page: page(text),
    });
  await install(0, false, 'half');
  await store.close();
  store = await openRocksStore({ directory });
  await expect(install(1, true, 'second')).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(contents(store, idA)).toEqual([]);
  await install(0, true, 'whole');
  expect(contents(store, idA)).toEqual([
    ['key', 'whole'],
    ['whole', ''],
  ]);
  await append(store, idA, 6, [{ type: 'clear', space: spaces.kv }, put('a', '1')]);
  expect(contents(store, idA)).toEqual([['a', '1']]);
  await store.close();
});

describe('a data directory', () => {
  test('keeps state and counts starts; another reader sees it', async () => {
    const first = await openRocksStore({ directory });
    await append(first, idA, 1, [put('a', '1')]);
    await first.close();
    const second = await openRocksStore({ directory });
    expect([first.starts, second.starts]).toEqual([1, 2]);
    expect(second.storeId).toBe(first.storeId);
    const reader = openStateReader(second.readerHandle);
    expect(reader.get(idA, spaces.kv, [bytes('a')])).toEqual([Buffer.from('1')]);
    reader.close();
    await second.close();
  });

  test('in use is refused, naming the lock', async () => {
    const store = await openRocksStore({ directory });
    await expect(openRocksStore({ directory })).rejects.toThrow(/in use.*LOCK/);
    await store.close();
  });

  test('of something else is refused', async () => {
    writeFileSync(join(directory, 'photo.jpg'), 'x');
    await expect(openRocksStore({ directory })).rejects.toThrow(/not a homing store/);
  });

  test('of a newer format is refused', async () => {
    writeFileSync(join(directory, 'STORE'), '{"homing":"store","format":99}');
    await expect(openRocksStore({ directory })).rejects.toThrow(/format 99.*newer homing/);
  });

  test('with damaged files is refused', async () => {
    const store = await openRocksStore({ directory });
    await append(store, idA, 1, [put('a', '1')]);
    await store.close();
    const mark = readFileSync(join(directory, 'WATERMARK'));
    writeFileSync(join(directory, 'WATERMARK'), mark.subarray(0, 8));
    await expect(openRocksStore({ directory })).rejects.toMatchObject({ code: 'corruption' });
    writeFileSync(join(directory, 'WATERMARK'), mark);
    rmSync(join(directory, 'db', 'CURRENT'));
    await expect(openRocksStore({ directory })).rejects.toThrow(/CURRENT is missing/);
    writeFileSync(join(directory, 'STORE'), 'rubbish');
    await expect(openRocksStore({ directory })).rejects.toThrow(/STORE is damaged/);
  });

  test('whose log lost acknowledged writes is refused', async () => {
    const store = await openRocksStore({ directory });
    await append(store, idA, 1, [put('a', '1')]);
    await store.close();
    const database = join(directory, 'db');
    const logs = readdirSync(database).filter((name) => name.endsWith('.log'));
    expect(logs.length).toBeGreaterThan(0);
    for (const name of logs) truncateSync(join(database, name), 0);
    await expect(openRocksStore({ directory })).rejects.toMatchObject({
      code: 'corruption',
      message: expect.stringContaining('acknowledged are missing'),
    });
  });
});
