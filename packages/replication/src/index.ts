/** Replicated logs: the protocol's state machines, driven on a store and a network. */

export { holdsOnlyCopies } from './adopted-sets.ts';
export { Controller, type ControllerLimits, type ControllerOptions } from './controller.ts';
export { type ReplicationLimits, replicationLimits } from './limits.ts';
export { decodeMessage } from './messages.ts';
export { RegionKeeper, type RegionKeeperOptions } from './region-keeper.ts';
export type { HeardLag } from './remote-reports.ts';
export { Replication, type ReplicationOptions } from './replication.ts';
