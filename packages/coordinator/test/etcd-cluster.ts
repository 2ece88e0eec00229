/** Nodes of a cluster on a private etcd, each behind a proxy of its own. */
import type { Coordinator, Epoch } from '@homing/base';
import {
  type EtcdCoordinatorExtras,
  type EtcdCoordinatorOptions,
  etcdCoordinator,
} from '../src/index.ts';
import type { TestCluster } from './cluster-conformance.ts';
import { clock, memoryLogger, type TestEtcd, TestProxy, timers } from './etcd.ts';

export type EtcdNode = Coordinator & EtcdCoordinatorExtras;

/** Long enough for a machine that does other work. */
const patient = { requestTimeoutMs: 10_000, operationTimeoutMs: 30_000, startTimeoutMs: 30_000 };
/** For a test of what happens without etcd, which need not wait then. */
export const brief = { requestTimeoutMs: 1000, operationTimeoutMs: 2500 };

export async function openNode(
  node: string,
  options: Partial<EtcdCoordinatorOptions> & Pick<EtcdCoordinatorOptions, 'endpoints'>,
): Promise<EtcdNode> {
  return await etcdCoordinator({
    node,
    storeId: `store-${node}`,
    region: 'r',
    zone: 'z',
    addresses: { peer: `${node}:1` },
    // The least that etcd grants.
    sessionTtlMs: 2000,
    guard: { highest: 0n as Epoch },
    limits: patient,
    logger: memoryLogger(),
    clock,
    timers,
    ...options,
  });
}

export interface ClusterParts extends TestCluster {
  node(name: string, own?: Partial<EtcdCoordinatorOptions>): Promise<EtcdNode>;
  /** Between the node and etcd. */
  proxy(node: Coordinator): TestProxy;
}

export function clusterOn(
  etcd: TestEtcd,
  options: Partial<EtcdCoordinatorOptions> = {},
): ClusterParts {
  const nodes = new Map<Coordinator, TestProxy>();
  const proxy = (node: Coordinator): TestProxy => {
    const found = nodes.get(node);
    if (found === undefined) throw new Error('not a node of this cluster');
    return found;
  };
  return {
    async node(name, own = {}) {
      const between = await new TestProxy(etcd.port).start();
      const node = await openNode(name, { ...options, ...own, endpoints: [between.endpoint] });
      nodes.set(node, between);
      return node;
    },
    proxy,
    kill: (node) => proxy(node).set('closed'),
    async close() {
      await Promise.all([...nodes.keys()].map((node) => node.close()));
      await Promise.all([...nodes.values()].map((between) => between.stop()));
    },
  };
}
