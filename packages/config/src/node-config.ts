/**
 * The configuration of a cluster's node: `homing.json` or `homing.jsonc`, `HOMING_…` variables over
 * it, flags over both. `homing node` calls this once at its start. Either everything is right, or
 * a `ConfigError` lists all that is wrong.
 */
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { ConfigError } from './config-error.ts';
import { anyAddresses, problemsTogether } from './node-config-checks.ts';
import type { NamespaceRules, NodeConfigPath, NodeConfigValues } from './node-config-keys.ts';
import { NodeConfigSources } from './node-config-sources.ts';

/** What the keys mean: docs/configuration.md. All paths are absolute. Frozen, all of it. */
export interface NodeConfig {
  readonly node: string;
  readonly region: string;
  readonly zone: string;
  readonly regions?: readonly string[];
  readonly jurisdictions?: Readonly<Record<string, readonly string[]>>;
  readonly locationHints?: Readonly<Record<string, string>>;
  readonly app: string;
  readonly env?: string;
  readonly data: string;
  readonly etcd: {
    readonly endpoints: readonly string[];
    readonly prefix: string;
    /** Empty: TLS by what the system trusts. */
    readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
    readonly credentials?: { readonly username: string; readonly password: string };
  };
  readonly listen: {
    readonly host: string;
    readonly http: number;
    readonly grpc: number;
    readonly peer: number;
    readonly admin: number;
  };
  /** A port that is left out is the one listened on, which 0 makes known only once it is. */
  readonly advertise: {
    readonly host: string;
    readonly http?: number;
    readonly grpc?: number;
    readonly peer?: number;
    readonly admin?: number;
  };
  readonly replication: {
    readonly factor: number;
    readonly changesMax: number;
    readonly rebuildBytesPerSecond: number;
    readonly rebuildBusyBytesPerSecond: number;
    readonly rebuildBusyPercent: number;
    readonly rebuildYieldMs: number;
    readonly balancePercent: number;
    /** By binding or class. */
    readonly remote?: Readonly<Record<string, readonly string[]>>;
  };
  readonly migration: {
    readonly mode: 'auto' | 'off';
    readonly windowMs: number;
    readonly minimumStayMs: number;
    readonly hysteresisPercent: number;
    readonly tripsMin: number;
    readonly movesMax: number;
    readonly pingMs: number;
    /** By binding or class. */
    readonly namespaces?: Readonly<Record<string, NamespaceRules>>;
  };
  /** Either `insecure`, or `peer` is there. */
  readonly tls: {
    readonly insecure: boolean;
    readonly peer?: { readonly ca: string; readonly cert: string; readonly key: string };
    readonly clients?: { readonly cert: string; readonly key: string; readonly ca?: string };
  };
  readonly sessionTtlMs: number;
  readonly promiseMs: number;
  readonly driftPercent: number;
  readonly drainTimeoutMs: number;
  readonly placementTimeoutMs: number;
  readonly commitTimeoutMs: number;
  readonly rebuildDelayMs: number;
  readonly balanceDelayMs: number;
  readonly assignDelayMs: number;
  readonly scrubBytesPerSecond: number;
  readonly scrubPauseMs: number;
  readonly leftoverSweepMs: number;
  readonly leftoverDelayMs: number;
  readonly shardsPerRegion: number;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug' | 'silent';
  readonly reads: 'promise' | 'confirm';
  readonly simulatedRttMs: number;
  /** Only those given; whether there is a limit of that name is the caller's to check. */
  readonly limits: Readonly<Record<string, number>>;
}

export interface NodeConfigInput {
  readonly file?: string;
  /** Names that do not begin with `HOMING_` are left alone. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By path, without dashes: `{ 'listen.http': '9000' }`. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Throws `ConfigError` with every problem of all three sources. */
export function readNodeConfig(input: NodeConfigInput): NodeConfig {
  const sources = new NodeConfigSources();
  if (input.file !== undefined) sources.addFile(input.file);
  sources.addEnvironment(input.env);
  sources.addFlags(input.flags);
  const problems = [...sources.problems, ...(sources.isComplete ? problemsTogether(sources) : [])];
  if (problems.length > 0) throw new ConfigError(problems);
  const folder = input.file === undefined ? process.cwd() : dirname(resolve(input.file));
  return deepFreeze(assemble(sources, folder));
}

/** `sources` without a problem. Relative paths, from wherever they come, start at `folder`. */
function assemble(sources: NodeConfigSources, folder: string): NodeConfig {
  const value = <P extends NodeConfigPath>(path: P) => sources.value(path) as NodeConfigValues[P];
  const path = (key: PathKey) => {
    const given = value(key);
    return given === undefined ? undefined : resolve(folder, given);
  };
  const listenHost = value('listen.host');
  const username = value('etcd.credentials.username');
  const password = value('etcd.credentials.password');
  const etcdTls = given({
    ca: path('etcd.tls.ca'),
    cert: path('etcd.tls.cert'),
    key: path('etcd.tls.key'),
  });
  const [peerCa, peerCert, peerKey] = [
    path('tls.peer.ca'),
    path('tls.peer.cert'),
    path('tls.peer.key'),
  ];
  const [clientsCert, clientsKey] = [path('tls.clients.cert'), path('tls.clients.key')];
  return {
    node: value('node'),
    region: value('region'),
    zone: value('zone') ?? value('region'),
    ...given({
      regions: value('regions'),
      jurisdictions: value('jurisdictions'),
      locationHints: value('locationHints'),
    }),
    app: resolve(folder, value('app')),
    ...given({ env: value('env') }),
    data: resolve(folder, value('data')),
    etcd: {
      endpoints: value('etcd.endpoints'),
      prefix: value('etcd.prefix'),
      ...(Object.keys(etcdTls).length > 0 && { tls: etcdTls }),
      ...(username !== undefined &&
        password !== undefined && { credentials: { username, password } }),
    },
    listen: {
      host: listenHost,
      http: value('listen.http'),
      grpc: value('listen.grpc'),
      peer: value('listen.peer'),
      admin: value('listen.admin'),
    },
    advertise: {
      host:
        value('advertise.host') ?? (anyAddresses.includes(listenHost) ? hostname() : listenHost),
      ...given({
        http: value('advertise.http'),
        grpc: value('advertise.grpc'),
        peer: value('advertise.peer'),
        admin: value('advertise.admin'),
      }),
    },
    replication: {
      factor: value('replication.factor'),
      changesMax: value('replication.changesMax'),
      rebuildBytesPerSecond: value('replication.rebuildBytesPerSecond'),
      rebuildBusyBytesPerSecond: value('replication.rebuildBusyBytesPerSecond'),
      rebuildBusyPercent: value('replication.rebuildBusyPercent'),
      rebuildYieldMs: value('replication.rebuildYieldMs'),
      balancePercent: value('replication.balancePercent'),
      ...given({ remote: value('replication.remote') }),
    },
    migration: {
      mode: value('migration.mode'),
      windowMs: value('migration.windowMs'),
      minimumStayMs: value('migration.minimumStayMs'),
      hysteresisPercent: value('migration.hysteresisPercent'),
      tripsMin: value('migration.tripsMin'),
      movesMax: value('migration.movesMax'),
      pingMs: value('migration.pingMs'),
      ...given({ namespaces: value('migration.namespaces') }),
    },
    tls: {
      insecure: value('tls.insecure'),
      ...(peerCa !== undefined &&
        peerCert !== undefined &&
        peerKey !== undefined && { peer: { ca: peerCa, cert: peerCert, key: peerKey } }),
      ...(clientsCert !== undefined &&
        clientsKey !== undefined && {
          clients: { cert: clientsCert, key: clientsKey, ...given({ ca: path('tls.clients.ca') }) },
        }),
    },
    sessionTtlMs: value('sessionTtlMs'),
    promiseMs: value('promiseMs'),
    driftPercent: value('driftPercent'),
    drainTimeoutMs: value('drainTimeoutMs'),
    placementTimeoutMs: value('placementTimeoutMs'),
    commitTimeoutMs: value('commitTimeoutMs'),
    rebuildDelayMs: value('rebuildDelayMs'),
    balanceDelayMs: value('balanceDelayMs'),
    assignDelayMs: value('assignDelayMs'),
    scrubBytesPerSecond: value('scrubBytesPerSecond'),
    scrubPauseMs: value('scrubPauseMs'),
    leftoverSweepMs: value('leftoverSweepMs'),
    leftoverDelayMs: value('leftoverDelayMs'),
    shardsPerRegion: value('shardsPerRegion'),
    logLevel: value('logLevel'),
    reads: value('reads'),
    simulatedRttMs: value('simulatedRttMs'),
    limits: sources.limits(),
  };
}

type PathKey = Extract<NodeConfigPath, `${'etcd.tls' | 'tls.peer' | 'tls.clients'}.${string}`>;

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the properties that are `undefined`. */
function given<T extends object>(values: T): Defined<T> {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Defined<T>;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
