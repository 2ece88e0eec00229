/**
 * A homing cluster on this machine whose every process and link can be broken: etcd and nodes, on a
 * network that takes rules for each link.
 *
 * Owns the processes, the network and the directory under which each keeps its data and log. Clients
 * reach nodes directly, whatever is broken between them. Nothing is restarted that the caller did
 * not restart.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ClusterNetwork,
  type NodePlace,
  namespacedNetwork,
  proxiedNetwork,
} from './cluster-network.ts';
import { etcdProcess } from './etcd.ts';
import { answers, ManagedProcess } from './managed-process.ts';
import type { LinkRules } from './tcp-proxy.ts';
import type { NodeAddress } from './workload.ts';

const homing = fileURLToPath(new URL('../../server/bin/homing.js', import.meta.url));
const workerProject = fileURLToPath(new URL('../worker', import.meta.url));

export interface ClusterOptions {
  readonly directory: string;
  /** Default 3. */
  readonly nodes?: number;
  /** Given to nodes in turn. Default one region for all. */
  readonly regions?: readonly string[];
  /** Default 3, or the number of nodes where that is lower. */
  readonly replicationFactor?: number;
  /** Default 5000. */
  readonly sessionTtlMs?: number;
  /** Default `proxies`; `namespaces` needs a namespace of this process's own. */
  readonly network?: 'proxies' | 'namespaces';
  /** The worker that the nodes run. Default the ledger that the checks know. */
  readonly project?: string;
  /** Default that of a node. */
  readonly promiseMs?: number;
  /** What to give Node before `--config FILE`. Default `homing node`. */
  readonly program?: readonly string[];
}

export interface ClusterNode extends NodeAddress {
  readonly region: string;
  readonly process: ManagedProcess;
  /** `http://host:port` of the admin page. */
  readonly admin: string;
  /** Its data directory. */
  readonly data: string;
  /** Rules for connections of other nodes to this one, by the node that connects. */
  readonly peerLinks: LinkRules;
  /** Rules for its connections to etcd. */
  readonly etcdLinks: LinkRules;
}

/** The configuration of one node, as `homing node --config` reads it. */
function nodeConfig(
  name: string,
  region: string,
  data: string,
  place: NodePlace,
  options: {
    readonly regions: readonly string[];
    readonly replicationFactor: number;
    readonly sessionTtlMs: number;
    readonly project: string;
    readonly promiseMs: number | undefined;
  },
): object {
  const { host, ports, advertisedPeerPort, etcd } = place;
  return {
    node: name,
    region,
    regions: options.regions,
    zone: `zone-${name}`,
    app: options.project,
    data,
    etcd: { endpoints: [`http://${etcd}`], prefix: '/chaos/' },
    listen: { host, ...ports },
    advertise: { host, peer: advertisedPeerPort },
    replication: { factor: options.replicationFactor },
    tls: { insecure: true },
    sessionTtlMs: options.sessionTtlMs,
    promiseMs: options.promiseMs,
  };
}

export class Cluster {
  readonly etcd: ManagedProcess;
  readonly nodes: readonly ClusterNode[];
  readonly sessionTtlMs: number;
  readonly #network: ClusterNetwork;

  private constructor(
    etcd: ManagedProcess,
    nodes: readonly ClusterNode[],
    sessionTtlMs: number,
    network: ClusterNetwork,
  ) {
    this.etcd = etcd;
    this.nodes = nodes;
    this.sessionTtlMs = sessionTtlMs;
    this.#network = network;
  }

  /** Resolves when every node is ready. Rejects, with nothing left running, when one is not. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { directory, nodes: count = 3, sessionTtlMs = 5000 } = options;
    mkdirSync(directory, { recursive: true });
    const nodes: ClusterNode[] = [];
    const network =
      options.network === 'namespaces'
        ? namespacedNetwork()
        : await proxiedNetwork({
            nodes: count,
            pids: () => nodes.flatMap(({ process: { pid } }) => (pid === undefined ? [] : [pid])),
            nodeOf: (pid) => nodes.find(({ process }) => process.pid === pid)?.node,
          });
    const etcd = etcdProcess({
      ...network.etcd,
      directory: join(directory, 'etcd'),
      logFile: join(directory, 'etcd.log'),
    });
    const cluster = new Cluster(etcd, nodes, sessionTtlMs, network);
    try {
      for (let index = 0; index < count; index++) {
        nodes.push(await newNode(`n${index + 1}`, index, count, network, options));
      }
      await etcd.start();
      await Promise.all(nodes.map((node) => node.process.start()));
    } catch (error) {
      await cluster.dispose();
      throw error;
    }
    return cluster;
  }

  /** The node that owns an object, asked of every node's admin port until one knows. */
  async ownerOf(object: string): Promise<ClusterNode | undefined> {
    const query = new URLSearchParams({ namespace: 'LEDGER', name: object });
    for (const { admin } of this.nodes) {
      try {
        const response = await fetch(`${admin}/api/describe?${query}`, {
          signal: AbortSignal.timeout(2000),
        });
        const { owner, node } = (await response.json()) as { owner?: unknown; node?: unknown };
        const found = this.nodes.find((one) => one.node === (owner ?? node));
        if (response.ok && found !== undefined) return found;
      } catch {
        // This one is down, or does not know: the next may.
      }
    }
    return undefined;
  }

  /** Whether every node says that no copy of anything is missing. False where one does not answer. */
  async isWhole(): Promise<boolean> {
    const missing = await Promise.all(this.nodes.map(({ admin }) => missingCopies(admin)));
    return missing.every((count) => count === 0);
  }

  /** Lifts every rule and starts what is down. */
  async heal(): Promise<void> {
    for (const { peerLinks, etcdLinks } of this.nodes) {
      peerLinks.heal();
      etcdLinks.heal();
    }
    const processes = [this.etcd, ...this.nodes.map((node) => node.process)];
    for (const process_ of processes) process_.signal('SIGCONT');
    for (const process_ of processes) {
      if (process_.pid === undefined) await process_.start();
    }
  }

  /** Processes that ended without having been told to. */
  get crashed(): readonly ManagedProcess[] {
    return [this.etcd, ...this.nodes.map((node) => node.process)].filter(
      (process_) => process_.crashes > 0,
    );
  }

  /** Kills everything. The directory stays. */
  async dispose(): Promise<void> {
    await Promise.all([this.etcd.kill(), ...this.nodes.map((node) => node.process.kill())]);
    await this.#network.dispose();
  }
}

interface NodeStatus {
  readonly underReplicated: number;
  readonly changing: number;
  readonly incomplete: number;
}

/** Shards that lack a copy, as the node sees it; undefined where it does not answer. */
async function missingCopies(admin: string): Promise<number | undefined> {
  try {
    const signal = AbortSignal.timeout(2000);
    const response = await fetch(`${admin}/api/status`, { signal });
    const { underReplicated, changing, incomplete } = (await response.json()) as NodeStatus;
    return underReplicated + changing + incomplete;
  } catch {
    return undefined;
  }
}

/** Not started yet. */
async function newNode(
  name: string,
  index: number,
  count: number,
  network: ClusterNetwork,
  options: ClusterOptions,
): Promise<ClusterNode> {
  const {
    directory,
    regions = ['local'],
    sessionTtlMs = 5000,
    project = workerProject,
    program = [homing, 'node'],
  } = options;
  const place = await network.node(name);
  const region = regions[index % regions.length] as string;
  const replicationFactor = options.replicationFactor ?? Math.min(3, count);
  const data = join(directory, name);
  const config = nodeConfig(name, region, data, place, {
    regions: [...new Set(regions)],
    replicationFactor,
    sessionTtlMs,
    project,
    promiseMs: options.promiseMs,
  });
  const file = join(directory, `${name}.json`);
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
  const { host, ports, within, peerLinks, etcdLinks } = place;
  const admin = `http://${host}:${ports.admin}`;
  const [command = '', ...args] = [...within, process.execPath, ...program, '--config', file];
  const process_ = new ManagedProcess({
    name,
    command,
    args,
    isReady: () => answers(`${admin}/readyz`),
    logFile: join(directory, `${name}.log`),
  });
  const http = `http://${host}:${ports.http}`;
  return { node: name, region, process: process_, http, admin, data, peerLinks, etcdLinks };
}
