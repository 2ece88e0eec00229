/**
 * A disk that outlives its processes, and the `Store` that one process has of it. Writes take effect
 * when the simulated fsync is done, all that were asked by then in one go, and only then are they
 * acknowledged; what a killed process had asked is lost, or kept without having been acknowledged.
 */
import { HomingError, type Store } from '@homing/base';
import { memoryStore } from '@homing/storage';
import type { SeededRandom } from './random.ts';
import type { Process, World } from './world.ts';

export interface DiskFaults {
  /** How long a group commit takes, in milliseconds. */
  readonly fsyncMs: readonly [number, number];
  /** Test only: acknowledge before the fsync. */
  readonly isAckedEarly?: boolean;
}

interface Write {
  apply(): Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

export class Disk {
  readonly storeId: string;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #faults: DiskFaults;
  readonly #memory: Store = memoryStore();
  #starts = 0;

  constructor(world: World, storeId: string, random: SeededRandom, faults: DiskFaults) {
    this.storeId = storeId;
    this.#world = world;
    this.#random = random;
    this.#faults = faults;
  }

  /** What is durable. */
  get contents(): Store {
    return this.#memory;
  }

  open(process: Process): Store {
    this.#starts += 1;
    const { storeId } = this;
    const starts = this.#starts;
    const memory = this.#memory;
    let queue: Write[] = [];
    let isBusy = false;
    const commit = () => {
      if (isBusy || queue.length === 0) return;
      isBusy = true;
      const batch = queue;
      queue = [];
      const [low, high] = this.#faults.fsyncMs;
      this.#world.at(this.#random.between(low, high), () => {
        if (!process.isAlive) {
          // The disk may have got it all the same: not acknowledged is not the same as not written.
          if (this.#random.chance(0.5))
            for (const write of batch) void write.apply().catch(() => {});
          return;
        }
        isBusy = false;
        for (const write of batch) {
          write.apply().then(
            () => process.run(write.resolve),
            (error: unknown) => process.run(() => write.reject(error)),
          );
        }
        commit();
      });
    };
    const ask = (apply: () => Promise<void>) => {
      if (!process.isAlive) return Promise.reject(closed());
      if (this.#faults.isAckedEarly === true) {
        queue.push({ apply, resolve: () => {}, reject: () => {} });
        commit();
        return Promise.resolve();
      }
      return new Promise<void>((resolve, reject) => {
        queue.push({ apply, resolve, reject });
        commit();
      });
    };
    return {
      storeId,
      starts,
      readerHandle: undefined,
      reader: () => memory.reader(),
      append: (request) => ask(() => memory.append(request)),
      seal: (object, epoch) => ask(() => memory.seal(object, epoch)),
      install: (request) => ask(() => memory.install(request)),
      putNote: (name, value) => ask(() => memory.putNote(name, value)),
      head: (id) => memory.head(id),
      heads: (options) => memory.heads(options),
      dueAlarms: (options) => memory.dueAlarms(options),
      tail: (id) => memory.tail(id),
      snapshot: (id) => memory.snapshot(id),
      note: (name) => memory.note(name),
      close: async () => {},
    };
  }
}

function closed(): HomingError {
  return new HomingError('unavailable', 'the process was killed');
}
