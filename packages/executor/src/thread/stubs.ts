/** Stubs of objects and of the worker's own entrypoints, as user code holds them. */
import type { DurableObjectId } from '@homing/actor';
import {
  currentContext,
  type FrameSink,
  hiddenSlot,
  type IoContext,
  type ObjectRef,
} from '@homing/base';
import { makeServiceStub, type Path, type PendingCall, serviceReference } from '@homing/capability';
import { answeredResponse, Request, Response } from '@homing/web';
import {
  Channel,
  type ChannelOptions,
  type Connection,
  type SharedSessionOptions,
} from './channel.ts';

const redirectsMax = 20;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);

type RequestInit = ConstructorParameters<typeof Request>[1];
type Send = (path: Path, args: readonly unknown[] | undefined) => PendingCall;

/** `ctx.exports.Name`, which is called and not a stub. */
const loopbacks = hiddenSlot<StubReference>();

/** An entrypoint of this worker, and what it is given as `ctx.props`. */
export interface ServiceRef {
  readonly entrypoint: string;
  readonly props: unknown;
}

/** What a stub stands for, and how it is called. */
interface StubReference {
  readonly to: Referent;
  readonly send: Send;
}

type Referent =
  | { readonly kind: 'object'; readonly object: ObjectRef }
  | { readonly kind: 'service'; readonly service: ServiceRef };

function sendOf(stub: unknown): Send {
  const reference =
    typeof stub === 'object' && stub !== null
      ? (serviceReference(stub) as StubReference | undefined)
      : undefined;
  if (reference === undefined) throw new TypeError('Illegal invocation');
  return reference.send;
}

/** Members that every stub has of its own. */
class Fetcher {
  constructor() {
    throw new TypeError('Illegal constructor');
  }

  async fetch(input: unknown, init?: RequestInit): Promise<Response> {
    if (input === undefined) {
      throw new TypeError(
        "Failed to execute 'fetch' on 'Fetcher': parameter 1 is not of type 'Request or string'.",
      );
    }
    const request = new Request(input as string, init);
    return follow(sendOf(this), request);
  }

  connect(): never {
    throw new TypeError(
      "Failed to execute 'connect' on 'Fetcher': parameter 1 is not of type 'SocketAddress or string'.",
    );
  }

  get [Symbol.toStringTag](): string {
    return 'Fetcher';
  }
}

class DurableObjectStub extends Fetcher {
  override get [Symbol.toStringTag](): string {
    return 'DurableObject';
  }
}

/** What `stub.constructor` is: by the platform's name, and not to be called. */
function illegalConstructor(): never {
  throw new TypeError('Illegal constructor');
}
Object.defineProperty(illegalConstructor, 'name', { value: 'DurableObject' });
Object.defineProperty(DurableObjectStub.prototype, 'constructor', { value: illegalConstructor });

/** Redirects lead to the same target, as on the platform: a stub has no other. */
async function follow(send: Send, first: Request): Promise<Response> {
  let request = first;
  for (let count = 0; ; count++) {
    const { method, url, redirect } = request;
    request.signal.throwIfAborted();
    // Where a redirect leads is for this end to see: the other one, passing the request on, must not.
    const sent = redirect === 'manual' ? request : new Request(request, { redirect: 'manual' });
    const response = await send(['fetch'], [sent]).promise();
    if (!(response instanceof Response)) throw new TypeError('fetch did not give a Response.');
    const location = response.headers.get('location');
    const redirects = redirectStatuses.has(response.status) && location !== null;
    const answer = () => answeredResponse(response, { url, redirected: count > 0, method });
    if (redirect !== 'follow' || !redirects) return answer();
    if (count >= redirectsMax) throw new TypeError('Too many redirects.');
    const keepsMethod = response.status > 303 || method === 'GET' || method === 'HEAD';
    if (keepsMethod && method !== 'GET' && method !== 'HEAD') return answer();
    request = new Request(new URL(location, url).href, {
      method: keepsMethod ? method : 'GET',
      headers: request.headers,
    });
  }
}

/** How stubs are connected; the thread's. */
export interface StubConnector {
  openObject(object: ObjectRef, from: IoContext, sink: FrameSink): Connection;
  openService(service: ServiceRef, from: IoContext, sink: FrameSink): Connection;
  readonly codec: ChannelOptions['codec'];
  readonly sessionOptions: SharedSessionOptions;
}

/** A stub's channels: one for each context that calls it, and few are called from more than one. */
class ContextChannels {
  readonly #make: (context: IoContext) => Channel;
  #first: { readonly context: IoContext; readonly channel: Channel } | undefined;
  #others: WeakMap<IoContext, Channel> | undefined;

  constructor(make: (context: IoContext) => Channel) {
    this.#make = make;
  }

  of(context: IoContext): Channel {
    this.#first ??= { context, channel: this.#make(context) };
    if (this.#first.context === context) return this.#first.channel;
    this.#others ??= new WeakMap();
    const known = this.#others.get(context);
    if (known !== undefined) return known;
    const channel = this.#make(context);
    this.#others.set(context, channel);
    return channel;
  }
}

/** `id` is undefined for a stub that came over a session. */
export function objectStub(
  connector: StubConnector,
  object: ObjectRef,
  id: DurableObjectId,
): object {
  const channels = new ContextChannels((context) => {
    const open = (sink: FrameSink) => connector.openObject(object, context, sink);
    const { codec, sessionOptions } = connector;
    return new Channel({ context, open, codec, sessionOptions });
  });
  const send: Send = (path, args) => channels.of(currentContext()).send(path, args);
  const own = { name: id.name, id };
  const reference: StubReference = { to: { kind: 'object', object }, send };
  return makeServiceStub({ send, members: DurableObjectStub.prototype, own, reference });
}

/** Each call is a run of the entrypoint by itself. */
export function serviceStub(connector: StubConnector, service: ServiceRef): object {
  const send: Send = (path, args) => {
    const context = currentContext();
    const open = (sink: FrameSink) => connector.openService(service, context, sink);
    const { codec, sessionOptions } = connector;
    return new Channel({ context, open, codec, sessionOptions }).send(path, args);
  };
  const reference: StubReference = { to: { kind: 'service', service }, send };
  return makeServiceStub({ send, members: Fetcher.prototype, own: {}, reference });
}

/** `ctx.exports.Name`: a stub, or called with `{props}` one that has other props. */
export function loopbackStub(connector: StubConnector, entrypoint: string): object {
  const stub = serviceStub(connector, { entrypoint, props: {} });
  const withProps = (options?: { readonly props?: unknown }) =>
    serviceStub(connector, { entrypoint, props: options?.props ?? {} });
  const loopback: object = new Proxy(withProps, {
    get: (_target, name) => Reflect.get(stub, name, stub),
    has: (_target, name) => Reflect.has(stub, name),
    getPrototypeOf: () => Fetcher.prototype,
    apply: (_target, _self, [options]) => withProps(options as { props?: unknown }),
  });
  loopbacks.set(loopback, serviceReference(stub) as StubReference);
  return loopback;
}

/** What a stub refers to, or undefined for anything else. */
export function referenceOf(stub: object): Referent | undefined {
  const reference = serviceReference(stub) as StubReference | undefined;
  return (reference ?? loopbacks.get(stub))?.to;
}
