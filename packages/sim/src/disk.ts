/**
 * A disk that outlives its processes, and the `Store` that one process has of it. Writes take effect
 * when the simulated fsync is done, all that were asked by then in one go, and only then are they
 * acknowledged; of what a killed process had asked the first few may be kept all the same.
 */
import {
  type AppendRequest,
  damagedObject,
  type Epoch,
  HomingError,
  type InstallRequest,
  type ObjectIdHex,
  type StateReader,
  type Store,
} from '@homing/base';
import { memoryStore } from '@homing/storage';
import type { SeededRandom } from './random.ts';
import type { Process, World } from './world.ts';

export interface DiskFaults {
  /** How long a group commit takes, in milliseconds. */
  readonly fsyncMs: readonly [number, number];
  /** Share of writes and copies that are refused for want of room, with nothing written. */
  readonly overloadedShare?: number;
  /** Test only: acknowledge before the fsync. */
  readonly isAckedEarly?: boolean;
  /** Test only: take appends of epochs older than the promised one. */
  readonly isUnfenced?: boolean;
  /** Test only: take records without looking whether what precedes them is held. */
  readonly isGapTaken?: boolean;
}

/** Hears what becomes durable. */
export interface DiskObserver {
  appended(disk: Disk, request: AppendRequest): void;
  changed(disk: Disk, id: ObjectIdHex): void;
  /** What was of epochs below `below` is forgotten: the object's next records begin another life. */
  forgotten(id: ObjectIdHex, below: Epoch): void;
}

interface Write {
  readonly id: ObjectIdHex | undefined;
  apply(): Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

/** The state cannot be read, or records cannot, without which nothing can be written either. */
export type Damage = 'state' | 'log';

export class Disk {
  readonly storeId: string;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #faults: DiskFaults;
  readonly #observer: DiskObserver | undefined;
  readonly #memory: Store = memoryStore();
  #starts = 0;
  /** Asked by the last process and not yet durable. */
  #pending: Write[] = [];
  /** Objects of which something on the disk has changed by itself, and what. */
  readonly #damaged = new Map<ObjectIdHex, Damage>();
  /** How long an fsync takes at most while the disk is slow. */
  slowMs: number | undefined;
  /** It has no room to take down that a replica is given up. */
  isFull = false;
  /** It refuses nothing any more. */
  keepsUp = false;

  constructor(
    world: World,
    storeId: string,
    random: SeededRandom,
    faults: DiskFaults,
    observer?: DiskObserver,
  ) {
    this.storeId = storeId;
    this.#world = world;
    this.#random = random;
    this.#faults = faults;
    this.#observer = observer;
  }

  /** What is durable. */
  get contents(): Store {
    return this.#memory;
  }

  /** Bits flip, and a checksum tells whoever reads them. */
  damage(id: ObjectIdHex, damage: Damage): void {
    if (this.#memory.head(id) !== undefined) this.#damaged.set(id, damage);
  }

  /** Whether not all is well with the object here. */
  isDamaged(id: ObjectIdHex): boolean {
    return this.#damaged.has(id) || this.#memory.head(id)?.isQuarantined === true;
  }

  #check(id: ObjectIdHex, ...kinds: readonly Damage[]): void {
    const damage = this.#damaged.get(id);
    if (damage !== undefined && kinds.includes(damage)) {
      throw damagedObject(id, `the ${damage} does not fit its checksum`);
    }
  }

  /** After what takes all of the object away. */
  async #mended(id: ObjectIdHex, change: Promise<void>): Promise<void> {
    await change;
    this.#damaged.delete(id);
  }

  #reader(): StateReader {
    const reader = this.#memory.reader();
    return {
      get: (id, space, keys) => {
        this.#check(id, 'state');
        return reader.get(id, space, keys);
      },
      list: (id, space, range) => {
        this.#check(id, 'state');
        return reader.list(id, space, range);
      },
      close: () => reader.close(),
    };
  }

  #install(request: InstallRequest): Promise<void> {
    this.#check(request.object.id, 'log');
    const { id } = request.object;
    const change = this.#memory.install(request);
    return request.isLast ? this.#mended(id, change) : change;
  }

  /** What earlier processes had asked is on disk or lost from here on. */
  open(process: Process): Store {
    const left = this.#pending.splice(0);
    const kept = this.#random.between(0, left.length);
    for (const write of left.slice(0, kept)) void this.#apply(write).catch(() => {});
    this.#starts += 1;
    const { storeId } = this;
    const starts = this.#starts;
    const memory = this.#memory;
    const queue: Write[] = [];
    this.#pending = queue;
    let isBusy = false;
    const commit = () => {
      if (isBusy || queue.length === 0) return;
      isBusy = true;
      const count = queue.length;
      this.#world.at(this.#fsyncMs(), () => {
        if (!process.isAlive) return;
        isBusy = false;
        for (const write of queue.splice(0, count)) {
          this.#apply(write).then(
            () => process.run(write.resolve),
            (error: unknown) => process.run(() => write.reject(error)),
          );
        }
        commit();
      });
    };
    const isOverloaded = () => {
      return this.#random.chance(this.keepsUp ? 0 : (this.#faults.overloadedShare ?? 0));
    };
    const ask = (id: ObjectIdHex | undefined, apply: () => Promise<void>) => {
      if (!process.isAlive) return Promise.reject(closed());
      if (id !== undefined && isOverloaded()) return Promise.reject(overloaded());
      if (this.#faults.isAckedEarly === true) {
        queue.push({ id, apply, resolve: () => {}, reject: () => {} });
        commit();
        return Promise.resolve();
      }
      return new Promise<void>((resolve, reject) => {
        queue.push({ id, apply, resolve, reject });
        commit();
      });
    };
    return {
      storeId,
      starts,
      readerHandle: undefined,
      reader: () => this.#reader(),
      append: (request) => ask(request.object.id, () => this.#append(request)),
      seal: (object, epoch) =>
        ask(object.id, async () => {
          this.#check(object.id, 'log');
          await memory.seal(object, epoch);
        }),
      install: (request) => ask(request.object.id, async () => this.#install(request)),
      putNote: (name, value) => ask(undefined, () => memory.putNote(name, value)),
      quarantine: (id, reason) =>
        this.isFull
          ? Promise.reject(overloaded())
          : ask(id, () => this.#mended(id, memory.quarantine(id, reason))),
      quarantined: (limit) => memory.quarantined(limit),
      forget: (id, epoch) =>
        ask(id, async () => {
          await this.#mended(id, memory.forget(id, epoch));
          this.#observer?.forgotten(id, epoch);
        }),
      erasePage: async (options) => {
        let next: ObjectIdHex | undefined;
        await ask(undefined, async () => {
          next = await memory.erasePage(options);
        });
        return next;
      },
      floor: (id) => memory.floor(id),
      floors: () => memory.floors(),
      raiseFloors: (floors) => ask(undefined, () => memory.raiseFloors(floors)),
      head: (id) => memory.head(id),
      heads: (options) => memory.heads(options),
      dueAlarms: (options) => memory.dueAlarms(options),
      tail: (id) => {
        this.#check(id, 'log');
        return memory.tail(id);
      },
      snapshot: (id) => {
        if (isOverloaded()) throw overloaded();
        this.#check(id, 'state');
        return memory.snapshot(id);
      },
      note: (name) => memory.note(name),
      notes: (prefix) => memory.notes(prefix),
      close: async () => {},
    };
  }

  async #append(request: AppendRequest): Promise<void> {
    const { isUnfenced, isGapTaken } = this.#faults;
    this.#check(request.object.id, 'log');
    const asked = { ...request };
    if (isGapTaken === true) asked.previous = undefined;
    const promised = this.#memory.head(request.object.id)?.promised;
    if (isUnfenced === true && promised !== undefined) {
      const isOld = request.epoch !== undefined && request.epoch < promised;
      asked.epoch = isOld ? promised : request.epoch;
    }
    await this.#memory.append(asked);
    this.#observer?.appended(this, request);
  }

  async #apply(write: Write): Promise<void> {
    await write.apply();
    if (write.id !== undefined) this.#observer?.changed(this, write.id);
  }

  #fsyncMs(): number {
    const [low, high] = this.#faults.fsyncMs;
    return this.#random.between(low, this.slowMs ?? high);
  }
}

function closed(): HomingError {
  return new HomingError('unavailable', 'the process was killed');
}

function overloaded(): HomingError {
  return new HomingError('overloaded', 'the disk has too much to write');
}
