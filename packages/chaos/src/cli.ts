/**
 * The command line. Exit status: 0 every promise was kept, 1 one was not or the cluster failed,
 * 2 bad usage.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkHistory } from './check.ts';
import { Cluster } from './cluster.ts';
import { drainText, measureDrain } from './drain.ts';
import { isEtcdInstalled } from './etcd.ts';
import { failoverText, measureFailover } from './failover.ts';
import { type FaultKind, faultKinds } from './faults.ts';
import { describeOperation } from './history.ts';
import { loadHistory } from './history-file.ts';
import { mayUseNamespaces } from './network-namespaces.ts';
import { reportText } from './report.ts';
import { runChaos } from './run.ts';

const usage = `chaos [run] [flags]     load and faults, then checks of the whole history
chaos failover [flags]  time from the kill of an object's owner to the next answer
chaos drain [flags]     what requests notice of nodes that are stopped in order
chaos check FILE        checks a saved history again

  --minutes N       of faults (default 10)                                  run
  --faults LIST     of ${faultKinds.join(', ')}
                    (default kill,pause,etcd,partition), or none            run
  --clients N       (default 16)                                            run
  --objects N       lists, and as many registers, at a time (default 8)     run
  --moves N         objects that move between regions at a time (default 0) run
  --rate N          requests a second; 0 for no limit (default 400)         run
  --timeout-ms N    after which a client gives a call up (default 5000)     run
  --seed N          of all choices (default a random one)                   run, drain
  --rounds N        (default 20; drain: one a node)                         failover, drain
  --nodes N         (default 3)
  --regions LIST    given to nodes in turn (default local)
  --ttl-ms N        session TTL of nodes (default 5000)
  --netns           each process in a network namespace, links broken by
                    dropped packets (Linux, as root; no delays)
  --dir DIR         for data, logs and the report (default a temporary one)
  --json            the report as JSON`;

class UsageError extends Error {}

export async function main(args: readonly string[]): Promise<number> {
  // By way of `exit`, which ends what was started.
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  try {
    return await command(args);
  } catch (error) {
    const isUsage = error instanceof UsageError || isParseError(error);
    console.error(isUsage ? `${(error as Error).message}\n\n${usage}` : error);
    return isUsage ? 2 : 1;
  }
}

function isParseError(error: unknown): boolean {
  return String((error as { code?: unknown } | null)?.code).startsWith('ERR_PARSE_ARGS');
}

type Values = ReturnType<typeof parse>['values'];

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '10' },
      faults: { type: 'string', default: 'kill,pause,etcd,partition' },
      clients: { type: 'string', default: '16' },
      objects: { type: 'string', default: '8' },
      rate: { type: 'string', default: '400' },
      moves: { type: 'string', default: '0' },
      'timeout-ms': { type: 'string', default: '5000' },
      seed: { type: 'string' },
      rounds: { type: 'string' },
      nodes: { type: 'string', default: '3' },
      regions: { type: 'string', default: 'local' },
      'ttl-ms': { type: 'string', default: '5000' },
      dir: { type: 'string' },
      netns: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

async function command(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [name = 'run', file] = positionals;
  if (name === 'check') return check(file);
  if (file !== undefined) throw new UsageError(`what is ${file}?`);
  if (!['run', 'failover', 'drain'].includes(name)) throw new UsageError(`no command ${name}`);
  if (!isEtcdInstalled()) {
    throw new Error('etcd is not installed: try `apt-get install etcd-server`');
  }
  checkFlags(values);
  if (values.netns && process.env[insideVariable] === undefined) return inNamespace(args);
  const directory =
    values.dir === undefined ? mkdtempSync(join(tmpdir(), 'chaos-')) : resolve(values.dir);
  let status: number | undefined;
  try {
    if (name === 'run') status = await run(values, directory);
    else status = await withCluster(values, directory, name === 'drain' ? drain : failover);
  } finally {
    if (status === 0 && values.dir === undefined) rmSync(directory, { recursive: true });
    else console.error(`data and logs are in ${directory}`);
  }
  return status;
}

async function run(values: Values, directory: string): Promise<number> {
  const report = await runChaos({
    directory,
    ...clusterFlags(values),
    seed: seedOf(values),
    durationMs: numberOf(values, 'minutes') * 60_000,
    faults: faultsOf(values.faults),
    clients: numberOf(values, 'clients'),
    objects: numberOf(values, 'objects'),
    operationsPerSecond: numberOf(values, 'rate'),
    moves: numberOf(values, 'moves'),
    callTimeoutMs: numberOf(values, 'timeout-ms'),
    print: (line) => console.error(line),
  });
  console.log(values.json ? JSON.stringify(report) : reportText(report));
  return report.passed ? 0 : 1;
}

/** Set for the process that has a network namespace of its own. */
const insideVariable = 'CHAOS_NAMESPACE';

/** The same command again, in a namespace whose network it may break. */
async function inNamespace(args: readonly string[]): Promise<number> {
  if (!mayUseNamespaces()) {
    throw new UsageError('--netns needs root, and `unshare`, `ip` and `iptables` installed');
  }
  const command = [process.execPath, ...process.execArgv, process.argv[1] as string, ...args];
  const child = spawn('unshare', ['--net', ...command], {
    stdio: 'inherit',
    env: { ...process.env, [insideVariable]: '1' },
  });
  process.once('exit', () => child.kill('SIGTERM'));
  const [status] = (await once(child, 'exit')) as [number | null];
  return status ?? 1;
}

/** Before anything is made or started. */
function checkFlags(values: Values): void {
  if (values.netns && faultsOf(values.faults).includes('delay')) {
    throw new UsageError('--netns has no fault `delay`');
  }
  faultsOf(values.faults);
  for (const name of numberFlags) if (values[name] !== undefined) numberOf(values, name);
}

type Measure = (values: Values, cluster: Cluster) => Promise<number>;

async function withCluster(values: Values, directory: string, measure: Measure): Promise<number> {
  const cluster = await Cluster.start({ directory, ...clusterFlags(values) });
  try {
    return await measure(values, cluster);
  } finally {
    await cluster.dispose();
  }
}

async function failover(values: Values, cluster: Cluster): Promise<number> {
  const report = await measureFailover({
    cluster,
    rounds: values.rounds === undefined ? 20 : numberOf(values, 'rounds'),
    print: (line) => console.error(line),
  });
  console.log(values.json ? JSON.stringify(report) : failoverText(report));
  return report.lost === 0 ? 0 : 1;
}

async function drain(values: Values, cluster: Cluster): Promise<number> {
  const report = await measureDrain({
    cluster,
    seed: seedOf(values),
    rounds: values.rounds === undefined ? cluster.nodes.length : numberOf(values, 'rounds'),
    print: (line) => console.error(line),
  });
  console.log(values.json ? JSON.stringify(report) : drainText(report));
  const inOrder = report.rounds.every(({ status }) => status === 0);
  return inOrder && report.violations.length === 0 ? 0 : 1;
}

function check(file: string | undefined): number {
  if (file === undefined) throw new UsageError('which file?');
  const violations = checkHistory(loadHistory(file));
  for (const { rule, object, message, operations } of violations) {
    console.log(`${rule}, ${object}: ${message}`);
    for (const operation of operations) console.log(`  ${describeOperation(operation)}`);
  }
  console.log(`${violations.length} violations`);
  return violations.length === 0 ? 0 : 1;
}

function clusterFlags(values: Values) {
  return {
    nodes: numberOf(values, 'nodes'),
    regions: values.regions.split(','),
    sessionTtlMs: numberOf(values, 'ttl-ms'),
    network: values.netns ? ('namespaces' as const) : ('proxies' as const),
  };
}

function seedOf(values: Values): number {
  return values.seed === undefined
    ? Math.floor(Math.random() * 1_000_000_000)
    : numberOf(values, 'seed');
}

const numberFlags = [
  'minutes',
  'clients',
  'objects',
  'rate',
  'moves',
  'timeout-ms',
  'seed',
  'rounds',
  'nodes',
  'ttl-ms',
] as const;

function numberOf(values: Values, name: (typeof numberFlags)[number]): number {
  const given = values[name];
  const number = Number(given);
  if (given === undefined || given === '' || !Number.isFinite(number) || number < 0) {
    throw new UsageError(`--${name} takes a number, not ${JSON.stringify(given)}`);
  }
  return number;
}

function faultsOf(list: string): FaultKind[] {
  if (list === 'none') return [];
  return list.split(',').map((name) => {
    const kind = faultKinds.find((one) => one === name);
    if (kind === undefined)
      throw new UsageError(`no fault ${name}; there is ${faultKinds.join(', ')}`);
    return kind;
  });
}
