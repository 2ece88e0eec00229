/** The HTTP and WebSocket edge. */
export { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
export { type GatewayLimits, gatewayLimits } from './limits.ts';
export {
  type ConnectWebSocket,
  connectWebSocket,
  type OutgoingSocket,
  type OutgoingSocketEvents,
} from './outgoing-socket.ts';
