/**
 * The HTTP and WebSocket edge: what clients send goes to the worker's default entrypoint.
 *
 * Owns the listening socket, the clients' connections and one session per request. Knows nothing
 * of objects: the dispatcher takes requests, and sockets by the name their 101 response gave.
 */
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Dispatcher, HomingError, isHomingError, type Logger } from '@homing/base';
import { type EdgeResponse, EdgeSession } from '@homing/capability';
import { type WebSocket, WebSocketServer } from 'ws';
import { joinSocket } from './client-socket.ts';
import { Deadlines } from './deadlines.ts';
import { type GatewayLimits, gatewayLimits } from './limits.ts';
import { Place, requestBody, requestParts } from './request-parts.ts';
import { writeError, writeResponse, writeText } from './response-writer.ts';

export interface GatewayOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly dispatcher: Dispatcher;
  /** `request.cf.colo`: this node. */
  readonly colo: string;
  readonly region: string;
  readonly logger: Logger;
  /** Believe `X-Forwarded-*`: only behind a proxy that sets them. Default false. */
  readonly trustForwarded?: boolean;
  /** Compress WebSocket messages where clients can. Default false. */
  readonly webSocketCompression?: boolean;
  /** Without it the port is in clear text. */
  readonly tls?: GatewayTls | undefined;
  readonly limits?: Partial<GatewayLimits>;
}

/** PEM. With `ca` every client has to show a certificate that chains to one of these. */
export interface GatewayTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer | undefined;
}

export interface Gateway {
  readonly port: number;
  /**
   * Takes no more connections, closes WebSockets with `code` (default 1001, going away), and resolves
   * when the last request is answered; after `graceMs` (default 10,000) what is left is cut off.
   * Idempotent.
   */
  close(graceMs?: number, code?: number): Promise<void>;
}

/** What requests go to. */
const entrypoint = { kind: 'entrypoint', entrypoint: 'default' } as const;

/** Resolves when it listens; rejects when it cannot. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const edge = new Edge(options);
  return await edge.listen();
}

class Edge implements Gateway {
  readonly #options: GatewayOptions;
  readonly #limits: GatewayLimits;
  readonly #place: Place;
  readonly #deadlines: Deadlines;
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  /** What the worker answered to an upgrade, while its handshake is under way. */
  readonly #upgrades = new WeakMap<IncomingMessage, EdgeResponse>();
  readonly #silent = new WeakSet<WebSocket>();
  readonly #connections = new Set<Socket>();
  #pings: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#limits = { ...gatewayLimits, ...options.limits };
    const { colo, region, trustForwarded = false } = options;
    this.#place = new Place(colo, region, trustForwarded);
    this.#deadlines = new Deadlines(this.#limits.responseTimeoutMs);
    const serverOptions = {
      maxHeaderSize: this.#limits.headerBytesMax,
      headersTimeout: this.#limits.headersTimeoutMs,
      requestTimeout: this.#limits.requestTimeoutMs,
      keepAliveTimeout: this.#limits.keepAliveTimeoutMs,
    };
    const { tls } = options;
    this.#server =
      tls === undefined
        ? createServer(serverOptions)
        : createTlsServer({ ...serverOptions, ...tls, requestCert: tls.ca !== undefined });
    this.#server.maxConnections = this.#limits.connectionsMax;
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: this.#limits.messageBytesMax,
      perMessageDeflate: options.webSocketCompression ?? false,
      handleProtocols: (_offered, request) =>
        headerOf(this.#upgrades.get(request), 'sec-websocket-protocol') ?? false,
    });
    this.#sockets.on('headers', (lines, request) => {
      lines.push(...extraHandshakeHeaders(this.#upgrades.get(request)));
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#connections.add(socket);
      socket.once('close', () => this.#connections.delete(socket));
    });
    this.#server.on('request', (request, out) => void this.#serve(request, out));
    this.#server.on('upgrade', (request, socket, head) => {
      void this.#upgrade(request, socket, head);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<Gateway> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
    this.#server.on('error', (error) => {
      this.#options.logger.error('the HTTP server failed', { error: error.message });
    });
    this.#pings = setInterval(() => this.#pingAll(), this.#limits.pingIntervalMs);
    this.#pings.unref();
    const port = this.port;
    return { port, close: (graceMs, code) => this.close(graceMs, code) };
  }

  close(graceMs = 10_000, code = 1001): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      clearInterval(this.#pings);
      const cut = setTimeout(() => {
        for (const connection of this.#connections) connection.destroy();
      }, graceMs);
      this.#server.close(() => {
        this.#deadlines.stop();
        clearTimeout(cut);
        resolve();
      });
      this.#server.closeIdleConnections();
      for (const client of this.#sockets.clients) client.close(code, 'the server is stopping');
    });
    return this.#closing;
  }

  async #serve(request: IncomingMessage, out: ServerResponse): Promise<void> {
    if (this.#closing !== undefined) out.shouldKeepAlive = false;
    if (Number(request.headers['content-length'] ?? 0) > this.#limits.bodyBytesMax) {
      out.shouldKeepAlive = false;
      writeText(out, 413, 'Payload Too Large');
      return;
    }
    let call: EdgeSession | undefined;
    out.once('close', () => call?.end());
    try {
      const body = await requestBody(request, this.#limits);
      if (out.destroyed) return;
      const parts = requestParts(request, body, this.#place, false);
      call = new EdgeSession(this.#options.dispatcher, entrypoint);
      const response = await this.#ask(call, parts);
      if (this.#closing !== undefined) out.shouldKeepAlive = false;
      if (response.status === 101) throw new TypeError('a 101 response to a plain request');
      await writeResponse(out, response);
    } catch (error) {
      this.#answerError(request, out, error);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const out = new ServerResponse(request);
    out.shouldKeepAlive = false;
    out.assignSocket(socket as Socket);
    out.once('finish', () => socket.end());
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
    if (isWebSocket && !isHandshake(request)) {
      writeText(out, 400, 'Bad Request: not a WebSocket handshake');
      return;
    }
    const call = new EdgeSession(this.#options.dispatcher, entrypoint);
    const onClose = () => call.end();
    socket.once('close', onClose);
    try {
      const parts = requestParts(request, null, this.#place, isWebSocket);
      const response = await this.#ask(call, parts);
      if (response.status !== 101) {
        await writeResponse(out, response);
        return;
      }
      if (response.socket === null || !isWebSocket) {
        throw new TypeError('a 101 response without a WebSocket');
      }
      out.detachSocket(socket as Socket);
      this.#upgrades.set(request, response);
      this.#join(request, socket, head, response.socket);
      call.end();
    } catch (error) {
      this.#answerError(request, out, error);
    }
  }

  #join(request: IncomingMessage, socket: Duplex, head: Buffer, name: string): void {
    const { dispatcher } = this.#options;
    if (socket.destroyed || !socket.writable) {
      // The client left meanwhile: the object has to hear of it.
      const port = dispatcher.attach(name, { send: () => {}, close: () => {} });
      port.closed(1006, '', false);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      client.on('pong', () => this.#silent.delete(client));
      try {
        joinSocket(dispatcher, name, client, this.#limits);
      } catch (error) {
        this.#options.logger.debug('a WebSocket closed before its client came', {
          error: String(error),
        });
        client.on('error', () => {});
        client.close(1011, 'the WebSocket is gone');
      }
      if (this.#closing !== undefined) client.close(1001, 'the server is stopping');
    });
  }

  async #ask(call: EdgeSession, parts: readonly unknown[]): Promise<EdgeResponse> {
    const place = this.#deadlines.add(() => {
      call.end(new HomingError('deadline_exceeded', 'the worker did not answer in time'));
    });
    try {
      return await call.fetch(parts);
    } finally {
      place.remove();
    }
  }

  #answerError(request: IncomingMessage, out: ServerResponse, error: unknown): void {
    if (out.destroyed) return;
    if (!isHomingError(error)) {
      this.#options.logger.error('uncaught exception', {
        method: request.method,
        url: request.url,
        error: error instanceof Error ? (error.stack ?? String(error)) : String(error),
      });
    }
    writeError(out, error);
  }

  #pingAll(): void {
    for (const client of this.#sockets.clients) {
      if (this.#silent.has(client)) client.terminate();
      else {
        this.#silent.add(client);
        client.ping();
      }
    }
  }
}

function isHandshake(request: IncomingMessage): boolean {
  const { headers } = request;
  return (
    request.method === 'GET' &&
    /^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '') &&
    (headers['sec-websocket-version'] === '13' || headers['sec-websocket-version'] === '8')
  );
}

function headerOf(response: EdgeResponse | undefined, wanted: string): string | undefined {
  const { headers = [] } = response ?? {};
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === wanted) return headers[index + 1];
  }
  return undefined;
}

const madeByHandshake = /^(connection|upgrade|content-length|transfer-encoding|sec-websocket-.*)$/i;

function extraHandshakeHeaders(response: EdgeResponse | undefined): string[] {
  const { headers = [] } = response ?? {};
  const lines: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!madeByHandshake.test(name)) lines.push(`${name}: ${headers[index + 1]}`);
  }
  return lines;
}
