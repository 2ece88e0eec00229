/**
 * What must hold between the disks of a cluster at every moment: one name stands for one record
 * everywhere, one applied name for one state, no two disks apply different records at one LSN, and
 * what was acknowledged lies on a majority of them.
 */
import { createHash } from 'node:crypto';
import {
  type AppendRequest,
  compareRecordNames,
  decodeBody,
  type Epoch,
  encodeBody,
  noRecord,
  type ObjectIdHex,
  type ObjectRef,
  type RecordName,
  spaces,
} from '@homing/base';
import type { Disk, DiskObserver } from './disk.ts';
import { problemOf, readState } from './list-object.ts';
import type { SimCluster } from './sim-cluster.ts';

/** Every so many changes the whole state is compared; names always are. */
const stateEvery = 8;

export class DiskChecks implements DiskObserver {
  readonly #broken: (rule: string, message: string) => void;
  /** Bodies by object and record name. */
  readonly #records = new Map<string, Buffer>();
  /** Epochs by object, its life, and applied LSN. */
  readonly #applied = new Map<string, bigint>();
  /** Epochs at which the lives of objects that were forgotten end. */
  readonly #ends = new Map<ObjectIdHex, Set<Epoch>>();
  /** Digests by object and applied record name. */
  readonly #states = new Map<string, string>();
  /** The newest record of each value. */
  readonly #names = new Map<string, RecordName>();
  /** What each disk has ever held of each object's values. */
  readonly #held = new Set<string>();
  #changes = 0;

  constructor(broken: (rule: string, message: string) => void) {
    this.#broken = broken;
  }

  appended(disk: Disk, { object, records }: AppendRequest): void {
    for (const record of records) {
      const { epoch, lsn } = record.name;
      const key = `${object.id}/${epoch}/${lsn}`;
      for (const value of valuesOf(record)) {
        this.#held.add(heldKey(disk, object.id, value));
        const newest = this.#names.get(valueKey(object.id, value)) ?? noRecord;
        const name = compareRecordNames(record.name, newest) > 0 ? record.name : newest;
        this.#names.set(valueKey(object.id, value), name);
      }
      const body = Buffer.from('body' in record ? record.body : encodeBody(record));
      const known = this.#records.get(key);
      if (known === undefined) this.#records.set(key, body);
      else if (!known.equals(body)) {
        this.#broken('record', `${disk.storeId} holds another record as (${epoch}, ${lsn})`);
      }
    }
  }

  changed(disk: Disk, id: ObjectIdHex): void {
    const head = disk.contents.head(id);
    if (head === undefined || head.applied.lsn === 0) return;
    const { epoch, lsn } = head.applied;
    const key = `${id}/${this.#lifeOf(id, epoch)}/${lsn}`;
    const known = this.#applied.get(key);
    if (known === undefined) this.#applied.set(key, epoch);
    else if (known !== epoch) {
      this.#broken('applied', `${disk.storeId} applied (${epoch}, ${lsn}), others (${known}, …)`);
    }
    if (this.#changes++ % stateEvery === 0) this.compare(disk, id);
  }

  forgotten(id: ObjectIdHex, below: Epoch): void {
    const ends = this.#ends.get(id) ?? new Set();
    this.#ends.set(id, ends.add(below));
  }

  /** LSNs begin anew in each life. */
  #lifeOf(id: ObjectIdHex, epoch: Epoch): number {
    return [...(this.#ends.get(id) ?? [])].filter((end) => end <= epoch).length;
  }

  #isPast({ contents }: Disk, id: ObjectIdHex, value: number): boolean {
    const name = this.#names.get(valueKey(id, String(value)));
    if (name === undefined) return false;
    // Forgotten: the next life may have begun, and not have applied anything.
    if (contents.floor(id) > name.epoch) return true;
    const head = contents.head(id);
    return head !== undefined && compareRecordNames(head.applied, name) >= 0;
  }

  /** The state as of its applied record, with that of every other disk. */
  compare(disk: Disk, id: ObjectIdHex): void {
    const head = disk.contents.head(id);
    if (head === undefined || head.applied.lsn === 0) return;
    const { epoch, lsn } = head.applied;
    const key = `${id}/${epoch}/${lsn}`;
    const digest = digestOf(disk, id);
    const known = this.#states.get(key);
    if (known === undefined) this.#states.set(key, digest);
    else if (known !== digest) {
      this.#broken('state', `${disk.storeId} has another state as of (${epoch}, ${lsn})`);
    }
    const problem = problemOf(readState(disk.contents.reader(), id));
    if (problem !== undefined) this.#broken('state', `${disk.storeId} at ${lsn}: ${problem}`);
  }

  /**
   * An append was acknowledged: it must be on disk at a majority now. A disk that held it, and has lost
   * it by damage, counts as long as it is quarantined for that: nobody recovers the object from others
   * without those that have it. Where the object may have been cleared since, one counts that has folded
   * in as much, or has forgotten it.
   */
  acknowledged(cluster: SimCluster, object: ObjectRef, value: number, isCleared: boolean): void {
    const stores = cluster.holdersOf(object);
    const holders = stores.filter((storeId) => {
      const disk = cluster.disks.get(storeId);
      if (disk === undefined) return false;
      const isBarred = disk.contents.head(object.id)?.isQuarantined === true;
      const hasHeld = this.#held.has(heldKey(disk, object.id, String(value)));
      const isGone = isCleared && this.#isPast(disk, object.id, value);
      return (isBarred && hasHeld) || isGone || holds(disk, object.id, value);
    });
    if (holders.length * 2 > stores.length) return;
    this.#broken('durable', `${object.name}: ${value} was acknowledged, on ${holders.join(' ')}`);
  }
}

/** As list-object.ts names the values of its list, and nothing else. */
function isOfList(key: Uint8Array): boolean {
  return Buffer.from(key).toString().startsWith('v:');
}

function valueKey(id: ObjectIdHex, value: string): string {
  return `${id}/${value}`;
}

function heldKey({ storeId }: Disk, id: ObjectIdHex, value: string): string {
  return `${storeId}/${id}/${value}`;
}

function valuesOf(record: AppendRequest['records'][number]): string[] {
  const { operations } = 'body' in record ? decodeBody(record.body) : record;
  return operations.flatMap((operation) =>
    operation.type === 'put' && operation.space === spaces.kv && isOfList(operation.key)
      ? [Buffer.from(operation.value).toString()]
      : [],
  );
}

function digestOf(disk: Disk, id: ObjectIdHex): string {
  const hash = createHash('sha1');
  const reader = disk.contents.reader();
  for (const space of [spaces.kv, spaces.system]) {
    for (const { key, value } of reader.list(id, space, {})) {
      hash.update(`${space} ${key.length} ${value.length}`).update(key).update(value);
    }
  }
  return hash.update(String(disk.contents.head(id)?.alarmMs)).digest('hex');
}

function holds(disk: Disk, id: ObjectIdHex, value: number): boolean {
  const isMeant = (bytes: Uint8Array) => Buffer.from(bytes).toString() === String(value);
  for (const { body } of disk.contents.tail(id).toReversed()) {
    const { operations } = decodeBody(body);
    for (const operation of operations) {
      if (operation.type === 'put' && operation.space === spaces.kv && isMeant(operation.value)) {
        return true;
      }
    }
  }
  return readState(disk.contents.reader(), id).list.includes(value);
}
