/**
 * The `Store` of production: RocksDB, written by a thread of its own and read by any.
 *
 * This side runs on the node's thread. It opens the database (on libuv's pool) and owns it, so that
 * the end of any other thread, the storage thread included, leaves readers unharmed. Appends are
 * gathered per turn of the event loop and handed to the storage thread in one buffer; answers come
 * back in the order of the requests. Nothing here waits for the disk, reads of cold heads aside.
 *
 * Invariants
 * 1. Requests reach the storage thread in the order of the `append` calls.
 * 2. Bytes queued or in flight never exceed `queueBytesMax`; past it appends are refused.
 * 3. After one write failed every append is rejected with `corruption`: the process must end.
 */
import { Worker } from 'node:worker_threads';
import {
  type AppendRequest,
  compareRecordNames,
  type DueAlarm,
  damagedObject,
  type EncodedRecord,
  type Epoch,
  type ErrorData,
  errorFromData,
  HomingError,
  type InstallRequest,
  isHomingError,
  type Logger,
  type Metrics,
  messageOf,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  objectIdBytes,
  type QuarantinedObject,
  type ReaderHandle,
  readUint64,
  type Snapshot,
  type StateReader,
  type Store,
  type WallMs,
} from '@homing/base';
import { erasePage } from '../erase-page.ts';
import { bucketOf, checkFloors } from '../floors.ts';
import type { CommitLimits, CommitReport } from './committer.ts';
import { readFloors } from './floor-table.ts';
import { decodeHead, type HeadFields, readHeadFields } from './head-codec.ts';
import {
  afterPrefix,
  alarmKeyOf,
  families,
  floorKey,
  headKey,
  headKeyOf,
  idHexOf,
  namespacePrefix,
  noteKey,
} from './keys.ts';
import { type Database, native, noOptions, readRange } from './native.ts';
import { readNotes } from './notes.ts';
import { readTail } from './object-cache.ts';
import {
  closeDatabase,
  type DatabaseOptions,
  type OpenedDatabase,
  openDatabase,
} from './open-database.ts';
import { readQuarantined } from './quarantine.ts';
import { openSnapshot } from './snapshot.ts';
import { RocksStateReader, readFailure } from './state-reader.ts';
import type { FromStorageThread, StorageThreadData, ToStorageThread } from './storage-thread.ts';
import { WireWriter } from './wire.ts';

export interface RocksStoreOptions extends Partial<CommitLimits>, Partial<DatabaseOptions> {
  /** The data directory; made when it is missing. */
  readonly directory: string;
  readonly logger?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** Called once when a write failed: what the disk holds is unknown and the process must end. */
  readonly onFailure?: ((error: HomingError) => void) | undefined;
  /** Most bytes of appends that wait for the disk; past it they are refused as `overloaded`. */
  readonly queueBytesMax?: number;
}

export const rocksStoreDefaults = {
  queueBytesMax: 64 * 1024 * 1024,
  batchBytesMax: 4 * 1024 * 1024,
  batchRequestsMax: 4096,
  headCacheEntries: 65_536,
  headTailBytes: 1024,
  memtableBytes: 64 * 1024 * 1024,
  blockCacheBytes: 64 * 1024 * 1024,
  rescue: false,
} as const;

interface Waiting {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const lowestId = Buffer.alloc(objectIdBytes);

/** Compiled next to this file; tests run this file from `src` and the thread from `dist`. */
function threadUrl(): URL {
  const isSource = import.meta.url.endsWith('.ts');
  return new URL(
    isSource ? '../../dist/rocks/storage-thread.js' : './storage-thread.js',
    import.meta.url,
  );
}

export class RocksStore implements Store {
  readonly storeId: string;
  readonly starts: number;
  readonly readerHandle: ReaderHandle;
  readonly #database: Database;
  readonly #metrics: Metrics | undefined;
  readonly #onFailure: ((error: HomingError) => void) | undefined;
  readonly #queueBytesMax: number;
  readonly #worker: Worker;
  readonly #closedFlag: Int32Array;
  readonly #writer = new WireWriter();
  readonly #reader: RocksStateReader;
  /** Requests not answered, oldest first, from `#head` on. */
  #waiting: Waiting[] = [];
  #head = 0;
  #queuedBytes = 0;
  #isFlushScheduled = false;
  #failure: HomingError | undefined;
  #closing: Promise<void> | undefined;

  /** @internal Use `openRocksStore`. */
  constructor(opened: OpenedDatabase, worker: Worker, options: RocksStoreOptions) {
    const closed = new SharedArrayBuffer(4);
    this.storeId = opened.storeId;
    this.starts = opened.starts;
    this.#database = opened.database;
    this.readerHandle = { kind: 'rocks', handle: native.db_get_handle(opened.database), closed };
    this.#closedFlag = new Int32Array(closed);
    this.#metrics = options.metrics;
    this.#onFailure = options.onFailure;
    this.#queueBytesMax = options.queueBytesMax ?? rocksStoreDefaults.queueBytesMax;
    this.#reader = new RocksStateReader(opened.database, this.#closedFlag);
    this.#worker = worker;
    worker.on('message', (message: FromStorageThread) => this.#onMessage(message));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', () => {
      if (this.#closing === undefined) this.#fail(new Error('the storage thread ended'));
    });
  }

  reader(): StateReader {
    return new RocksStateReader(this.#database, this.#closedFlag);
  }

  append(request: AppendRequest): Promise<void> {
    return this.#ask(() => this.#writer.append(request));
  }

  seal(object: ObjectRef, epoch: Epoch): Promise<void> {
    return this.#ask(() => this.#writer.seal(object, epoch));
  }

  install(request: InstallRequest): Promise<void> {
    return this.#ask(() => this.#writer.install(request));
  }

  quarantine(id: ObjectIdHex, reason: string): Promise<void> {
    this.#metrics?.increment('replicas_quarantined_total');
    return this.#ask(() => this.#writer.quarantine(id, reason));
  }

  quarantined(limit: number): readonly QuarantinedObject[] {
    this.#checkOpen();
    return this.#read(() => readQuarantined(this.#database, limit));
  }

  forget(id: ObjectIdHex, epoch: Epoch): Promise<void> {
    return this.#ask(() => this.#writer.forget(id, epoch));
  }

  erasePage(options: Parameters<Store['erasePage']>[0]): Promise<ObjectIdHex | undefined> {
    return erasePage(this, options, (id) => this.#ask(() => this.#writer.erase(id)));
  }

  floor(id: ObjectIdHex): Epoch {
    this.#checkOpen();
    const keys = [floorKey(bucketOf(id))];
    const [value] = this.#read(() => native.db_get_many_sync(this.#database, keys, noOptions));
    return (value?.readBigUInt64BE() ?? 0n) as Epoch;
  }

  floors(): readonly Epoch[] {
    this.#checkOpen();
    return this.#read(() => readFloors(this.#database));
  }

  async raiseFloors(floors: readonly Epoch[]): Promise<void> {
    checkFloors(floors);
    await this.#ask(() => this.#writer.floors(floors));
  }

  putNote(name: string, value: Uint8Array): Promise<void> {
    return this.#ask(() => this.#writer.note(name, value));
  }

  note(name: string): Uint8Array | undefined {
    this.#checkOpen();
    const keys = [noteKey(name)];
    return this.#read(() => native.db_get_many_sync(this.#database, keys, noOptions)[0]);
  }

  notes(prefix: string): readonly { readonly name: string; readonly value: Uint8Array }[] {
    this.#checkOpen();
    return this.#read(() => readNotes(this.#database, prefix));
  }

  tail(id: ObjectIdHex): readonly EncodedRecord[] {
    for (;;) {
      const bytes = this.#headBytes(id);
      if (bytes === undefined) return [];
      const head = readHeadFields(bytes);
      if (head.last.lsn === head.applied.lsn) return [];
      const records = this.#readTail(id, head, bytes);
      // Folding takes records away: what was read is the tail only if it did not go on meanwhile.
      const after = this.head(id);
      if (
        after !== undefined &&
        compareRecordNames(after.applied, head.applied) === 0 &&
        compareRecordNames(after.last, head.last) === 0
      ) {
        if (records.length === head.last.lsn - head.applied.lsn) return records;
        throw damagedObject(id, 'a record is not there');
      }
    }
  }

  #readTail(id: ObjectIdHex, fields: HeadFields, head: Buffer): readonly EncodedRecord[] {
    try {
      return readTail(this.#database, Buffer.from(id, 'hex'), fields, head).map(
        ({ epoch, lsn, body }) => ({ name: { epoch, lsn }, body }),
      );
    } catch (error) {
      if (isHomingError(error)) throw damagedObject(id, messageOf(error), error);
      throw readFailure(error, id);
    }
  }

  snapshot(id: ObjectIdHex): Snapshot | undefined {
    this.#checkOpen();
    const isClosed = () => Atomics.load(this.#closedFlag, 0) !== 0;
    return this.#read(() => openSnapshot(this.#database, Buffer.from(id, 'hex'), isClosed));
  }

  /** Sends the request that `write` adds with the others of this turn. */
  #ask(write: () => number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closing !== undefined) return Promise.reject(closedError());
    if (this.#queuedBytes >= this.#queueBytesMax) {
      const message = 'the disk does not keep up: too many bytes wait to be written';
      return Promise.reject(new HomingError('overloaded', message));
    }
    return new Promise((resolve, reject) => {
      const bytes = write();
      this.#queuedBytes += bytes;
      this.#waiting.push({ bytes, sinceMs: performance.now(), resolve, reject });
      if (this.#isFlushScheduled) return;
      this.#isFlushScheduled = true;
      setImmediate(() => this.#flush());
    });
  }

  head(id: ObjectIdHex): ObjectHead | undefined {
    const key = headKey(id);
    const head = this.#headBytes(id);
    return head === undefined ? undefined : decodeHead(key, head);
  }

  #headBytes(id: ObjectIdHex): Buffer | undefined {
    this.#checkOpen();
    const keys = [headKey(id)];
    return this.#read(() => native.db_get_many_sync(this.#database, keys, noOptions)[0]);
  }

  heads(options: {
    readonly namespace?: string | undefined;
    readonly after?: ObjectIdHex | undefined;
    readonly limit: number;
  }): readonly ObjectHead[] {
    this.#checkOpen();
    const after = options.after === undefined ? undefined : Buffer.from(options.after, 'hex');
    const prefix =
      options.namespace === undefined
        ? Buffer.of(families.head)
        : namespacePrefix(options.namespace);
    // The key that follows a key is that key with a zero byte appended.
    const gte = after === undefined ? prefix : Buffer.concat([prefix, after, Buffer.of(0)]);
    const range = { gte, lt: afterPrefix(prefix) };
    const rows = this.#read(() => readRange(this.#database, range, options.limit));
    const heads: ObjectHead[] = [];
    if (options.namespace === undefined) {
      for (let index = 0; index < rows.length; index += 2) {
        heads.push(decodeHead(rows[index] as Buffer, rows[index + 1] as Buffer));
      }
      return heads;
    }
    const keys = rows
      .filter((_, index) => index % 2 === 0)
      .map((key) => headKeyOf(key.subarray(prefix.length)));
    const found = this.#read(() => native.db_get_many_sync(this.#database, keys, noOptions));
    for (const [index, head] of found.entries()) {
      if (head !== undefined) heads.push(decodeHead(keys[index] as Buffer, head));
    }
    return heads;
  }

  dueAlarms(options: { readonly untilMs: WallMs; readonly limit: number }): readonly DueAlarm[] {
    this.#checkOpen();
    const untilMs = Math.min(Math.floor(options.untilMs), Number.MAX_SAFE_INTEGER - 1);
    if (untilMs < 0) return [];
    const range = { gte: Buffer.of(families.alarm), lt: alarmKeyOf(lowestId, untilMs + 1) };
    const rows = this.#read(() => readRange(this.#database, range, options.limit));
    const alarms: DueAlarm[] = [];
    for (let index = 0; index < rows.length; index += 2) {
      const key = rows[index] as Buffer;
      alarms.push({
        namespace: (rows[index + 1] as Buffer).toString(),
        id: idHexOf(key, 9),
        dueMs: readUint64(key, 1) as WallMs,
      });
    }
    return alarms;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#flush();
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#post({ type: 'close' });
    if (this.#worker.threadId !== -1) await ended;
    this.#rejectAll(closedError());
    Atomics.store(this.#closedFlag, 0, 1);
    this.#reader.close();
    await closeDatabase(this.#database);
  }

  #post(message: ToStorageThread): void {
    const transfer = message.type === 'append' ? [message.requests.buffer] : [];
    this.#worker.postMessage(message, transfer);
  }

  #flush(): void {
    this.#isFlushScheduled = false;
    if (this.#writer.length > 0) this.#post({ type: 'append', requests: this.#writer.take() });
  }

  #onMessage(message: FromStorageThread): void {
    if (message.type === 'failed') this.#fail(errorFromData(message.error));
    else this.#settle(message.report);
  }

  #settle(report: CommitReport): void {
    const nowMs = performance.now();
    if (report.fsyncSeconds > 0) {
      this.#metrics?.observe('fsync_duration_seconds', report.fsyncSeconds);
      this.#metrics?.observe('commit_batch_records', report.records);
    }
    const refused = new Map<number, ErrorData>();
    for (const { index, error } of report.refused ?? []) refused.set(index, error);
    for (let index = 0; index < report.settled; index++) {
      const waiting = this.#waiting[this.#head++] as Waiting;
      this.#queuedBytes -= waiting.bytes;
      this.#metrics?.observe('commit_duration_seconds', (nowMs - waiting.sinceMs) / 1000);
      const error = refused.size === 0 ? undefined : refused.get(index);
      if (error === undefined) waiting.resolve();
      else waiting.reject(errorFromData(error));
    }
    if (this.#head === this.#waiting.length || this.#head > 4096) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
  }

  #fail(cause: Error): void {
    if (this.#failure !== undefined) return;
    const failure = new HomingError(
      'corruption',
      `writing to the data directory failed, what it holds is unknown: ${cause.message}`,
      { cause },
    );
    this.#failure = failure;
    this.#rejectAll(failure);
    this.#onFailure?.(failure);
  }

  #rejectAll(error: HomingError): void {
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    this.#queuedBytes = 0;
    for (const { reject } of waiting) reject(error);
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  #read<T>(read: () => T, id?: ObjectIdHex): T {
    try {
      return read();
    } catch (error) {
      throw readFailure(error, id);
    }
  }
}

function closedError(): HomingError {
  return new HomingError('unavailable', 'the store is closed');
}

/**
 * Opens a data directory, formatting an empty or missing one. Resolves when appends may be made and
 * the raised count of starts is on disk. Rejects with `invalid_argument` (the directory is something
 * else's, or of another format), `unavailable` (another process has it, or it is not accessible) or
 * `corruption` (it has lost something); each message says what to do.
 *
 * Readers opened from `readerHandle` must be closed, or their threads ended, before `close`.
 */
export async function openRocksStore(options: RocksStoreOptions): Promise<RocksStore> {
  const settings = { ...rocksStoreDefaults, ...options };
  const opened = await openDatabase(options.directory, settings);
  const workerData: StorageThreadData = {
    handle: native.db_get_handle(opened.database),
    directory: options.directory,
    limits: {
      batchBytesMax: settings.batchBytesMax,
      batchRequestsMax: settings.batchRequestsMax,
      headCacheEntries: settings.headCacheEntries,
      headTailBytes: settings.headTailBytes,
    },
  };
  const worker = new Worker(threadUrl(), { workerData, name: 'storage' });
  const { storeId, starts } = opened;
  if (opened.rescues > 0) {
    const { quarantined } = opened;
    options.metrics?.increment('replicas_quarantined_total', {}, quarantined);
    options.logger?.warn('the database was damaged, and copied without these objects', {
      quarantined,
    });
  }
  options.logger?.info('store open', { directory: options.directory, storeId, starts });
  return new RocksStore(opened, worker, options);
}
