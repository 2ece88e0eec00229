/**
 * Every key of a node's configuration: what values it takes, what holds where it is not given, and
 * what it means. `node-config.ts` reads by this table, and the table of docs/configuration.md is
 * held to it by a test, so a key is described here and nowhere else.
 *
 * A key takes one value by itself. What several say together is checked in
 * `node-config-checks.ts`.
 */
import { z } from 'zod';

/** What values a key takes, in a file and as text. */
interface Kind<T> {
  readonly schema: z.ZodType<T>;
  /** Completes "expected …". */
  readonly allowed: string;
  /** The value that a variable or a flag means by its text; the schema judges it. */
  readonly fromText: (text: string) => unknown;
  /** Never repeated in a problem. */
  readonly isSecret?: true;
}

export interface ConfigKey<T = unknown> {
  readonly kind: Kind<T>;
  /** The value that holds where none is given. */
  readonly fallback: T | undefined;
  /** What holds where none is given, in words; `undefined`: a value must be given. */
  readonly absent: string | undefined;
  readonly meaning: string;
}

/** The longest that a timer of Node can wait. */
const timerMaxMs = 2 ** 31 - 1;

const asIs = (text: string) => text;
/** What is no number stays text, which the schema then refuses. */
const asNumber = (text: string) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);

function matching(pattern: RegExp, allowed: string): Kind<string> {
  return { schema: z.string().regex(pattern), allowed, fromText: asIs };
}

function whole(min: number, max: number, unit = ''): Kind<number> {
  return {
    schema: z.int().min(min).max(max),
    allowed: `a whole number${unit}, ${min} to ${max}`,
    fromText: asNumber,
  };
}

function oneOf<const V extends string>(...values: readonly [V, ...V[]]): Kind<V> {
  return { schema: z.enum(values), allowed: `one of ${values.join(', ')}`, fromText: asIs };
}

const name = matching(/^[a-z0-9.-]{1,63}$/, '1 to 63 of a-z, 0-9, . and -');
const zoneName = matching(/^[A-Za-z0-9._-]{1,253}$/, '1 to 253 letters, digits, ., _ and -');
const host = matching(/^[A-Za-z0-9_.:%-]{1,255}$/, 'a host name or an IP address, without a port');
const text = matching(/^[^\0]+$/, 'text, not empty');
const secret: Kind<string> = { ...text, isSecret: true };
const path: Kind<string> = { ...text, allowed: 'a path' };
const listenPort = whole(0, 65_535);
const dialPort = whole(1, 65_535);
const ms = (min: number) => whole(min, timerMaxMs, ' of milliseconds');

const truth: Kind<boolean> = {
  schema: z.boolean(),
  allowed: 'true or false',
  fromText: (given) => (given === 'true' ? true : given === 'false' ? false : given),
};

const percent: Kind<number> = {
  schema: z.number().gt(0).max(10),
  allowed: 'percent, above 0 and at most 10',
  fromText: asNumber,
};

const endpoints: Kind<readonly string[]> = {
  schema: z
    .array(z.string().regex(/^(https?:\/\/)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\/?$/))
    .min(1)
    .max(32),
  allowed: '1 to 32 of host:port, http://host:port and https://host:port',
  fromText: (given) => given.split(',').map((one) => one.trim()),
};

/** As JSON where it is given as text. */
const fromJson = (given: string): unknown => {
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
};

/** What `migration` says of one namespace; what is left out is as for all. */
export interface NamespaceRules {
  readonly mode?: 'auto' | 'off' | undefined;
  readonly minimumStayMs?: number | undefined;
  readonly hysteresisPercent?: number | undefined;
  readonly tripsMin?: number | undefined;
}

const namespaceRules: Kind<Readonly<Record<string, NamespaceRules>>> = {
  schema: z.record(
    z.string(),
    z.strictObject({
      mode: z.enum(['auto', 'off']).optional(),
      minimumStayMs: z.int().min(0).max(timerMaxMs).optional(),
      hysteresisPercent: z.int().min(0).max(90).optional(),
      tripsMin: z.int().min(1).max(1_000_000).optional(),
    }),
  ),
  allowed:
    'an object with mode, minimumStayMs, hysteresisPercent and tripsMin for each; JSON as text',
  fromText: fromJson,
};

const nameList: Kind<readonly string[]> = {
  schema: z.array(name.schema).max(64),
  allowed: 'up to 64 names of regions',
  fromText: (given) => given.split(',').map((one) => one.trim()),
};

const remoteNames: Kind<Readonly<Record<string, readonly string[]>>> = {
  schema: z.record(z.string(), z.array(name.schema).min(1).max(64)),
  allowed: 'an object of lists of regions, by binding or class; JSON as text',
  fromText: fromJson,
};

const jurisdictionNames: Kind<Readonly<Record<string, readonly string[]>>> = {
  schema: z.record(z.string().min(1).max(63), z.array(name.schema).min(1).max(64)),
  allowed: 'an object of lists of regions, by jurisdiction',
  fromText: fromJson,
};

const hintNames: Kind<Readonly<Record<string, string>>> = {
  schema: z.record(z.string().min(1).max(63), name.schema),
  allowed: 'an object of regions, by hint',
  fromText: fromJson,
};

function required<T>(kind: Kind<T>, meaning: string): ConfigKey<T> {
  return { kind, meaning, fallback: undefined, absent: undefined };
}

function byDefault<T>(kind: Kind<T>, fallback: T, meaning: string): ConfigKey<T> {
  return { kind, meaning, fallback, absent: `\`${String(fallback)}\`` };
}

function optional<T>(kind: Kind<T>, absent: string, meaning: string): ConfigKey<T | undefined> {
  return { kind, meaning, fallback: undefined, absent };
}

/** In the order of the table in the documentation. */
export const nodeConfigKeys = {
  node: required(
    name,
    'Name of this node: unique in the cluster, the same after a restart. Also its `colo` in `request.cf`.',
  ),
  region: required(
    name,
    'Where the node is, as far as latency goes: objects live in one region and move between them.',
  ),
  zone: optional(
    zoneName,
    'the region',
    'What fails together inside the region (a rack, a data centre): replicas are spread over zones.',
  ),
  regions: optional(
    nameList,
    'those of the nodes that start first',
    'The regions of the cluster: names have their default home in one of those that its list in etcd begins with. The same on every node; as text, with commas.',
  ),
  jurisdictions: optional(
    jurisdictionNames,
    'none',
    'The regions that the objects of a jurisdiction may be in, such as `{"eu": ["eu-west"]}`. The same on every node. Regions can be added, and none taken away.',
  ),
  locationHints: optional(
    hintNames,
    'none',
    'The region that each `locationHint` means, such as `{"weur": "eu-west"}`. Hints that are not in it are ignored.',
  ),
  app: required(path, 'Folder of the worker project; the same project on every node.'),
  env: optional(text, 'none', 'The environment of the wrangler file to use.'),
  data: required(
    path,
    'Folder of the state, on a disk of this node alone; made where there is none.',
  ),
  'etcd.endpoints': required(endpoints, 'The members of the etcd cluster; as text, with commas.'),
  'etcd.prefix': byDefault(
    matching(
      /^\/([A-Za-z0-9._-]+\/)+$/,
      'a path that begins and ends with /, so that none is the beginning of another',
    ),
    '/homing/',
    'What the keys of this cluster begin with; another prefix is another cluster.',
  ),
  'etcd.tls.ca': optional(
    path,
    "the system's",
    "Certificates that etcd's must chain to. Any key of `etcd.tls` turns TLS on.",
  ),
  'etcd.tls.cert': optional(path, 'none', 'Certificate shown to etcd, with `etcd.tls.key`.'),
  'etcd.tls.key': optional(path, 'none', 'Private key of `etcd.tls.cert`.'),
  'etcd.credentials.username': optional(text, 'none', 'User of etcd, where it has users.'),
  'etcd.credentials.password': optional(
    secret,
    'none',
    'Its password. Better in a variable than in a flag, which every process of the machine can read.',
  ),
  'listen.host': byDefault(host, '0.0.0.0', 'The address to listen on.'),
  'listen.http': byDefault(listenPort, 8787, 'Port of the worker: HTTP and WebSockets. 0: any.'),
  'listen.grpc': byDefault(listenPort, 8788, 'Port of `homing.v1.Objects`. 0: any.'),
  'listen.peer': byDefault(listenPort, 8789, 'Port for other nodes; never public. 0: any.'),
  'listen.admin': byDefault(
    listenPort,
    8790,
    'Port of metrics, health and what runs; never public. 0: any.',
  ),
  'advertise.host': optional(
    host,
    '`listen.host`, or the host name where that is `0.0.0.0` or `::`',
    'Where other nodes reach this one. With peer TLS, a name or address in its certificate.',
  ),
  'advertise.http': optional(dialPort, 'the port listened on', 'Its port for HTTP from outside.'),
  'advertise.grpc': optional(dialPort, 'the port listened on', 'Its port for gRPC from outside.'),
  'advertise.peer': optional(dialPort, 'the port listened on', 'Its port for other nodes.'),
  'advertise.admin': optional(dialPort, 'the port listened on', 'Its port for the admin page.'),
  'replication.factor': byDefault(
    whole(1, 7),
    3,
    'Nodes that hold a copy of an object; a majority must be up to serve it. The same on every node.',
  ),
  'replication.changesMax': byDefault(
    whole(1, 65_536),
    16,
    'Shards whose copies move between nodes at the same time.',
  ),
  'replication.rebuildBytesPerSecond': byDefault(
    whole(1, Number.MAX_SAFE_INTEGER),
    32 * 1024 * 1024,
    'Bytes that a node sends in a second to others that are to hold copies.',
  ),
  'replication.rebuildBusyBytesPerSecond': byDefault(
    whole(1, Number.MAX_SAFE_INTEGER),
    8 * 1024 * 1024,
    'The same, at least, of copies in another region while the node is busy.',
  ),
  'replication.rebuildBusyPercent': byDefault(
    whole(0, 100),
    40,
    'A node is busy when its main thread is at work for more than so much of a tenth of a second.',
  ),
  'replication.rebuildYieldMs': byDefault(
    whole(0, 86_400_000),
    300_000,
    'How long, in milliseconds, one such copy goes slowly where a node is busy.',
  ),
  'replication.balancePercent': byDefault(
    whole(0, 100),
    90,
    'A node with less than so much of an even share of the copies is given some, while none is missing anywhere; 0: never.',
  ),
  'replication.remote': optional(
    remoteNames,
    'none',
    'Namespaces whose objects have a copy, a little behind, in a second region: the first of the list that is not their home, such as `{"ROOM": ["us", "eu"]}`. Where nodes differ, what the controller has counts.',
  ),
  'migration.mode': byDefault(
    oneOf('auto', 'off'),
    'auto',
    'Whether objects move to the region that they are called from. `off`: only when asked to.',
  ),
  'migration.windowMs': byDefault(
    ms(1000),
    30_000,
    'How far back calls count: after this long a third of their weight is left.',
  ),
  'migration.minimumStayMs': byDefault(
    ms(0),
    30_000,
    'How long an object stays at least after a move; twice as long with each move that follows a short stay, up to an hour.',
  ),
  'migration.hysteresisPercent': byDefault(
    whole(0, 90),
    25,
    'How much less its callers must wait with another home, for an object to move there.',
  ),
  'migration.tripsMin': byDefault(
    whole(1, 1_000_000),
    5,
    'Round trips in a window below which an object stays where it is.',
  ),
  'migration.movesMax': byDefault(
    whole(0, 1000),
    4,
    'Objects that a node moves toward their callers at a time.',
  ),
  'migration.pingMs': byDefault(
    ms(100),
    2000,
    'How often nodes measure how far they are from each other.',
  ),
  'migration.namespaces': optional(
    namespaceRules,
    'none',
    'What differs for a namespace, by its binding or class: `{ "ROOM": { "mode": "off" } }`.',
  ),
  'tls.insecure': byDefault(
    truth,
    false,
    'Peers talk in the clear and anyone who reaches the peer port is one of them. For one machine only.',
  ),
  'tls.peer.ca': optional(
    path,
    'must be given unless `tls.insecure`',
    "Certificates that every peer's must chain to: whoever holds one is a member of the cluster.",
  ),
  'tls.peer.cert': optional(
    path,
    'must be given unless `tls.insecure`',
    'Certificate of this node, for both ends of a connection (serverAuth and clientAuth).',
  ),
  'tls.peer.key': optional(
    path,
    'must be given unless `tls.insecure`',
    'Private key of `tls.peer.cert`.',
  ),
  'tls.clients.cert': optional(
    path,
    'none: clear text',
    'Certificate of the http and grpc ports, with `tls.clients.key`; read at start.',
  ),
  'tls.clients.key': optional(path, 'none', 'Private key of `tls.clients.cert`.'),
  'tls.clients.ca': optional(
    path,
    'clients show none',
    'Certificates that those of clients must chain to; a client without one is refused.',
  ),
  sessionTtlMs: byDefault(
    ms(1000),
    5000,
    'How long etcd keeps a silent node a member. After it others take its objects over.',
  ),
  promiseMs: byDefault(
    ms(300),
    3000,
    "How long a replica's answer lets an owner serve reads without asking again; renewed three times as often. The same on every node.",
  ),
  driftPercent: byDefault(
    percent,
    1,
    'How far the rates of two clocks of the cluster differ at most; taken off every promise.',
  ),
  drainTimeoutMs: byDefault(
    ms(1),
    30_000,
    'How long a stop waits for requests and for objects to move away.',
  ),
  placementTimeoutMs: byDefault(
    ms(1),
    15_000,
    'How long a request waits for its object to have an owner.',
  ),
  commitTimeoutMs: byDefault(
    ms(1),
    5000,
    'How long a write waits for a majority before it fails with `executed: maybe`.',
  ),
  rebuildDelayMs: byDefault(
    ms(0),
    600_000,
    'How long a node may be away before its copies are made anew elsewhere.',
  ),
  balanceDelayMs: byDefault(
    ms(0),
    60_000,
    'How long no node must have come or gone before copies move that need not.',
  ),
  assignDelayMs: byDefault(
    ms(0),
    10_000,
    'How long after a new node came a region without `replication.factor` nodes begins with fewer.',
  ),
  scrubBytesPerSecond: byDefault(
    whole(0, 1024 ** 3, ' of bytes'),
    1024 ** 2,
    'How fast the disk is read in the background to find what is damaged; 0: not at all.',
  ),
  scrubPauseMs: byDefault(
    ms(1),
    3_600_000,
    'Between the end of one such reading of everything and the next.',
  ),
  leftoverSweepMs: byDefault(
    ms(100),
    600_000,
    'Between one look for copies that objects left behind when they moved to another region, and the next.',
  ),
  leftoverDelayMs: byDefault(
    ms(0),
    600_000,
    'How long such a copy is kept from the first look on that found it.',
  ),
  shardsPerRegion: byDefault(
    whole(1, 65_536),
    64,
    'Parts that the objects of a region are assigned in. Fixed by the first node of a cluster.',
  ),
  logLevel: byDefault(
    oneOf('error', 'warn', 'info', 'debug', 'silent'),
    'info',
    'Least that is logged: one JSON object a line on stderr.',
  ),
  reads: byDefault(
    oneOf('promise', 'confirm'),
    'promise',
    'How an owner knows that it still is: by promises, without a round trip, or by asking a majority at each read, for machines that may be suspended.',
  ),
  simulatedRttMs: byDefault(
    ms(0),
    0,
    'Round trip that is added to links with nodes of other regions, half each way, to see on one machine what distance does. Only with `tls.insecure`; the same on every node.',
  ),
} as const;

export type NodeConfigPath = keyof typeof nodeConfigKeys;

/** The value of each key once read; `undefined` where none was given and none is the default. */
export type NodeConfigValues = {
  readonly [P in NodeConfigPath]: (typeof nodeConfigKeys)[P] extends ConfigKey<infer T> ? T : never;
};

/** Names under `limits` are the caller's to know; what they are set to is checked here. */
export const limitKey: ConfigKey<number> = required(
  whole(1, Number.MAX_SAFE_INTEGER),
  'A limit by its name; docs/operations.md lists them.',
);

export const nodeConfigPaths = Object.keys(nodeConfigKeys) as readonly NodeConfigPath[];

/** `etcd.endpoints` → `HOMING_ETCD_ENDPOINTS`. */
export function variableName(path: string): string {
  return `HOMING_${path
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .toUpperCase()}`;
}

/** `IDLE_EVICT_MS` → `idleEvictMs`. */
export function camelCase(upperSnake: string): string {
  return upperSnake
    .toLowerCase()
    .replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
