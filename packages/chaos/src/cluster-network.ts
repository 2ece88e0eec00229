/**
 * Where a cluster's processes listen and how its links break: on the loopback with a proxy in front of
 * each port, or in namespaces of the kernel. One for each cluster; called by `cluster.ts`.
 */
import { freePorts } from './free-ports.ts';
import { NetworkNamespaces } from './network-namespaces.ts';
import { ownerOfPort } from './port-owner.ts';
import { type LinkRules, TcpProxy } from './tcp-proxy.ts';

export interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly peer: number;
  readonly admin: number;
}

/** A node's place in the network. */
export interface NodePlace {
  readonly host: string;
  readonly ports: Ports;
  /** Where other nodes are told to reach it. */
  readonly advertisedPeerPort: number;
  /** `host:port` under which it reaches etcd. */
  readonly etcd: string;
  /** What its command is started with. */
  readonly within: readonly string[];
  readonly peerLinks: LinkRules;
  readonly etcdLinks: LinkRules;
}

export interface EtcdPlace {
  readonly host: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly within: readonly string[];
}

export interface ClusterNetwork {
  readonly etcd: EtcdPlace;
  node(name: string): Promise<NodePlace>;
  dispose(): Promise<void>;
}

const loopback = '127.0.0.1';

/** `nodeOf`: the node that a process is, for telling who makes a connection. */
export async function proxiedNetwork(options: {
  readonly nodes: number;
  readonly pids: () => readonly number[];
  readonly nodeOf: (pid: number) => string | undefined;
}): Promise<ClusterNetwork> {
  const free = await freePorts(2 + 6 * options.nodes);
  const take = () => free.pop() as number;
  const etcd = { host: loopback, clientPort: take(), peerPort: take(), within: [] };
  const proxies: TcpProxy[] = [];
  const sourceOf = (port: number) => {
    const pid = ownerOfPort(port, options.pids());
    return pid === undefined ? undefined : options.nodeOf(pid);
  };
  return {
    etcd,
    node: async () => {
      const ports = { http: take(), grpc: take(), peer: take(), admin: take() };
      const peerLinks = new TcpProxy({ targetPort: ports.peer, port: take(), sourceOf });
      const etcdLinks = new TcpProxy({ targetPort: etcd.clientPort, port: take() });
      proxies.push(peerLinks, etcdLinks);
      const advertisedPeerPort = await peerLinks.listen();
      const address = `${loopback}:${await etcdLinks.listen()}`;
      const place = { host: loopback, ports, advertisedPeerPort, etcd: address, within: [] };
      return { ...place, peerLinks, etcdLinks };
    },
    dispose: async () => {
      for (const proxy of proxies) await proxy.close();
    },
  };
}

/** In a namespace of its own, every process may have the same ports. */
const ports: Ports = { http: 8787, grpc: 8788, peer: 8789, admin: 8790 };
const etcdPorts = { clientPort: 2379, peerPort: 2380 };

export function namespacedNetwork(): ClusterNetwork {
  const namespaces = new NetworkNamespaces();
  const etcdHost = namespaces.add('etcd');
  const rules = namespaces.links('etcd', etcdPorts.clientPort);
  return {
    etcd: { host: etcdHost, ...etcdPorts, within: namespaces.command('etcd') },
    node: async (name) => ({
      host: namespaces.add(name),
      ports,
      advertisedPeerPort: ports.peer,
      etcd: `${etcdHost}:${etcdPorts.clientPort}`,
      within: namespaces.command(name),
      peerLinks: namespaces.links(name, ports.peer),
      etcdLinks: { set: (rule) => rules.set(rule, name), heal: () => rules.set({}, name) },
    }),
    dispose: async () => namespaces.dispose(),
  };
}
