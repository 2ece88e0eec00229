/** The gRPC edge. */
export { type RpcLimits, rpcLimits } from './limits.ts';
export type { PeerLimits } from './peer/limits.ts';
export {
  type PeerNetwork,
  type PeerNetworkOptions,
  type PeerStats,
  startPeerNetwork,
} from './peer/network.ts';
export { type RpcOptions, type RpcServer, startRpc } from './server.ts';
export { fromJson, type Json, toJson } from './value.ts';
