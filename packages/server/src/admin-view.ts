/** What the admin port shows of a running node. */
import { namedObjectId, type ObjectHead, type ObjectIdHex, type Store } from '@homing/base';
import type { HomingNode } from '@homing/node';
import type { AdminView, NamespaceInfo } from './admin.ts';
import type { PrometheusMetrics } from './metrics.ts';
import type { Namespaces } from './worker-version.ts';

export interface AdminViewOptions {
  readonly node: HomingNode;
  readonly store: Store;
  readonly metrics: PrometheusMetrics;
  readonly namespaces: Namespaces;
  readonly worker: () => string;
  readonly version: string;
  readonly nodeName: string;
  readonly region: string;
  readonly startedAt: Date;
  readonly addresses: () => Readonly<Record<string, string>>;
}

/** Gauges that are counted when they are read. */
export function refreshGauges({
  node,
  metrics,
  namespaces,
}: Pick<AdminViewOptions, 'node' | 'metrics' | 'namespaces'>): void {
  metrics.set('objects_owned', node.ownedCount);
  metrics.set('sockets', node.socketCount, { state: 'open' });
  metrics.reset('objects_active');
  for (const { key, name } of namespaces.list()) {
    const active = node.activeByNamespace().get(key) ?? 0;
    metrics.set('objects_active', active, { namespace: name });
  }
}

export function adminView(options: AdminViewOptions): AdminView {
  const { node, store, metrics, namespaces } = options;
  const shown = (head: ObjectHead) => {
    const status = node.describe({ namespace: head.namespace, id: head.id }).status;
    return {
      namespace: namespaces.nameOf(head.namespace),
      id: head.id,
      name: head.name ?? null,
      state: status?.state ?? 'asleep',
      alarm: head.alarmMs === null ? null : new Date(head.alarmMs).toISOString(),
    };
  };
  return {
    metrics,
    refresh: () => refreshGauges(options),
    ready: () => node.ready,
    status: () => ({
      version: options.version,
      node: options.nodeName,
      region: options.region,
      worker: options.worker(),
      ready: node.ready,
      startedAt: options.startedAt.toISOString(),
      objectsOwned: node.ownedCount,
      sockets: node.socketCount,
      namespaces: namespaces.list().map(({ name, className }) => ({ name, className })),
    }),
    nodes: () => [
      {
        node: options.nodeName,
        region: options.region,
        state: node.ready ? 'ready' : 'starting',
        objects: node.ownedCount,
        ...options.addresses(),
      },
    ],
    namespaces: () => namespaces.list(),
    objects: (namespace, after, limit) => store.heads({ namespace, after, limit }).map(shown),
    describe: (namespace, id) => describe(options, namespace, id),
    idOf: (namespace, name) => namedObjectId(namespace.key, name),
  };
}

function describe(
  options: AdminViewOptions,
  namespace: NamespaceInfo,
  id: ObjectIdHex,
): object | undefined {
  const { status, head } = options.node.describe({ namespace: namespace.key, id });
  if (status === undefined && head === undefined) return undefined;
  return {
    namespace: namespace.name,
    className: namespace.className,
    id,
    name: head?.name ?? status?.object.name ?? null,
    state: status?.state ?? 'asleep',
    node: status === undefined ? null : options.nodeName,
    region: options.region,
    epoch: String(status?.epoch ?? 0),
    executor: status?.executor ?? null,
    log: head === undefined ? null : { epoch: String(head.last.epoch), lsn: head.last.lsn },
    alarm: head?.alarmMs == null ? null : new Date(head.alarmMs).toISOString(),
  };
}
