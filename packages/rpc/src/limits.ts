/** The bounds of the gRPC edge. Each can be set; units are in the names. */
export interface RpcLimits {
  /** One message either way: arguments, results, bodies. */
  readonly messageBytesMax: number;
  /** Nesting of arguments and results. */
  readonly depthMax: number;
  readonly requestIdCharactersMax: number;
  /** Sent to a connected socket and not yet taken by its client; more ends it with 1013. */
  readonly sendBufferBytesMax: number;
  /** Calls under way on one connection. */
  readonly streamsMax: number;
}

const mebibyte = 1024 * 1024;

export const rpcLimits: RpcLimits = {
  messageBytesMax: 32 * mebibyte,
  depthMax: 100,
  requestIdCharactersMax: 256,
  sendBufferBytesMax: 16 * mebibyte,
  streamsMax: 1000,
};
