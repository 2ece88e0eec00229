/**
 * Takes the connections that other nodes make: the socket, the gRPC server behind it, and the
 * handshake of each stream.
 *
 * The socket is this module's and not the gRPC server's, so that connections are counted, and a
 * dead one can be dropped without asking it: a connection that carries no link for
 * `connectTimeoutMs` is destroyed, whatever it waits for.
 */
import { type AddressInfo, createServer, type Socket, type Server as SocketServer } from 'node:net';
import { Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Timer } from '@homing/base';
import { ownHello, type PeerContext } from './context.ts';
import { openFlowWindow } from './flow-window.ts';
import { dials, encodeHello, type Hello, judge, type PeerIdentity } from './handshake.ts';
import { Link } from './link.ts';
import {
  notNowStatus,
  peerService,
  refusedStatus,
  serverCredentials,
  serverOptions,
} from './transport.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;

interface Connection {
  readonly socket: Socket;
  links: number;
  deadline: Timer | undefined;
}

export interface AcceptorOptions {
  readonly context: PeerContext;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** True for a process that this node has hung up on for good. */
  readonly isUnwanted: (process: Pick<PeerIdentity, 'node' | 'run'>) => boolean;
}

export class Acceptor {
  /** The one that it listens on. */
  port = 0;
  readonly #options: AcceptorOptions;
  readonly #sockets: SocketServer;
  readonly #server: Server;
  /** By the peer's address and port, as a stream names its connection. */
  readonly #connections = new Map<string, Connection>();

  private constructor(options: AcceptorOptions) {
    const { tls, limits, troubles } = options.context;
    this.#options = options;
    this.#server = new Server(serverOptions);
    this.#server.addService(peerService, { link: (stream: Stream) => this.#onStream(stream) });
    const injector = this.#server.createConnectionInjector(serverCredentials(tls));
    this.#sockets = createServer({ noDelay: true }, (socket) => {
      this.#onConnection(socket);
      injector.injectConnection(socket);
    });
    this.#sockets.maxConnections = limits.connectionsMax;
    this.#sockets.on('drop', () => {
      troubles.warn('peer: too many connections', '', { connectionsMax: limits.connectionsMax });
    });
  }

  /** Resolves when it listens; rejects when it cannot. */
  static async listen(options: AcceptorOptions): Promise<Acceptor> {
    const acceptor = new Acceptor(options);
    const sockets = acceptor.#sockets;
    await new Promise<void>((resolve, reject) => {
      sockets.once('error', reject);
      sockets.listen({ host: options.host, port: options.port }, () => {
        sockets.off('error', reject);
        resolve();
      });
    });
    acceptor.port = (sockets.address() as AddressInfo).port;
    return acceptor;
  }

  /** Resolves when every connection is closed. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#sockets.close(() => resolve()));
    this.#server.forceShutdown();
    for (const { socket } of this.#connections.values()) socket.destroy();
    await closed;
  }

  #onConnection(socket: Socket): void {
    const name = `${socket.remoteAddress}:${socket.remotePort}`;
    const connection: Connection = { socket, links: 0, deadline: undefined };
    this.#connections.set(name, connection);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      connection.deadline?.cancel();
      if (this.#connections.get(name) === connection) this.#connections.delete(name);
    });
    this.#rest(connection);
  }

  /** The connection carries no link now. */
  #rest(connection: Connection): void {
    const { timers, limits } = this.#options.context;
    connection.deadline?.cancel();
    connection.deadline = timers.after(limits.connectTimeoutMs, () => connection.socket.destroy());
  }

  #onStream(stream: Stream): void {
    const connection = this.#connections.get(stream.getPeer());
    let link: Link | undefined;
    let isGreeted = false;
    const end = (reason: string): void => link?.end(reason);
    stream.on('data', (frame: Buffer) => {
      if (isGreeted) link?.receive(frame);
      else {
        isGreeted = true;
        link = this.#onHello(stream, frame, connection);
      }
    });
    stream.on('end', () => end('the peer ended the stream'));
    stream.on('cancelled', () => end('the connection is lost, or the peer gave it up'));
    stream.on('error', (error) => end(error.message));
  }

  /** The link of a stream whose first message came, unless it is refused. */
  #onHello(stream: Stream, frame: Buffer, connection: Connection | undefined): Link | undefined {
    const { context } = this.#options;
    const { identity, limits, timers, counts, table, troubles } = context;
    const verdict = judge(identity, frame);
    if ('refused' in verdict) {
      const reason = verdict.refused;
      troubles.warn('peer: refused', reason, { reason, from: stream.getPeer() });
      fail(stream, refusedStatus, reason);
      return undefined;
    }
    const { hello, protocol } = verdict;
    const { node, purpose, attempt } = hello;
    const handler = table.handler(purpose);
    if (handler === undefined) {
      fail(stream, notNowStatus, `${identity.node} is only starting`);
      return undefined;
    }
    const notNow = this.#notNow(hello);
    if (notNow !== undefined) {
      fail(stream, notNowStatus, notNow);
      return undefined;
    }
    openFlowWindow(stream, limits.flowWindowBytes);
    stream.write(encodeHello(ownHello(context, node, purpose, attempt)));
    const link = new Link({
      stream,
      hello,
      protocol,
      handler,
      limits,
      timers,
      counts,
      delayMs: () => context.delayMsOf(node),
      hangUp: (reason) => {
        fail(stream, status.UNAVAILABLE, reason);
        if (connection === undefined) return;
        connection.links--;
        if (connection.links === 0) this.#rest(connection);
      },
    });
    if (connection !== undefined) {
      connection.links++;
      connection.deadline?.cancel();
    }
    table.adopt(link);
    return link;
  }

  /** Why a peer that speaks well gets no link this time. */
  #notNow({ node, purpose, run, attempt }: Hello): string | undefined {
    const { context, isUnwanted } = this.#options;
    const { identity, table } = context;
    if (!dials(node, identity.node)) return `it is for ${identity.node} to dial ${node}`;
    const standing = table.get(node, purpose);
    if (standing?.peer.run === run && standing.attempt >= attempt) {
      return 'a later attempt has a link';
    }
    return isUnwanted({ node, run }) ? `${identity.node} has hung up on ${node}` : undefined;
  }
}

/** Ends a stream with a status that its other end reads. */
function fail(stream: Stream, code: status, details: string): void {
  if (!stream.destroyed) stream.emit('error', { code, details, message: details });
}
