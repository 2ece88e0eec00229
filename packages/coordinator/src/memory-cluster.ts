/**
 * The `Coordinator` of a cluster whose nodes share one process: for tests and the simulator. It keeps to
 * the same rules as etcd's adapter, with nothing random, no clock but those handed in, and every effect
 * at the moment of the call; only events come later, on the timers of the node that hears them.
 *
 * Invariants
 * 1. A session ends when no other node has seen it renewed for the TTL, each by its own clock; while the
 *    cluster is away none does.
 * 2. Only what an operation of the port or a fault control says changes the shared state.
 */
import {
  type ClaimAt,
  type ClaimResult,
  type Clock,
  type Coordinator,
  type CoordinatorEvent,
  type Epoch,
  HomingError,
  type Located,
  type MonotonicMs,
  type MoveHome,
  makeEpoch,
  type NodeInfo,
  type ObjectRef,
  type Ownership,
  type RegionList,
  type Rehoming,
  type Timer,
  type Timers,
  type VersionedRegions,
  type VersionedShard,
} from '@homing/base';
import { checkChanges, shardName } from './assignments.ts';
import { Grants, type Past, pastOf } from './grants.ts';
import { type MemoryMember, MemoryState, type SharedRecord } from './memory-state.ts';
import { Watchers } from './watchers.ts';

export interface MemoryClusterOptions {
  /** Default 5000. */
  readonly sessionTtlMs?: number | undefined;
  /** Shards changed in one transaction; default 100. */
  readonly assignMax?: number | undefined;
}

export interface MemoryNodeOptions {
  readonly node: string;
  readonly storeId: string;
  readonly region: string;
  readonly zone: string;
  readonly addresses?: Readonly<Record<string, string>> | undefined;
  readonly clock: Clock;
  readonly timers: Timers;
}

export interface MemoryCoordinator extends Coordinator {
  /** The process is gone without a word: it renews nothing, hears nothing, and every call rejects. */
  crash(): void;
}

export interface MemoryCluster {
  /** A process of the node, with a session at once unless the cluster is away. */
  node(options: MemoryNodeOptions): MemoryCoordinator;
  /** While away every operation rejects, and no session ends or begins. */
  setAway(away: boolean): void;
  /** What stands, whether or not it is away. */
  shards(): ReadonlyMap<string, VersionedShard>;
  /** Likewise. */
  regions(): RegionList | undefined;
  /** Nodes that have one, whether or not it is away. */
  sessions(): readonly string[];
  /** Of the object's record; undefined where it has none. */
  homeOf(object: ObjectRef): string | undefined;
  /** Ends the node's session as if its time had passed. */
  expire(node: string): void;
}

interface Observation {
  readonly renewals: number;
  readonly absences: number;
  readonly sinceMs: MonotonicMs;
}

class MemoryProcess implements MemoryCoordinator, MemoryMember {
  readonly #shared: MemoryState;
  readonly #options: MemoryNodeOptions;
  readonly #grants = new Grants();
  readonly #watchers = new Watchers((cause) => {
    throw cause;
  });
  /** By incarnation: when another's session was last seen renewed. */
  readonly #observed = new Map<string, Observation>();
  #self: NodeInfo | undefined;
  #renewedAtMs: MonotonicMs;
  #timer: Timer | undefined;
  #wasController = false;
  #draining = false;
  /** Why this process takes no part any more. */
  #over: string | undefined;

  constructor(shared: MemoryState, options: MemoryNodeOptions) {
    this.#shared = shared;
    this.#options = options;
    this.#renewedAtMs = options.clock.monotonicMs();
    shared.processes.add(this);
    this.#tick();
  }

  get self(): NodeInfo | undefined {
    return this.#self;
  }

  async claim(object: ObjectRef, at: ClaimAt): Promise<ClaimResult> {
    const shared = this.#enter();
    const self = this.#claimable();
    const key = keyOf(object);
    const record = shared.records.get(key);
    if (record === undefined && !at.isDefault) return { outcome: 'elsewhere', home: undefined };
    const isOwn = record?.owner?.incarnation === self.incarnation;
    if (record !== undefined && !isOwn) {
      const ownership = this.#ownershipOf(record);
      if (ownership !== undefined) {
        this.#grants.delete(key);
        return { outcome: 'held', ownership };
      }
    }
    const home = record?.home ?? at.home;
    if (home !== at.home) return { outcome: 'elsewhere', home };
    const granted = this.#grants.get(key);
    if (record !== undefined && isOwn) {
      // Given to us by its owner.
      if (granted === undefined || granted.revision < record.revision) {
        return this.#granted(key, self, record, at);
      }
    }
    const past = pastOf((isOwn ? granted : record) ?? {});
    return this.#granted(key, self, this.#write(key, self, { home, ...past }), at);
  }

  async release(object: ObjectRef, epoch: Epoch): Promise<void> {
    const shared = this.#enter();
    const key = keyOf(object);
    const grant = this.#grants.under(key, epoch);
    if (grant === undefined) return;
    this.#grants.delete(key, grant);
    if (shared.records.get(key)?.revision !== grant.revision) return;
    if (!grant.isDefault || grant.isPromoted === true) this.#write(key, undefined, grant);
    else {
      shared.revision += 1n;
      shared.records.delete(key);
    }
  }

  async transfer(object: ObjectRef, epoch: Epoch, to: NodeInfo, move?: MoveHome): Promise<boolean> {
    const shared = this.#enter();
    const key = keyOf(object);
    const grant = this.#grants.under(key, epoch);
    const record = shared.records.get(key);
    if (grant === undefined || record?.revision !== grant.revision) return false;
    if (shared.session(to.node, to.incarnation) === undefined) return false;
    if (move !== undefined) {
      const { assignment, revision } = move.shard;
      if (shared.shards.get(shardName(assignment))?.revision !== revision) return false;
    }
    this.#write(key, to, move === undefined ? grant : { home: move.home, from: grant.home });
    this.#grants.delete(key, grant);
    return true;
  }

  async rehome(object: ObjectRef, change: Rehoming): Promise<boolean> {
    const shared = this.#enter();
    const { located, home, from, isForced } = change;
    const key = keyOf(object);
    const record = shared.records.get(key);
    const isSame =
      record === undefined
        ? located.home === undefined
        : located.home !== undefined && makeEpoch(record.revision, 0) === located.epoch;
    const isOwned = record !== undefined && this.#ownershipOf(record) !== undefined;
    if (!isSame || (isOwned && !isForced)) return false;
    this.#write(key, undefined, { home, from, isPromoted: true });
    return true;
  }

  async locate(object: ObjectRef): Promise<Located> {
    const shared = this.#enter();
    const record = shared.records.get(keyOf(object));
    const epoch = makeEpoch(record?.revision ?? shared.revision, 0);
    return {
      home: record?.home,
      ownership: record && this.#ownershipOf(record),
      epoch,
      lastOwner: record?.owner?.node,
    };
  }

  #write(
    key: string,
    owner: NodeInfo | undefined,
    { home, ...past }: Past & Pick<SharedRecord, 'home'>,
  ): SharedRecord {
    const shared = this.#shared;
    shared.revision += 1n;
    const { revision } = shared;
    const record: SharedRecord = {
      owner: owner && { node: owner.node, incarnation: owner.incarnation },
      home,
      revision,
      ...pastOf(past),
    };
    shared.records.set(key, record);
    return record;
  }

  /** Undefined where the owner's session is over. */
  #ownershipOf({ owner, home, revision, ...past }: SharedRecord): Ownership | undefined {
    const holder = owner && this.#shared.session(owner.node, owner.incarnation);
    if (holder === undefined) return undefined;
    const epoch = makeEpoch(revision, 0);
    return { owner: holder.self, epoch, home, ...pastOf(past) };
  }

  nodes(): readonly NodeInfo[] {
    if (this.#over !== undefined) return [];
    return [...this.#shared.sessions.values()].map(({ self }) => self);
  }

  async setDraining(draining: boolean): Promise<void> {
    const shared = this.#enter();
    const { node, incarnation } = this.#claimable();
    const session = shared.session(node, incarnation);
    if (session === undefined) throw noSession();
    this.#draining = draining;
    session.self = this.#describe(incarnation);
    this.#self = session.self;
    shared.tell({ type: 'nodes' });
  }

  shards(): ReadonlyMap<string, VersionedShard> {
    return this.#shared.shards;
  }

  get isController(): boolean {
    return this.#self !== undefined && this.#shared.controller === this.#self.incarnation;
  }

  async assign(changes: readonly VersionedShard[]): Promise<boolean> {
    const shared = this.#enter();
    checkChanges(changes, shared.assignMax);
    const unchanged = changes.every(
      ({ assignment, revision }) =>
        (shared.shards.get(shardName(assignment))?.revision ?? 0n) === revision,
    );
    if (!this.isController || !unchanged) return false;
    shared.revision += 1n;
    const { revision } = shared;
    const written = changes.map(
      ({ assignment }) => [shardName(assignment), { assignment, revision }] as const,
    );
    shared.shards = new Map([...shared.shards, ...written]);
    shared.tell({ type: 'shards' });
    return true;
  }

  regions(): VersionedRegions | undefined {
    return this.#shared.regions;
  }

  async setRegions({ list, revision }: VersionedRegions): Promise<boolean> {
    const shared = this.#enter();
    if (!this.isController || (shared.regions?.revision ?? 0n) !== revision) return false;
    shared.revision += 1n;
    shared.regions = { list, revision: shared.revision };
    shared.tell({ type: 'regions' });
    return true;
  }

  watch(callback: (event: CoordinatorEvent) => void): { stop(): void } {
    return this.#watchers.add(callback);
  }

  async close(): Promise<void> {
    if (this.#over !== undefined) return;
    this.#end('the coordinator is closed');
  }

  crash(): void {
    if (this.#over !== undefined) return;
    this.#over = 'the process has crashed';
    this.#self = undefined;
    this.#timer?.cancel();
    this.#watchers.clear();
    this.#shared.processes.delete(this);
  }

  hear(what: () => void): void {
    this.#options.timers.after(0, () => {
      if (this.#over === undefined) what();
    });
  }

  tell(event: CoordinatorEvent): void {
    this.#watchers.tell(event);
  }

  noticeLoss(): void {
    const self = this.#self;
    if (self === undefined) return;
    const session = this.#shared.sessions.get(self.node);
    if (session?.self.incarnation === self.incarnation) return;
    if (session !== undefined && session.process !== this) {
      this.#end(`another process runs as node ${self.node}: give each a name of its own`);
      return;
    }
    this.#self = undefined;
    this.tell({ type: 'session-lost' });
    this.#tellController();
  }

  stand(): void {
    const shared = this.#shared;
    const self = this.#self;
    if (!shared.away && self !== undefined && shared.session(self.node, self.incarnation)) {
      shared.controller ??= self.incarnation;
    }
    this.#tellController();
  }

  #tick(): void {
    if (this.#over !== undefined) return;
    this.#timer = this.#options.timers.after(this.#shared.ttlMs / 3, () => this.#tick());
    if (this.#shared.away) return;
    this.#renew();
    this.#sweep();
    this.stand();
  }

  #renew(): void {
    const { node, clock } = this.#options;
    const shared = this.#shared;
    this.noticeLoss();
    if (this.#over !== undefined) return;
    this.#renewedAtMs = clock.monotonicMs();
    const session = shared.sessions.get(node);
    if (this.#self !== undefined && session !== undefined) {
      session.renewals += 1;
      return;
    }
    if (session !== undefined) shared.endSession(session);
    shared.revision += 1n;
    this.#self = this.#describe(String(shared.revision));
    shared.sessions.set(node, { self: this.#self, process: this, renewals: 0 });
    this.tell({ type: 'session', self: this.#self });
    shared.tell({ type: 'nodes' });
  }

  /** Ends the sessions of others that have not been renewed for their time. */
  #sweep(): void {
    const { sessions, absences, ttlMs } = this.#shared;
    const nowMs = this.#options.clock.monotonicMs();
    for (const incarnation of this.#observed.keys()) {
      const lives = [...sessions.values()].some(({ self }) => self.incarnation === incarnation);
      if (!lives) this.#observed.delete(incarnation);
    }
    for (const session of [...sessions.values()]) {
      const { renewals, process } = session;
      const { incarnation } = session.self;
      const seen = this.#observed.get(incarnation);
      if (process === this || (seen?.renewals === renewals && seen.absences === absences)) {
        if (seen !== undefined && nowMs - seen.sinceMs > ttlMs) this.#shared.endSession(session);
      } else {
        this.#observed.set(incarnation, { renewals, absences, sinceMs: nowMs });
      }
    }
  }

  #end(reason: string): void {
    this.#over = reason;
    this.#timer?.cancel();
    this.#shared.processes.delete(this);
    const self = this.#self;
    this.#self = undefined;
    if (self !== undefined) {
      const session = this.#shared.session(self.node, self.incarnation);
      if (session !== undefined && !this.#shared.away) this.#shared.endSession(session);
      this.tell({ type: 'session-lost' });
    }
    this.#watchers.clear();
  }

  #granted(key: string, owner: NodeInfo, record: SharedRecord, at: ClaimAt): ClaimResult {
    const { revision, home } = record;
    const epoch = makeEpoch(revision, 0);
    const rest = { epoch, home, ...pastOf(record) };
    this.#grants.set(key, { ...rest, revision, isDefault: at.isDefault });
    return { outcome: 'granted', ownership: { ...rest, owner } };
  }

  #enter(): MemoryState {
    if (this.#over !== undefined) throw new HomingError('unavailable', this.#over);
    if (this.#shared.away) throw new HomingError('unavailable', 'the coordinator is away');
    return this.#shared;
  }

  #claimable(): NodeInfo {
    const self = this.#self;
    const silentMs = this.#options.clock.monotonicMs() - this.#renewedAtMs;
    if (self === undefined || silentMs > this.#shared.ttlMs) throw noSession();
    if (this.#shared.session(self.node, self.incarnation) === undefined) throw noSession();
    return self;
  }

  #describe(incarnation: string): NodeInfo {
    const { node, storeId, region, zone } = this.#options;
    const addresses = Object.freeze({ ...this.#options.addresses });
    const draining = this.#draining ? { draining: true } : {};
    return Object.freeze({ node, incarnation, storeId, region, zone, addresses, ...draining });
  }

  #tellController(): void {
    if (this.isController === this.#wasController) return;
    this.#wasController = this.isController;
    this.tell({ type: 'controller' });
  }
}

function keyOf(object: ObjectRef): string {
  return `${object.namespace}\0${object.id}`;
}

function noSession(): HomingError {
  return new HomingError('unavailable', 'this node has no live session');
}

/** A cluster in this process. Its nodes come and go by `node`, `close` and `crash`. */
export function memoryCluster(options: MemoryClusterOptions = {}): MemoryCluster {
  const shared = new MemoryState({
    ttlMs: options.sessionTtlMs ?? 5000,
    assignMax: options.assignMax ?? 100,
  });
  return {
    node: (nodeOptions) => new MemoryProcess(shared, nodeOptions),
    setAway(away) {
      if (away && !shared.away) shared.absences += 1;
      shared.away = away;
    },
    shards: () => shared.shards,
    regions: () => shared.regions?.list,
    sessions: () => [...shared.sessions.keys()],
    homeOf: (object) => shared.records.get(keyOf(object))?.home,
    expire(node) {
      const session = shared.sessions.get(node);
      if (session !== undefined) shared.endSession(session);
    },
  };
}
