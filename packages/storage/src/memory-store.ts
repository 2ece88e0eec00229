/**
 * The `Store` of tests and the simulator: everything in this process's memory, gone with it. It
 * keeps to the port's contract (test/stores.test.ts holds it to that) by the same rule for logs as the
 * RocksDB adapter, `planAppend`.
 *
 * Appends take effect at the call and resolve one microtask later. `starts` is always 1.
 */
import { randomBytes } from 'node:crypto';
import {
  type AppendRequest,
  compareRecordNames,
  type DueAlarm,
  decodeBody,
  type EncodedRecord,
  type Epoch,
  encodeBody,
  HomingError,
  type InstallRequest,
  type ListRange,
  type LogRecord,
  noRecord,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  type QuarantinedObject,
  type RecordName,
  type RecordOperation,
  type Snapshot,
  type Space,
  type StateEntry,
  type StateReader,
  type Store,
  type WallMs,
} from '@homing/base';
import {
  checkPromise,
  type ObjectLog,
  planAppend,
  stillPromised,
  takesSnapshot,
  unexpectedPage,
} from './append-plan.ts';
import { erasePage } from './erase-page.ts';
import { bucketOf, checkFloors, noFloors } from './floors.ts';

interface MemoryObject {
  readonly namespace: string;
  readonly id: ObjectIdHex;
  name: string | undefined;
  promised: Epoch;
  applied: RecordName;
  tail: LogRecord[];
  staged: Staged | undefined;
  quarantine: { readonly through: RecordName; readonly reason: string } | undefined;
  alarmMs: WallMs | null;
  /** By space: values by the key's bytes as a Latin-1 string, whose order is the bytes' order. */
  readonly spaces: Map<Space, Map<string, Uint8Array>>;
}

/** Pages of a snapshot, until the last one has come. */
interface Staged {
  readonly name: RecordName;
  readonly records: LogRecord[];
}

function keyString(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

/** In the order of RocksDB, whatever was written first: states that are equal read alike. */
function byKey<T>(entries: Iterable<readonly [string, T]>): (readonly [string, T])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A copy that shares no memory with the argument. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function copyOperation(operation: RecordOperation): RecordOperation {
  if (operation.type === 'put') {
    return { ...operation, key: copyOf(operation.key), value: copyOf(operation.value) };
  }
  return operation.type === 'delete' ? { ...operation, key: copyOf(operation.key) } : operation;
}

function copyRecord(record: LogRecord | EncodedRecord): LogRecord {
  if ('body' in record) return decodeBody(record.body);
  return { name: record.name, operations: record.operations.map(copyOperation) };
}

function sameName(staged: Staged, { applied }: InstallRequest): boolean {
  return staged.name.lsn === applied.lsn && staged.name.epoch === applied.epoch;
}

/** At least one operation, and more while they fit. */
function takePage(
  puts: readonly RecordOperation[],
  start: number,
  bytesMax: number,
): { operations: RecordOperation[]; next: number } {
  const operations: RecordOperation[] = [];
  let bytes = 0;
  let next = start;
  for (; next < puts.length && (next === start || bytes < bytesMax); next++) {
    const operation = puts[next] as RecordOperation;
    operations.push(operation);
    if (operation.type === 'put') bytes += operation.key.length + operation.value.length;
  }
  return { operations, next };
}

function spaceOf(object: MemoryObject, space: Space): Map<string, Uint8Array> {
  let entries = object.spaces.get(space);
  if (entries === undefined) {
    entries = new Map();
    object.spaces.set(space, entries);
  }
  return entries;
}

function fold(object: MemoryObject, record: LogRecord): void {
  for (const operation of record.operations) {
    if (operation.type === 'alarm') {
      object.alarmMs = operation.dueMs;
      continue;
    }
    if (operation.type === 'clear') {
      // A new map: a list that is under way goes on over the old one.
      object.spaces.set(operation.space, new Map());
      continue;
    }
    const entries = spaceOf(object, operation.space);
    if (operation.type === 'put') entries.set(keyString(operation.key), operation.value);
    else entries.delete(keyString(operation.key));
  }
  object.applied = record.name;
}

function lastOf({ tail, applied }: MemoryObject): RecordName {
  return tail.at(-1)?.name ?? applied;
}

/** Leaves nothing of the object's state and log. */
function empty(object: MemoryObject): void {
  object.tail = [];
  object.applied = noRecord;
  object.alarmMs = null;
  object.spaces.clear();
}

/** Ends the quarantine of an object that holds as much as it ever did. */
function lift(object: MemoryObject): void {
  const { quarantine } = object;
  if (quarantine === undefined) return;
  if (compareRecordNames(lastOf(object), quarantine.through) >= 0) object.quarantine = undefined;
}

function headOf(object: MemoryObject): ObjectHead {
  const { namespace, id, name, promised, applied, alarmMs } = object;
  const isQuarantined = object.quarantine === undefined ? undefined : true;
  return { namespace, id, name, promised, last: lastOf(object), applied, alarmMs, isQuarantined };
}

/** Times at which the object may want to be woken: its alarm, and those its tail would set. */
function alarmTimes(object: MemoryObject): Set<WallMs> {
  const times = new Set<WallMs>();
  if (object.alarmMs !== null) times.add(object.alarmMs);
  for (const record of object.tail) {
    for (const operation of record.operations) {
      if (operation.type === 'alarm' && operation.dueMs !== null) times.add(operation.dueMs);
    }
  }
  return times;
}

class MemoryReader implements StateReader {
  readonly #objects: ReadonlyMap<ObjectIdHex, MemoryObject>;
  readonly #isStoreClosed: () => boolean;
  #closed = false;

  constructor(objects: ReadonlyMap<ObjectIdHex, MemoryObject>, isStoreClosed: () => boolean) {
    this.#objects = objects;
    this.#isStoreClosed = isStoreClosed;
  }

  get(id: ObjectIdHex, space: Space, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.#check();
    const entries = this.#objects.get(id)?.spaces.get(space);
    return keys.map((key) => {
      const value = entries?.get(keyString(key));
      return value === undefined ? undefined : copyOf(value);
    });
  }

  *list(id: ObjectIdHex, space: Space, range: ListRange): IterableIterator<StateEntry> {
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    if (!(limit >= 1)) throw new TypeError('limit must be at least 1');
    this.#check();
    const start = range.start === undefined ? '' : keyString(range.start);
    const end = range.end === undefined ? undefined : keyString(range.end);
    const selected = byKey(this.#objects.get(id)?.spaces.get(space) ?? []).filter(
      ([key]) => key >= start && (end === undefined || key < end),
    );
    if (range.reverse) selected.reverse();
    for (const [key, value] of selected.slice(0, limit)) {
      this.#check();
      yield { key: new Uint8Array(Buffer.from(key, 'latin1')), value: copyOf(value) };
    }
  }

  close(): void {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed || this.#isStoreClosed()) throw closedError();
  }
}

class MemoryStore implements Store {
  readonly storeId = randomBytes(16).toString('hex');
  readonly starts = 1;
  readonly readerHandle = undefined;
  readonly #objects = new Map<ObjectIdHex, MemoryObject>();
  readonly #notes = new Map<string, Uint8Array>();
  #floors = noFloors;
  #closed = false;

  reader(): StateReader {
    return new MemoryReader(this.#objects, () => this.#closed);
  }

  async append(request: AppendRequest): Promise<void> {
    if (this.#closed) throw closedError();
    const { object: ref, records, committed, epoch, previous } = request;
    const held = this.#objects.get(ref.id);
    const log: ObjectLog =
      held === undefined
        ? { promised: this.floor(ref.id), applied: noRecord, tail: [] }
        : { ...held, tail: held.tail.map((record) => record.name) };
    const names = records.map((record) => record.name);
    const plan = planAppend(log, { epoch, previous, names, committed });
    if (plan.skip === records.length && plan.fold === 0 && plan.promised === log.promised) return;
    const object = held ?? this.#create(ref);
    object.name ??= ref.name;
    object.promised = plan.promised;
    if (plan.isRestart) empty(object);
    const added = records.slice(plan.skip).map(copyRecord);
    object.tail = [...object.tail.slice(0, plan.keep), ...added];
    for (const record of object.tail.splice(0, plan.fold)) fold(object, record);
    lift(object);
  }

  async seal(ref: ObjectRef, epoch: Epoch): Promise<void> {
    if (this.#closed) throw closedError();
    checkPromise(this.#promised(ref.id), epoch);
    const object = this.#objects.get(ref.id) ?? this.#create(ref);
    object.promised = epoch;
  }

  async install(request: InstallRequest): Promise<void> {
    if (this.#closed) throw closedError();
    const { object: ref, epoch, applied, index, isLast } = request;
    checkPromise(this.#promised(ref.id), epoch);
    const object = this.#objects.get(ref.id) ?? this.#create(ref);
    object.promised = epoch;
    object.name ??= ref.name;
    if (index === 0) object.staged = { name: applied, records: [] };
    const staged = object.staged;
    if (staged === undefined || index !== staged.records.length || !sameName(staged, request)) {
      throw unexpectedPage();
    }
    staged.records.push(decodeBody(request.page));
    if (!isLast) return;
    object.staged = undefined;
    const tail = object.tail.map(({ name }) => name);
    if (!takesSnapshot({ ...object, tail }, applied)) return;
    const held = object.tail.findIndex(
      ({ name }) => name.lsn === applied.lsn && name.epoch === applied.epoch,
    );
    object.tail = held === -1 ? [] : object.tail.slice(held + 1);
    object.spaces.clear();
    for (const record of staged.records) fold(object, record);
    object.applied = applied;
    object.alarmMs = request.alarmMs;
    lift(object);
  }

  async quarantine(id: ObjectIdHex, reason: string): Promise<void> {
    if (this.#closed) throw closedError();
    const object = this.#objects.get(id);
    if (object === undefined) return;
    const last = lastOf(object);
    const known = object.quarantine?.through ?? last;
    const through = compareRecordNames(known, last) > 0 ? known : last;
    empty(object);
    object.staged = undefined;
    object.quarantine = { through, reason };
    lift(object);
  }

  quarantined(limit: number): readonly QuarantinedObject[] {
    this.#checkOpen();
    return [...this.#objects.values()]
      .flatMap(({ id, quarantine }) => (quarantine === undefined ? [] : [{ id, ...quarantine }]))
      .slice(0, limit);
  }

  async forget(id: ObjectIdHex, epoch: Epoch): Promise<void> {
    if (this.#closed) throw closedError();
    const promised = this.#objects.get(id)?.promised;
    if (promised !== undefined && promised >= epoch) throw stillPromised(promised, epoch);
    this.#objects.delete(id);
    this.#raise(bucketOf(id), epoch);
  }

  async erasePage(options: Parameters<Store['erasePage']>[0]): Promise<ObjectIdHex | undefined> {
    if (this.#closed) throw closedError();
    return erasePage(this, options, async (id) => {
      this.#objects.delete(id);
    });
  }

  floor(id: ObjectIdHex): Epoch {
    return this.#floors[bucketOf(id)] as Epoch;
  }

  floors(): readonly Epoch[] {
    return this.#floors;
  }

  async raiseFloors(floors: readonly Epoch[]): Promise<void> {
    if (this.#closed) throw closedError();
    checkFloors(floors);
    for (const [bucket, epoch] of floors.entries()) this.#raise(bucket, epoch);
  }

  #raise(bucket: number, epoch: Epoch): void {
    if (epoch <= (this.#floors[bucket] as Epoch)) return;
    this.#floors = this.#floors.with(bucket, epoch);
  }

  #promised(id: ObjectIdHex): Epoch {
    return this.#objects.get(id)?.promised ?? this.floor(id);
  }

  tail(id: ObjectIdHex): readonly EncodedRecord[] {
    this.#checkOpen();
    const tail = this.#objects.get(id)?.tail ?? [];
    return tail.map((record) => ({ name: record.name, body: encodeBody(record) }));
  }

  snapshot(id: ObjectIdHex): Snapshot | undefined {
    this.#checkOpen();
    const object = this.#objects.get(id);
    if (object === undefined) return undefined;
    const head = headOf(object);
    const puts: RecordOperation[] = [];
    for (const [space, entries] of [...object.spaces].sort(([a], [b]) => a - b)) {
      for (const [key, value] of byKey(entries)) {
        puts.push({ type: 'put', space, key: Buffer.from(key, 'latin1'), value });
      }
    }
    let at = 0;
    return {
      head,
      next: (bytesMax) => {
        if (at >= puts.length) return undefined;
        const { operations, next } = takePage(puts, at, bytesMax);
        at = next;
        return encodeBody({ name: head.applied, operations });
      },
      close: () => {
        at = puts.length;
      },
    };
  }

  note(name: string): Uint8Array | undefined {
    this.#checkOpen();
    return this.#notes.get(name);
  }

  notes(prefix: string): readonly { readonly name: string; readonly value: Uint8Array }[] {
    this.#checkOpen();
    return byKey(this.#notes)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => ({ name, value }));
  }

  async putNote(name: string, value: Uint8Array): Promise<void> {
    if (this.#closed) throw closedError();
    this.#notes.set(name, copyOf(value));
  }

  #create({ id, namespace, name }: ObjectRef): MemoryObject {
    const object: MemoryObject = {
      namespace,
      id,
      name,
      promised: this.floor(id),
      applied: noRecord,
      tail: [],
      staged: undefined,
      quarantine: undefined,
      alarmMs: null,
      spaces: new Map(),
    };
    this.#objects.set(id, object);
    return object;
  }

  head(id: ObjectIdHex): ObjectHead | undefined {
    this.#checkOpen();
    const object = this.#objects.get(id);
    return object === undefined ? undefined : headOf(object);
  }

  heads(options: {
    readonly namespace?: string | undefined;
    readonly after?: ObjectIdHex | undefined;
    readonly limit: number;
  }): readonly ObjectHead[] {
    this.#checkOpen();
    const { namespace, after, limit } = options;
    return [...this.#objects.values()]
      .filter((object) => namespace === undefined || object.namespace === namespace)
      .filter((object) => after === undefined || object.id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit)
      .map(headOf);
  }

  dueAlarms(options: { readonly untilMs: WallMs; readonly limit: number }): readonly DueAlarm[] {
    this.#checkOpen();
    const due: DueAlarm[] = [];
    for (const object of this.#objects.values()) {
      for (const dueMs of alarmTimes(object)) {
        if (dueMs <= options.untilMs) {
          due.push({ namespace: object.namespace, id: object.id, dueMs });
        }
      }
    }
    due.sort((a, b) => a.dueMs - b.dueMs || (a.id < b.id ? -1 : 1));
    return due.slice(0, options.limit);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }
}

function closedError(): HomingError {
  return new HomingError('unavailable', 'the store is closed');
}

/** A store of its own, empty. Only the thread that made it can read it. */
export function memoryStore(): Store {
  return new MemoryStore();
}
