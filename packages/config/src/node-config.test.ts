import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, readNodeConfig } from './index.ts';
import {
  type ConfigKey,
  limitKey,
  nodeConfigKeys,
  nodeConfigPaths,
  variableName,
} from './node-config-keys.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'homing-node-config-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const least = {
  node: 'n1',
  region: 'eu',
  app: 'app',
  data: 'data',
  etcd: { endpoints: ['127.0.0.1:2379'] },
  tls: { insecure: true },
};

function write(content: unknown, name = 'homing.json'): string {
  const file = join(dir, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

interface Sources {
  readonly file?: unknown;
  readonly env?: Record<string, string | undefined>;
  readonly flags?: Record<string, string>;
}

function read({ file = least, env = {}, flags = {} }: Sources = {}) {
  return readNodeConfig({ file: write(file), env, flags });
}

/** What is wrong, without the path of the folder. */
function problems(sources: Sources): string[] {
  try {
    read(sources);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => problem.replaceAll(`${dir}/`, ''));
  }
  return [];
}

describe('what is read', () => {
  it('fills in every default', () => {
    expect(read()).toEqual({
      node: 'n1',
      region: 'eu',
      zone: 'eu',
      app: join(dir, 'app'),
      data: join(dir, 'data'),
      etcd: { endpoints: ['127.0.0.1:2379'], prefix: '/homing/' },
      listen: { host: '0.0.0.0', http: 8787, grpc: 8788, peer: 8789, admin: 8790 },
      advertise: { host: hostname() },
      replication: {
        factor: 3,
        changesMax: 16,
        rebuildBytesPerSecond: 33_554_432,
        rebuildBusyBytesPerSecond: 8_388_608,
        rebuildBusyPercent: 40,
        rebuildYieldMs: 300_000,
        balancePercent: 90,
      },
      migration: {
        mode: 'auto',
        windowMs: 30_000,
        minimumStayMs: 30_000,
        hysteresisPercent: 25,
        tripsMin: 5,
        movesMax: 4,
        pingMs: 2000,
      },
      tls: { insecure: true },
      sessionTtlMs: 5000,
      promiseMs: 3000,
      driftPercent: 1,
      drainTimeoutMs: 30_000,
      placementTimeoutMs: 15_000,
      commitTimeoutMs: 5000,
      rebuildDelayMs: 600_000,
      balanceDelayMs: 60_000,
      assignDelayMs: 10_000,
      scrubBytesPerSecond: 1_048_576,
      scrubPauseMs: 3_600_000,
      leftoverSweepMs: 600_000,
      leftoverDelayMs: 600_000,
      shardsPerRegion: 64,
      logLevel: 'info',
      reads: 'promise',
      simulatedRttMs: 0,
      limits: {},
    });
  });

  it('takes a variable over the file and a flag over both', () => {
    const file = { ...least, region: 'file', zone: 'file', listen: { http: 1, grpc: 2 } };
    const env = { HOMING_ZONE: 'env', HOMING_LISTEN_HTTP: '3', HOMING_NODE: 'env', PATH: '/bin' };
    const config = read({ file, env, flags: { node: 'flag', 'listen.http': '4' } });
    expect(config).toMatchObject({ node: 'flag', region: 'file', zone: 'env' });
    expect(config.listen).toMatchObject({ http: 4, grpc: 2, peer: 8789 });
  });

  it('needs no file', () => {
    const env = {
      HOMING_NODE: 'n1',
      HOMING_REGION: 'eu',
      HOMING_APP: 'app',
      HOMING_DATA: '/data',
      HOMING_ETCD_ENDPOINTS: 'http://a:2379, https://[::1]:2379,c:1',
      HOMING_TLS_PEER_CA: 'ca.pem',
      HOMING_TLS_PEER_CERT: 'cert.pem',
      HOMING_TLS_PEER_KEY: 'key.pem',
      HOMING_DRIFT_PERCENT: '0.5',
    };
    const config = readNodeConfig({ env, flags: {} });
    expect(config.app).toBe(resolve('app'));
    expect(config.data).toBe('/data');
    expect(config.etcd.endpoints).toEqual(['http://a:2379', 'https://[::1]:2379', 'c:1']);
    expect(config.driftPercent).toBe(0.5);
    expect(config.tls).toEqual({
      insecure: false,
      peer: { ca: resolve('ca.pem'), cert: resolve('cert.pem'), key: resolve('key.pem') },
    });
  });

  it('reads JSON with comments, and paths from the folder of the file', () => {
    mkdirSync(join(dir, 'etc'));
    const text = `// A node.\n${JSON.stringify({ ...least, app: '../app' }).replace(/}$/, ',}')}`;
    const file = write(text, 'etc/homing.jsonc');
    const config = readNodeConfig({ file, env: {}, flags: {} });
    expect([config.app, config.data]).toEqual([join(dir, 'app'), join(dir, 'etc/data')]);
  });

  it('reads every key from a variable and from a flag', () => {
    // Two configurations, since peer TLS and going without exclude each other.
    const shared: Record<string, string> = {
      node: 'n2',
      region: 'us',
      zone: 'us-1',
      regions: 'eu,us',
      jurisdictions: '{"law":["eu"]}',
      locationHints: '{"weur":"eu"}',
      app: '/app',
      env: 'staging',
      data: '/data',
      'etcd.endpoints': 'https://e:2379',
      'etcd.prefix': '/a/b/',
      'etcd.tls.ca': '/eca',
      'etcd.tls.cert': '/ecert',
      'etcd.tls.key': '/ekey',
      'etcd.credentials.username': 'u',
      'etcd.credentials.password': 'p',
      'listen.host': '127.0.0.1',
      'listen.http': '0',
      'listen.grpc': '0',
      'listen.peer': '1',
      'listen.admin': '2',
      'advertise.host': 'n2.example',
      'advertise.http': '3',
      'advertise.grpc': '4',
      'advertise.peer': '5',
      'advertise.admin': '6',
      'replication.factor': '1',
      'replication.changesMax': '4',
      'replication.rebuildBytesPerSecond': '5',
      'replication.rebuildBusyBytesPerSecond': '6',
      'replication.rebuildBusyPercent': '7',
      'replication.rebuildYieldMs': '8',
      'replication.balancePercent': '0',
      'replication.remote': '{"A":["us"]}',
      'migration.mode': 'off',
      'migration.windowMs': '1000',
      'migration.minimumStayMs': '2000',
      'migration.hysteresisPercent': '3',
      'migration.tripsMin': '4',
      'migration.movesMax': '5',
      'migration.pingMs': '600',
      'migration.namespaces': '{"ROOM":{"mode":"auto","tripsMin":7}}',
      'tls.peer.ca': '/pca',
      'tls.peer.cert': '/pcert',
      'tls.peer.key': '/pkey',
      'tls.clients.ca': '/cca',
      'tls.clients.cert': '/ccert',
      'tls.clients.key': '/ckey',
      'tls.insecure': 'false',
      sessionTtlMs: '6000',
      promiseMs: '2000',
      driftPercent: '2.5',
      drainTimeoutMs: '1',
      placementTimeoutMs: '7',
      commitTimeoutMs: '8',
      rebuildDelayMs: '0',
      balanceDelayMs: '6',
      assignDelayMs: '9',
      scrubBytesPerSecond: '0',
      scrubPauseMs: '9',
      leftoverSweepMs: '100',
      leftoverDelayMs: '0',
      shardsPerRegion: '16',
      logLevel: 'silent',
      reads: 'confirm',
      simulatedRttMs: '0',
    };
    expect(Object.keys(shared).sort()).toEqual([...nodeConfigPaths].sort());
    const expected = {
      node: 'n2',
      region: 'us',
      zone: 'us-1',
      regions: ['eu', 'us'],
      jurisdictions: { law: ['eu'] },
      locationHints: { weur: 'eu' },
      app: '/app',
      env: 'staging',
      data: '/data',
      etcd: {
        endpoints: ['https://e:2379'],
        prefix: '/a/b/',
        tls: { ca: '/eca', cert: '/ecert', key: '/ekey' },
        credentials: { username: 'u', password: 'p' },
      },
      listen: { host: '127.0.0.1', http: 0, grpc: 0, peer: 1, admin: 2 },
      advertise: { host: 'n2.example', http: 3, grpc: 4, peer: 5, admin: 6 },
      replication: {
        factor: 1,
        changesMax: 4,
        rebuildBytesPerSecond: 5,
        rebuildBusyBytesPerSecond: 6,
        rebuildBusyPercent: 7,
        rebuildYieldMs: 8,
        balancePercent: 0,
        remote: { A: ['us'] },
      },
      migration: {
        mode: 'off',
        windowMs: 1000,
        minimumStayMs: 2000,
        hysteresisPercent: 3,
        tripsMin: 4,
        movesMax: 5,
        pingMs: 600,
        namespaces: { ROOM: { mode: 'auto', tripsMin: 7 } },
      },
      tls: {
        insecure: false,
        peer: { ca: '/pca', cert: '/pcert', key: '/pkey' },
        clients: { ca: '/cca', cert: '/ccert', key: '/ckey' },
      },
      sessionTtlMs: 6000,
      promiseMs: 2000,
      driftPercent: 2.5,
      drainTimeoutMs: 1,
      placementTimeoutMs: 7,
      commitTimeoutMs: 8,
      rebuildDelayMs: 0,
      balanceDelayMs: 6,
      assignDelayMs: 9,
      scrubBytesPerSecond: 0,
      scrubPauseMs: 9,
      leftoverSweepMs: 100,
      leftoverDelayMs: 0,
      shardsPerRegion: 16,
      logLevel: 'silent',
      reads: 'confirm',
      simulatedRttMs: 0,
      limits: {},
    };
    expect(readNodeConfig({ env: {}, flags: shared })).toEqual(expected);
    const env = Object.fromEntries(
      Object.entries(shared).map(([path, text]) => [variableName(path), text]),
    );
    expect(env).toMatchObject({ HOMING_SESSION_TTL_MS: '6000', HOMING_ETCD_PREFIX: '/a/b/' });
    expect(readNodeConfig({ env, flags: {} })).toEqual(expected);
  });

  it('takes limits by any name, from all three', () => {
    const config = read({
      file: { ...least, limits: { executors: 2, idleEvictMs: 5 } },
      env: { HOMING_LIMITS_IDLE_EVICT_MS: '6', HOMING_LIMITS_MESSAGE_BYTES: '7' },
      flags: { 'limits.executors': '9' },
    });
    expect(config.limits).toEqual({ executors: 9, idleEvictMs: 6, messageBytes: 7 });
  });

  it('is reached where it listens, unless that is everywhere', () => {
    const host = (text: string) => read({ flags: { 'listen.host': text } }).advertise.host;
    expect([host('10.0.0.1'), host('::')]).toEqual(['10.0.0.1', hostname()]);
  });

  it('is frozen to the bottom', () => {
    const config = read({ file: { ...least, limits: { executors: 1 } } });
    const parts: readonly object[] = [config, config.etcd, config.etcd.endpoints, config.limits];
    expect(parts.map(Object.isFrozen)).toEqual([true, true, true, true]);
    expect(Object.isFrozen(config.tls)).toBe(true);
  });
});

describe('what is refused', () => {
  it('lists everything that is wrong in all sources at once', () => {
    const found = problems({
      file: {
        ...least,
        node: 'N 1',
        listn: {},
        listen: { http: -1, htp: 1 },
        etcd: 'e:1',
        drain: 1,
      },
      env: { HOMING_LISTEN_FOO: '1', HOMING_GRPC: '1', HOMING_PROMISE_MS: '299', HOMING_READS: '' },
      flags: { 'listen.foo': '1', port: '1', promiseMs: '3e3', 'limits.executors': '0' },
    });
    expect(found).toEqual([
      'homing.json: node: is "N 1", expected 1 to 63 of a-z, 0-9, . and -',
      'homing.json: etcd: expected an object with one of endpoints, prefix, tls, credentials',
      expect.stringMatching(
        /^homing\.json: listn: unknown key, expected one of node, region, zone/,
      ),
      'homing.json: listen.http: is -1, expected a whole number, 0 to 65535',
      'homing.json: listen.htp: unknown key, expected one of host, http, grpc, peer, admin',
      expect.stringMatching(/^homing\.json: drain: unknown key, expected one of node,.*, limits$/),
      'HOMING_LISTEN_FOO: unknown variable, expected one of HOMING_LISTEN_HOST, HOMING_LISTEN_HTTP, HOMING_LISTEN_GRPC, HOMING_LISTEN_PEER, HOMING_LISTEN_ADMIN',
      expect.stringMatching(
        /^HOMING_GRPC: unknown variable, expected one of HOMING_NODE,.* HOMING_LISTEN_…, /,
      ),
      'HOMING_PROMISE_MS: is 299, expected a whole number of milliseconds, 300 to 2147483647',
      'HOMING_READS: is "", expected one of promise, confirm',
      '--listen.foo: unknown flag, expected one of --listen.host, --listen.http, --listen.grpc, --listen.peer, --listen.admin',
      expect.stringMatching(/^--port: unknown flag, expected one of --node,.* --listen\.…, /),
      '--promiseMs: is "3e3", expected a whole number of milliseconds, 300 to 2147483647',
      expect.stringMatching(/^--limits\.executors: is 0, expected a whole number, 1 to /),
      'etcd.endpoints: missing, expected 1 to 32 of host:port, http://host:port and https://host:port, in the file, HOMING_ETCD_ENDPOINTS or --etcd.endpoints',
    ]);
  });

  it.each([
    [{ etcd: { endpoints: [] } }, 'etcd.endpoints: is [], expected 1 to 32'],
    [{ etcd: { endpoints: ['ftp://a:1'] } }, 'etcd.endpoints: is ["ftp://a:1"]'],
    [{ etcd: { endpoints: 'a:1' } }, 'etcd.endpoints: is "a:1"'],
    [{ etcd: { endpoints: ['a:1'], prefix: 'homing' } }, 'etcd.prefix: is "homing"'],
    [{ listen: { http: '80' } }, 'listen.http: is "80"'],
    [{ listen: { http: 80.5 } }, 'listen.http: is 80.5'],
    [{ 'listen.http': 80 }, 'listen.http: unknown key'],
    [{ replication: { factor: 8 } }, 'replication.factor: is 8, expected a whole number, 1 to 7'],
    [{ tls: { insecure: 'true' } }, 'tls.insecure: is "true", expected true or false'],
    [{ driftPercent: 0 }, 'driftPercent: is 0, expected percent, above 0'],
    [{ drainTimeoutMs: 0 }, 'drainTimeoutMs: is 0'],
    [{ sessionTtlMs: 999 }, 'sessionTtlMs: is 999'],
    [{ zone: null }, 'zone: is null'],
    [{ limits: { executors: 1.5 } }, 'limits.executors: is 1.5'],
    [{ limits: { 'a-b': 1 } }, 'limits.a-b: unknown key'],
    [{ advertise: { http: 0 } }, 'advertise.http: is 0'],
  ])('%j', (change, expected) => {
    expect(problems({ file: { ...least, ...change } })[0]).toContain(`homing.json: ${expected}`);
  });

  it.each<[string, Record<string, string>, RegExp[]]>([
    [
      'a promise longer than the session',
      { promiseMs: '5001' },
      [
        /^--promiseMs: is 5001, expected at most sessionTtlMs \(5000\): replicas answer no new owner/,
      ],
    ],
    [
      'one port twice',
      { 'listen.http': '1', 'listen.peer': '1' },
      [/^--listen\.peer: is 1, which --listen\.http listens on too/],
    ],
    [
      'an address that is everywhere',
      { 'advertise.host': '0.0.0.0' },
      [/^--advertise\.host: is 0\.0\.0\.0, expected the one address/],
    ],
    [
      'half a certificate',
      { 'etcd.tls.cert': 'c', 'tls.clients.ca': 'c' },
      [
        /^tls\.clients\.cert: missing, and --tls\.clients\.ca is of no use without it/,
        /^tls\.clients\.key: missing/,
        /^etcd\.tls\.key: missing, and --etcd\.tls\.cert is of no use without it, expected a path/,
      ],
    ],
    [
      'etcd in the clear with certificates',
      { 'etcd.tls.ca': 'c', 'etcd.endpoints': 'https://a:1,http://b:1' },
      [/^--etcd\.endpoints: http:\/\/b:1 is in the clear, and --etcd\.tls\.ca asks for TLS/],
    ],
    [
      'a user without a password',
      { 'etcd.credentials.username': 'u' },
      [/^etcd\.credentials\.password: missing/],
    ],
    [
      'insecure, and certificates',
      { 'tls.peer.ca': 'c' },
      [/^homing\.json: tls\.insecure: is true, which contradicts --tls\.peer\.ca/],
    ],
  ])('%s', (_, flags, expected) => {
    expect(problems({ flags })).toEqual(expected.map((one) => expect.stringMatching(one)));
  });

  it('requires peer TLS, all of it, unless told to go without', () => {
    const { tls: _, ...without } = least;
    expect(problems({ file: without })).toEqual([
      expect.stringMatching(/^tls\.peer: missing.*`insecure: true`/),
    ]);
    expect(problems({ file: { ...without, tls: { peer: { ca: 'c' } } } })).toEqual([
      expect.stringMatching(/^tls\.peer\.cert: missing/),
      expect.stringMatching(/^tls\.peer\.key: missing/),
    ]);
  });

  it('takes a simulated distance only where links are in the clear', () => {
    expect(problems({ file: { ...least, simulatedRttMs: 80 } })).toEqual([]);
    const peer = { ca: 'c', cert: 'c', key: 'k' };
    expect(problems({ file: { ...least, tls: { peer }, simulatedRttMs: 80 } })).toEqual([
      expect.stringMatching(/^homing\.json: simulatedRttMs: slows the cluster down/),
    ]);
  });

  it('calls a wrong value wrong, not missing too', () => {
    expect(problems({ file: { ...least, node: 1, promiseMs: 9000, sessionTtlMs: 'x' } })).toEqual([
      expect.stringContaining('node: is 1'),
      expect.stringContaining('sessionTtlMs: is "x"'),
    ]);
  });

  it('repeats no password', () => {
    const file = {
      ...least,
      etcd: { endpoints: ['a:1'], credentials: { username: 'u', password: 12345 } },
    };
    expect(problems({ file })).toEqual([
      'homing.json: etcd.credentials.password: expected text, not empty',
    ]);
  });

  it('says where a file is no JSON, and does not call missing what may be in it', () => {
    expect(problems({ file: '{ "node": }', flags: { nod: '1' } })).toEqual([
      expect.stringMatching(/^homing\.json:1:11: expected valid JSON with comments: ValueExpected/),
      expect.stringMatching(/^--nod: unknown flag/),
    ]);
    expect(() => readNodeConfig({ file: join(dir, 'none.json'), env: {}, flags: {} })).toThrow(
      /none\.json: cannot be read/,
    );
  });
});

it('docs/configuration.md has the table of all keys', () => {
  const row = (path: string, variable: string, key: ConfigKey) =>
    `| \`${path}\` | \`${variable}\` | ${key.kind.allowed} | ${key.absent ?? '**must be given**'} | ${key.meaning} |`;
  const keys: Readonly<Record<string, ConfigKey>> = nodeConfigKeys;
  const table = [
    '| key | variable | takes | default | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...Object.entries(keys).map(([path, key]) => row(path, variableName(path), key)),
    row('limits.NAME', 'HOMING_LIMITS_NAME', { ...limitKey, absent: "the limit's own" }),
  ];
  const file = fileURLToPath(new URL('../../../docs/configuration.md', import.meta.url));
  const written = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  expect(written).toEqual(table);
});
