/**
 * The adapter of the `Network` port: links to the other nodes over gRPC.
 *
 * Of two nodes, the one whose name comes first dials, once for each purpose, on a connection of its
 * own, so that what waits in a socket for one purpose holds nothing of the other up. Both sides send
 * on the stream. A node that this one does not know (yet) is let in when its handshake is right,
 * since its peers may learn of a node at different times; a process that it has hung up on stays out
 * until it is named again.
 */
import type { LinkPurpose, Logger, Network, NetworkHandler, PeerRun, Timers } from '@homing/base';
import { Acceptor } from './acceptor.ts';
import type { PeerContext } from './context.ts';
import { Dialer } from './dialer.ts';
import { dials, type PeerIdentity } from './handshake.ts';
import { type PeerLimits, peerLimits } from './limits.ts';
import type { SentCounts } from './link.ts';
import { LinkTable } from './link-table.ts';
import { OccasionalLog } from './occasional-log.ts';
import { channelCredentials, type PeerTls } from './transport.ts';

const purposes: readonly LinkPurpose[] = ['log', 'call'];
/** Processes hung up on that are remembered; they run their course once all nodes know. */
const unwantedMax = 1000;

export interface PeerNetworkOptions extends Omit<PeerIdentity, 'protocol'> {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** By default version 1 alone. */
  readonly protocol?: PeerIdentity['protocol'];
  readonly tls: PeerTls;
  readonly logger: Logger;
  readonly timers: Timers;
  readonly limits?: Partial<PeerLimits>;
  /**
   * How many milliseconds later than it comes this node hears what the other sends: distance, for
   * trials on one machine. Order is kept, and throughput is not limited. Without it there is none.
   */
  readonly delayMsOf?: ((node: string) => number) | undefined;
}

export interface PeerStats extends Readonly<SentCounts> {
  /** Standing now. */
  readonly links: number;
  /** Bytes that `send` took and the peers have not, over all links. */
  readonly buffered: number;
}

export interface PeerNetwork extends Network {
  readonly port: number;
  stats(): PeerStats;
}

/** Resolves when it listens; rejects when it cannot. */
export async function startPeerNetwork(options: PeerNetworkOptions): Promise<PeerNetwork> {
  const { node, storeId, run, cluster, version, host, port, tls, logger, timers } = options;
  const limits = peerLimits(options.limits);
  const context: PeerContext = {
    identity: {
      node,
      storeId,
      run,
      cluster,
      version,
      protocol: options.protocol ?? { min: 1, max: 1 },
    },
    tls,
    limits,
    timers,
    table: new LinkTable(logger),
    counts: { messagesSent: 0, framesSent: 0, bytesSent: 0 },
    troubles: new OccasionalLog(logger, timers, limits.logRepeatMs),
    delayMsOf: options.delayMsOf ?? (() => 0),
  };
  const unwanted = new Map<string, string>();
  const acceptor = await Acceptor.listen({
    context,
    host,
    port,
    isUnwanted: ({ node, run }) => unwanted.get(node) === run,
  });
  return new GrpcNetwork(context, acceptor, unwanted);
}

class GrpcNetwork implements PeerNetwork {
  readonly #context: PeerContext;
  readonly #acceptor: Acceptor;
  readonly #credentials: ReturnType<typeof channelCredentials>;
  /** The last list of `setPeers`: address by node. */
  #peers = new Map<string, string>();
  readonly #dialers = new Map<string, readonly Dialer[]>();
  /** Run by node. */
  readonly #unwanted: Map<string, string>;
  #attempts = 0;
  #closing: Promise<void> | undefined;

  constructor(context: PeerContext, acceptor: Acceptor, unwanted: Map<string, string>) {
    this.#context = context;
    this.#acceptor = acceptor;
    this.#unwanted = unwanted;
    this.#credentials = channelCredentials(context.tls);
  }

  get port(): number {
    return this.#acceptor.port;
  }

  serve(purpose: LinkPurpose, handler: NetworkHandler): void {
    this.#context.table.serve(purpose, handler);
  }

  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): void {
    if (this.#closing !== undefined) return;
    const { identity, table } = this.#context;
    const before = this.#peers;
    const now = new Map(peers.map(({ node, address }) => [node, address]));
    now.delete(identity.node);
    this.#peers = now;
    for (const node of now.keys()) this.#unwanted.delete(node);
    for (const node of before.keys()) if (!now.has(node)) this.#forget(node);
    for (const [node, dialers] of this.#dialers) {
      if (now.get(node) === before.get(node)) continue;
      this.#dialers.delete(node);
      for (const dialer of dialers) dialer.stop('its address changed, or it is no peer any more');
    }
    table.end('it is no peer', ({ peer }) => !now.has(peer.node));
    // A handler that was told of an end may have called back.
    if (this.#peers !== now || this.#closing !== undefined) return;
    for (const [node, address] of now) this.#dial(node, address);
  }

  send(node: string, purpose: LinkPurpose, message: Uint8Array): boolean {
    return this.#context.table.get(node, purpose)?.send(message) ?? false;
  }

  sendOrEnd(node: string, purpose: LinkPurpose, message: Uint8Array): void {
    this.#context.table.get(node, purpose)?.sendOrEnd(message);
  }

  peer(node: string, purpose: LinkPurpose): PeerRun | undefined {
    return this.#context.table.get(node, purpose)?.peer;
  }

  stats(): PeerStats {
    const { table, counts } = this.#context;
    let links = 0;
    let buffered = 0;
    for (const link of table.all()) {
      links++;
      buffered += link.buffered;
    }
    return { links, buffered, ...counts };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { table, troubles } = this.#context;
    for (const dialers of this.#dialers.values()) {
      for (const dialer of dialers) dialer.stop('this node closes');
    }
    this.#dialers.clear();
    table.close();
    troubles.close();
    await this.#acceptor.close();
  }

  #dial(node: string, address: string): void {
    const { identity, table } = this.#context;
    if (!dials(identity.node, node) || this.#dialers.has(node)) return;
    const options = {
      context: this.#context,
      credentials: this.#credentials,
      node,
      address,
      nextAttempt: () => ++this.#attempts,
    };
    const served = purposes.filter((purpose) => table.handler(purpose) !== undefined);
    this.#dialers.set(
      node,
      served.map((purpose) => new Dialer({ ...options, purpose })),
    );
  }

  /** Keeps the process of a former peer out: it may go on dialling until it learns of it. */
  #forget(node: string): void {
    const run = purposes.map((purpose) => this.peer(node, purpose)?.run).find(Boolean);
    if (run === undefined) return;
    const [oldest] = this.#unwanted.keys();
    if (this.#unwanted.size >= unwantedMax && oldest !== undefined) this.#unwanted.delete(oldest);
    this.#unwanted.set(node, run);
  }
}
