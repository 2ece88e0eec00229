/**
 * The bounds of the links between nodes. Each can be set; units are in the names. `messageBytesMax`
 * is to be the same on all nodes: a longer message ends the link that it comes on.
 */
export interface PeerLimits {
  /** Sent and not yet taken by the peer, on one link; beyond it `send` answers false. */
  readonly linkBufferBytesMax: number;
  /** Beyond that, for messages that must not be left out; where this is full too, the link ends. */
  readonly linkReserveBytes: number;
  /** Messages sent together travel in frames of at most this; a longer message is cut up. */
  readonly frameBytesMax: number;
  /** A longer message is a caller's mistake. */
  readonly messageBytesMax: number;
  /** What a sender may have under way to this node, on one link, before it is read. */
  readonly flowWindowBytes: number;
  /** From dialling to the end of the handshake; how long a connection may carry no link. */
  readonly connectTimeoutMs: number;
  /** Wait before the first attempt to reconnect; doubles up to the next one. */
  readonly reconnectDelayMs: number;
  readonly reconnectDelayMaxMs: number;
  /** Wait after a refusal, which lasts until somebody changes a configuration. */
  readonly refusedRetryMs: number;
  /** How often an idle link says that it is there. */
  readonly keepaliveMs: number;
  /** How late that may come. */
  readonly keepaliveTimeoutMs: number;
  /** Connections that other nodes made to this one: two for each node. */
  readonly connectionsMax: number;
  /** The same trouble with the same peer is logged once in this time. */
  readonly logRepeatMs: number;
}

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** Part of the protocol: no version sends a longer frame, whatever its limits are. */
export const frameBytesLimit = 4 * mebibyte;

const defaults: PeerLimits = {
  linkBufferBytesMax: 32 * mebibyte,
  linkReserveBytes: mebibyte,
  frameBytesMax: 256 * kibibyte,
  messageBytesMax: 64 * mebibyte,
  flowWindowBytes: 4 * mebibyte,
  connectTimeoutMs: 3000,
  reconnectDelayMs: 50,
  reconnectDelayMaxMs: 2000,
  refusedRetryMs: 5000,
  keepaliveMs: 2000,
  keepaliveTimeoutMs: 2000,
  connectionsMax: 1024,
  logRepeatMs: 60_000,
};

/** Throws `TypeError` for what the protocol has no room for. */
export function peerLimits(changes: Partial<PeerLimits> | undefined): PeerLimits {
  const limits = { ...defaults, ...changes };
  const { frameBytesMax, messageBytesMax } = limits;
  if (frameBytesMax < kibibyte || frameBytesMax > frameBytesLimit) {
    throw new TypeError(`frameBytesMax: expected ${kibibyte} to ${frameBytesLimit}`);
  }
  if (messageBytesMax > 0xffffffff)
    throw new TypeError('messageBytesMax: expected less than 4 GiB');
  return limits;
}
