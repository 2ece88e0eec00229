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
  type ClaimAt,
  type Clock,
  type Coordinator,
  type Epoch,
  HomingError,
  type Metrics,
  type Network,
  type NodeInfo,
  type ObjectIdHex,
  type ObjectRef,
  type Ownership,
  type RegionList,
  type ShardAssignment,
  type Timers,
  type Whereabouts,
} from '@homing/base';
import { defaultHome, mayLiveIn } from '@homing/protocol';

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
  /** The region that each location hint means. */
  readonly locationHints: Readonly<Record<string, string>>;
  /** Undefined while no list was begun: no object has a home then. */
  readonly regions: () => RegionList | undefined;
  /** The set that holds an object at home in the region; undefined while none is assigned. */
  readonly setOf: (home: string, id: ObjectIdHex) => ShardAssignment | undefined;
  /** The stores that may own an object at home in the region; undefined while none are assigned. */
  readonly candidates: (home: string, id: ObjectIdHex) => readonly string[] | undefined;
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
  /** Homes that are not the default ones, as far as known; a wrong one costs a round trip. */
  readonly #homes = new Map<ObjectIdHex, string>();
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

  /** Whether a node with this store may own the object at home in the region: it holds a replica. */
  mayOwn(home: string, id: ObjectIdHex, storeId: string): boolean {
    const { cluster } = this.#options;
    return cluster === undefined || cluster.candidates(home, id)?.includes(storeId) === true;
  }

  /** How long whoever needs an object waits for it. */
  get timeoutMs(): number {
    return this.#options.placementTimeoutMs;
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

  /** The live node with that store, where it may own an object that is at home there. */
  taker(
    id: ObjectIdHex,
    home: string | undefined,
    store: string | undefined,
  ): NodeInfo | undefined {
    const { coordinator } = this.#options;
    if (home === undefined || store === undefined || !this.mayOwn(home, id, store))
      return undefined;
    return coordinator
      .nodes()
      .find(({ storeId, draining }) => storeId === store && draining !== true);
  }

  /** The node that is remembered as the owner, where that is another one and can be reached. */
  elsewhere(id: ObjectIdHex): string | undefined {
    const node = this.#owners.get(id)?.node;
    if (node === undefined || node === this.#options.coordinator.self?.node) return undefined;
    return this.#reaches(node) ? node : undefined;
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
    const known = isForwarded ? undefined : this.elsewhere(id);
    if (known !== undefined) return { here: false, node: known };
    if (cluster === undefined) {
      return this.#claim(object, { home: coordinator.self?.region ?? '', isDefault: true });
    }
    const base = this.#defaultHome(id, cluster);
    const first = this.#homes.get(id) ?? base;
    if (this.#mayClaim(first, id))
      return this.#claim(object, { home: first, isDefault: first === base });
    const located = await coordinator.locate(object);
    const home = located.home ?? base;
    this.#learnHome(id, home, base);
    const { ownership } = located;
    if (ownership !== undefined && ownership.owner.node !== coordinator.self?.node) {
      return this.#at(id, ownership);
    }
    const at = { home, isDefault: home === base };
    if (this.#mayClaim(home, id)) return this.#claim(object, at);
    if (ownership !== undefined) await this.#giveUp(object, at);
    return this.#someOwner(home, id, cluster);
  }

  /**
   * The record names this node, which may not own the object: it was handed over here and its replica set
   * has changed since, or a hand-over from here failed and nobody knew. Only what was claimed can be given up.
   */
  async #giveUp(object: ObjectRef, at: ClaimAt): Promise<void> {
    const { coordinator } = this.#options;
    const claimed = await coordinator.claim(object, at);
    if (claimed.outcome !== 'granted') return;
    await coordinator.release(object, claimed.ownership.epoch);
  }

  /** One that may own it will claim it when the call gets there. */
  #someOwner(home: string, id: ObjectIdHex, cluster: PlacementCluster): Place | undefined {
    const { coordinator } = this.#options;
    const candidates = cluster.candidates(home, id);
    const node = coordinator
      .nodes()
      .find(
        (other) =>
          other.node !== coordinator.self?.node &&
          other.draining !== true &&
          candidates?.includes(other.storeId) === true &&
          this.#reaches(other.node),
      );
    return node === undefined ? undefined : { here: false, node: node.node };
  }

  #mayClaim(home: string, id: ObjectIdHex): boolean {
    const store = this.#options.coordinator.self?.storeId ?? '';
    return !this.#isDraining && this.mayOwn(home, id, store);
  }

  #defaultHome(id: ObjectIdHex, { regions }: PlacementCluster): string {
    const list = regions();
    if (list === undefined) {
      throw new HomingError(
        'unavailable',
        'the regions of the cluster are not known yet: try again',
      );
    }
    const home = defaultHome(id, list);
    if (home !== undefined) return home;
    throw new HomingError(
      'unavailable',
      'the object’s id was made in a region, or for a jurisdiction, that this cluster does not have',
    );
  }

  /** Only those away from their default home are remembered. */
  #learnHome(id: ObjectIdHex, home: string, base: string): void {
    this.#homes.delete(id);
    if (home === base) return;
    this.#homes.set(id, home);
    if (this.#homes.size <= this.#options.ownersMax) return;
    const oldest = this.#homes.keys().next();
    if (!oldest.done) this.#homes.delete(oldest.value);
  }

  async #claim(object: ObjectRef, at: ClaimAt): Promise<Place | undefined> {
    const { coordinator, metrics } = this.#options;
    const { id } = object;
    try {
      const result = await coordinator.claim(object, at);
      const { outcome } = result;
      metrics.increment('placement_claims_total', { outcome });
      if (outcome === 'elsewhere') {
        return this.#elsewhere(object, result.home);
      }
      const { ownership } = result;
      if (outcome === 'held') return this.#at(id, ownership);
      const before = this.#owners.get(id);
      this.#owners.delete(id);
      const isAlive = coordinator.nodes().some(({ node }) => node === before?.node);
      if (before !== undefined && !isAlive) metrics.increment('failovers_total');
      return { here: true, ownership };
    } catch (error) {
      metrics.increment('placement_claims_total', { outcome: 'error' });
      throw error;
    }
  }

  /**
   * Where an object that was never used is to live: where its hint says, or in the region of the node
   * that it was called on first. Undefined where that is its home, or no place for it.
   */
  firstRegion(object: ObjectRef, home: string, from: string | undefined): string | undefined {
    const { cluster, coordinator } = this.#options;
    const list = cluster?.regions();
    if (cluster === undefined || list === undefined || this.#isDraining) return undefined;
    const caller = from ?? coordinator.self?.node;
    const node = coordinator.nodes().find((other) => other.node === caller);
    const hinted = cluster.locationHints[object.locationHint ?? ''];
    const isPlace = (region: string | undefined) =>
      region !== undefined &&
      mayLiveIn(object.id, region, list) &&
      cluster.setOf(region, object.id) !== undefined;
    const region = isPlace(hinted) ? hinted : node?.region;
    return region !== home && isPlace(region) ? region : undefined;
  }

  /** Whether the object lives where it would without any record of where it lives. */
  isDefaultHome(id: ObjectIdHex, home: string | undefined): boolean {
    const list = this.#options.cluster?.regions();
    if (this.#options.cluster === undefined) return home !== undefined;
    return list !== undefined && home === defaultHome(id, list);
  }

  /** Where the object is at home and who owns it, as the coordinator has it. */
  async whereabouts(object: ObjectRef): Promise<Whereabouts> {
    const { cluster, coordinator } = this.#options;
    const { home, ownership, epoch } = await coordinator.locate(object);
    const base = cluster === undefined ? '' : this.#defaultHome(object.id, cluster);
    return { home: home ?? base, epoch, ownerStore: ownership?.owner.storeId };
  }

  /** Nobody owns it, and its home is another one than was thought. */
  #elsewhere(object: ObjectRef, found: string | undefined): Place | undefined {
    const { cluster } = this.#options;
    if (cluster === undefined) return undefined;
    const base = this.#defaultHome(object.id, cluster);
    const home = found ?? base;
    this.#learnHome(object.id, home, base);
    // As `place` looks again; a home that changes all the time is not run after here.
    return this.#mayClaim(home, object.id) ? undefined : this.#someOwner(home, object.id, cluster);
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
