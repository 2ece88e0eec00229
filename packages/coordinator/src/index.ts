/** The adapters of the `Coordinator` port. */
export { type EmbeddedCoordinatorOptions, embeddedCoordinator } from './embedded-coordinator.ts';
export {
  type EtcdCoordinatorExtras,
  type EtcdCoordinatorOptions,
  etcdCoordinator,
} from './etcd/etcd-coordinator.ts';
export type { ClusterFacts } from './etcd/facts.ts';
export type { EtcdGuard } from './etcd/identity.ts';
export { type EtcdLimits, etcdLimits } from './etcd/limits.ts';
export type { RecoveredHome } from './etcd/recovered-records.ts';
export {
  type MemoryCluster,
  type MemoryClusterOptions,
  type MemoryCoordinator,
  type MemoryNodeOptions,
  memoryCluster,
} from './memory-cluster.ts';
