/** The node: places objects, routes what is meant for them, keeps their sockets and alarms. */

export type { CallersView } from './callers.ts';
export type { ConnectWebSocket, ExternalSocket } from './client-ends.ts';
export { localLogs } from './local-log.ts';
export type { MigrationOptions } from './migrator.ts';
export type { MoveOutcome, MoveReason, MoveTarget } from './moves.ts';
export {
  type ChooseNode,
  HomingNode,
  type Location,
  type NodeCluster,
  type NodeLimits,
  type NodeOptions,
  nodeLimits,
  type WorkerLog,
} from './node.ts';
