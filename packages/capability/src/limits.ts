/** What one end of a session may take up. */

export interface CapabilityLimits {
  /** Largest frame: arguments, a result or a stream's chunk. Larger ones are refused by the sender. */
  readonly messageBytesMax: number;
  /** References that one end holds for the other. */
  readonly exportsMax: number;
  /** Calls begun by one end and not answered yet. Further ones fail at once as `overloaded`. */
  readonly callsMax: number;
  /** Bytes of one stream on the way or not yet consumed, before its sender waits. */
  readonly streamWindowBytes: number;
}

export const capabilityLimits: CapabilityLimits = {
  messageBytesMax: 32 * 1024 * 1024,
  exportsMax: 65_536,
  callsMax: 16_384,
  streamWindowBytes: 256 * 1024,
};
