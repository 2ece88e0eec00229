/**
 * The index of alarm times names, for each object, the time in its state and those of all records held
 * above it, and nothing else: whatever is appended, contradicted, folded, copied, quarantined, forgotten or
 * erased, as when objects move and replica sets change, and however often the store is opened again.
 *
 * Both adapters take the same random requests; one has no index, and tells what is right.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decodeBody,
  encodeBody,
  isHomingError,
  noRecord,
  type ObjectIdHex,
  type RecordName,
  type RecordOperation,
  type Store,
  spaces,
  type WallMs,
} from '@homing/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { memoryStore, openRocksStore } from '../src/index.ts';
import { logKeyOf } from '../src/rocks/keys.ts';
import { native, noOptions } from '../src/rocks/native.ts';
import { closeDatabase, openDatabase } from '../src/rocks/open-database.ts';
import { epochOf, numbers, type Random } from './records.ts';

const steps = 300;
const ids = ['01', '02', '03'].map((byte) => byte.repeat(32) as ObjectIdHex);
const forever = Number.MAX_SAFE_INTEGER as WallMs;

/** Few times, so that objects and records share them. */
const someAlarm = (random: Random) => (random(4) === 0 ? null : ((1 + random(6)) as WallMs));

function someOperations(random: Random): RecordOperation[] {
  const value = Buffer.from('value');
  const key = Buffer.from(`key ${random(3)}`);
  const operations: RecordOperation[] = [{ type: 'put', space: spaces.kv, key, value }];
  for (let count = random(3); count > 0; count--) {
    operations.push({ type: 'alarm', dueMs: someAlarm(random) });
  }
  return operations;
}

type Step = (store: Store) => Promise<unknown>;

/** Most requests fit what is held; some come late, or from an owner that has been superseded. */
function nextStep(held: Store, random: Random, revision: number): Step {
  const id = ids[random(ids.length)] as ObjectIdHex;
  const object = { namespace: 'worker/Class', id };
  const head = held.head(id);
  const { last, applied, promised } = head ?? {
    last: noRecord,
    applied: noRecord,
    promised: held.floor(id),
  };
  const newer = epochOf(revision);
  const epoch = random(3) === 0 || promised === 0n ? newer : promised;
  switch (random(12)) {
    case 0:
      return (store) => store.seal(object, newer);
    case 1: {
      const name: RecordName = { epoch, lsn: applied.lsn + 1 + random(3) };
      const page = encodeBody({ name, operations: someOperations(random).slice(0, 1) });
      const alarmMs = someAlarm(random);
      const pages = 1 + random(2);
      const sent = random(4) === 0 ? pages - 1 : pages;
      return async (store) => {
        for (let index = 0; index < sent; index++) {
          const isLast = index === pages - 1;
          await store.install({ object, epoch, applied: name, alarmMs, index, isLast, page });
        }
      };
    }
    case 2:
      return random(2) === 0
        ? (store) => store.quarantine(id, 'damaged')
        : (store) => store.forget(id, newer);
    case 3:
      return (store) => store.erasePage({ isMeant: (other) => other === id, limit: 10 });
    case 4:
    case 5: {
      const committed = [...held.tail(id).map(({ name }) => name), last][random(3)] ?? last;
      return (store) => store.append({ object, records: [], committed });
    }
    case 6: {
      // A log from its first record on: what was held of a former life goes.
      const records = [{ name: { epoch: newer, lsn: 1 }, operations: someOperations(random) }];
      return (store) => store.append({ object, previous: noRecord, records, committed: noRecord });
    }
    default: {
      // From the end of the log, or from within it: then the rest of it is dead.
      const names = [applied, ...held.tail(id).map(({ name }) => name)];
      const previous = random(4) === 0 ? (names[random(names.length)] ?? last) : last;
      const records = Array.from({ length: 1 + random(3) }, (_, index) => ({
        name: { epoch, lsn: previous.lsn + 1 + index },
        operations: someOperations(random),
      }));
      const committed = random(2) === 0 ? previous : (records[0]?.name ?? previous);
      return (store) => store.append({ object, previous, records, committed });
    }
  }
}

async function outcomeOf(step: Step, store: Store): Promise<string> {
  try {
    await step(store);
    return 'done';
  } catch (error) {
    if (isHomingError(error)) return error.code;
    throw error;
  }
}

const indexed = (store: Store) => [
  ...new Set(
    store.dueAlarms({ untilMs: forever, limit: 10_000 }).map(({ id, dueMs }) => `${dueMs} ${id}`),
  ),
];

/** What the index is to say, from heads and logs. */
function held(store: Store): string[] {
  const times = store.heads({ limit: 10 }).flatMap(({ id, alarmMs }) => {
    const operations = store
      .tail(id)
      .flatMap(({ body }) => decodeBody(Buffer.from(body)).operations);
    const ofTail = operations.map((one) => (one.type === 'alarm' ? one.dueMs : null));
    return [alarmMs, ...ofTail].flatMap((dueMs) => (dueMs === null ? [] : `${dueMs} ${id}`));
  });
  return [...new Set(times)].sort();
}

const bodiesOf = (store: Store, id: ObjectIdHex) =>
  store.tail(id).map(({ name, body }) => [name, Buffer.from(body).toString('hex')]);

const alarmAt = (dueMs: number): RecordOperation => ({ type: 'alarm', dueMs: dueMs as WallMs });

/** Gives one record of the log another body, behind the store's back. */
async function damageRecord(id: ObjectIdHex, lsn: number): Promise<void> {
  const options = { memtableBytes: 1 << 20, blockCacheBytes: 1 << 20, rescue: false };
  const { database } = await openDatabase(directory, options);
  const batch = native.batch_init();
  const key = logKeyOf(Buffer.from(id, 'hex'), lsn);
  native.batch_put(batch, key, Buffer.from('not a record'), noOptions);
  native.batch_write(database, batch, { sync: true });
  await closeDatabase(database);
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homing-alarms-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test.each([
  [1, 0],
  [2, 200],
  [3, 1024],
])(
  'the index of alarms is what heads and logs say, seed %i, heads having room for %i bytes',
  async (seed, headTailBytes) => {
    const random = numbers(seed);
    const memory = memoryStore();
    let rocks = await openRocksStore({ directory, headTailBytes });
    const done = new Map<string, number>();
    for (let step = 0; step < steps; step++) {
      const next = nextStep(memory, random, step + 2);
      const outcome = await outcomeOf(next, memory);
      expect([step, await outcomeOf(next, rocks)]).toEqual([step, outcome]);
      done.set(outcome, (done.get(outcome) ?? 0) + 1);
      if (random(40) === 0) {
        await rocks.close();
        // Where records lie is of no account to who reads them: it changes from start to start.
        rocks = await openRocksStore({ directory, headTailBytes: random(2) * headTailBytes });
      }
      expect([step, rocks.heads({ limit: 10 })]).toEqual([step, memory.heads({ limit: 10 })]);
      for (const id of ids)
        expect([step, bodiesOf(rocks, id)]).toEqual([step, bodiesOf(memory, id)]);
      expect([step, indexed(rocks)]).toEqual([step, held(rocks)]);
      expect([step, indexed(rocks)]).toEqual([step, indexed(memory)]);
    }
    expect(done.get('done')).toBeGreaterThan(steps / 2);
    await rocks.close();
  },
  120_000,
);

test.each(['quarantined', 'forgotten'])(
  'an object that is %s has no alarms, also where its records cannot be read',
  async (how) => {
    let store = await openRocksStore({ directory, headTailBytes: 0 });
    const [id, other] = ids as [ObjectIdHex, ObjectIdHex];
    for (const one of [id, other]) {
      for (const lsn of [1, 2, 3]) {
        await store.append({
          object: { namespace: 'worker/Class', id: one },
          records: [{ name: { epoch: epochOf(1), lsn }, operations: [alarmAt(lsn * 10)] }],
          committed: { epoch: epochOf(1), lsn: 1 },
        });
      }
    }
    await store.close();
    await damageRecord(id, 2);
    store = await openRocksStore({ directory });
    if (how === 'quarantined') await store.quarantine(id, 'a record is damaged');
    else await store.forget(id, epochOf(2));
    expect(indexed(store)).toEqual([10, 20, 30].map((dueMs) => `${dueMs} ${other}`));
    await store.close();
  },
);
