/**
 * A homing cluster on this machine whose every process and link can be broken: etcd, nodes, and a
 * proxy in front of each node's peer port and of etcd for each node.
 *
 * Owns the processes, proxies and the directory under which each keeps its data and log. Nodes
 * advertise the proxy as their peer address, so links between nodes go through it; clients reach
 * nodes directly. Nothing is restarted that the caller did not restart.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { etcdProcess } from './etcd.ts';
import { freePorts } from './free-ports.ts';
import { answers, ManagedProcess } from './managed-process.ts';
import { ownerOfPort } from './port-owner.ts';
import { TcpProxy } from './tcp-proxy.ts';
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
  /** What to give Node before `--config FILE`. Default `homing node`. */
  readonly program?: readonly string[];
}

interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly peer: number;
  readonly admin: number;
}

export interface ClusterNode extends NodeAddress {
  readonly region: string;
  readonly process: ManagedProcess;
  /** `http://host:port` of the admin page. */
  readonly admin: string;
  /** Through which other nodes reach this one; rules by the node that connects. */
  readonly peerProxy: TcpProxy;
  /** Through which this node reaches etcd. */
  readonly etcdProxy: TcpProxy;
}

/** The configuration of one node, as `homing node --config` reads it. */
function nodeConfig(node: {
  readonly name: string;
  readonly region: string;
  readonly app: string;
  readonly data: string;
  readonly etcdPort: number;
  readonly ports: Ports;
  readonly advertisedPeerPort: number;
  readonly replicationFactor: number;
  readonly sessionTtlMs: number;
}): object {
  return {
    node: node.name,
    region: node.region,
    zone: `zone-${node.name}`,
    app: node.app,
    data: node.data,
    etcd: { endpoints: [`http://127.0.0.1:${node.etcdPort}`], prefix: '/chaos/' },
    listen: { host: '127.0.0.1', ...node.ports },
    advertise: { host: '127.0.0.1', peer: node.advertisedPeerPort },
    replication: { factor: node.replicationFactor },
    tls: { insecure: true },
    sessionTtlMs: node.sessionTtlMs,
  };
}

export class Cluster {
  readonly etcd: ManagedProcess;
  readonly nodes: readonly ClusterNode[];
  readonly sessionTtlMs: number;

  private constructor(etcd: ManagedProcess, nodes: readonly ClusterNode[], sessionTtlMs: number) {
    this.etcd = etcd;
    this.nodes = nodes;
    this.sessionTtlMs = sessionTtlMs;
  }

  /** Resolves when every node is ready. Rejects, with nothing left running, when one is not. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const {
      directory,
      nodes: count = 3,
      sessionTtlMs = 5000,
      program = [homing, 'node'],
    } = options;
    mkdirSync(directory, { recursive: true });
    const ports = await freePorts(2 + 6 * count);
    const take = () => ports.pop() as number;
    const clientPort = take();
    const etcd = etcdProcess({
      directory: join(directory, 'etcd'),
      clientPort,
      peerPort: take(),
      logFile: join(directory, 'etcd.log'),
    });
    const nodes: ClusterNode[] = [];
    const pids = () => nodes.flatMap(({ process: { pid } }) => (pid === undefined ? [] : [pid]));
    const sourceOf = (port: number) => {
      const pid = ownerOfPort(port, pids());
      return nodes.find(({ process }) => pid !== undefined && process.pid === pid)?.node;
    };
    const cluster = new Cluster(etcd, nodes, sessionTtlMs);
    for (let index = 0; index < count; index++) {
      const own = { http: take(), grpc: take(), peer: take(), admin: take() };
      const peerProxy = new TcpProxy({ targetPort: own.peer, port: take(), sourceOf });
      const etcdProxy = new TcpProxy({ targetPort: clientPort, port: take() });
      const advertisedPeerPort = await peerProxy.listen();
      const etcdPort = await etcdProxy.listen();
      const { regions = ['local'] } = options;
      const region = regions[index % regions.length] as string;
      const name = `n${index + 1}`;
      const config = nodeConfig({
        name,
        region,
        app: workerProject,
        data: join(directory, name),
        etcdPort,
        ports: own,
        advertisedPeerPort,
        replicationFactor: options.replicationFactor ?? Math.min(3, count),
        sessionTtlMs,
      });
      const file = join(directory, `${name}.json`);
      writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
      const admin = `http://127.0.0.1:${own.admin}`;
      const process_ = new ManagedProcess({
        name,
        command: process.execPath,
        args: [...program, '--config', file],
        isReady: () => answers(`${admin}/readyz`),
        logFile: join(directory, `${name}.log`),
      });
      const http = `http://127.0.0.1:${own.http}`;
      nodes.push({ node: name, region, process: process_, http, admin, peerProxy, etcdProxy });
    }
    try {
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

  /** Lifts every rule and starts what is down. */
  async heal(): Promise<void> {
    for (const { peerProxy, etcdProxy } of this.nodes) {
      peerProxy.heal();
      etcdProxy.heal();
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
    for (const { peerProxy, etcdProxy } of this.nodes) {
      await peerProxy.close();
      await etcdProxy.close();
    }
  }
}
