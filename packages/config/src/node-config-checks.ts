/**
 * What the values of a node's configuration say together: what is missing, and what contradicts.
 * A value that is wrong by itself takes part in no check here.
 */
import {
  type NodeConfigPath,
  nodeConfigKeys,
  nodeConfigPaths,
  variableName,
} from './node-config-keys.ts';
import type { NodeConfigSources } from './node-config-sources.ts';

/** Every problem that shows only when all sources have been read. */
export function problemsTogether(sources: NodeConfigSources): string[] {
  return [
    ...missing(sources),
    ...peerTls(sources),
    ...together(sources, ['tls.clients.cert', 'tls.clients.key'], ['tls.clients.ca']),
    ...together(sources, ['etcd.tls.cert', 'etcd.tls.key']),
    ...together(sources, ['etcd.credentials.username', 'etcd.credentials.password']),
    ...etcdScheme(sources),
    ...addresses(sources),
    ...promise(sources),
    ...simulatedRtt(sources),
  ];
}

/** Where nodes may be told to listen that is no place to be reached at. */
export const anyAddresses: readonly string[] = ['0.0.0.0', '::'];

function missing(sources: NodeConfigSources): string[] {
  return nodeConfigPaths
    .filter((path) => nodeConfigKeys[path].absent === undefined && !sources.isGiven(path))
    .map((path) => lacks(path));
}

function lacks(path: NodeConfigPath, why = ''): string {
  const { allowed } = nodeConfigKeys[path].kind;
  return `${path}: missing${why}, expected ${allowed}, in the file, ${variableName(path)} or --${path}`;
}

/** All of `paths`, or none of them and of `also`. */
function together(
  sources: NodeConfigSources,
  paths: readonly NodeConfigPath[],
  also: readonly NodeConfigPath[] = [],
): string[] {
  const given = [...paths, ...also].find((path) => sources.isGiven(path));
  if (given === undefined) return [];
  return paths
    .filter((path) => !sources.isGiven(path))
    .map((path) => lacks(path, `, and ${sources.where(given)} is of no use without it`));
}

function peerTls(sources: NodeConfigSources): string[] {
  const paths = ['tls.peer.ca', 'tls.peer.cert', 'tls.peer.key'] as const;
  const given = paths.find((path) => sources.isGiven(path));
  if (given !== undefined) {
    if (sources.value('tls.insecure') === true) {
      return [
        `${sources.where('tls.insecure')}: is true, which contradicts ${sources.where(given)}: take one of the two away`,
      ];
    }
    return together(sources, paths);
  }
  if (sources.value('tls.insecure') !== false) return [];
  return [
    'tls.peer: missing, expected ca, cert and key: nodes prove to each other by certificates that ' +
      'they are of one cluster (deploy/certs/make-certs.sh makes some). `insecure: true` in `tls` ' +
      'goes without, for a cluster on one machine',
  ];
}

function etcdScheme(sources: NodeConfigSources): string[] {
  const tls = (['etcd.tls.ca', 'etcd.tls.cert', 'etcd.tls.key'] as const).find((path) =>
    sources.isGiven(path),
  );
  const clear = sources.value('etcd.endpoints')?.find((one) => one.startsWith('http:'));
  if (tls === undefined || clear === undefined) return [];
  return [
    `${sources.where('etcd.endpoints')}: ${clear} is in the clear, and ${sources.where(tls)} asks for TLS: expected https://… or host:port`,
  ];
}

function addresses(sources: NodeConfigSources): string[] {
  const problems: string[] = [];
  const host = sources.value('advertise.host');
  if (host !== undefined && anyAddresses.includes(host)) {
    problems.push(
      `${sources.where('advertise.host')}: is ${host}, expected the one address that other nodes reach this node at`,
    );
  }
  const taken = new Map<number, NodeConfigPath>();
  for (const path of ['listen.http', 'listen.grpc', 'listen.peer', 'listen.admin'] as const) {
    const port = sources.value(path);
    if (port === undefined || port === 0) continue;
    const other = taken.get(port);
    if (other === undefined) taken.set(port, path);
    else {
      problems.push(
        `${sources.where(path)}: is ${port}, which ${sources.where(other)} listens on too, expected another port, or 0 for any`,
      );
    }
  }
  return problems;
}

function promise(sources: NodeConfigSources): string[] {
  const promiseMs = sources.value('promiseMs');
  const sessionTtlMs = sources.value('sessionTtlMs');
  if (promiseMs === undefined || sessionTtlMs === undefined || promiseMs <= sessionTtlMs) return [];
  return [
    `${sources.where('promiseMs')}: is ${promiseMs}, expected at most sessionTtlMs (${sessionTtlMs}): replicas ` +
      'answer no new owner before their promise to the old one has run out, so a longer promise ' +
      'would hold up every failover',
  ];
}

function simulatedRtt(sources: NodeConfigSources): string[] {
  if ((sources.value('simulatedRttMs') ?? 0) === 0) return [];
  if (sources.value('tls.insecure') !== false) return [];
  return [
    `${sources.where('simulatedRttMs')}: slows the cluster down for a trial on one machine, expected 0 ` +
      'or left out where `tls.insecure` is not set',
  ];
}
