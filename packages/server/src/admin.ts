/**
 * The admin port: metrics, health, and what runs here, for operators and `homing status`. Never
 * public: it tells names of objects. Answers JSON; unknown paths are 404.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  checkObjectId,
  type Epoch,
  HomingError,
  isHomingError,
  messageOf,
  type ObjectIdHex,
  type ObjectRef,
  type ShardAssignment,
} from '@homing/base';
import type { RecoveredHome } from '@homing/coordinator';
import type { MoveTarget } from '@homing/node';
import type { PrometheusMetrics } from './metrics.ts';
import type { PromotedObject } from './promote.ts';

export interface NamespaceInfo {
  /** The binding's name, or the class where none is bound. */
  readonly name: string;
  readonly className: string;
  readonly key: string;
}

export interface AdminView {
  readonly metrics: PrometheusMetrics;
  /** Brings gauges up to date before they are read. */
  refresh(): void;
  ready(): boolean;
  status(): object;
  nodes(): readonly object[];
  namespaces(): readonly NamespaceInfo[];
  objects(namespace: string | undefined, after: ObjectIdHex | undefined, limit: number): object[];
  describe(
    namespace: NamespaceInfo,
    id: ObjectIdHex,
  ): object | undefined | Promise<object | undefined>;
  idOf(namespace: NamespaceInfo, name: string): ObjectIdHex;
  /** What this node knows of the callers of an object that it owns. */
  callers?(id: ObjectIdHex): object | undefined;
  /** What `homing recover` has to know of this node. */
  recovery?(): Promise<object>;
  /** Trusts the present etcd, and goes on above `highest`, with these replica sets. */
  recover?(highest: Epoch, shards: readonly ShardAssignment[]): Promise<object>;
  /** What this node holds of the objects after an id; for a recovery. */
  held?(after: ObjectIdHex | undefined): object;
  /** Has an etcd that is refused forget where objects are. */
  forgetRecords?(highest: Epoch): Promise<object>;
  /** Writes where objects are at home, other than by default. */
  writeHomes?(mark: bigint, homes: readonly RecoveredHome[]): Promise<object>;
  /** What `homing force-members` has to know of this node. */
  membership?(): object;
  /** Objects of these shards that it holds, after an id. */
  newest?(shards: ReadonlySet<string>, after: ObjectIdHex | undefined): object;
  /** Goes on with these sets, whose majority is lost. */
  forceMembers?(sets: readonly ShardAssignment[]): Promise<object>;
  /** Copies here of objects at home in a region that is lost, after an id. */
  copies?(lost: string, after: ObjectIdHex | undefined): Promise<object>;
  /** Gives objects of the region other homes. */
  promote?(lost: string, objects: readonly PromotedObject[], isForced: boolean): Promise<object>;
  /** Has objects claimed and recovered here. */
  settle?(objects: readonly ObjectRef[]): Promise<object>;
  /** What the record of an object says, that is to have another home. */
  record?(namespace: NamespaceInfo, id: ObjectIdHex, to: string): Promise<object>;
  /** How objects move toward their callers. */
  migrations?(): object;
  /** Bounds these moves in the whole cluster, or with undefined takes the bound back. */
  capMigrations?(cap: number | undefined): Promise<object>;
  /** Empties a node of the cluster; undefined where there is none. */
  drain?(node: string): Promise<object>;
  /** Moves an object to a node, or to one of a region. */
  migrate?(
    namespace: NamespaceInfo,
    id: ObjectIdHex,
    target: MoveTarget,
    isForced: boolean,
  ): Promise<object>;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

const pageMax = 1000;

/** Listens; rejects when the port is taken. */
export async function startAdmin(options: {
  readonly host: string;
  readonly port: number;
  readonly view: AdminView;
}): Promise<AdminServer> {
  const server = createServer((request, response) => {
    answer(options.view, request, response).catch((error: unknown) => {
      const status = isHomingError(error) && error.code === 'invalid_argument' ? 400 : 500;
      json(response, status, { error: messageOf(error) });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  view: AdminView,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://admin');
  switch (url.pathname) {
    case '/metrics': {
      view.refresh();
      const page = await view.metrics.page();
      response.writeHead(200, { 'content-type': view.metrics.registry.contentType });
      response.end(page);
      return;
    }
    case '/healthz':
      json(response, 200, { status: 'ok' });
      return;
    case '/readyz':
      json(response, view.ready() ? 200 : 503, { ready: view.ready() });
      return;
    case '/api/status':
      json(response, 200, view.status());
      return;
    case '/api/nodes':
      json(response, 200, view.nodes());
      return;
    case '/api/objects':
      objects(view, url, response);
      return;
    case '/api/describe':
      await describe(view, url, response, (namespace, id) => view.describe(namespace, id));
      return;
    case '/api/callers':
      await describe(view, url, response, (_namespace, id) => view.callers?.(id));
      return;
    case '/api/recovery':
      json(response, 200, (await view.recovery?.()) ?? {});
      return;
    case '/api/membership':
      json(response, 200, view.membership?.() ?? {});
      return;
    case '/api/migrations':
      if (request.method !== 'POST') {
        json(response, 200, view.migrations?.() ?? { mode: 'off' });
        return;
      }
      await command(view, url.pathname, request, response);
      return;
    case '/api/drain':
    case '/api/recover':
    case '/api/recover-homes':
    case '/api/held':
    case '/api/newest':
    case '/api/force-members':
    case '/api/copies':
    case '/api/promote':
    case '/api/settle':
    case '/api/record':
    case '/api/migrate':
      await command(view, url.pathname, request, response);
      return;
    default:
      json(response, 404, { error: `nothing at ${url.pathname}` });
  }
}

function objects(view: AdminView, url: URL, response: ServerResponse): void {
  const wanted = url.searchParams.get('namespace');
  const namespace = wanted === null ? undefined : findNamespace(view, wanted);
  if (namespace === null) {
    json(response, 404, { error: unknownNamespace(view, wanted ?? '') });
    return;
  }
  const after = url.searchParams.get('after') ?? undefined;
  if (after !== undefined && !/^[0-9a-f]{64}$/.test(after)) {
    json(response, 400, { error: 'after must be an object id: 64 hex digits' });
    return;
  }
  const limit = Math.min(Number(url.searchParams.get('limit') ?? pageMax) || pageMax, pageMax);
  json(response, 200, view.objects(namespace?.key, after as ObjectIdHex | undefined, limit));
}

/** What changes something: POST, with a small JSON object. */
async function command(
  view: AdminView,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') {
    json(response, 405, { error: `${path} takes POST` });
    return;
  }
  if (view.drain === undefined || view.migrate === undefined) {
    json(response, 400, { error: 'this node is not one of a cluster: nothing can move' });
    return;
  }
  const body = await readBody(request);
  if (path === '/api/recover' || path === '/api/recover-homes') {
    await recovery(view, path, body, response);
    return;
  }
  if (path === '/api/held' && view.held !== undefined) {
    json(response, 200, view.held(idIn(body.after)));
    return;
  }
  if (path === '/api/migrations' && view.capMigrations !== undefined) {
    if (!/^(none|\d{1,6})$/.test(body.cap ?? '')) {
      json(response, 400, { error: 'cap must be a whole number, or none' });
      return;
    }
    const cap = body.cap === 'none' ? undefined : Number(body.cap);
    json(response, 200, await view.capMigrations(cap));
    return;
  }
  if (path === '/api/newest' && view.newest !== undefined) {
    json(response, 200, view.newest(new Set(body.shards?.split(' ')), idIn(body.after)));
    return;
  }
  if (path === '/api/force-members' && view.forceMembers !== undefined) {
    const sets = JSON.parse(body.sets ?? '[]') as ShardAssignment[];
    json(response, 200, await view.forceMembers(sets));
    return;
  }
  if (path === '/api/copies' && view.copies !== undefined) {
    const after = body.after === '' ? undefined : (body.after as ObjectIdHex | undefined);
    json(response, 200, await view.copies(body.region ?? '', after));
    return;
  }
  if (path === '/api/promote' && view.promote !== undefined) {
    const objects = JSON.parse(body.objects ?? '[]') as PromotedObject[];
    json(response, 200, await view.promote(body.region ?? '', objects, body.force === 'true'));
    return;
  }
  if (path === '/api/settle' && view.settle !== undefined) {
    json(response, 200, await view.settle(JSON.parse(body.objects ?? '[]') as ObjectRef[]));
    return;
  }
  if (path === '/api/drain') {
    json(response, 200, await view.drain(body.node ?? ''));
    return;
  }
  const namespace = findNamespace(view, body.namespace ?? '');
  if (namespace === null) {
    json(response, 404, { error: unknownNamespace(view, body.namespace ?? '') });
    return;
  }
  const id =
    body.name === undefined
      ? checkObjectId(namespace.key, body.id ?? '')
      : view.idOf(namespace, body.name);
  if (id === 'malformed' || id === 'foreign') {
    json(response, 400, { error: `the id is not one of ${namespace.name}'s` });
    return;
  }
  if (path === '/api/record' && view.record !== undefined) {
    json(response, 200, await view.record(namespace, id, body.region ?? ''));
    return;
  }
  const target = body.region === undefined ? { node: body.to ?? '' } : { region: body.region };
  json(response, 200, await view.migrate(namespace, id, target, body.force === 'true'));
}

/** Absent and empty mean none. */
const idIn = (text: string | undefined) =>
  text === '' ? undefined : (text as ObjectIdHex | undefined);

async function recovery(
  view: AdminView,
  path: string,
  { highest = '', mark = '', shards = '[]', homes }: Record<string, string | undefined>,
  response: ServerResponse,
): Promise<void> {
  if (homes !== undefined && /^\d{1,20}$/.test(mark)) {
    const given = JSON.parse(homes) as RecoveredHome[];
    json(response, 200, (await view.writeHomes?.(BigInt(mark), given)) ?? {});
    return;
  }
  if (!/^\d{1,20}$/.test(highest)) {
    json(response, 400, { error: 'highest must be an epoch, in decimal digits' });
    return;
  }
  const epoch = BigInt(highest) as Epoch;
  const answer =
    path === '/api/recover'
      ? view.recover?.(epoch, JSON.parse(shards) as ShardAssignment[])
      : view.forgetRecords?.(epoch);
  json(response, 200, (await answer) ?? {});
}

/** Those of a recovery name all shards. */
const bodyBytesMax = 32 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<Record<string, string | undefined>> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > bodyBytesMax) throw new HomingError('invalid_argument', 'body too long');
  }
  const parsed = JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(parsed).map(([key, value]) => [key, String(value)] as const),
  );
}

async function describe(
  view: AdminView,
  url: URL,
  response: ServerResponse,
  find: AdminView['describe'],
): Promise<void> {
  const wanted = url.searchParams.get('namespace') ?? '';
  const namespace = findNamespace(view, wanted);
  if (namespace === null) {
    json(response, 404, { error: unknownNamespace(view, wanted) });
    return;
  }
  const name = url.searchParams.get('name');
  const hex = url.searchParams.get('id') ?? '';
  const id = name === null ? checkObjectId(namespace.key, hex) : view.idOf(namespace, name);
  if (id === 'malformed' || id === 'foreign') {
    const why =
      id === 'malformed' ? 'an id is 64 hex digits' : `the id is not one of ${namespace.name}'s`;
    json(response, 400, { error: why });
    return;
  }
  const found = await find(namespace, id);
  if (found === undefined) json(response, 404, { error: 'this object was never used', id });
  else json(response, 200, found);
}

function findNamespace(view: AdminView, wanted: string): NamespaceInfo | null {
  return (
    view.namespaces().find(({ name, className }) => name === wanted || className === wanted) ?? null
  );
}

function unknownNamespace(view: AdminView, wanted: string): string {
  const known = view.namespaces().map(({ name }) => name);
  return `no namespace ${JSON.stringify(wanted)}; there is ${known.join(', ') || 'none'}`;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(
    `${JSON.stringify(body, (_key, value) => (typeof value === 'bigint' ? String(value) : value))}\n`,
  );
}
