/**
 * Group commit: turns queued append requests into RocksDB write batches, one fsync for each batch.
 * Runs on the storage thread and knows no threads: `add` queues, `commit` writes one batch.
 *
 * Invariants
 * 1. Requests take effect in the order they were added, whatever batch each falls into.
 * 2. All keys that one record touches (state, head, alarm index, generation, log) are in one batch.
 * 3. `commit` returns after the fsync, where the batch has anything but folding and pages of a half copy;
 *    until then nothing it took is settled. When it throws, what the disk holds is unknown: it is never
 *    called again.
 * 4. A refused request (fenced, gap) has put nothing into the batch that a reader can see.
 */
import {
  assert,
  compareRecordNames,
  damagedObjectOf,
  type Epoch,
  type ErrorData,
  errorToData,
  isHomingError,
  noRecord,
  OperationCursor,
  operationTypes,
  sealBody,
  type WallMs,
} from '@homing/base';
import { type AppendPlan, checkPromise, planAppend, stillPromised } from '../append-plan.ts';
import { alarmKeysOf } from './alarm-hints.ts';
import type { Watermark } from './directory.ts';
import { Floors } from './floor-table.ts';
import { headHasName, headNamespace, newHead, writeHeadFields } from './head-codec.ts';
import { discardStaged, generationValue, installPage } from './install.ts';
import {
  alarmKeyOf,
  families,
  garbageKeyOf,
  generationKeyOf,
  generationOffset,
  logKeyOf,
  namespacePrefix,
  noteKey,
  quarantineKeyOf,
  statePrefixBytes,
} from './keys.ts';
import { type Batch, type Database, native, noOptions } from './native.ts';
import {
  CachedObject,
  ObjectCache,
  spaceNumbers,
  type TailRecord,
  tailRecord,
} from './object-cache.ts';
import { encodeQuarantine } from './quarantine.ts';
import { requestKinds, WireReader } from './wire.ts';

export interface CommitLimits {
  /** Most bytes of requests in one batch; a single larger request is a batch of its own. */
  readonly batchBytesMax: number;
  /** Most requests in one batch. */
  readonly batchRequestsMax: number;
  /** Objects whose heads stay in memory. */
  readonly headCacheEntries: number;
  /** Most bytes of records that an object's head holds; others have keys of their own. */
  readonly headTailBytes: number;
}

export interface CommitReport {
  /** So many requests, in order of arrival, are settled. */
  readonly settled: number;
  readonly records: number;
  readonly fsyncSeconds: number;
  /** Those of them that were refused, by their place among the settled. */
  readonly refused: readonly { readonly index: number; readonly error: ErrorData }[] | undefined;
}

const empty = Buffer.alloc(0);
/** State keys and heads up to this size are assembled in one reused buffer. */
const scratchBytes = 4096;

export class Committer {
  readonly #database: Database;
  readonly #watermark: Pick<Watermark, 'write'>;
  readonly #limits: CommitLimits;
  readonly #cache: ObjectCache;
  readonly #floors: Floors;
  readonly #batch: Batch = native.batch_init();
  readonly #reader = new WireReader();
  readonly #cursor = new OperationCursor();
  readonly #dirty: CachedObject[] = [];
  readonly #queue: Buffer[] = [];
  #offset = 0;
  #records = 0;
  #cleared = false;
  /** The batch in the making holds what is to be acknowledged. */
  #mustSync = false;
  readonly #scratch = Buffer.alloc(scratchBytes);
  /** Views of the scratch buffer by length, so that a key costs no allocation. */
  readonly #views: (Buffer | undefined)[] = [];

  constructor(database: Database, watermark: Pick<Watermark, 'write'>, limits: CommitLimits) {
    this.#database = database;
    this.#watermark = watermark;
    this.#limits = limits;
    this.#cache = new ObjectCache(database, limits.headCacheEntries);
    this.#floors = new Floors(database);
  }

  /** Queues the requests of one buffer, which is the committer's from here on. */
  add(requests: Uint8Array): void {
    this.#queue.push(Buffer.from(requests.buffer, requests.byteOffset, requests.byteLength));
  }

  get hasWork(): boolean {
    return this.#queue.length > 0;
  }

  /** True once after a batch that cleared a space: there is something to erase. */
  takeCleared(): boolean {
    const cleared = this.#cleared;
    this.#cleared = false;
    return cleared;
  }

  /** Nothing is left of an object that was forgotten: its generations may begin anew. */
  erased(id: Buffer): void {
    this.#cache.drop(id);
  }

  /** Writes the next batch. Throws when it cannot be known to be on disk. */
  commit(): CommitReport {
    let refused: { index: number; error: ErrorData }[] | undefined;
    let bytes = 0;
    let settled = 0;
    this.#records = 0;
    while (this.#queue.length > 0 && settled < this.#limits.batchRequestsMax) {
      const size = 4 + (this.#queue[0] as Buffer).readUInt32BE(this.#offset);
      if (settled > 0 && bytes + size > this.#limits.batchBytesMax) break;
      const error = this.#takeNext();
      if (error !== undefined) {
        refused ??= [];
        refused.push({ index: settled, error });
      }
      bytes += size;
      settled += 1;
    }
    const fsyncSeconds = this.#dirty.length > 0 || this.#mustSync ? this.#write() : 0;
    this.#cache.trim();
    return { settled, records: this.#records, fsyncSeconds, refused };
  }

  #takeNext(): ErrorData | undefined {
    const buffer = this.#queue[0] as Buffer;
    this.#offset = this.#reader.read(buffer, this.#offset);
    if (this.#offset === buffer.length) {
      this.#queue.shift();
      this.#offset = 0;
    }
    if (this.#reader.kind === requestKinds.note) {
      this.#note();
      return undefined;
    }
    if (this.#reader.kind === requestKinds.floors) {
      this.#raiseFloors();
      return undefined;
    }
    const object = this.#find(buffer);
    if (!(object instanceof CachedObject)) return object;
    if (object.head === undefined) object.promised = this.#floors.of(object.id);
    try {
      this.#take(object);
      return undefined;
    } catch (error) {
      // Anything else than a refusal is a fault of the disk, or ours.
      if (isHomingError(error) && error.code !== 'corruption') return errorToData(error);
      if (error instanceof TypeError) return errorToData(error);
      throw error;
    }
  }

  /** The request's object, or why there is none to be had: what is held of it is damaged. */
  #find(buffer: Buffer): CachedObject | ErrorData {
    const { kind, idStart } = this.#reader;
    // What takes all of it away needs to read none of it.
    const isDamageMeant =
      kind === requestKinds.quarantine ||
      kind === requestKinds.erase ||
      kind === requestKinds.forget;
    try {
      return this.#cache.get(buffer, idStart, isDamageMeant);
    } catch (error) {
      if (damagedObjectOf(error) === undefined) throw error;
      return errorToData(error);
    }
  }

  #take(object: CachedObject): void {
    const { kind, epoch, names, previous, committed } = this.#reader;
    if (kind === requestKinds.append) {
      this.#apply(object, planAppend(object, { epoch, previous, names, committed }));
      return;
    }
    assert(epoch !== undefined, 'wire: a request without an epoch');
    if (kind === requestKinds.quarantine) {
      this.#quarantine(object);
      return;
    }
    if (kind === requestKinds.erase) {
      this.#erase(object);
      return;
    }
    if (kind === requestKinds.forget) {
      const isKnown = object.head !== undefined;
      if (isKnown && object.promised >= epoch) throw stillPromised(object.promised, epoch);
      this.#erase(object);
      this.#floors.raise(this.#batch, object.id[object.id.length - 1] as number, epoch);
      return;
    }
    checkPromise(object.promised, epoch);
    if (kind === requestKinds.seal) {
      if (object.promised !== epoch || object.head === undefined) this.#touch(object);
    } else this.#install(object);
    // What is staged counts for nothing before its last page, and is discarded after a restart.
    this.#mustSync ||=
      kind === requestKinds.seal || this.#reader.isLast || object.promised !== epoch;
    object.promised = epoch;
  }

  #note(): void {
    const { buffer, namespaceEnd, nameEnd, bodies } = this.#reader;
    const key = noteKey(buffer.toString('utf8', namespaceEnd + 4, nameEnd));
    const value = buffer.subarray(bodies[0], bodies[1]);
    native.batch_put(this.#batch, key, value, noOptions);
    this.#mustSync = true;
  }

  #raiseFloors(): void {
    const { buffer, bodies } = this.#reader;
    const [start = 0, end = 0] = bodies;
    for (let at = start; at < end; at += 8) {
      this.#floors.raise(this.#batch, (at - start) / 8, buffer.readBigUInt64BE(at) as Epoch);
    }
    this.#mustSync = true;
  }

  /**
   * Takes an object out of every index, at once; its keys are erased behind. Its generations go on
   * counting until that is done.
   */
  #erase(object: CachedObject): void {
    this.#mustSync = true;
    if (object.head === undefined) return;
    const key = Buffer.concat([namespacePrefix(headNamespace(object.head).toString()), object.id]);
    native.batch_del(this.#batch, key, noOptions);
    native.batch_del(this.#batch, object.headKey, noOptions);
    this.#empty(object);
    discardStaged(this.#batch, object);
    if (object.heldBefore !== undefined) {
      native.batch_del(this.#batch, quarantineKeyOf(object.id), noOptions);
      object.heldBefore = undefined;
    }
    object.head = undefined;
  }

  /** What was held goes; what it was stays known, until as much is held again. */
  #quarantine(object: CachedObject): void {
    this.#mustSync = true;
    if (object.head === undefined) return;
    const { buffer, bodies } = this.#reader;
    const last = object.unreadTo ?? object.last;
    const before = object.heldBefore ?? last;
    this.#touch(object);
    this.#empty(object);
    discardStaged(this.#batch, object);
    object.heldBefore = compareRecordNames(before, last) > 0 ? before : last;
    const reason = buffer.subarray(bodies[0], bodies[1]);
    const value = encodeQuarantine(object.heldBefore, reason);
    native.batch_put(this.#batch, quarantineKeyOf(object.id), value, noOptions);
  }

  #liftQuarantine(object: CachedObject): void {
    if (object.heldBefore === undefined) return;
    if (compareRecordNames(object.last, object.heldBefore) < 0) return;
    object.heldBefore = undefined;
    native.batch_del(this.#batch, quarantineKeyOf(object.id), noOptions);
  }

  /** Leaves nothing of the object's state and log. */
  #empty(object: CachedObject): void {
    this.#dropTail(object, 0);
    // Records that cannot be read do not tell what is to go with them.
    const unread = object.unreadTo === undefined ? [] : alarmKeysOf(this.#database, object.id);
    for (const key of unread) native.batch_del(this.#batch, key, noOptions);
    for (let { lsn } = object.applied; lsn < (object.unreadTo?.lsn ?? 0); lsn++) {
      native.batch_del(this.#batch, logKeyOf(object.id, lsn + 1), noOptions);
    }
    object.unreadTo = undefined;
    this.#setAlarm(object, null);
    for (const space of spaceNumbers) this.#clear(object, space);
    object.applied = noRecord;
  }

  #install(object: CachedObject): void {
    const { committed, alarmMs } = this.#reader;
    const isInstalled = installPage(this.#batch, object, this.#reader);
    this.#touch(object);
    if (!isInstalled) return;
    this.#cleared = true;
    const held = object.tail.findIndex(
      ({ lsn, epoch }) => lsn === committed.lsn && epoch === committed.epoch,
    );
    for (const record of object.tail.splice(0, held + 1)) {
      this.#release(object, record);
      this.#tailAlarms(object, record.body, false);
    }
    if (held === -1) this.#dropTail(object, 0);
    object.applied = committed;
    this.#setAlarm(object, alarmMs);
    this.#indexTail(object);
  }

  #apply(object: CachedObject, plan: AppendPlan): void {
    const { names, bodies, buffer } = this.#reader;
    const added = names.length - plan.skip;
    // A duplicate: what it repeats is on disk, or in this very batch.
    if (added === 0 && plan.fold === 0 && plan.promised === object.promised) return;
    this.#touch(object);
    if (plan.isRestart) this.#empty(object);
    // Folding alone needs no fsync: the records are on disk, and what is committed is found again.
    this.#mustSync ||= added > 0 || plan.promised !== object.promised;
    object.promised = plan.promised;
    const hadTail = object.tail.length > 0;
    if (plan.keep < object.tail.length) this.#dropTail(object, plan.keep);
    const fromTail = Math.min(plan.fold, plan.keep);
    for (const record of object.tail.splice(0, fromTail)) {
      this.#fold(object, record.body, 0, record.body.length);
      this.#release(object, record);
    }
    const direct = plan.fold - fromTail;
    for (let index = 0; index < added; index++) {
      const start = bodies[(plan.skip + index) * 2] as number;
      const end = bodies[(plan.skip + index) * 2 + 1] as number;
      if (index < direct) this.#fold(object, buffer, start, end);
      else this.#hold(object, buffer.subarray(start, end));
    }
    this.#records += added;
    if (hadTail) this.#indexTail(object);
  }

  /** Makes sure of a head buffer with the object's strings, and that the batch will write it. */
  #touch(object: CachedObject): void {
    if (!object.isDirty) {
      object.isDirty = true;
      this.#dirty.push(object);
    }
    const { buffer, namespaceStart, namespaceEnd, hasName, nameEnd } = this.#reader;
    const name = hasName ? buffer.subarray(namespaceEnd + 4, nameEnd) : undefined;
    if (object.head === undefined) {
      const namespace = buffer.subarray(namespaceStart, namespaceEnd);
      object.head = newHead(namespace, name);
      const key = Buffer.concat([namespacePrefix(namespace.toString()), object.id]);
      native.batch_put(this.#batch, key, empty, noOptions);
    } else if (name !== undefined && !headHasName(object.head)) {
      object.head = newHead(headNamespace(object.head), name);
    }
  }

  /** Folds one record into the state. */
  #fold(object: CachedObject, buffer: Buffer, start: number, end: number): void {
    const cursor = this.#cursor;
    cursor.open(buffer, start, end);
    while (cursor.next()) {
      if (cursor.type === operationTypes.put) {
        const value = buffer.subarray(cursor.keyEnd, cursor.valueEnd);
        native.batch_put(this.#batch, this.#stateKey(object), value, noOptions);
      } else if (cursor.type === operationTypes.delete) {
        native.batch_del(this.#batch, this.#stateKey(object), noOptions);
      } else if (cursor.type === operationTypes.clear) {
        this.#clear(object, cursor.space);
      } else {
        this.#setAlarm(object, cursor.dueMs);
      }
    }
    object.applied = { epoch: cursor.epoch, lsn: cursor.lsn };
  }

  /** The key of the cursor's operation; valid until the next call. */
  #stateKey(object: CachedObject): Buffer {
    const { body, space, keyStart, keyEnd } = this.#cursor;
    const length = statePrefixBytes + keyEnd - keyStart;
    const key = length <= scratchBytes ? this.#view(length) : Buffer.allocUnsafeSlow(length);
    key[0] = families.state;
    key.set(object.id, 1);
    key[generationOffset - 1] = space;
    key.writeUInt32BE(object.generations[space] as number, generationOffset);
    body.copy(key, statePrefixBytes, keyStart, keyEnd);
    return key;
  }

  #view(length: number): Buffer {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#scratch.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }

  /** O(1) whatever the space holds: readers look at the next generation from this batch on. */
  #clear(object: CachedObject, space: number): void {
    const old = object.generations[space] as number;
    // Never one that a snapshot is, or was, staged under.
    const next = Math.max(old, object.stagedGeneration) + 1;
    assert(next <= 0xffff_ffff, 'clear: generations are used up');
    const value = generationValue(next);
    native.batch_put(this.#batch, generationKeyOf(object.id, space), value, noOptions);
    native.batch_put(this.#batch, garbageKeyOf(object.id, space, old), empty, noOptions);
    object.generations[space] = next;
    this.#cleared = true;
  }

  #setAlarm(object: CachedObject, dueMs: WallMs | null): void {
    if (object.alarmMs === dueMs) return;
    if (object.alarmMs !== null) this.#unindex(object, object.alarmMs);
    object.alarmMs = dueMs;
    if (dueMs !== null) this.#index(object, dueMs);
  }

  #index(object: CachedObject, dueMs: WallMs): void {
    const namespace = headNamespace(object.head as Buffer);
    native.batch_put(this.#batch, alarmKeyOf(object.id, dueMs), namespace, noOptions);
  }

  #unindex(object: CachedObject, dueMs: WallMs): void {
    native.batch_del(this.#batch, alarmKeyOf(object.id, dueMs), noOptions);
  }

  /** Keeps a record that is not known committed, and indexes its alarms as hints. */
  #hold(object: CachedObject, view: Buffer): void {
    const sealed = sealBody(view);
    const isInHead = object.headTailBytes + sealed.length <= this.#limits.headTailBytes;
    const record = tailRecord(sealed, isInHead);
    object.tail.push(record);
    if (isInHead) object.headTailBytes += sealed.length;
    else native.batch_put(this.#batch, logKeyOf(object.id, record.lsn), sealed, noOptions);
    this.#tailAlarms(object, record.body, true);
  }

  /** Takes a record that is in the tail no more off the disk; the head is written with each batch. */
  #release(object: CachedObject, { lsn, sealed, isInHead }: TailRecord): void {
    if (isInHead) object.headTailBytes -= sealed.length;
    else native.batch_del(this.#batch, logKeyOf(object.id, lsn), noOptions);
  }

  #dropTail(object: CachedObject, keep: number): void {
    const dropped: TailRecord[] = object.tail.splice(keep);
    for (const record of dropped) {
      this.#release(object, record);
      this.#tailAlarms(object, record.body, false);
    }
  }

  #tailAlarms(object: CachedObject, body: Buffer, indexed: boolean): void {
    const cursor = this.#cursor;
    cursor.open(body, 0, body.length);
    while (cursor.next()) {
      if (cursor.type !== operationTypes.alarm || cursor.dueMs === null) continue;
      if (indexed) this.#index(object, cursor.dueMs);
      else this.#unindex(object, cursor.dueMs);
    }
  }

  /** Puts back what folding or dropping took away that another record, or the state, still needs. */
  #indexTail(object: CachedObject): void {
    if (object.alarmMs !== null) this.#index(object, object.alarmMs);
    for (const record of object.tail) this.#tailAlarms(object, record.body, true);
  }

  /** Valid until the next call. */
  #withTail(object: CachedObject, head: Buffer): Buffer {
    if (object.headTailBytes === 0) return head;
    const length = head.length + object.headTailBytes;
    const whole = length <= scratchBytes ? this.#view(length) : Buffer.allocUnsafeSlow(length);
    whole.set(head);
    let at = head.length;
    for (const { sealed, isInHead } of object.tail) {
      if (!isInHead) continue;
      whole.set(sealed, at);
      at += sealed.length;
      if (at === length) break;
    }
    return whole;
  }

  /** Writes the batch with fsync and returns how long that took, in seconds. */
  #write(): number {
    for (const object of this.#dirty) {
      object.isDirty = false;
      const { head } = object;
      // Erased in this very batch.
      if (head === undefined) continue;
      this.#liftQuarantine(object);
      writeHeadFields(head, object);
      native.batch_put(this.#batch, object.headKey, this.#withTail(object, head), noOptions);
    }
    this.#dirty.length = 0;
    const sync = this.#mustSync;
    this.#mustSync = false;
    const started = process.hrtime.bigint();
    native.batch_write(this.#database, this.#batch, { sync });
    const fsyncSeconds = Number(process.hrtime.bigint() - started) / 1e9;
    native.batch_clear(this.#batch);
    // What is not synced is not promised: the next batch that is carries it along.
    if (!sync) return 0;
    this.#watermark.write(native.db_get_latest_sequence(this.#database));
    return fsyncSeconds;
  }
}
