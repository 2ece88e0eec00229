/**
 * One node's way to the coordinator: answers take time, get lost, and come back as unknown; while
 * it is cut off the node sees what it saw last, and its session is not renewed. Of an operation whose
 * outcome the caller was told is unknown, those that depend on an unchanged record may still take
 * effect a while later, as a request would that was under way.
 */
import {
  type ClaimAt,
  type ClaimResult,
  type Coordinator,
  type CoordinatorEvent,
  type Epoch,
  HomingError,
  type Located,
  type MoveHome,
  type NodeInfo,
  type ObjectRef,
  type Rehoming,
  type Timer,
  type Timers,
  type VersionedRegions,
  type VersionedShard,
} from '@homing/base';
import type { SeededRandom } from './random.ts';
import type { Process } from './world.ts';

export interface CoordinatorFaults {
  readonly delayMs: readonly [number, number];
  /** Share of operations that fail without having been executed. */
  readonly lostShare: number;
  /** Share of operations that are executed, now or later, and fail. */
  readonly unknownShare: number;
}

const laterMs = 3000;

/** How long until a node that is cut off gives up waiting for an answer. */
const timeoutMs = 1000;

const noFaults = { lostShare: 0, unknownShare: 0 };

/** The way itself; handed to the coordinator's own process as its timers. */
export class CoordinatorWay {
  readonly #process: Process;
  #isCut = false;
  #isReliable = false;
  #waiting: (() => void)[] = [];

  constructor(process: Process) {
    this.#process = process;
  }

  /** From now on answers only take time. */
  heal(): void {
    this.#isReliable = true;
    this.mend();
  }

  get isReliable(): boolean {
    return this.#isReliable;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  cut(): void {
    this.#isCut = true;
  }

  mend(): void {
    this.#isCut = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) this.#process.timers.after(0, () => this.#pass(callback));
  }

  readonly timers: Timers = {
    after: (delayMs, callback): Timer => {
      let isCancelled = false;
      const timer = this.#process.timers.after(delayMs, () => {
        this.#pass(() => {
          if (!isCancelled) callback();
        });
      });
      return {
        cancel: () => {
          isCancelled = true;
          timer.cancel();
        },
      };
    },
  };

  #pass(callback: () => void): void {
    if (this.#isCut) this.#waiting.push(callback);
    else callback();
  }
}

export class FlakyCoordinator implements Coordinator {
  readonly #inner: Coordinator;
  readonly #way: CoordinatorWay;
  readonly #process: Process;
  readonly #random: SeededRandom;
  readonly #faults: CoordinatorFaults;
  #nodes: readonly NodeInfo[] = [];
  #shards: ReadonlyMap<string, VersionedShard> = new Map();
  #regions: VersionedRegions | undefined;

  constructor(
    inner: Coordinator,
    way: CoordinatorWay,
    process: Process,
    random: SeededRandom,
    faults: CoordinatorFaults,
  ) {
    this.#inner = inner;
    this.#way = way;
    this.#process = process;
    this.#random = random;
    this.#faults = faults;
  }

  get self(): NodeInfo | undefined {
    return this.#inner.self;
  }

  get isController(): boolean {
    return this.#inner.isController;
  }

  claim(object: ObjectRef, at: ClaimAt): Promise<ClaimResult> {
    return this.#ask(() => this.#inner.claim(object, at), false);
  }

  release(object: ObjectRef, epoch: Epoch): Promise<void> {
    return this.#ask(() => this.#inner.release(object, epoch), true);
  }

  transfer(object: ObjectRef, epoch: Epoch, to: NodeInfo, move?: MoveHome): Promise<boolean> {
    return this.#ask(() => this.#inner.transfer(object, epoch, to, move), true);
  }

  rehome(object: ObjectRef, change: Rehoming): Promise<boolean> {
    return this.#ask(() => this.#inner.rehome(object, change), true);
  }

  locate(object: ObjectRef): Promise<Located> {
    return this.#ask(() => this.#inner.locate(object), false);
  }

  nodes(): readonly NodeInfo[] {
    if (!this.#way.isCut) this.#nodes = this.#inner.nodes();
    return this.#nodes;
  }

  setDraining(draining: boolean): Promise<void> {
    return this.#ask(() => this.#inner.setDraining(draining), false);
  }

  shards(): ReadonlyMap<string, VersionedShard> {
    if (!this.#way.isCut) this.#shards = this.#inner.shards();
    return this.#shards;
  }

  assign(changes: readonly VersionedShard[]): Promise<boolean> {
    return this.#ask(() => this.#inner.assign(changes), false);
  }

  regions(): VersionedRegions | undefined {
    if (!this.#way.isCut) this.#regions = this.#inner.regions();
    return this.#regions;
  }

  setRegions(change: VersionedRegions): Promise<boolean> {
    return this.#ask(() => this.#inner.setRegions(change), false);
  }

  watch(callback: (event: CoordinatorEvent) => void): { stop(): void } {
    return this.#inner.watch(callback);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #ask<T>(run: () => Promise<T>, mayBeLate: boolean): Promise<T> {
    await this.#wait();
    if (this.#way.isCut) {
      await this.#sleep(timeoutMs);
      throw unavailable();
    }
    const { lostShare, unknownShare } = this.#way.isReliable ? noFaults : this.#faults;
    if (this.#random.chance(lostShare)) throw unavailable();
    const isUnknown = this.#random.chance(unknownShare);
    if (isUnknown && mayBeLate) {
      this.#way.timers.after(this.#random.between(0, laterMs), () => void run().catch(() => {}));
      throw unavailable();
    }
    const result = await run();
    await this.#wait();
    if (isUnknown) throw unavailable();
    return result;
  }

  #wait(): Promise<void> {
    return this.#sleep(this.#random.between(...this.#faults.delayMs));
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#process.timers.after(ms, () => resolve());
    });
  }
}

function unavailable(): HomingError {
  return new HomingError('unavailable', 'the coordinator did not answer');
}
