/**
 * Power failure: of RocksDB's log only what was fsynced is sure to be on disk. The rest may be missing from
 * any byte on, be zeros, or have holes. Whatever it is, all that was acknowledged is there, and no record
 * is there in part.
 *
 * The committer runs in this thread, so that it is known after which batch the log was fsynced, and how
 * long it was.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Epoch,
  makeEpoch,
  type ObjectIdHex,
  type RecordName,
  type Store,
  spaces,
} from '@homing/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRocksStore } from '../src/index.ts';
import { Committer } from '../src/rocks/committer.ts';
import { Watermark } from '../src/rocks/directory.ts';
import { type Database, native } from '../src/rocks/native.ts';
import { closeDatabase, openDatabase } from '../src/rocks/open-database.ts';
import { WireWriter } from '../src/rocks/wire.ts';
import { numbers } from './records.ts';

const cuts = 30;
const steps = 50;
const mebibyte = 1024 * 1024;
const epoch = makeEpoch(7n, 0);
const ids = ['01', '02', '03', '04'].map((byte) => byte.repeat(32) as ObjectIdHex);
const nameOf = (lsn: number): RecordName => ({ epoch, lsn });

interface Acked {
  readonly lsns: readonly number[];
  readonly promised: readonly Epoch[];
}

/** After a batch: what is acknowledged, the mark, how long the log is, and how much of it is fsynced. */
interface Moment extends Acked {
  readonly bytes: number;
  readonly syncedBytes: number;
  readonly mark: Buffer;
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homing-power-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The one that is written to: opening begins a new one, and removes the old one by and by. */
const logIn = (at: string): string => {
  const logs = readdirSync(join(at, 'db')).filter((name) => /^\d+\.log$/.test(name));
  expect(logs).not.toEqual([]);
  return join(at, 'db', logs.sort().at(-1) ?? '');
};

/** Values of which several are in one block of the log, and one is in several. */
function operationsOf(index: number, lsn: number) {
  const value = Buffer.alloc(lsn % 7 === 3 ? 50_000 : 40 + lsn, `${index} ${lsn} `);
  const put = (key: string) =>
    ({ type: 'put', space: spaces.kv, key: Buffer.from(key), value }) as const;
  return [put(`one ${lsn}`), put(`two ${lsn}`), { type: 'alarm', dueMs: lsn } as never];
}

/** Writes groups of records, promises and notices of what is committed, as the storage thread does. */
function write(at: string, database: Database, random: (below: number) => number): Moment[] {
  let isSynced = false;
  const original = native.batch_write;
  native.batch_write = (target, batch, options) => {
    isSynced = options.sync;
    original(target, batch, options);
  };
  const watermark = new Watermark(at);
  const limits = {
    batchBytesMax: mebibyte,
    batchRequestsMax: 100,
    headCacheEntries: 100,
    // Of the records held, some fit.
    headTailBytes: 150,
  };
  const committer = new Committer(database, watermark, limits);
  const writer = new WireWriter();
  const moments: Moment[] = [];
  const [lsns, committed, promised] = [ids.map(() => 0), ids.map(() => 0), ids.map(() => 0n)];
  const take = () => {
    committer.add(writer.take());
    expect(committer.commit().refused).toBeUndefined();
    const bytes = readFileSync(logIn(at)).length;
    const mark = readFileSync(join(at, 'WATERMARK'));
    const now = { lsns: [...lsns], promised: [...promised] as Epoch[] };
    const syncedBytes = isSynced ? bytes : (moments.at(-1)?.syncedBytes ?? 0);
    moments.push({ ...now, bytes, syncedBytes, mark });
  };
  try {
    for (let step = 0; step < steps; step++) {
      for (let index = random(ids.length); index < ids.length; index += 1 + random(2)) {
        const object = { namespace: 'worker/Class', id: ids[index] as ObjectIdHex };
        const lsn = (lsns[index] ?? 0) + 1;
        lsns[index] = lsn;
        const name = nameOf(lsn);
        writer.append({
          object,
          records: [{ name, operations: operationsOf(index, lsn) }],
          committed: nameOf(committed[index] ?? 0),
        });
        promised[index] = epoch;
      }
      take();
      // Folds alone are not fsynced.
      for (const [index, id] of ids.entries()) {
        const lsn = lsns[index] ?? 0;
        if (lsn === 0 || random(2) === 0) continue;
        committed[index] = lsn;
        const object = { namespace: 'worker/Class', id };
        writer.append({ object, records: [], committed: nameOf(lsn) });
      }
      if (writer.length > 0) take();
    }
    return moments;
  } finally {
    native.batch_write = original;
    watermark.close();
  }
}

const text = (value: Uint8Array | undefined) => value && Buffer.from(value).toString();

function check(store: Store, { lsns, promised }: Acked): void {
  const reader = store.reader();
  for (const [index, id] of ids.entries()) {
    const head = store.head(id);
    const acked = lsns[index] ?? 0;
    if (head === undefined) {
      expect(acked).toBe(0);
      continue;
    }
    expect(head.last.lsn).toBeGreaterThanOrEqual(acked);
    expect(head.promised).toBeGreaterThanOrEqual(promised[index] ?? 0n);
    const tail = store.tail(id);
    expect(tail.map(({ name }) => name.lsn)).toEqual(
      Array.from(
        { length: head.last.lsn - head.applied.lsn },
        (_, at) => head.applied.lsn + 1 + at,
      ),
    );
    // All of each record that is folded in, and nothing of any other.
    const found = [...reader.list(id, spaces.kv, {})].map(({ key, value }) => [
      text(key),
      text(value),
    ]);
    const expected = Array.from({ length: head.applied.lsn }, (_, at) => at + 1).flatMap((lsn) =>
      operationsOf(index, lsn)
        .slice(0, 2)
        .map((put) => [
          text((put as { key: Uint8Array }).key),
          text((put as { value: Uint8Array }).value),
        ]),
    );
    expect(new Map(found as [string, string][])).toEqual(new Map(expected as [string, string][]));
    const due = store
      .dueAlarms({ untilMs: 1e9 as never, limit: 1000 })
      .filter((alarm) => alarm.id === id);
    const held = [head.alarmMs, ...tail.map(({ name }) => name.lsn)].filter(
      (dueMs) => dueMs !== null,
    );
    expect(due.map(({ dueMs }) => dueMs)).toEqual([...new Set(held)]);
  }
  reader.close();
}

/** What the power failure left of the log from `from` on; `until` is as far as it had been written. */
const damages: readonly ((log: Buffer, from: number, until: number) => Buffer)[] = [
  (log, from) => log.subarray(0, from),
  (log, from, until) => Buffer.concat([log.subarray(0, from), Buffer.alloc(until - from)]),
  (log, from, until) =>
    Buffer.from(log.subarray(0, until)).fill(0, from, Math.min(from + 512, until)),
  (log, from, until) => Buffer.from(log.subarray(0, until)).fill(0xa5, from, until),
];

test('what was acknowledged survives a power failure, and no record is there in part', async () => {
  const random = numbers(11);
  const before = join(directory, 'before');
  await (await openRocksStore({ directory: before })).close();
  const options = { memtableBytes: 64 * mebibyte, blockCacheBytes: mebibyte, rescue: false };
  const { database } = await openDatabase(before, options);
  const moments = write(before, database, random);
  const log = readFileSync(logIn(before));
  const left = join(directory, 'left');
  cpSync(before, left, { recursive: true });
  await closeDatabase(database);
  for (let cut = 0; cut < cuts; cut++) {
    const at = random(moments.length - 1);
    const { bytes: _, syncedBytes, mark, ...acked } = moments[at] as Moment;
    // The next batch may have been on its way to the disk.
    const until = moments[at + 1]?.bytes ?? log.length;
    // At the fsynced point itself, right behind it, or anywhere up to there.
    const from = cut % 4 === 0 ? syncedBytes : syncedBytes + random(until - syncedBytes);
    const damage = damages[random(damages.length)];
    const copy = join(directory, `cut-${cut}`);
    cpSync(left, copy, { recursive: true });
    writeFileSync(logIn(copy), damage?.(log, from, until) ?? '');
    writeFileSync(join(copy, 'WATERMARK'), mark);
    const store = await openRocksStore({ directory: copy });
    check(store, acked);
    await store.close();
    rmSync(copy, { recursive: true });
  }
}, 120_000);
