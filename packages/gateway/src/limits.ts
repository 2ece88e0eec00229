/** The bounds of the HTTP and WebSocket edge. Each can be set; units are in the names. */
export interface GatewayLimits {
  /** Open TCP connections, WebSockets included; further ones are dropped. */
  readonly connectionsMax: number;
  /** A request's line and headers. More is answered 431. */
  readonly headerBytesMax: number;
  /** A request's body. More is answered 413. */
  readonly bodyBytesMax: number;
  /** Bodies of known length up to this are read whole before the worker is called. */
  readonly wholeBodyBytesMax: number;
  /** For the headers, and for the whole request, to arrive. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Until the worker's response begins. Later is answered 504. */
  readonly responseTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** One received WebSocket message. More closes the socket with 1009. */
  readonly messageBytesMax: number;
  /** Sent to a WebSocket and not yet taken by its client. More closes the socket with 1013. */
  readonly sendBufferBytesMax: number;
  /** Between pings; a client that answers none of them in this time is gone. */
  readonly pingIntervalMs: number;
  /** For an outgoing WebSocket's handshake. */
  readonly handshakeTimeoutMs: number;
}

const mebibyte = 1024 * 1024;

export const gatewayLimits: GatewayLimits = {
  connectionsMax: 50_000,
  headerBytesMax: 128 * 1024,
  bodyBytesMax: 512 * mebibyte,
  wholeBodyBytesMax: 64 * 1024,
  headersTimeoutMs: 60_000,
  requestTimeoutMs: 15 * 60_000,
  responseTimeoutMs: 15 * 60_000,
  keepAliveTimeoutMs: 75_000,
  messageBytesMax: 32 * mebibyte,
  sendBufferBytesMax: 16 * mebibyte,
  pingIntervalMs: 30_000,
  handshakeTimeoutMs: 30_000,
};
