/** What the admin port of a cluster's node shows, and what an operator may ask of it. */
import {
  type Coordinator,
  HomingError,
  type NodeInfo,
  namedObjectId,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectRef,
  type RegionList,
  type Store,
  type VersionedShard,
} from '@homing/base';
import type { NodeConfig } from '@homing/config';
import type { EtcdCoordinatorExtras } from '@homing/coordinator';
import type { HomingNode, MoveTarget } from '@homing/node';
import { defaultHome, isChanging, ownersOf, type ReplicaSet, storesOf } from '@homing/protocol';
import type { Replication } from '@homing/replication';
import type { PeerNetwork } from '@homing/rpc';
import type { AdminView, NamespaceInfo } from './admin.ts';
import { exchange } from './admin-exchange.ts';
import { refreshGauges } from './admin-view.ts';
import { askCallers, callersAnswer } from './callers-view.ts';
import { forceMembers, membershipState, newestRecords } from './force-members.ts';
import type { PrometheusMetrics } from './metrics.ts';
import { copiesHere, promote, recordOf, settleHere } from './promote.ts';
import type { Recovery } from './recovery.ts';
import type { RemoteAgreement } from './remote-agreement.ts';
import type { Namespaces } from './worker-version.ts';

export interface ClusterAdminOptions {
  readonly node: HomingNode;
  readonly store: Store;
  readonly metrics: PrometheusMetrics;
  readonly namespaces: Namespaces;
  readonly coordinator: Coordinator & EtcdCoordinatorExtras;
  readonly network: PeerNetwork;
  readonly replication: Replication;
  readonly regions: () => RegionList | undefined;
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
  readonly shards: () => ReadonlyMap<string, VersionedShard>;
  readonly factor: number;
  readonly worker: string;
  readonly version: string;
  readonly config: NodeConfig;
  readonly startedAt: Date;
  readonly drain: () => Promise<void>;
  readonly recovery: Recovery;
  readonly remote: RemoteAgreement;
}

/** How long an owner may take to say what only it knows. */
const askTimeoutMs = 1000;

/** Counted up to here: there are few, or the disk is to be thrown away. */
const quarantinedMax = 10_000;

export function clusterAdminView(options: ClusterAdminOptions): AdminView {
  const { node, store, metrics, namespaces, coordinator, config } = options;
  const force = { ...options, node: config.node };
  const nameOf = (key: string) => namespaces.nameOf(key);
  const take = (object: ObjectRef) => node.take(object);
  const promotion = { ...options, region: config.region, nameOf, take };
  // One that drains is to get no new clients.
  const isReady = () => node.ready && isReachable(options) && coordinator.self?.draining !== true;
  return {
    metrics,
    refresh: () => {
      refreshGauges(options);
      metrics.reset('replication_lag_records');
      for (const [peer, records] of options.replication.lag()) {
        metrics.set('replication_lag_records', records, { peer });
      }
      metrics.set('replicas_quarantined', store.quarantined(quarantinedMax).length);
      metrics.set('migrations_in_flight', node.moving);
      const remote = options.replication.remotes.state;
      metrics.set('remote_objects', remote.objects - remote.incomplete, { state: 'copied' });
      metrics.set('remote_objects', remote.incomplete, { state: 'copying' });
      metrics.set('remote_lag_records', remote.records);
      metrics.set('remote_lag_bytes', remote.bytes);
      metrics.set('remote_lag_seconds', remote.seconds);
      for (const [region, ms] of node.distances()) {
        metrics.set('region_round_trip_seconds', ms / 1000, { to_region: region });
      }
    },
    ready: isReady,
    status: () => status(options, isReady()),
    nodes: () =>
      coordinator.nodes().map((info) => ({
        node: info.node,
        region: info.region,
        zone: info.zone,
        state: info.draining === true ? 'draining' : 'ready',
        reachable:
          info.node === config.node || options.network.peer(info.node, 'log') !== undefined,
        store: info.storeId,
        copies: copiesOn(options, info.storeId),
        ...info.addresses,
      })),
    namespaces: () => namespaces.list(),
    objects: (namespace, after, limit) =>
      store.heads({ namespace, after, limit }).map((head) => shown(options, head)),
    describe: (namespace, id) => describe(options, namespace, id),
    callers: (id) => callersAnswer(node, id),
    idOf: (namespace, name) => namedObjectId(namespace.key, name),
    recovery: () => options.recovery.report(),
    recover: async (highest, shards) => {
      await options.recovery.recover(highest, shards);
      return { node: config.node, recovered: true };
    },
    held: (after) => options.recovery.held(after),
    forgetRecords: async (highest) => ({
      mark: String(await options.recovery.forgetRecords(highest)),
    }),
    writeHomes: async (mark, homes) => {
      await options.recovery.writeHomes(mark, homes);
      return { written: homes.length };
    },
    membership: () => membershipState(force),
    newest: (shards, after) => newestRecords(force, shards, after),
    forceMembers: (sets) => forceMembers(force, sets),
    copies: (lost, after) => copiesHere(promotion, lost, after),
    promote: (lost, objects, isForced) => promote(promotion, lost, objects, isForced),
    settle: (objects) => settleHere(promotion, objects),
    record: (namespace, id, to) => recordOf(promotion, { namespace: namespace.key, id }, to),
    drain: (name) => drain(options, name),
    migrations: () => migrations(options),
    capMigrations: async (cap) => {
      await coordinator.putSetting('migrations-max', cap);
      // This node hears of it in a moment, as the others do.
      return { ...migrations(options), cap: cap ?? null };
    },
    migrate: (namespace, id, target, isForced) => migrate(options, namespace, id, target, isForced),
  };
}

/** How many objects may move toward their callers at a time, on each node. */
function migrations({ node, config, coordinator }: ClusterAdminOptions): object {
  const { mode, movesMax } = config.migration;
  return {
    mode,
    movesMax,
    cap: coordinator.setting('migrations-max') ?? null,
    moving: node.moving,
  };
}

/** Of the node's own region: what is wrong with others does not keep this one from serving. */
function isReachable({ shards, replication, config }: ClusterAdminOptions): boolean {
  const assignments = [...shards().values()].filter(
    ({ assignment }) => assignment.region === config.region,
  );
  return (
    assignments.length > 0 &&
    assignments.every(({ assignment }) => replication.isReachable(assignment))
  );
}

function status(options: ClusterAdminOptions, isReady: boolean): object {
  const { node, namespaces, coordinator, config } = options;
  const assignments = [...options.shards().values()].map(({ assignment }) => assignment);
  return {
    version: options.version,
    node: config.node,
    region: config.region,
    zone: config.zone,
    worker: options.worker,
    ready: isReady,
    etcd: options.recovery.state().refused ? 'refused: see homing recover --help' : 'trusted',
    session: coordinator.self?.incarnation ?? null,
    controller: coordinator.isController,
    startedAt: options.startedAt.toISOString(),
    nodes: coordinator.nodes().length,
    roundTripsMs: Object.fromEntries(
      [...node.distances()].map(([region, ms]) => [region, Math.round(ms * 100) / 100]),
    ),
    moving: node.moving,
    shards: assignments.length,
    underReplicated: assignments.filter((set) => !isWhole(options, set)).length,
    incomplete: incompleteHere(options),
    changing: assignments.filter(isChanging).length,
    quarantined: options.store.quarantined(quarantinedMax).length,
    remote: {
      ...options.replication.remotes.state,
      configured: options.remote.isAsConfigured ? 'as agreed' : 'differs from the controller',
    },
    objectsOwned: node.ownedCount,
    sockets: node.socketCount,
    namespaces: namespaces.list().map(({ name, className }) => ({ name, className })),
  };
}

/** As many copies as there should be, on nodes that are there. */
function isWhole({ coordinator, factor }: ClusterAdminOptions, set: ReplicaSet): boolean {
  const live = new Set(coordinator.nodes().map(({ storeId }) => storeId));
  return set.members.filter((store) => live.has(store)).length >= factor;
}

/** Shards of which the store holds a copy, or is to. */
function copiesOn({ shards }: ClusterAdminOptions, store: string): number {
  return [...shards().values()].filter(({ assignment }) => storesOf(assignment).includes(store))
    .length;
}

/** Shards of which this node is to hold copies, and does not hold all yet. */
function incompleteHere({ replication, store }: ClusterAdminOptions): number {
  return [...replication.sets()].filter(
    ([key, set]) => ownersOf(set).includes(store.storeId) && !replication.isComplete(key),
  ).length;
}

function shown({ node, namespaces }: ClusterAdminOptions, head: ObjectHead): object {
  const object = { namespace: head.namespace, id: head.id };
  return {
    namespace: namespaces.nameOf(head.namespace),
    id: head.id,
    name: head.name ?? null,
    state: node.describe(object).status?.state ?? 'elsewhere or asleep',
    alarm: head.alarmMs === null ? null : new Date(head.alarmMs).toISOString(),
  };
}

async function describe(
  options: ClusterAdminOptions,
  namespace: NamespaceInfo,
  id: ObjectIdHex,
): Promise<object | undefined> {
  const { node, coordinator, config } = options;
  const object = { namespace: namespace.key, id };
  const { status: own, head } = node.describe(object);
  // What this node owns needs no asking; where the coordinator is away the rest is not known.
  const located =
    own === undefined ? await coordinator.locate(object).catch(() => undefined) : undefined;
  const ownership = located?.ownership;
  if (own === undefined && head === undefined && ownership === undefined) return undefined;
  const owner = own === undefined ? ownership?.owner : coordinator.self;
  const stores = new Map(coordinator.nodes().map((info) => [info.storeId, info.node]));
  const list = options.regions();
  const byDefault = list && defaultHome(id, list);
  const home = own?.home ?? located?.home ?? byDefault;
  const set = home === undefined ? undefined : options.replication.setOf(home, id);
  const callers =
    own === undefined
      ? owner && (await askCallers(coordinator, owner.node, namespace, id))
      : callersAnswer(node, id);
  return {
    namespace: namespace.name,
    className: namespace.className,
    id,
    name: head?.name ?? own?.object.name ?? null,
    state: own?.state ?? (owner === undefined ? 'asleep' : 'elsewhere'),
    node: own === undefined ? (owner?.node ?? null) : config.node,
    region: owner?.region ?? null,
    home: home ?? null,
    defaultHome: byDefault ?? null,
    epoch: String(own?.epoch ?? ownership?.epoch ?? 0),
    remote:
      own === undefined ? await askRemote(options, owner, namespace, id) : remoteHere(options, id),
    replicas: set?.members.map((store) => stores.get(store) ?? store) ?? [],
    generation: set?.generation ?? null,
    log: head === undefined ? null : { epoch: String(head.last.epoch), lsn: head.last.lsn },
    alarm: head?.alarmMs == null ? null : new Date(head.alarmMs).toISOString(),
    callers: callers?.callers ?? [],
    staySeconds: callers?.staySeconds ?? null,
    stays: callers?.stays ?? null,
  };
}

/** How far the copy in a second region is behind, where there is one. */
function remoteHere({ replication }: ClusterAdminOptions, id: ObjectIdHex): object | null {
  return replication.remotes.of(id) ?? null;
}

/** Only the owner knows. Null where it does not say so in time. */
async function askRemote(
  { config, remote }: ClusterAdminOptions,
  owner: NodeInfo | undefined,
  namespace: NamespaceInfo,
  id: ObjectIdHex,
): Promise<unknown> {
  const admin = owner?.node === config.node ? undefined : owner?.addresses.admin;
  if (remote.isEmpty || admin === undefined) return null;
  const query = new URLSearchParams({ namespace: namespace.name, id });
  try {
    const response = await fetch(`http://${admin}/api/describe?${query}`, {
      signal: AbortSignal.timeout(askTimeoutMs),
    });
    return ((await response.json()) as { remote?: unknown }).remote ?? null;
  } catch {
    return null;
  }
}

/** Here, or passed on to the node that is meant. Resolves when it is empty. */
async function drain(options: ClusterAdminOptions, name: string): Promise<object> {
  const { config } = options;
  if (name === config.node) {
    await options.drain();
    return { node: name, objectsLeft: options.node.ownedCount };
  }
  return passOn(options, name, '/api/drain', { node: name });
}

async function migrate(
  options: ClusterAdminOptions,
  namespace: NamespaceInfo,
  id: ObjectIdHex,
  target: MoveTarget,
  isForced: boolean,
): Promise<object> {
  const { node, coordinator } = options;
  const object = { namespace: namespace.key, id };
  const to = 'node' in target ? target.node : undefined;
  const known = coordinator.nodes().map((info) => info.node);
  if (to !== undefined && !known.includes(to)) {
    throw new HomingError('invalid_argument', `no node ${to}; there is ${known.join(', ')}`);
  }
  if (node.describe(object).status === undefined) {
    const { ownership } = await coordinator.locate(object);
    if (ownership === undefined) {
      throw new HomingError('invalid_argument', 'the object is on no node: a call will place it');
    }
    if (ownership.owner.node !== options.config.node) {
      const where = 'node' in target ? { to: target.node } : { region: target.region };
      const force = isForced ? { force: 'true' } : {};
      const body = { namespace: namespace.name, id, ...where, ...force };
      return passOn(options, ownership.owner.node, '/api/migrate', body);
    }
    // It came here and nobody has needed it since.
    if (!(await node.take(object))) {
      throw new HomingError('unavailable', 'the object has just left this node: try again');
    }
  }
  if (to === options.config.node) return { id, node: to };
  const moved = await node.migrate(id, target, 'operator', isForced);
  if (moved.outcome === 'moved') return { id, node: moved.node };
  const code = moved.outcome === 'refused' ? 'invalid_argument' : 'unavailable';
  throw new HomingError(code, moved.why ?? 'the object was not moved');
}

async function passOn(
  { coordinator }: ClusterAdminOptions,
  name: string,
  path: string,
  body: object,
): Promise<object> {
  const admin = coordinator.nodes().find((info) => info.node === name)?.addresses.admin;
  if (admin === undefined) {
    const known = coordinator.nodes().map((info) => info.node);
    throw new HomingError('invalid_argument', `no node ${name}; there is ${known.join(', ')}`);
  }
  const { status, answered } = await exchange(new URL(path, `http://${admin}`), body).catch(
    (cause: unknown) => {
      throw new HomingError('unavailable', `node ${name} does not answer at ${admin}`, { cause });
    },
  );
  const answer = JSON.parse(answered) as { error?: string };
  if (status !== 200) {
    throw new HomingError('unavailable', answer.error ?? `node ${name} answered ${status}`);
  }
  return answer;
}
