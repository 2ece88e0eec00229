/** An `ActorHost` in memory for tests: groups become durable when the test says so. */
import type {
  Clock,
  ListRange,
  MonotonicMs,
  ObjectIdHex,
  RecordOperation,
  Space,
  StateEntry,
  StateReader,
  Timers,
  WallMs,
} from '@homing/base';
import type { ActorHost } from './host.ts';

/** Committed state of one object. */
export class MemoryState implements StateReader {
  readonly #entries = new Map<string, StateEntry & { readonly space: Space }>();

  apply(operations: readonly RecordOperation[]): void {
    for (const operation of operations) {
      if (operation.type === 'alarm') continue;
      const { space } = operation;
      if (operation.type === 'clear') {
        for (const [name, entry] of this.#entries) {
          if (entry.space === space) this.#entries.delete(name);
        }
        continue;
      }
      const name = `${space} ${Buffer.from(operation.key).toString('hex')}`;
      if (operation.type === 'delete') this.#entries.delete(name);
      else this.#entries.set(name, { space, key: operation.key, value: operation.value });
    }
  }

  get(_id: ObjectIdHex, space: Space, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    return keys.map(
      (key) => this.#entries.get(`${space} ${Buffer.from(key).toString('hex')}`)?.value,
    );
  }

  list(_id: ObjectIdHex, space: Space, range: ListRange): IterableIterator<StateEntry> {
    const { start, end, reverse, limit } = range;
    const sign = reverse ? -1 : 1;
    return [...this.#entries.values()]
      .filter((entry) => entry.space === space)
      .filter(({ key }) => start === undefined || Buffer.compare(key, start) >= 0)
      .filter(({ key }) => end === undefined || Buffer.compare(key, end) < 0)
      .sort((a, b) => Buffer.compare(a.key, b.key) * sign)
      .slice(0, limit)
      .values();
  }

  close(): void {}
}

/** Time stands still until `advance`. */
export class ManualTime implements Clock, Timers {
  #nowMs = 1_000_000;
  #timers: { dueMs: number; callback: () => void }[] = [];

  monotonicMs(): MonotonicMs {
    return this.#nowMs as MonotonicMs;
  }

  wallMs(): WallMs {
    return this.#nowMs as WallMs;
  }

  after(delayMs: number, callback: () => void) {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.dueMs > this.#nowMs);
    for (const { callback } of due) callback();
  }
}

const silent = { error() {}, warn() {}, info() {}, debug() {}, child: () => silent };

export class TestingHost implements ActorHost {
  readonly time = new ManualTime();
  readonly clock = this.time;
  readonly timers = this.time;
  readonly logger = silent;
  readonly reader = new MemoryState();
  readonly groups: (readonly RecordOperation[])[] = [];
  readonly alarmOutcomes: string[] = [];
  readonly ends: { cause: string; reason: unknown }[] = [];
  readonly asksPermits = false;
  goesAhead = false;
  /** The groups that what went ahead is held for. */
  readonly sentAhead: number[] = [];
  readonly awaited: number[] = [];
  readonly foldsNeeded: number[] = [];
  isIdle = false;
  isActivated = false;
  #durable = 0;
  appended: (count: number) => void = () => {};

  readonly random = () => 0;

  macrotask(turn: () => void): void {
    setImmediate(turn);
  }

  append(operations: readonly RecordOperation[]): void {
    this.groups.push(operations);
  }

  /** Makes the next `count` groups durable; all of them by default. */
  confirm(count = this.groups.length - this.#durable): void {
    for (let index = 0; index < count; index++) {
      this.reader.apply(this.groups[this.#durable] ?? []);
      this.#durable++;
    }
    this.appended(this.#durable);
  }

  ahead(group: number, send: () => void): boolean {
    if (!this.goesAhead) return false;
    this.sentAhead.push(group);
    send();
    return true;
  }

  awaits(group: number): void {
    this.awaited.push(group);
  }

  needsFolded(group: number): void {
    this.foldsNeeded.push(group);
  }

  permit(pass: () => void): void {
    pass();
  }

  activated(): void {
    this.isActivated = true;
  }

  ended(cause: 'evicted' | 'broken', reason: unknown): void {
    this.ends.push({ cause, reason });
  }

  idle(isIdle: boolean): void {
    this.isIdle = isIdle;
  }

  alarmDone(outcome: string): void {
    this.alarmOutcomes.push(outcome);
  }

  measured(): void {}
  acceptSocket(): void {}
  setAutoResponse(): void {}
}

/** Lets everything that is ready run: a few turns of the event loop. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
