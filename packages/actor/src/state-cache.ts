/**
 * What one activation knows of its object's state: writes on their way to the disk, laid over
 * committed state, which is read on demand and kept within a bound of bytes.
 *
 * Writes gather in the *pending group*. `takeGroup` turns it into one atomic log record; from then
 * on the group is in flight, until `confirmed` says that it is durable and visible to the reader.
 * Groups are counted from 1. A read sees, in this order: open transactions from the innermost, then
 * the newest write that is pending or in flight, then committed state.
 *
 * Transactions are layers: writes go to the innermost, which is merged into what lies below when it
 * commits and dropped when it rolls back.
 *
 * Invariants: a key in `#dirty` is newer than anything the reader has; a key that is not there is
 * as the reader says, unless a `clear` is unconfirmed, in which case it does not exist.
 */
import { Buffer } from 'node:buffer';
import {
  assert,
  type ObjectIdHex,
  type RecordOperation,
  type StateReader,
  spaces,
} from '@homing/base';
import { type AlarmEntry, alarmKey, decodeAlarm, encodeAlarm } from './alarm-entry.ts';
import { decodeKey, encodeKey, type KeyRange } from './storage-key.ts';

interface Write {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Undefined: deleted. */
  readonly value: Uint8Array | undefined;
}

interface DirtyWrite extends Write {
  readonly group: number;
}

interface Layer {
  readonly writes: Map<string, Write>;
  /** Undefined: untouched. */
  alarm: AlarmEntry | null | undefined;
}

/** Bytes an entry costs beside its key and value, roughly. */
const entryOverheadBytes = 100;

export class StateCache {
  readonly #reader: StateReader;
  readonly #id: ObjectIdHex;
  readonly #cleanBytesMax: number;
  readonly #onGroupBegun: () => void;

  readonly #clean = new Map<string, Uint8Array | null>();
  #cleanBytes = 0;
  readonly #dirty = new Map<string, DirtyWrite>();
  #layers: Layer[] = [];

  #group = 1;
  #confirmed = 0;
  #isPending = false;
  readonly #pending = new Map<string, Write>();
  #pendingClear = false;
  #pendingAlarm = false;
  #pendingSystem: RecordOperation[] = [];
  #clearedGroup = 0;
  readonly #inFlight: { readonly keys: readonly string[]; readonly bytes: number }[] = [];
  #pendingBytes = 0;
  #inFlightBytes = 0;
  #alarm: AlarmEntry | null | undefined;

  /** `onGroupBegun` is called at the first write of each group. */
  constructor(options: {
    readonly reader: StateReader;
    readonly id: ObjectIdHex;
    readonly cleanBytesMax: number;
    readonly onGroupBegun: () => void;
  }) {
    this.#reader = options.reader;
    this.#id = options.id;
    this.#cleanBytesMax = options.cleanBytesMax;
    this.#onGroupBegun = options.onGroupBegun;
  }

  /** The group that a write made now is part of. */
  get group(): number {
    return this.#group;
  }

  get hasPending(): boolean {
    return this.#isPending;
  }

  /** Nothing is pending or in flight. */
  get isConfirmed(): boolean {
    return !this.#isPending && this.#confirmed === this.#group - 1;
  }

  /** Of the pending group. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get unconfirmedBytes(): number {
    return this.#pendingBytes + this.#inFlightBytes;
  }

  get(key: string): Uint8Array | undefined {
    for (let index = this.#layers.length - 1; index >= 0; index--) {
      const write = (this.#layers[index] as Layer).writes.get(key);
      if (write !== undefined) return write.value;
    }
    const dirty = this.#dirty.get(key);
    if (dirty !== undefined) return dirty.value;
    if (this.#isCleared) return undefined;
    const clean = this.#clean.get(key);
    if (clean !== undefined) {
      // Moves to the end: the map's order is that of the last uses, once it matters.
      if (this.#cleanBytes * 2 > this.#cleanBytesMax) {
        this.#clean.delete(key);
        this.#clean.set(key, clean);
      }
      return clean ?? undefined;
    }
    const [value] = this.#reader.get(this.#id, spaces.kv, [encodeKey(key)]);
    this.#keepClean(key, value ?? null);
    return value;
  }

  /** Entries of the range in its order, read as they are asked for. */
  *list(range: KeyRange): IterableIterator<readonly [key: string, value: Uint8Array]> {
    const overlay = this.#overlay(range);
    const { start, end, reverse } = range;
    const sign = reverse ? -1 : 1;
    const limit = Number.isFinite(range.limit) ? range.limit + overlay.length : undefined;
    const below = this.#isCleared
      ? [].values()
      : this.#reader.list(this.#id, spaces.kv, { start, end, reverse, limit });
    let left = range.limit;
    let index = 0;
    let base = below.next();
    try {
      while (left > 0) {
        const over = overlay[index];
        if (over === undefined && base.done) return;
        const order =
          over === undefined
            ? 1
            : base.done
              ? -1
              : Buffer.compare(over.keyBytes, base.value.key) * sign;
        if (order > 0) {
          assert(!base.done, 'state cache: nothing below');
          const { key, value } = base.value;
          base = below.next();
          left--;
          yield [decodeKey(key), value];
          continue;
        }
        if (order === 0) base = below.next();
        index++;
        const { key, value } = over as Write;
        if (value === undefined) continue;
        left--;
        yield [key, value];
      }
    } finally {
      (below as Iterator<unknown>).return?.();
    }
  }

  put(key: string, keyBytes: Uint8Array, value: Uint8Array): void {
    this.#write({ key, keyBytes, value });
  }

  delete(key: string, keyBytes: Uint8Array): void {
    this.#write({ key, keyBytes, value: undefined });
  }

  /** Deletes every key. Not within a transaction. */
  clear(): void {
    assert(this.#layers.length === 0, 'state cache: clear within a transaction');
    this.#begin();
    this.#pending.clear();
    this.#dirty.clear();
    this.#clean.clear();
    this.#cleanBytes = 0;
    this.#pendingClear = true;
    this.#clearedGroup = this.#group;
  }

  get alarm(): AlarmEntry | null {
    for (let index = this.#layers.length - 1; index >= 0; index--) {
      const { alarm } = this.#layers[index] as Layer;
      if (alarm !== undefined) return alarm;
    }
    if (this.#alarm === undefined) {
      const [bytes] = this.#reader.get(this.#id, spaces.system, [alarmKey]);
      this.#alarm = bytes === undefined ? null : decodeAlarm(bytes);
    }
    return this.#alarm;
  }

  set alarm(entry: AlarmEntry | null) {
    const layer = this.#layers.at(-1);
    if (layer !== undefined) {
      layer.alarm = entry;
      return;
    }
    this.#begin();
    this.#alarm = entry;
    this.#pendingAlarm = true;
  }

  /** A write of homing's own, beside the user's, outside any transaction. */
  system(operation: RecordOperation): void {
    this.#begin();
    this.#pendingSystem.push(operation);
    this.#pendingBytes += entryOverheadBytes;
    if (operation.type === 'put') this.#pendingBytes += operation.value.length;
  }

  begin(): void {
    this.#layers.push({ writes: new Map(), alarm: undefined });
  }

  commit(): void {
    const layer = this.#layers.pop();
    assert(layer !== undefined, 'state cache: no transaction is open');
    for (const write of layer.writes.values()) this.#write(write);
    if (layer.alarm !== undefined) this.alarm = layer.alarm;
  }

  rollback(): void {
    const layer = this.#layers.pop();
    assert(layer !== undefined, 'state cache: no transaction is open');
  }

  get isInTransaction(): boolean {
    return this.#layers.length > 0;
  }

  /** Empties the innermost transaction, which stays open. */
  undo(): void {
    this.rollback();
    this.begin();
  }

  /** The pending group as the operations of one record; undefined where nothing was written. */
  takeGroup(): RecordOperation[] | undefined {
    if (!this.#isPending) return undefined;
    const operations: RecordOperation[] = [];
    if (this.#pendingClear) operations.push({ type: 'clear', space: spaces.kv });
    for (const { keyBytes, value } of this.#pending.values()) {
      operations.push(
        value === undefined
          ? { type: 'delete', space: spaces.kv, key: keyBytes }
          : { type: 'put', space: spaces.kv, key: keyBytes, value },
      );
    }
    if (this.#pendingAlarm) this.#alarmOperations(operations);
    operations.push(...this.#pendingSystem);
    this.#inFlight.push({ keys: [...this.#pending.keys()], bytes: this.#pendingBytes });
    this.#inFlightBytes += this.#pendingBytes;
    this.#pending.clear();
    this.#pendingBytes = 0;
    this.#pendingClear = false;
    this.#pendingAlarm = false;
    this.#pendingSystem = [];
    this.#isPending = false;
    this.#group++;
    return operations;
  }

  /** Groups up to `group` are durable, and the reader sees them. */
  confirmed(group: number): void {
    while (this.#confirmed < group) {
      const flown = this.#inFlight.shift();
      assert(flown !== undefined, 'state cache: a group was confirmed that was not in flight');
      this.#confirmed++;
      this.#inFlightBytes -= flown.bytes;
      for (const key of flown.keys) {
        const write = this.#dirty.get(key);
        if (write?.group !== this.#confirmed) continue;
        this.#dirty.delete(key);
        this.#keepClean(key, write.value ?? null);
      }
    }
  }

  get #isCleared(): boolean {
    return this.#clearedGroup > this.#confirmed;
  }

  #begin(): void {
    if (this.#isPending) return;
    this.#isPending = true;
    this.#onGroupBegun();
  }

  #write(write: Write): void {
    const layer = this.#layers.at(-1);
    if (layer !== undefined) {
      layer.writes.set(write.key, write);
      return;
    }
    this.#begin();
    this.#pending.set(write.key, write);
    this.#dirty.set(write.key, { ...write, group: this.#group });
    this.#pendingBytes += write.keyBytes.length + (write.value?.length ?? 0) + entryOverheadBytes;
    const clean = this.#clean.get(write.key);
    if (clean !== undefined) this.#dropClean(write.key, clean);
  }

  #alarmOperations(operations: RecordOperation[]): void {
    const entry = this.#alarm ?? null;
    operations.push(
      entry === null
        ? { type: 'delete', space: spaces.system, key: alarmKey }
        : { type: 'put', space: spaces.system, key: alarmKey, value: encodeAlarm(entry) },
      { type: 'alarm', dueMs: entry === null ? null : entry.dueMs },
    );
  }

  /** Every write of the range that lies over committed state, in the range's order. */
  #overlay(range: KeyRange): Write[] {
    const writes = new Map<string, Write>();
    for (const source of [this.#dirty, ...this.#layers.map((layer) => layer.writes)]) {
      for (const write of source.values()) {
        if (isWithin(write.keyBytes, range)) writes.set(write.key, write);
      }
    }
    const sign = range.reverse ? -1 : 1;
    return [...writes.values()].sort((a, b) => Buffer.compare(a.keyBytes, b.keyBytes) * sign);
  }

  #keepClean(key: string, value: Uint8Array | null): void {
    const bytes = cleanBytes(key, value);
    if (bytes > this.#cleanBytesMax) return;
    this.#clean.set(key, value);
    this.#cleanBytes += bytes;
    while (this.#cleanBytes > this.#cleanBytesMax) {
      const oldest = this.#clean.entries().next();
      if (oldest.done) return;
      this.#dropClean(...oldest.value);
    }
  }

  #dropClean(key: string, value: Uint8Array | null): void {
    this.#clean.delete(key);
    this.#cleanBytes -= cleanBytes(key, value);
  }
}

function cleanBytes(key: string, value: Uint8Array | null): number {
  return entryOverheadBytes + key.length * 2 + (value?.length ?? 0);
}

function isWithin(key: Uint8Array, { start, end }: KeyRange): boolean {
  return Buffer.compare(key, start) >= 0 && (end === undefined || Buffer.compare(key, end) < 0);
}
