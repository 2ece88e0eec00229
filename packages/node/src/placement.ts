/**
 * Where an object is: here, by a lease that was just granted, or on another node.
 *
 * Callers remember owners, and an entry is replaced only by one of a greater epoch; a stale one costs
 * a hop, since what an owner may say is decided by its replicas and never by who asked it. The
 * coordinator is asked only where nothing is remembered or the remembered node cannot be reached.
 *
 * An owner that cannot be reached keeps its objects until its session ends: what is meant for them
 * waits until then, bounded by `placementTimeoutMs`.
 */
import {
  type Clock,
  type Coordinator,
  type Epoch,
  HomingError,
  type Metrics,
  type Network,
  type ObjectIdHex,
  type ObjectRef,
  type Ownership,
  type Timers,
} from '@homing/base';

export type Place =
  | { readonly here: true; readonly ownership: Ownership }
  | { readonly here: false; readonly node: string };

export interface PlacementOptions {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly metrics: Metrics;
  /** How long to wait for an owner that cannot be reached to lose its session. */
  readonly placementTimeoutMs: number;
  /** Owners remembered. */
  readonly ownersMax: number;
  /** Undefined on a single node, where everything is here. */
  readonly cluster: PlacementCluster | undefined;
}

export interface PlacementCluster {
  readonly network: Network;
  /** The stores that may own the object; undefined while its shard is not assigned. */
  readonly candidates: (id: ObjectIdHex) => readonly string[] | undefined;
}

interface Remembered {
  readonly node: string;
  readonly epoch: Epoch;
}

/** Where no event says that looking again is worth while. */
const lookAgainMs = 200;

export class Placement {
  readonly #options: PlacementOptions;
  readonly #owners = new Map<ObjectIdHex, Remembered>();
  readonly #waiting = new Set<() => void>();
  /** Nodes that said they are ending: nothing is sent to them any more. */
  readonly #leaving = new Set<string>();
  #isDraining = false;

  constructor(options: PlacementOptions) {
    this.#options = options;
    options.coordinator.watch(() => this.#lookAgain());
  }

  /** From now on nothing new is placed here. */
  drain(): void {
    this.#isDraining = true;
  }

  /** What a caller or the node itself was told. */
  learn(id: ObjectIdHex, node: string, epoch: Epoch): void {
    const known = this.#owners.get(id);
    if (known !== undefined && known.epoch >= epoch) return;
    this.#owners.delete(id);
    this.#owners.set(id, { node, epoch });
    if (this.#owners.size <= this.#options.ownersMax) return;
    const oldest = this.#owners.keys().next();
    if (!oldest.done) this.#owners.delete(oldest.value);
  }

  /** The node said that it is not the owner, and knows no better. */
  forget(id: ObjectIdHex, node: string): void {
    if (this.#owners.get(id)?.node === node) this.#owners.delete(id);
  }

  /** Whether a node with this store may own the object: it holds a replica. */
  mayOwn(id: ObjectIdHex, storeId: string): boolean {
    const { cluster } = this.#options;
    return cluster === undefined || cluster.candidates(id)?.includes(storeId) === true;
  }

  leaving(node: string): void {
    this.#leaving.add(node);
  }

  /** Its link is gone: whatever comes back under the name is another process. */
  gone(node: string): void {
    this.#leaving.delete(node);
  }

  remembered(id: ObjectIdHex): Remembered | undefined {
    return this.#owners.get(id);
  }

  /**
   * Resolves with where the object is; with `here` after claiming it. Rejects with `unavailable`
   * when it cannot be placed: the coordinator is away, or the owner neither answers nor ends. What
   * another node sent here is not sent on by memory alone: the two could remember each other.
   */
  async place(object: ObjectRef, isForwarded: boolean): Promise<Place> {
    const { clock, placementTimeoutMs } = this.#options;
    const untilMs = clock.monotonicMs() + placementTimeoutMs;
    for (;;) {
      const place = await this.#try(object, isForwarded);
      if (place !== undefined) return place;
      if (clock.monotonicMs() >= untilMs) {
        throw new HomingError('unavailable', 'the object’s node does not answer: try again');
      }
      await this.#change();
    }
  }

  async #try(object: ObjectRef, isForwarded: boolean): Promise<Place | undefined> {
    const { cluster, coordinator } = this.#options;
    const { id } = object;
    const known = isForwarded ? undefined : this.#owners.get(id);
    if (known !== undefined && known.node !== coordinator.self?.node && this.#reaches(known.node)) {
      return { here: false, node: known.node };
    }
    const candidates = cluster?.candidates(id);
    const isCandidate =
      cluster === undefined || candidates?.includes(coordinator.self?.storeId ?? '') === true;
    if (isCandidate && !this.#isDraining) return this.#claim(object);
    if (candidates === undefined) return undefined;
    const ownership = await coordinator.locate(object);
    if (ownership !== undefined) {
      if (ownership.owner.node !== coordinator.self?.node) return this.#at(id, ownership);
      // A hand-over whose outcome was not known: it stayed, and nobody else can take it.
      await coordinator.release(object, ownership.epoch);
    }
    // One that may own it will claim it when the call gets there.
    const node = coordinator
      .nodes()
      .find(
        (other) =>
          other.node !== coordinator.self?.node &&
          other.draining !== true &&
          candidates.includes(other.storeId) &&
          this.#reaches(other.node),
      );
    return node === undefined ? undefined : { here: false, node: node.node };
  }

  async #claim(object: ObjectRef): Promise<Place | undefined> {
    const { coordinator, metrics } = this.#options;
    try {
      const { outcome, ownership } = await coordinator.claim(object);
      metrics.increment('placement_claims_total', { outcome });
      if (outcome === 'held') return this.#at(object.id, ownership);
      const before = this.#owners.get(object.id);
      this.#owners.delete(object.id);
      const isAlive = coordinator.nodes().some(({ node }) => node === before?.node);
      if (before !== undefined && !isAlive) metrics.increment('failovers_total');
      return { here: true, ownership };
    } catch (error) {
      metrics.increment('placement_claims_total', { outcome: 'error' });
      throw error;
    }
  }

  /** Whether the object lives where it would without any record of where it lives. */
  isDefaultHome(_id: ObjectIdHex, home: string | undefined): boolean {
    // There is one region that objects are placed in.
    return home !== undefined;
  }

  #at(id: ObjectIdHex, { owner, epoch }: Ownership): Place | undefined {
    if (!this.#reaches(owner.node)) return undefined;
    this.learn(id, owner.node, epoch);
    return { here: false, node: owner.node };
  }

  #reaches(node: string): boolean {
    if (this.#leaving.has(node)) return false;
    return this.#options.cluster?.network.peer(node, 'call') !== undefined;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.timers.after(lookAgainMs, () => again());
      const again = () => {
        timer.cancel();
        this.#waiting.delete(again);
        resolve();
      };
      this.#waiting.add(again);
    });
  }

  #lookAgain(): void {
    for (const again of [...this.#waiting]) again();
  }
}
