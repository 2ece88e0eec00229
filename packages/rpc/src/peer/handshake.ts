/**
 * What the two ends of a link tell each other first, as JSON: read once a connection, legible in a
 * capture, and open to fields that a later version adds. The end that was dialled judges, so that
 * both log the same reason; the dialling end checks the answer by the same rules.
 *
 * Invariant: a link stands only between nodes of one cluster that share a protocol version, each of
 * which is who the other takes it for.
 */
import type { LinkPurpose } from '@homing/base';

/** Versions of the protocol on links, messages included: the highest that both ends speak is used. */
export interface ProtocolRange {
  readonly min: number;
  readonly max: number;
}

/** What one process says of itself on every link. */
export interface PeerIdentity {
  readonly node: string;
  readonly storeId: string;
  /** Differs from process to process. */
  readonly run: string;
  /** A peer of another cluster is refused. */
  readonly cluster: string;
  /** For people. */
  readonly version: string;
  readonly protocol: ProtocolRange;
}

export interface Hello extends PeerIdentity {
  readonly purpose: LinkPurpose;
  /** The node that the sender means to talk to. */
  readonly to: string;
  /** Counts the sender's attempts: of two links, the later attempt is the one that it knows of. */
  readonly attempt: number;
  /** Something comes from the sender at least this often. */
  readonly keepaliveMs: number;
}

const helloBytesMax = 16 * 1024;
const textUnitsMax = 1024;

export function encodeHello(hello: Hello): Buffer {
  return Buffer.from(JSON.stringify(hello));
}

/** What comes of a hello. */
export type Verdict =
  | { readonly hello: Hello; readonly protocol: number }
  /** Why no link can stand between the two, for the operator. */
  | { readonly refused: string };

/** Judges the first message of a stream. */
export function judge(own: PeerIdentity, bytes: Buffer): Verdict {
  const hello = decodeHello(bytes);
  if (hello === undefined) return { refused: 'what came first is no handshake of homing' };
  if (hello.cluster !== own.cluster) {
    return {
      refused: `${hello.node} is of cluster "${hello.cluster}" and ${own.node} of cluster "${own.cluster}": give both the same name, or correct the address`,
    };
  }
  if (hello.to !== own.node) {
    return {
      refused: `${hello.node} looks for ${hello.to} at the address of ${own.node}: correct the address that ${hello.to} advertises`,
    };
  }
  if (hello.node === own.node) {
    return { refused: `two processes are named ${own.node}: stop one of them, or rename it` };
  }
  const protocol = Math.min(own.protocol.max, hello.protocol.max);
  if (protocol < Math.max(own.protocol.min, hello.protocol.min)) {
    return {
      refused: `${describe(hello)} and ${describe(own)} have no protocol version in common: upgrade the older node, one release at a time`,
    };
  }
  return { hello, protocol };
}

/** Of two nodes, which one dials: the one whose name comes first. */
export function dials(node: string, peer: string): boolean {
  return node < peer;
}

/** Undefined for what is no hello. Unknown fields are passed over. */
function decodeHello(bytes: Buffer): Hello | undefined {
  if (bytes.length > helloBytesMax) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  const fields = record(value);
  const protocol = record(fields?.['protocol']);
  if (fields === undefined || protocol === undefined) return undefined;
  const { node, storeId, run, cluster, version, purpose, to, attempt, keepaliveMs } = fields;
  const { min, max } = protocol;
  if (!isText(node) || !isText(storeId) || !isText(run) || !isText(cluster)) return undefined;
  if (!isText(version) || !isText(to) || !isPurpose(purpose)) return undefined;
  if (!isCount(attempt) || !isCount(keepaliveMs) || !isCount(min) || !isCount(max)) {
    return undefined;
  }
  const identity = { node, storeId, run, cluster, version, protocol: { min, max } };
  return { ...identity, purpose, to, attempt, keepaliveMs };
}

function describe({ node, version, protocol }: PeerIdentity): string {
  return `${node} (${version}, protocol ${protocol.min} to ${protocol.max})`;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)
    : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= textUnitsMax;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isPurpose(value: unknown): value is LinkPurpose {
  return value === 'log' || value === 'call';
}
