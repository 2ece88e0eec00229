/**
 * The `Coordinator` of a single node: this process owns every object, from the first moment on.
 *
 * Epochs must be greater than any granted before, also by earlier runs, without a write per grant:
 * the data directory's count of starts fills the upper bits of the epoch's revision, and grants within
 * one run count its lower bits and the attempt up. So a claim costs nothing that waits.
 *
 * Invariants
 * 1. An object's epochs only grow, within a run and across runs.
 * 2. A claim is always granted, under a fresh epoch: the only node there is may take over from
 *    itself, after a crash of the activation that could not release.
 */
import {
  assert,
  type ClaimResult,
  type Coordinator,
  type CoordinatorEvent,
  type Epoch,
  HomingError,
  type Located,
  makeEpoch,
  type NodeInfo,
  type ObjectRef,
  type Ownership,
  type VersionedShard,
} from '@homing/base';

export interface EmbeddedCoordinatorOptions {
  /** The node's name, the same from run to run. */
  readonly node: string;
  readonly region: string;
  readonly zone: string;
  readonly storeId: string;
  /** `Store.starts`: how often the data directory was opened. Greater in every run. */
  readonly starts: number;
  readonly addresses?: Readonly<Record<string, string>> | undefined;
}

/** Attempts are 16 bits; past them the revision moves into the next of this run's share. */
const attemptsPerRevision = 2 ** 16;
/** Of an epoch's 48 bits of revision, so many low ones count within one run. */
const revisionsPerRun = 2 ** 20;

const noShards: ReadonlyMap<string, VersionedShard> = new Map();

class EmbeddedCoordinator implements Coordinator {
  #self: NodeInfo;
  readonly #starts: number;
  readonly #owned = new Map<string, Ownership>();
  readonly #watchers = new Set<(event: CoordinatorEvent) => void>();
  #grants = 0;
  #closed = false;

  constructor(options: EmbeddedCoordinatorOptions) {
    const { node, region, zone, storeId, starts } = options;
    assert(Number.isSafeInteger(starts) && starts >= 1, 'coordinator: starts must be at least 1');
    this.#starts = starts;
    this.#self = Object.freeze({
      node,
      incarnation: `${storeId}-${starts}`,
      storeId,
      region,
      zone,
      addresses: Object.freeze({ ...options.addresses }),
    });
  }

  get self(): NodeInfo | undefined {
    return this.#closed ? undefined : this.#self;
  }

  async claim(object: ObjectRef): Promise<ClaimResult> {
    this.#checkOpen();
    const ownership: Ownership = {
      owner: this.#self,
      epoch: this.#nextEpoch(),
      home: this.#self.region,
    };
    this.#owned.set(keyOf(object), ownership);
    return { outcome: 'granted', ownership };
  }

  async release(object: ObjectRef, epoch: Epoch): Promise<void> {
    this.#checkOpen();
    const key = keyOf(object);
    if (this.#owned.get(key)?.epoch === epoch) this.#owned.delete(key);
  }

  async locate(object: ObjectRef): Promise<Located> {
    this.#checkOpen();
    const ownership = this.#owned.get(keyOf(object));
    return { home: ownership?.home, ownership, epoch: ownership?.epoch ?? this.#nextEpoch() };
  }

  /** Everything is here. */
  regions(): undefined {
    return undefined;
  }

  async setRegions(): Promise<boolean> {
    return false;
  }

  /** There is nobody to give it to. */
  async transfer(): Promise<boolean> {
    this.#checkOpen();
    return false;
  }

  async rehome(): Promise<boolean> {
    return false;
  }

  async setDraining(draining: boolean): Promise<void> {
    this.#checkOpen();
    this.#self = Object.freeze({ ...this.#self, draining });
  }

  /** One store holds everything: there is nothing to assign. */
  shards(): ReadonlyMap<string, VersionedShard> {
    return noShards;
  }

  get isController(): boolean {
    return false;
  }

  async assign(): Promise<boolean> {
    return false;
  }

  nodes(): readonly NodeInfo[] {
    return this.#closed ? [] : [this.#self];
  }

  watch(callback: (event: CoordinatorEvent) => void): { stop(): void } {
    // A wrapper of its own, so that one callback may watch twice.
    const watcher = (event: CoordinatorEvent) => callback(event);
    this.#watchers.add(watcher);
    return { stop: () => void this.#watchers.delete(watcher) };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#owned.clear();
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher({ type: 'session-lost' });
  }

  /** Unique in this run whatever the object, hence growing for each. */
  #nextEpoch(): Epoch {
    this.#grants += 1;
    const carry = Math.floor(this.#grants / attemptsPerRevision);
    assert(carry < revisionsPerRun, 'coordinator: the epochs of this run are used up; restart');
    const revision = BigInt(this.#starts) * BigInt(revisionsPerRun) + BigInt(carry);
    return makeEpoch(revision, this.#grants % attemptsPerRevision);
  }

  #checkOpen(): void {
    if (this.#closed) throw new HomingError('unavailable', 'the coordinator is closed');
  }
}

function keyOf(object: ObjectRef): string {
  return `${object.namespace}\0${object.id}`;
}

/** The coordinator of one node that owns everything. `starts` must grow from run to run. */
export function embeddedCoordinator(options: EmbeddedCoordinatorOptions): Coordinator {
  return new EmbeddedCoordinator(options);
}
