/**
 * `homing node`: one member of a cluster. The composition root where ports meet the adapters of
 * production: etcd, RocksDB, gRPC links, executor threads.
 *
 * Order of starting: disk, links, etcd (whose session makes the node known), replication, worker,
 * edges. Of stopping: give all objects away, then the edges, and the disk last.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import {
  type Coordinator,
  HomingError,
  type Logger,
  type NodeInfo,
  type ObjectIdHex,
  type Store,
} from '@homing/base';
import { bundleProject } from '@homing/bundler';
import { ConfigError, type NodeConfig, readProject } from '@homing/config';
import {
  type ClusterFacts,
  type EtcdCoordinatorExtras,
  etcdCoordinator,
} from '@homing/coordinator';
import { executorThreads } from '@homing/executor';
import { connectWebSocket, startGateway } from '@homing/gateway';
import { type ChooseNode, HomingNode, nodeLimits } from '@homing/node';
import { ownersOf, shardKey, shardOf } from '@homing/protocol';
import {
  Controller,
  holdsOnlyCopies,
  RegionKeeper,
  Replication,
  replicationLimits,
} from '@homing/replication';
import { type PeerNetwork, startPeerNetwork, startRpc } from '@homing/rpc';
import { openRocksStore } from '@homing/storage';
import { startAdmin } from './admin.ts';
import { clusterAdminView } from './cluster-admin.ts';
import { forPeople, portTaken, printLog, readerOf } from './compose.ts';
import { DiskIdentity, readGuard } from './disk-identity.ts';
import { freePort } from './free-port.ts';
import { type DevLimits, devLimits } from './limits.ts';
import { PrometheusMetrics } from './metrics.ts';
import { migrationOptions } from './migration-options.ts';
import { Recovery } from './recovery.ts';
import { RegionDelay } from './region-delay.ts';
import { RegionNote } from './region-note.ts';
import { RemoteAgreement } from './remote-agreement.ts';
import { eventLoopUtilisation, systemClock, systemTimers } from './system.ts';
import { CommandError } from './usage-error.ts';
import { version } from './version.ts';
import { describeWorker, Namespaces } from './worker-version.ts';

export interface ClusterNodeOptions {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly print: (line: string) => void;
}

export interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly peer: number;
  readonly admin: number;
}

export interface ClusterNode {
  readonly ports: Ports;
  /** Resolves when the process must end: the disk failed. */
  readonly failed: Promise<unknown>;
  /** Gives all objects away, bounded by `drainTimeoutMs`, and ends. Idempotent. */
  close(): Promise<void>;
}

const assignSettleMs = 2000;
const controllerLookMs = 1000;
const vacateTimeoutMs = 60_000;
const movesMax = 32;

/** Resolves once the node serves. Rejects with what keeps it from serving; then nothing is left. */
export async function startClusterNode(options: ClusterNodeOptions): Promise<ClusterNode> {
  const closers: (() => Promise<unknown>)[] = [];
  let closing: Promise<void> | undefined;
  const close = async () => {
    for (let step = closers.pop(); step !== undefined; step = closers.pop()) await step();
  };
  try {
    const started = await compose(options, closers);
    return {
      ...started,
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function compose(
  { config, logger, print }: ClusterNodeOptions,
  closers: (() => Promise<unknown>)[],
): Promise<Omit<ClusterNode, 'close'>> {
  const limits = nodeLimitsOf(config);
  const clientTls = clientTlsOf(config);
  const project = readProject(config.app, config.env === undefined ? {} : { env: config.env });
  for (const warning of project.warnings) print(`warning: ${warning}`);
  mkdirSync(config.data, { recursive: true });
  const outDir = join(config.data, 'build');
  const bundle = await bundleProject(project, { outDir });
  if (!bundle.ok) {
    throw new CommandError(`${project.name} does not build:\n${bundle.errors.join('\n')}`);
  }
  const metrics = new PrometheusMetrics();
  let fatal: (error: unknown) => void = () => {};
  const failed = new Promise<unknown>((resolve) => {
    fatal = resolve;
  });
  const store = await openRocksStore({
    directory: join(config.data, 'store'),
    logger,
    metrics,
    onFailure: (error) => fatal(error),
    rescue: (storeId, notes) => !holdsOnlyCopies(config.etcd.prefix, storeId, notes),
  });
  closers.push(() => store.close());
  const ports = await choosePorts(config);
  const run = randomBytes(8).toString('hex');
  const delay = new RegionDelay(config.region, config.simulatedRttMs);
  const network = await startNetwork(config, ports.peer, store, run, delay, logger);
  closers.push(() => network.close());
  const coordinator = await startCoordinator(config, ports, store, logger);
  closers.push(() => coordinator.close());
  delay.follow(coordinator);
  const identity = new DiskIdentity(store, coordinator, systemTimers, logger);
  await identity.start();
  closers.push(async () => identity.stop());
  const namespaces = new Namespaces(project);
  const regionNote = new RegionNote({ store, coordinator, cluster: config.etcd.prefix, logger });
  const remote = new RemoteAgreement({
    configured: config.replication.remote,
    namespaces,
    coordinator,
    regions: () => regionNote.list(),
    timers: systemTimers,
    logger,
  });
  const keyOf = (home: string, id: ObjectIdHex) =>
    shardKey(home, shardOf(id, config.shardsPerRegion));
  const replication = new Replication({
    self: { node: config.node, storeId: store.storeId, run },
    store,
    network,
    clock: systemClock,
    timers: systemTimers,
    logger,
    limits: {
      ...replicationLimits,
      // What one event writes at most, beside what those before it in its turn may have left.
      groupBytesMax: replicationLimits.groupBytesMax + limits.objectGroupBytes,
      promiseMs: config.promiseMs,
      drift: config.driftPercent / 100,
      confirmsReads: config.reads === 'confirm',
      commitTimeoutMs: config.commitTimeoutMs,
      rebuildBytesPerSecond: config.replication.rebuildBytesPerSecond,
      rebuildBusyBytesPerSecond: config.replication.rebuildBusyBytesPerSecond,
      rebuildBusyPercent: config.replication.rebuildBusyPercent,
      rebuildYieldMs: config.replication.rebuildYieldMs,
      scrubBytesPerSecond: config.scrubBytesPerSecond,
      scrubPauseMs: config.scrubPauseMs,
      leftoverSweepMs: config.leftoverSweepMs,
      leftoverDelayMs: config.leftoverDelayMs,
    },
    utilisation: eventLoopUtilisation(),
    cluster: config.etcd.prefix,
    keyOf,
    remoteOf: remote.remoteOf,
    failed: (error) => fatal(error),
  });
  closers.push(async () => replication.close());
  remote.start(() => replication.reconsiderRemotes());
  closers.push(async () => remote.stop());
  followSets(coordinator, replication);
  coordinator.watch(({ type }) => {
    if (type === 'session-lost') metrics.increment('session_expired_total');
  });
  const recovery = new Recovery({
    node: config.node,
    replication,
    store,
    coordinator,
    identity,
    facts: factsOf(config),
    regions: regionNote,
    ownedUnder: (object) => node.describe(object).status?.epoch,
    shardsPerRegion: config.shardsPerRegion,
  });
  const regionKeeper = new RegionKeeper({
    coordinator,
    timers: systemTimers,
    logger,
    plan: { regions: config.regions ?? [], jurisdictions: config.jurisdictions ?? {} },
    settleMs: assignSettleMs,
    remembered: () => regionNote.list(),
  });
  closers.push(async () => regionKeeper.stop());
  const controller = new Controller({
    coordinator,
    replication,
    clock: systemClock,
    timers: systemTimers,
    logger,
    regions: () => coordinator.regions()?.list.regions ?? [],
    shardCount: config.shardsPerRegion,
    factor: config.replication.factor,
    limits: {
      settleMs: assignSettleMs,
      assignDelayMs: config.assignDelayMs,
      rebuildDelayMs: config.rebuildDelayMs,
      balanceDelayMs: config.balanceDelayMs,
      balancePercent: config.replication.balancePercent,
      changesMax: config.replication.changesMax,
      vacateTimeoutMs,
      lookMs: controllerLookMs,
    },
  });
  closers.push(async () => controller.stop());
  const candidates = (home: string, id: ObjectIdHex) => {
    const set = replication.setOf(home, id);
    return set === undefined ? undefined : ownersOf(set);
  };
  const node = new HomingNode({
    store,
    logs: replication,
    cluster: {
      network,
      locationHints: config.locationHints ?? {},
      regions: () => regionNote.list(),
      setOf: (home, id) => replication.setOf(home, id),
      candidates,
      rankOf: (id) => {
        const rank = candidates(config.region, id)?.indexOf(store.storeId) ?? -1;
        return rank === -1 ? undefined : rank;
      },
    },
    migration: migrationOptions(config, namespaces, coordinator),
    coordinator,
    clock: systemClock,
    timers: systemTimers,
    logger,
    metrics,
    limits: {
      ...nodeLimits,
      executors: limits.executors,
      objectQueueMax: limits.objectQueueMax,
      socketEventBytesMax: limits.objectSocketBytes,
      socketWaitingBytesMax: limits.socketWaitingBytes,
      laneKeptBytesMax: limits.laneKeptBytes,
      placementTimeoutMs: config.placementTimeoutMs,
      stalledReleaseMs: 2 * config.promiseMs,
    },
    namespaceName: (key) => namespaces.nameOf(key),
    workerLog: (line) => printLog(print, line),
    connect: connectWebSocket(),
    fatal: (error) => fatal(error),
  });
  replication.follow({
    changed: () => controller.look(),
    settle: (object, region) => node.settle(object, region),
    vacate: (id, stores) => node.vacate(id, stores),
    locate: (object) => node.whereabouts(object),
    erased: () => metrics.increment('leftovers_erased_total'),
    reclaim: (id) => node.reclaim(id),
  });
  closers.push(() => node.close());
  followPeers(coordinator, network, config.node);
  if (coordinator.refused) {
    logger.error(
      'etcd is not the one this disk knows: it was wiped, or restored from a backup. Objects are not ' +
        'placed until an operator runs `homing recover`',
    );
  }
  const loaded = await node.start(
    executorThreads({
      worker: describeWorker(project),
      bundleUrl: bundle.url,
      reader: readerOf(store),
      region: config.region,
      socketPrefix: `${config.node}/${run}`,
      isClustered: true,
      limits,
      timers: systemTimers,
      logger,
    }),
  );
  if (!('objects' in loaded)) {
    throw new CommandError(
      `${project.name} could not be loaded: ${loaded.stack ?? loaded.message}`,
    );
  }
  const { host } = config.listen;
  const gateway = await startGateway({
    host,
    port: ports.http,
    dispatcher: node,
    colo: config.node,
    region: config.region,
    logger: forPeople(logger, print),
    tls: clientTls,
  }).catch(portTaken('listen.http', ports.http));
  closers.push(() => gateway.close(config.drainTimeoutMs, serviceRestart));
  const rpc = await startRpc({
    host,
    port: ports.grpc,
    dispatcher: node,
    namespaces: (name) => namespaces.keyOf(name),
    locate: (object) => node.locate(object),
    logger,
    tls: clientTls,
  }).catch(portTaken('listen.grpc', ports.grpc));
  closers.push(() => rpc.close(config.drainTimeoutMs));
  const drain = drainOf(node, coordinator, network, candidates, config, logger);
  const admin = await startAdmin({
    host,
    port: ports.admin,
    view: clusterAdminView({
      node,
      store,
      metrics,
      namespaces,
      coordinator,
      network,
      replication,
      regions: () => regionNote.list(),
      keyOf,
      shards: () => coordinator.shards(),
      factor: config.replication.factor,
      worker: project.name,
      version,
      config,
      startedAt: new Date(),
      drain,
      recovery,
      remote,
    }),
  }).catch(portTaken('listen.admin', ports.admin));
  closers.push(() => admin.close());
  // The first to run at the end: the objects are safe on other nodes before any socket is closed.
  closers.push(drain);
  return { ports, failed };
}

/** Close code of sockets on a node that stops: the client is to connect again, elsewhere. */
const serviceRestart = 1012;

function nodeLimitsOf(config: NodeConfig): DevLimits {
  const limits: Record<string, number> = { ...devLimits };
  for (const [name, value] of Object.entries(config.limits)) {
    if (!Object.hasOwn(limits, name)) {
      throw new CommandError(
        `limits.${name} is not a limit; there are ${Object.keys(devLimits).join(', ')}`,
      );
    }
    limits[name] = value;
  }
  return limits as unknown as DevLimits;
}

/** Read before anything is started: a file that is missing or wrong ends the process with its name. */
function clientTlsOf({ tls }: NodeConfig) {
  if (tls.clients === undefined) return undefined;
  const { cert, key, ca } = tls.clients;
  const files = {
    cert: readFileSync(cert),
    key: readFileSync(key),
    ...(ca !== undefined && { ca: readFileSync(ca) }),
  };
  try {
    createSecureContext(files);
  } catch (error) {
    throw new CommandError(
      `tls.clients: ${cert} and ${key} are no certificate in PEM with its key: ${String(error)}`,
    );
  }
  return files;
}

/** A port of 0 is chosen now, since the session tells other nodes of it. */
async function choosePorts({ listen }: NodeConfig): Promise<Ports> {
  const choose = async (port: number) => (port === 0 ? freePort(listen.host) : port);
  return {
    http: await choose(listen.http),
    grpc: await choose(listen.grpc),
    peer: await choose(listen.peer),
    admin: await choose(listen.admin),
  };
}

function startNetwork(
  config: NodeConfig,
  port: number,
  store: Store,
  run: string,
  delay: RegionDelay,
  logger: Logger,
): Promise<PeerNetwork> {
  const { peer } = config.tls;
  return startPeerNetwork({
    host: config.listen.host,
    port,
    node: config.node,
    storeId: store.storeId,
    run,
    // What all nodes must agree on is part of the name: those that differ are refused.
    cluster: `${config.etcd.prefix} shards=${config.shardsPerRegion} promise=${config.promiseMs}`,
    version,
    tls:
      peer === undefined
        ? 'insecure'
        : {
            ca: readFileSync(peer.ca),
            cert: readFileSync(peer.cert),
            key: readFileSync(peer.key),
          },
    logger,
    timers: systemTimers,
    delayMsOf: (node) => delay.of(node),
  }).catch(portTaken('listen.peer', port));
}

async function startCoordinator(
  config: NodeConfig,
  ports: Ports,
  store: Store,
  logger: Logger,
): Promise<Coordinator & EtcdCoordinatorExtras> {
  const { etcd, advertise } = config;
  const at = (port: number) => `${advertise.host}:${port}`;
  const tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = etcd.tls?.[name];
    if (path !== undefined) tls[name] = readFileSync(path);
  }
  const coordinator = await etcdCoordinator({
    endpoints: etcd.endpoints,
    prefix: etcd.prefix,
    tls: etcd.tls && tls,
    credentials: etcd.credentials,
    node: config.node,
    storeId: store.storeId,
    region: config.region,
    zone: config.zone,
    addresses: {
      http: at(advertise.http ?? ports.http),
      grpc: at(advertise.grpc ?? ports.grpc),
      peer: at(advertise.peer ?? ports.peer),
      admin: at(advertise.admin ?? ports.admin),
    },
    sessionTtlMs: config.sessionTtlMs,
    guard: readGuard(store),
    logger,
    clock: systemClock,
    timers: systemTimers,
  });
  if (coordinator.refused) return coordinator;
  try {
    await checkFacts(config, coordinator);
  } catch (error) {
    await coordinator.close();
    throw error;
  }
  const disk = await coordinator.registerStart(store.starts);
  if (disk === 'behind') {
    await coordinator.close();
    throw new CommandError(
      `the data directory ${config.data} is an old copy of a disk that has been in use since: what ` +
        'it promised then is lost. Empty it; the node then joins with a new, empty store.',
    );
  }
  return coordinator;
}

const factsOf = ({ shardsPerRegion }: NodeConfig): ClusterFacts => ({ shardsPerRegion });

/** Data lies where these say: a node that has them otherwise would look for it elsewhere. */
async function checkFacts(config: NodeConfig, coordinator: EtcdCoordinatorExtras): Promise<void> {
  const facts = factsOf(config);
  const agreed = await coordinator.agreedFacts(facts);
  const problems = Object.entries(facts).flatMap(([name, value]) =>
    agreed[name] === value
      ? []
      : `${name}: is ${value}, and this cluster was made with ${agreed[name]}: it can never be ` +
        'changed. Give every node the same, or make another cluster, with empty disks and another ' +
        'etcd.prefix.',
  );
  if (problems.length > 0) throw new ConfigError(problems);
}

/**
 * Links are kept with every node that was ever seen: one that lost its session may still hold
 * replicas, and a majority of those is all that its objects need.
 */
function followPeers(coordinator: Coordinator, network: PeerNetwork, self: string): void {
  const known = new Map<string, string>();
  const follow = () => {
    for (const { node, addresses } of coordinator.nodes()) {
      if (node !== self && addresses.peer !== undefined) known.set(node, addresses.peer);
    }
    network.setPeers([...known].map(([node, address]) => ({ node, address })));
  };
  coordinator.watch(({ type }) => {
    if (type === 'nodes') follow();
  });
  follow();
}

/** What etcd says of replica sets, while it is the trusted one. */
function followSets(coordinator: Coordinator & EtcdCoordinatorExtras, replication: Replication) {
  const follow = () => {
    if (coordinator.refused) return;
    const shards = [...coordinator.shards().values()];
    replication.adopt(shards.map(({ assignment }) => assignment));
  };
  coordinator.watch(({ type }) => {
    if (type === 'shards') follow();
  });
  follow();
}

/** Empties the node, once, within its time. */
function drainOf(
  node: HomingNode,
  coordinator: Coordinator,
  network: PeerNetwork,
  candidates: (home: string, id: ObjectIdHex) => readonly string[] | undefined,
  config: NodeConfig,
  logger: Logger,
): () => Promise<void> {
  let draining: Promise<void> | undefined;
  const drain = async () => {
    await coordinator.setDraining(true).catch((error: unknown) => {
      logger.warn('others cannot be told that this node drains', { error: String(error) });
    });
    let turn = 0;
    const choose: ChooseNode = (id, home): NodeInfo | undefined => {
      const stores = (home === undefined ? undefined : candidates(home, id)) ?? [];
      const others = coordinator
        .nodes()
        .filter(
          (other) =>
            other.node !== config.node &&
            other.draining !== true &&
            stores.includes(other.storeId) &&
            network.peer(other.node, 'call') !== undefined,
        );
      return others[turn++ % Math.max(1, others.length)];
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, config.drainTimeoutMs);
    });
    await Promise.race([node.drain(choose, movesMax), late]);
    clearTimeout(timer);
    logger.info('drained', { left: node.ownedCount });
  };
  return () => {
    draining ??= drain().catch((error: unknown) => {
      throw new HomingError('internal', `draining failed: ${String(error)}`, { cause: error });
    });
    return draining;
  };
}
