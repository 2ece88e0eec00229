/**
 * The gRPC edge: `homing.v1.Objects`, health and reflection.
 *
 * Owns the listening socket and one session per call. A client that cancels, or whose deadline
 * passed, ends its call's session.
 */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import {
  checkObjectId,
  type Dispatcher,
  HomingError,
  type Logger,
  namedObjectId,
  type ObjectRef,
} from '@homing/base';
import { type EdgeResponse, EdgeSession } from '@homing/capability';
import { HealthImplementation } from 'grpc-health-check';
import { serveConnect } from './connect.ts';
import { descriptors } from './generated/descriptors.ts';
import {
  type CallReply,
  type CallRequest,
  type FetchReply,
  type FetchRequest,
  type LocateReply,
  type LocateRequest,
  type ObjectsServer,
  ObjectsService,
  type ObjectRef as WireRef,
} from './generated/homing/v1/objects.ts';
import { absoluteUrl, flatHeaders, plainHeaders, requestParts, wireHeaders } from './headers.ts';
import { type RpcLimits, rpcLimits } from './limits.ts';
import { toStatus } from './status.ts';
import { fromJson, toJson } from './value.ts';

export interface RpcOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly dispatcher: Dispatcher;
  /** The key of the namespace that a binding's name stands for. */
  readonly namespaces: (binding: string) => string | undefined;
  /** Where the object is now, as far as this node knows. */
  readonly locate: (object: ObjectRef) => {
    readonly node: string;
    readonly region: string;
    readonly epoch: bigint;
  };
  readonly logger: Logger;
  /** PEM; without it the port is in clear text. With `ca` every client has to show a certificate. */
  readonly tls?:
    | { readonly cert: Buffer; readonly key: Buffer; readonly ca?: Buffer | undefined }
    | undefined;
  readonly limits?: Partial<RpcLimits>;
}

export interface RpcServer {
  readonly port: number;
  /** Resolves when running calls are done; after `graceMs` (default 10,000) they are cancelled. */
  close(graceMs?: number): Promise<void>;
}

/** Resolves when it listens; rejects when it cannot. */
export async function startRpc(options: RpcOptions): Promise<RpcServer> {
  const limits = { ...rpcLimits, ...options.limits };
  const server = new Server({
    'grpc.max_receive_message_length': limits.messageBytesMax,
    'grpc.max_send_message_length': limits.messageBytesMax,
    'grpc.max_concurrent_streams': limits.streamsMax,
  });
  const objects = new Objects(options, limits);
  server.addService(ObjectsService as ServiceDefinition, objects.handlers());
  const health = new HealthImplementation({ '': 'SERVING', 'homing.v1.Objects': 'SERVING' });
  health.addToServer(server);
  new ReflectionService({
    objects: { fileDescriptorProtos: readDescriptors() },
  } as unknown as ConstructorParameters<typeof ReflectionService>[0]).addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    const address = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
    server.bindAsync(address, credentialsOf(options), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  let closing: Promise<void> | undefined;
  return {
    port,
    close(graceMs = 10_000) {
      closing ??= new Promise((resolve) => {
        health.setStatus('', 'NOT_SERVING');
        health.setStatus('homing.v1.Objects', 'NOT_SERVING');
        const cut = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      });
      return closing;
    },
  };
}

function credentialsOf({ tls }: RpcOptions): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { ca, cert, key } = tls;
  const pair = { cert_chain: cert, private_key: key };
  return ServerCredentials.createSsl(ca ?? null, [pair], ca !== undefined);
}

/** The files of the descriptor set: field 1, repeated. */
function readDescriptors(): Buffer[] {
  const reader = new BinaryReader(Buffer.from(descriptors, 'base64'));
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    reader.tag();
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}

class Objects {
  readonly #options: RpcOptions;
  readonly #limits: RpcLimits;

  constructor(options: RpcOptions, limits: RpcLimits) {
    this.#options = options;
    this.#limits = limits;
  }

  handlers(): ObjectsServer {
    const { dispatcher } = this.#options;
    const resolve = (ref: WireRef | undefined) => this.#resolve(ref);
    return {
      call: unary((call) => this.#call(call)),
      fetch: unary((call) => this.#fetch(call)),
      connect: (stream) => serveConnect(stream, { dispatcher, resolve, limits: this.#limits }),
      locate: unary((call) => this.#locate(call)),
    };
  }

  async #call(call: ServerUnaryCall<CallRequest, CallReply>): Promise<CallReply> {
    const { object: ref, method, args, requestId } = call.request;
    const object = this.#resolve(ref);
    if (method === '') throw new HomingError('invalid_argument', 'method: expected a name');
    if (requestId.length > this.#limits.requestIdCharactersMax) {
      const max = this.#limits.requestIdCharactersMax;
      throw new HomingError('invalid_argument', `request_id: expected at most ${max} characters`);
    }
    const values = this.#readArgs(args);
    return await this.#run(call, object, async (session) => {
      const id = requestId === '' ? undefined : requestId;
      const { result, replayed } = await session.call(method, values, { requestId: id });
      return { result: toJson(result, this.#limits.depthMax), replayed, ...this.#owner(object) };
    });
  }

  async #fetch(call: ServerUnaryCall<FetchRequest, FetchReply>): Promise<FetchReply> {
    const { object: ref, method, url, headers, body } = call.request;
    const object = this.#resolve(ref);
    return await this.#run(call, object, async (session) => {
      const bytes = body === undefined ? null : new Uint8Array(body);
      const verb = method === '' ? 'GET' : method;
      const response = await session.fetch(
        requestParts(verb, absoluteUrl(url), flatHeaders(headers), bytes),
      );
      return {
        status: response.status,
        statusText: response.statusText,
        headers: wireHeaders(plainHeaders(response)),
        body: await readBody(response, this.#limits.messageBytesMax),
        ...this.#owner(object),
      };
    });
  }

  async #locate(call: ServerUnaryCall<LocateRequest, LocateReply>): Promise<LocateReply> {
    const object = this.#resolve(call.request.object);
    return { ...this.#options.locate(object), hexId: object.id };
  }

  async #run<T>(
    call: ServerUnaryCall<never, never> | { on(event: 'cancelled', listener: () => void): unknown },
    object: ObjectRef,
    run: (session: EdgeSession) => Promise<T>,
  ): Promise<T> {
    const session = new EdgeSession(this.#options.dispatcher, { kind: 'object', object });
    call.on('cancelled', () => session.end());
    try {
      return await run(session);
    } finally {
      session.end();
    }
  }

  #owner(object: ObjectRef): Pick<CallReply, 'ownerNode' | 'ownerRegion' | 'epoch'> {
    const { node, region, epoch } = this.#options.locate(object);
    return { ownerNode: node, ownerRegion: region, epoch };
  }

  #readArgs(args: readonly unknown[]): unknown[] {
    try {
      return args.map((arg) => fromJson(arg, this.#limits.depthMax));
    } catch (error) {
      throw new HomingError('invalid_argument', `args: ${(error as Error).message}`);
    }
  }

  #resolve(ref: WireRef | undefined): ObjectRef {
    if (ref === undefined) throw new HomingError('invalid_argument', 'object: expected one');
    const namespace = this.#options.namespaces(ref.namespace);
    if (namespace === undefined) {
      throw new HomingError('not_found', `object.namespace: no binding ${ref.namespace}`);
    }
    const locationHint = ref.locationHint === '' ? undefined : ref.locationHint;
    switch (ref.id?.$case) {
      case 'name': {
        const name = ref.id.value;
        return { namespace, id: namedObjectId(namespace, name), name, locationHint };
      }
      case 'hexId': {
        const id = checkObjectId(namespace, ref.id.value);
        if (id === 'malformed') {
          throw new HomingError('invalid_argument', 'object.hex_id: expected 64 hex digits');
        }
        if (id === 'foreign') {
          throw new HomingError('invalid_argument', 'object.hex_id: the id of another namespace');
        }
        return { namespace, id, locationHint };
      }
      default:
        throw new HomingError('invalid_argument', 'object.id: expected name or hex_id');
    }
  }
}

function unary<Request, Reply>(
  run: (call: ServerUnaryCall<Request, Reply>) => Promise<Reply>,
): handleUnaryCall<Request, Reply> {
  return (call, callback) => {
    run(call).then(
      (reply) => callback(null, reply),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

async function readBody(response: EdgeResponse, bytesMax: number): Promise<Buffer> {
  const { body } = response;
  if (body === null) return Buffer.alloc(0);
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) {
      throw new HomingError('invalid_argument', `the response is larger than ${bytesMax} bytes`, {
        executed: 'yes',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
