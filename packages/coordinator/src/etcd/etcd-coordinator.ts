/**
 * The `Coordinator` of a cluster: who owns what is decided by etcd's transactions. This file joins the
 * parts and speaks the port; each rule lives in the part that it concerns.
 *
 * Invariants
 * 1. Nothing is written to an etcd that is not the one the disk knows (`identity.ts`).
 * 2. What the properties show is what was last seen; an etcd that is away changes none of them.
 * 3. `close` is final: nothing is granted after it, and nobody is told anything after `session-lost`.
 */
import { rootCertificates } from 'node:tls';
import {
  type ClaimAt,
  type ClaimResult,
  type Clock,
  type Coordinator,
  type CoordinatorEvent,
  type Epoch,
  HomingError,
  type Located,
  type Logger,
  type MoveHome,
  type NodeInfo,
  type ObjectRef,
  type Rehoming,
  type Timers,
  type VersionedRegions,
  type VersionedShard,
} from '@homing/base';
import { checkChanges, shardName } from '../assignments.ts';
import { Grants } from '../grants.ts';
import { Watchers } from '../watchers.ts';
import { Claims } from './claims.ts';
import { EtcdClient, type EtcdTls, isAway } from './client.ts';
import { type DiskContext, recover, registerStart } from './disk.ts';
import { Election } from './election.ts';
import { agreedFacts, type ClusterFacts } from './facts.ts';
import { type EtcdGuard, Identity } from './identity.ts';
import {
  decodeNode,
  decodeRegions,
  decodeShard,
  encodeRegions,
  encodeShard,
  Keys,
} from './keys.ts';
import { type EtcdLimits, etcdLimits } from './limits.ts';
import { Mirror } from './mirror.ts';
import { untilAnswered } from './pacer.ts';
import { Records } from './records.ts';
import { forgetRecords, type RecoveredHome, writeHomes } from './recovered-records.ts';
import { Session } from './session.ts';
import { Settings } from './settings.ts';
import { foundAt, type KeyValue } from './transaction.ts';
import { Witness } from './witness.ts';

export interface EtcdCoordinatorOptions {
  /** `host:port`, with `https://` for TLS. One is used at a time, the next when it fails. */
  readonly endpoints: readonly string[];
  /** Before every key; clusters that share an etcd have different ones. Default `/homing/`. */
  readonly prefix?: string | undefined;
  /** PEM. `ca` defaults to the authorities that Node trusts; `cert` and `key` are this client's. */
  readonly tls?: Partial<EtcdTls> | undefined;
  readonly credentials?: { readonly username: string; readonly password: string } | undefined;
  /** Unique among the live processes of the cluster. */
  readonly node: string;
  readonly storeId: string;
  readonly region: string;
  readonly zone: string;
  readonly addresses: Readonly<Record<string, string>>;
  /** How long others wait for a silent node. etcd counts in seconds, at least about two. */
  readonly sessionTtlMs?: number | undefined;
  /** What the disk knows of etcd. */
  readonly guard: EtcdGuard;
  readonly limits?: Partial<EtcdLimits> | undefined;
  readonly logger: Logger;
  /** The system's: gRPC's deadlines are wall-clock times. */
  readonly clock: Clock;
  readonly timers: Timers;
}

/** What a node keeps on its disk about etcd, and what an operator does when etcd lost its memory. */
export interface EtcdCoordinatorExtras {
  /** Of the etcd trusted; for the disk. */
  readonly clusterId: string;
  /** No epoch granted so far, to whomever, that this node can know of is greater; for the disk. */
  highestEpoch(): Epoch;
  /** Of the trusted etcd, which will never again hold less; for the disk. */
  readonly witness: number;
  /** Why nothing is claimed or written: etcd is not the one that the disk knows. */
  readonly refused: boolean;
  /** Asks etcd, so that `refused` is as of now. Rejects with `unavailable` where there is no answer. */
  inspect(): Promise<void>;
  /**
   * Before `recover`, while this etcd is refused and nobody has a session with it: forgets the records of
   * all objects. Epochs of later records are greater than `highest`. Resolves with a mark for `writeHomes`.
   */
  forgetRecords(highest: Epoch): Promise<bigint>;
  /** Under the same conditions, and where nobody has forgotten records since `mark`. */
  writeHomes(mark: bigint, homes: readonly RecoveredHome[]): Promise<void>;
  /** Trusts the present etcd, whose epochs from now on are greater than `highest`. */
  recover(highest: Epoch): Promise<void>;
  /** Notes a start of the store; `behind` where etcd knows of more, so the disk is a restored copy. */
  registerStart(starts: number): Promise<'ok' | 'behind'>;
  /** What the cluster was made with; `facts`, where this node is the first to say. */
  agreedFacts(facts: ClusterFacts): Promise<ClusterFacts>;
  /** A setting of the whole cluster, as last seen; undefined where it is not made. */
  setting<Name extends keyof ClusterSettings>(name: Name): ClusterSettings[Name] | undefined;
  /** Makes a setting, or takes it back. Rejects with `unavailable`: then it may be repeated. */
  putSetting<Name extends keyof ClusterSettings>(
    name: Name,
    value: ClusterSettings[Name] | undefined,
  ): Promise<void>;
}

/** migrations-max: moves toward callers at a time, on each node, at most. */
export interface ClusterSettings {
  'migrations-max': number;
  /** Which regions are to have copies of a namespace's objects: JSON, lists by the namespace's key. */
  remote: string;
}

const settingTypes: Readonly<Record<keyof ClusterSettings, string>> = {
  'migrations-max': 'number',
  remote: 'string',
};

const defaultSessionTtlMs = 5000;

class EtcdCoordinator implements Coordinator, EtcdCoordinatorExtras {
  readonly #options: EtcdCoordinatorOptions;
  readonly #limits: EtcdLimits;
  readonly #keys: Keys;
  readonly #identity: Identity;
  readonly #client: EtcdClient;
  readonly #mirror: Mirror;
  readonly #session: Session;
  readonly #witness: Witness;
  readonly #election: Election;
  readonly #claims: Claims;
  readonly #records: Records;
  readonly #settings: Settings;
  readonly #watchers: Watchers;
  readonly #grants = new Grants();
  readonly #disk: DiskContext;
  #nodes: readonly NodeInfo[] = [];
  #shards: ReadonlyMap<string, VersionedShard> = new Map();
  #regions: VersionedRegions | undefined;
  #wasController = false;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(options: EtcdCoordinatorOptions) {
    const { node, storeId, region, zone, clock, timers, logger } = options;
    this.#options = options;
    const limits = { ...etcdLimits, ...options.limits };
    const keys = new Keys(options.prefix ?? '/homing/');
    const identity = new Identity(options.guard, keys.base, logger);
    const client = new EtcdClient({
      ...options,
      tls: options.tls && { ...options.tls, ca: options.tls.ca ?? systemAuthorities() },
      limits,
      inspector: identity,
    });
    const shared = { client, identity, keys, limits, clock, timers, logger };
    const mirror = new Mirror({
      ...shared,
      prefixes: [keys.nodes, keys.shards, keys.controller, keys.settings, keys.regions],
      changed: (changed, revision) => this.#changed(changed, revision),
    });
    const witness = new Witness({
      ...shared,
      storeId,
      count: options.guard.witness ?? 0,
      intervalMs: limits.witnessIntervalMs,
      hasSession: () => this.#session.lease !== undefined,
    });
    const session = new Session({
      ...shared,
      witness,
      ttlMs: options.sessionTtlMs ?? defaultSessionTtlMs,
      node: { node, storeId, region, zone, addresses: Object.freeze({ ...options.addresses }) },
      written: (kv) => this.#wroteKey(kv),
      began: (self) => this.#began(self),
      lost: () => this.#lost(),
    });
    this.#limits = limits;
    this.#keys = keys;
    this.#identity = identity;
    this.#client = client;
    this.#mirror = mirror;
    this.#session = session;
    this.#witness = witness;
    this.#disk = shared;
    this.#election = new Election({ ...shared, mirror, session });
    this.#claims = new Claims({ ...shared, session, grants: this.#grants });
    this.#records = new Records({ ...shared, mirror, grants: this.#grants });
    this.#settings = new Settings({ ...shared, mirror });
    this.#watchers = new Watchers((cause) => {
      logger.error('a watcher of the coordinator failed', { cause });
    });
    // A watch on a member that lost its cluster stays up, and silent.
    client.onAway = () => mirror.renew('etcd gave no answer to a request');
  }

  /** Resolves with the first session, or when etcd is found not to be the one the disk knows. */
  async start(): Promise<void> {
    const { clock, timers } = this.#options;
    const startLimits = { ...this.#limits, operationTimeoutMs: this.#limits.startTimeoutMs };
    const first = await untilAnswered({ clock, timers, limits: startLimits }, (timeoutMs) =>
      this.#client.transact(
        { apply: [{ get: this.#keys.base }, { get: this.#witness.key }] },
        timeoutMs,
      ),
    );
    this.#identity.begin(first, foundAt(first, 0));
    this.#witness.inspect(foundAt(first, 1), first.revision);
    const standing = Promise.all([this.#mirror.start(), this.#session.start()]);
    if (this.#identity.refused) {
      // Both wait for `recover`; until then there is nobody to tell of a failure but the log.
      standing.catch((cause: unknown) => {
        this.#options.logger.error('there will be no session with etcd', { cause });
      });
      return;
    }
    await new Promise<unknown>((resolve, reject) => {
      const timer = timers.after(this.#limits.startTimeoutMs, () => {
        const message = `no session with etcd in ${this.#limits.startTimeoutMs} ms: see the log`;
        reject(new HomingError('unavailable', message));
      });
      void standing.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  get self(): NodeInfo | undefined {
    return this.#session.self;
  }

  async claim(object: ObjectRef, at: ClaimAt): Promise<ClaimResult> {
    return await this.#claims.claim(object, at);
  }

  async release(object: ObjectRef, epoch: Epoch): Promise<void> {
    this.#checkOpen();
    await this.#records.release(object, epoch);
  }

  async transfer(object: ObjectRef, epoch: Epoch, to: NodeInfo, move?: MoveHome): Promise<boolean> {
    this.#checkOpen();
    return await this.#records.transfer(object, epoch, to, move);
  }

  async rehome(object: ObjectRef, change: Rehoming): Promise<boolean> {
    this.#checkOpen();
    return await this.#records.rehome(object, change);
  }

  async locate(object: ObjectRef): Promise<Located> {
    this.#checkOpen();
    return await this.#records.locate(object);
  }

  nodes(): readonly NodeInfo[] {
    return this.#nodes;
  }

  async setDraining(draining: boolean): Promise<void> {
    this.#checkOpen();
    await this.#session.setDraining(draining);
  }

  shards(): ReadonlyMap<string, VersionedShard> {
    return this.#shards;
  }

  get isController(): boolean {
    return this.#election.won;
  }

  async assign(changes: readonly VersionedShard[]): Promise<boolean> {
    this.#checkOpen();
    checkChanges(changes, this.#limits.assignMax);
    const keys = changes.map(({ assignment }) =>
      this.#keys.shard(assignment.region, assignment.shard),
    );
    this.#identity.checkTrusted();
    const lease = this.#session.lease;
    if (lease === undefined) return false;
    const values = changes.map(({ assignment }) => encodeShard(assignment));
    const { succeeded, revision: modRevision } = await this.#client.transact({
      when: [
        this.#election.held(lease),
        ...changes.map(({ revision }, place) => ({
          key: keys[place] as string,
          modRevision: revision,
        })),
      ],
      apply: keys.map((put, place) => ({ put, value: values[place] as Buffer })),
    });
    this.#identity.checkTrusted();
    if (!succeeded) return false;
    for (const [place, key] of keys.entries()) {
      this.#mirror.learn({ key, value: values[place] as Buffer, lease: '0', modRevision });
    }
    return true;
  }

  regions(): VersionedRegions | undefined {
    return this.#regions;
  }

  async setRegions({ list, revision }: VersionedRegions): Promise<boolean> {
    this.#checkOpen();
    this.#identity.checkTrusted();
    const lease = this.#session.lease;
    if (lease === undefined) return false;
    const key = this.#keys.regions;
    const value = encodeRegions(list);
    const { succeeded, revision: modRevision } = await this.#client.transact({
      when: [this.#election.held(lease), { key, modRevision: revision }],
      apply: [{ put: key, value }],
    });
    this.#identity.checkTrusted();
    if (succeeded) this.#mirror.learn({ key, value, lease: '0', modRevision });
    return succeeded;
  }

  watch(callback: (event: CoordinatorEvent) => void): { stop(): void } {
    return this.#watchers.add(callback);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closed = true;
      this.#closing = this.#close();
    }
    return this.#closing;
  }

  get clusterId(): string {
    return this.#identity.clusterId;
  }

  highestEpoch(): Epoch {
    return this.#identity.highestEpoch;
  }

  get witness(): number {
    return this.#witness.count;
  }

  get refused(): boolean {
    return this.#identity.refused;
  }

  async inspect(): Promise<void> {
    this.#checkOpen();
    const apply = [{ get: this.#keys.base }, { get: this.#witness.key }];
    const answer = await untilAnswered(this.#disk, (timeoutMs) =>
      this.#client.transact({ apply }, timeoutMs),
    );
    if (this.#identity.refused) return;
    this.#identity.begin(answer, foundAt(answer, 0));
    this.#witness.inspect(foundAt(answer, 1), answer.revision);
  }

  async forgetRecords(highest: Epoch): Promise<bigint> {
    this.#checkOpen();
    return await forgetRecords(this.#disk, highest);
  }

  async writeHomes(mark: bigint, homes: readonly RecoveredHome[]): Promise<void> {
    this.#checkOpen();
    await writeHomes(this.#disk, mark, homes);
  }

  async recover(highest: Epoch): Promise<void> {
    this.#checkOpen();
    const wasRefused = this.refused;
    await recover(this.#disk, highest, () => {
      if (!wasRefused) return;
      this.#witness.accept();
      this.#grants.clear();
      this.#mirror.outlive();
      this.#session.abandon('etcd was recovered');
    });
    this.#options.logger.warn('etcd was recovered by an operator', {
      clusterId: this.clusterId,
      highest: this.highestEpoch(),
    });
    this.#session.wake();
  }

  async registerStart(starts: number): Promise<'ok' | 'behind'> {
    this.#checkOpen();
    return await registerStart(this.#disk, this.#options.storeId, starts);
  }

  setting<Name extends keyof ClusterSettings>(name: Name): ClusterSettings[Name] | undefined {
    const value = this.#settings.get(name);
    return typeof value === settingTypes[name] ? (value as ClusterSettings[Name]) : undefined;
  }

  async putSetting<Name extends keyof ClusterSettings>(
    name: Name,
    value: ClusterSettings[Name] | undefined,
  ): Promise<void> {
    this.#checkOpen();
    await this.#settings.put(name, value);
  }

  async agreedFacts(facts: ClusterFacts): Promise<ClusterFacts> {
    this.#checkOpen();
    return await agreedFacts(this.#disk, facts);
  }

  async #close(): Promise<void> {
    this.#claims.close();
    this.#witness.stop();
    this.#election.stop();
    this.#mirror.stop();
    const ended = this.#session.close();
    this.#watchers.clear();
    this.#nodes = [];
    await ended;
    this.#client.close();
  }

  #began(self: NodeInfo): void {
    this.#witness.start();
    this.#watchers.tell({ type: 'session', self });
    this.#election.consider();
  }

  #lost(): void {
    this.#watchers.tell({ type: 'session-lost' });
    if (!this.#closed) this.#tellController();
  }

  #wroteKey(kv: KeyValue): void {
    this.#mirror.learn(kv);
    // Another process may have been quicker to write it again.
    const newest = this.#mirror.get(kv.key);
    if (newest !== undefined) this.#session.observe(newest, newest.modRevision);
  }

  #changed(changed: ReadonlySet<string>, revision: bigint): void {
    if (this.#closed) return;
    const keys = this.#keys;
    const any = (prefix: string) => [...changed].some((key) => key.startsWith(prefix));
    if (any(keys.nodes)) {
      const found = this.#mirror.list(keys.nodes);
      this.#nodes = found.flatMap((kv) => this.#decode(kv, decodeNode(keys, kv)));
    }
    if (any(keys.shards)) {
      const found = this.#mirror.list(keys.shards);
      const shards = found.flatMap((kv) => this.#decode(kv, decodeShard(keys, kv)));
      this.#shards = new Map(shards.map((shard) => [shardName(shard.assignment), shard]));
    }
    if (changed.has(keys.regions)) {
      const kv = this.#mirror.get(keys.regions);
      // What was known of the regions is never forgotten: homes follow from it.
      const [found] = kv === undefined ? [] : this.#decode(kv, decodeRegions(kv));
      this.#regions = found ?? this.#regions;
    }
    const own = keys.node(this.#options.node);
    if (changed.has(own)) this.#session.observe(this.#mirror.get(own), revision);
    if (any(keys.nodes)) this.#watchers.tell({ type: 'nodes' });
    if (any(keys.shards)) this.#watchers.tell({ type: 'shards' });
    if (changed.has(keys.regions)) this.#watchers.tell({ type: 'regions' });
    this.#election.consider();
    this.#tellController();
  }

  #tellController(): void {
    if (this.isController === this.#wasController) return;
    this.#wasController = this.isController;
    this.#watchers.tell({ type: 'controller' });
  }

  #decode<Value>(kv: KeyValue, value: Value | undefined): readonly Value[] {
    if (value !== undefined) return [value];
    this.#options.logger.warn('etcd holds a value that homing cannot read', { key: kv.key });
    return [];
  }

  #checkOpen(): void {
    if (this.#closed) {
      throw new HomingError('unavailable', 'the coordinator is closed');
    }
  }
}

function systemAuthorities(): Buffer {
  return Buffer.from(rootCertificates.join('\n'));
}

/**
 * A node's coordinator in a cluster. Rejects where etcd cannot be reached, or refuses this client; where
 * etcd is not the one the disk knows it resolves, and claims nothing (`refused`).
 */
export async function etcdCoordinator(
  options: EtcdCoordinatorOptions,
): Promise<Coordinator & EtcdCoordinatorExtras> {
  const secure = options.endpoints.filter((endpoint) => endpoint.startsWith('https://')).length;
  if (options.endpoints.length === 0) {
    throw new HomingError('invalid_argument', 'etcd: name at least one endpoint');
  }
  if (secure > 0 && secure < options.endpoints.length) {
    throw new HomingError('invalid_argument', 'etcd: either all endpoints are https:// or none is');
  }
  if (options.tls !== undefined && secure === 0) {
    throw new HomingError('invalid_argument', 'etcd: with `tls`, endpoints begin with https://');
  }
  const coordinator = new EtcdCoordinator(options);
  // Until etcd answers there may be nothing else that keeps the process from ending without a word.
  const alive = setInterval(() => {}, 60_000);
  try {
    await coordinator.start();
  } catch (error) {
    await coordinator.close();
    if (!isAway(error)) throw error;
    const { startTimeoutMs } = { ...etcdLimits, ...options.limits };
    const endpoints = options.endpoints.join(', ');
    throw new HomingError(
      'unavailable',
      `etcd (${endpoints}) did not answer in ${startTimeoutMs} ms; a node starts only with etcd`,
      { cause: error },
    );
  } finally {
    clearInterval(alive);
  }
  return coordinator;
}
