/**
 * The command line. Exit status: 0 done, 1 failed (stderr says why and what to do), 2 bad usage or
 * bad configuration. The node itself is most of what there is to load: only the commands that run one
 * import it.
 */
import { isHomingError } from '@homing/base';
import { ConfigError, readNodeConfig } from '@homing/config';
import { adminsOf, ask, defaultAdmin, table } from './admin-client.ts';
import { type Parsed, parseFlags } from './flags.ts';
import { planForce } from './force-members.ts';
import { setHeapFlags } from './heap.ts';
import { limitNames, parseLimits } from './limits.ts';
import { startLocalCluster } from './local-cluster.ts';
import { createLogger, type LogLevel } from './logger.ts';
import { forceHome, promote } from './promote-command.ts';
import { recover, recoverUsage } from './recover-command.ts';
import { CommandError, UsageError } from './usage-error.ts';
import { version } from './version.ts';

interface Command {
  readonly summary: string;
  readonly usage: string;
  /** Resolves with the exit status. */
  readonly run: (args: readonly string[]) => Promise<number>;
}

const logLevels: readonly string[] = ['error', 'warn', 'info', 'debug', 'silent'];
const adminFlags = {
  admin: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const commands: Readonly<Record<string, Command>> = {
  dev: {
    summary: 'run a worker project on one node, and build it again when it changes',
    usage: `homing dev [dir]

Runs the worker project in dir (default: the current directory) on one node.

  --port N          HTTP and WebSockets (default 8787; 0 for any free port)
  --grpc-port N     gRPC (default 8788)
  --admin-port N    metrics, health, what runs (default 8790)
  --host ADDRESS    where to listen (default 127.0.0.1)
  --data DIR        where state is kept (default: dir/.homing)
  --env NAME        the environment of the wrangler file to use
  --region NAME     region of this node (default local)
  --no-watch        do not build again on change
  --log-level L     ${logLevels.join(', ')} (default warn)
  --limit NAME=N    a limit other than its default; may be given again. Names:
                    ${limitNames.join(', ')}`,
    run: dev,
  },
  node: {
    summary: 'run one member of a cluster',
    usage: `homing node [--config FILE]

Runs one member of a cluster. Every key of the configuration may also be given in the environment
(HOMING_…) or as a flag (--etcd.endpoints HOST:PORT); docs/configuration.md lists them.

  --config FILE     JSON or JSONC`,
    run: node,
  },
  cluster: {
    summary: 'run a whole cluster on this machine, to try things',
    usage: `homing cluster [dir]

Runs the worker project in dir (default: the current directory) on several nodes of this machine.

  --nodes N         how many (default 3)
  --regions A,B     regions that the nodes are in, in turn (default local)
  --rtt MS          round trip between nodes of different regions (default: as it is)
  --port N          HTTP port of the first node, ten more for each next one (default 8787; 0 for any)
  --etcd URL        an etcd that runs already (default: a private one is started)
  --data DIR        where state is kept (default: dir/.homing/cluster)
  --env NAME        the environment of the wrangler file to use
  --log-level L     ${logLevels.join(', ')} (default warn)
  --limit NAME=N    as for homing dev`,
    run: cluster,
  },
  drain: {
    summary: 'move all objects off a node before it stops',
    usage: adminUsage(
      'drain NODE',
      'Empties a node. It takes no objects any more until it is started again.',
    ),
    run: drain,
  },
  migrate: {
    summary: 'move one object to another node',
    usage: adminUsage(
      'migrate NAMESPACE ID|--name NAME --to NODE|--region REGION [--force]',
      'Moves one object to another node. To one of another region its state is copied first, while it\n' +
        'goes on.\n\n  --name NAME      the object of this name\n  --to NODE        where to\n' +
        '  --region REGION  to whichever node of the region\n  --force          cut off what still runs after a while, and connections that cannot outlive\n                   the object’s memory; without it the move is called off then',
    ),
    run: migrate,
  },
  migrations: {
    summary: 'how objects move toward their callers, and a cap on it',
    usage: adminUsage(
      'migrations [--cap N|none]',
      'Shows how objects move toward their callers. With --cap, bounds how many each node of the cluster\n' +
        'moves at a time, from now on: 0 stops such moves. Moves that you ask for, and drains, go on.\n\n' +
        '  --cap N         at most so many; none takes the cap back',
    ),
    run: migrations,
  },
  recover: {
    summary: 'go on after etcd was wiped or restored from a backup',
    usage: recoverUsage,
    run: recover,
  },
  promote: {
    summary: 'bring the objects of a lost region up where copies of them are',
    usage: `homing promote --region REGION --admin URL [--admin URL …] [--lose-what-is-missing]

Brings the objects that are at home in REGION, which is lost for good, up in the regions that have copies of
them (replication.remote). Writes that had not reached the copies are lost. Name the admin address of every
node of the other regions. The nodes of REGION must be off; they may come back afterwards, without a say in
these objects.

Without --lose-what-is-missing it changes nothing: it lists the objects and how far each copy got.

  --region REGION           the region that is lost
  --admin URL               the admin address of a node; to be given again for each
  --lose-what-is-missing    do it
  --force                   also where nodes of the region have sessions: their owners go on beside the
                            new ones until they notice
  --json                    for programs`,
    run: promote,
  },
  'force-home': {
    summary: 'let one object of a lost region begin empty in another',
    usage: `homing force-home NAMESPACE ID|--name NAME --region REGION --admin URL [--lose-what-is-missing]

Gives an object of which there is no copy, and whose region is lost for good, another home. It begins with
what the stores there have, which is nothing unless it was at home there before.

  --name NAME               the object of this name
  --region REGION           its new home
  --admin URL               the admin address of a node
  --lose-what-is-missing    do it
  --force                   also where nodes of its region have sessions
  --json                    for programs`,
    run: forceHome,
  },
  'force-members': {
    summary: 'go on with what is left of objects whose majority is lost for good',
    usage: `homing force-members --admin URL [--admin URL …] [--lose-what-is-missing]

Makes the nodes that are left the only holders of the objects of which most copies are gone for good.
Writes that were acknowledged and that none of these nodes holds are lost. Name the admin address of every
node that is left. The nodes whose disks are gone must be off and stay off.

Without the last flag it changes nothing: it lists the sets, and of each object the newest record left.

  --admin URL               the admin address of a node; to be given again for each
  --lose-what-is-missing    do it
  --json                    for programs`,
    run: force,
  },
  status: {
    summary: 'what the node runs',
    usage: adminUsage('status', 'Shows what the node is and runs.'),
    run: (args) => show(args, 0, () => '/api/status'),
  },
  nodes: {
    summary: 'the nodes there are',
    usage: adminUsage('nodes', 'Lists the nodes.'),
    run: (args) => show(args, 0, () => '/api/nodes'),
  },
  objects: {
    summary: 'the objects that have stored something',
    usage: adminUsage(
      'objects [--namespace N]',
      'Lists objects that have stored something, in order of their ids, at most --limit of them.\n\n  --namespace N   only those of this binding or class\n  --limit N       at most so many (default 1000)\n  --after ID      those after this id',
    ),
    run: objects,
  },
  describe: {
    summary: 'one object: where it is and what is known of it',
    usage: adminUsage(
      'describe NAMESPACE ID | describe NAMESPACE --name NAME',
      'Shows one object.\n\n  --name NAME     the object of this name',
    ),
    run: describe,
  },
};

function adminUsage(synopsis: string, what: string): string {
  return `homing ${synopsis}

${what}

  --admin URL     the node's admin address (default ${defaultAdmin})
  --json          for programs`;
}

function overview(): string {
  const names = Object.entries(commands);
  const width = Math.max(...names.map(([name]) => name.length));
  const lines = names.map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `homing ${version}: Durable Objects on your own machines

usage: homing COMMAND

${lines.join('\n')}

homing COMMAND --help tells more of one. homing --version prints the version.`;
}

/** Runs a command line, without the program's name; resolves with the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  setHeapFlags();
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(overview());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    console.log(version);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    console.error(`there is no command ${JSON.stringify(name)}; see homing --help`);
    return 2;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(command.usage);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    return report(error, name);
  }
}

function report(error: unknown, name: string): number {
  if (error instanceof UsageError) {
    console.error(`${error.message}; see homing ${name} --help`);
    return 2;
  }
  if (error instanceof ConfigError) {
    console.error(error.message);
    return 2;
  }
  if (error instanceof CommandError || isHomingError(error)) console.error(error.message);
  else console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return 1;
}

async function dev(args: readonly string[]): Promise<number> {
  const flags = parseFlags(
    args,
    {
      port: { type: 'string' },
      'grpc-port': { type: 'string' },
      'admin-port': { type: 'string' },
      host: { type: 'string' },
      data: { type: 'string' },
      env: { type: 'string' },
      region: { type: 'string' },
      watch: { type: 'boolean', default: true },
      'log-level': { type: 'string' },
      limit: { type: 'string', multiple: true },
    },
    1,
  );
  const level = logLevel(flags);
  const stopped = stopSignal();
  const { startDev } = await import('./dev.ts');
  const node = await startDev({
    dir: flags.positionals[0] ?? '.',
    host: flags.text('host') ?? '127.0.0.1',
    port: flags.port('port', 8787),
    grpcPort: flags.port('grpc-port', 8788),
    adminPort: flags.port('admin-port', 8790),
    data: flags.text('data'),
    watch: flags.isSet('watch'),
    env: flags.text('env'),
    region: flags.text('region') ?? 'local',
    limits: parseLimits(flags.texts('limit')),
    logger: createLogger(level),
    print: (line) => console.log(line),
  });
  const failure = await Promise.race([stopped.then(() => undefined), node.failed]);
  if (failure !== undefined) {
    console.error(`the store failed, the node stops: ${String(failure)}`);
    // Not an orderly end: what the disk holds is unknown until it is read again.
    process.exit(1);
  }
  await node.close();
  return 0;
}

async function node(args: readonly string[]): Promise<number> {
  const { file, flags } = configFlags(args);
  const config = readNodeConfig({
    ...(file !== undefined && { file }),
    env: process.env,
    flags,
  });
  const stopped = stopSignal();
  const logger = createLogger(config.logLevel).child({ node: config.node });
  const { startClusterNode } = await import('./cluster-node.ts');
  const started = await startClusterNode({ config, logger, print: (line) => console.log(line) });
  console.log(`ready http://${config.advertise.host}:${started.ports.http}`);
  const failure = await Promise.race([stopped.then(() => undefined), started.failed]);
  if (failure !== undefined) {
    console.error(`the store failed, the node stops: ${String(failure)}`);
    process.exit(1);
  }
  await started.close();
  return 0;
}

/** `--config FILE`, and `--a.b VALUE` or `--a.b=VALUE` for any key of the configuration. */
function configFlags(args: readonly string[]): {
  file: string | undefined;
  flags: Record<string, string>;
} {
  let file: string | undefined;
  const flags: Record<string, string> = {};
  for (let index = 0; index < args.length; index++) {
    const [, name, given] = /^--([^=]+)(?:=(.*))?$/s.exec(args[index] ?? '') ?? [];
    if (name === undefined) {
      throw new UsageError(`unexpected argument ${JSON.stringify(args[index])}`);
    }
    const value = given ?? args[++index];
    if (value === undefined) throw new UsageError(`--${name} needs a value`);
    if (name === 'config') file = value;
    else flags[name] = value;
  }
  return { file, flags };
}

function regionNames(text: string): string[] {
  const names = text.split(',');
  if (names.every((name) => /^[a-z0-9][a-z0-9.-]{0,62}$/.test(name))) return names;
  throw new UsageError('--regions must be names with commas between them, as eu,us');
}

function logLevel(flags: Parsed): LogLevel {
  const level = flags.text('log-level') ?? 'warn';
  if (logLevels.includes(level)) return level as LogLevel;
  throw new UsageError(`--log-level must be one of ${logLevels.join(', ')}`);
}

async function cluster(args: readonly string[]): Promise<number> {
  const flags = parseFlags(
    args,
    {
      nodes: { type: 'string' },
      regions: { type: 'string' },
      rtt: { type: 'string' },
      port: { type: 'string' },
      etcd: { type: 'string' },
      data: { type: 'string' },
      env: { type: 'string' },
      'log-level': { type: 'string' },
      limit: { type: 'string', multiple: true },
    },
    1,
  );
  const nodes = Number(flags.text('nodes') ?? '3');
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 50) {
    throw new UsageError('--nodes must be a whole number from 1 to 50');
  }
  const rttMs = Number(flags.text('rtt') ?? '0');
  if (!Number.isInteger(rttMs) || rttMs < 0 || rttMs > 10_000) {
    throw new UsageError('--rtt must be a whole number of milliseconds from 0 to 10000');
  }
  const limits = flags.texts('limit');
  parseLimits(limits);
  const stopped = stopSignal();
  const running = await startLocalCluster({
    dir: flags.positionals[0] ?? '.',
    data: flags.text('data'),
    nodes,
    regions: regionNames(flags.text('regions') ?? 'local'),
    rttMs,
    port: flags.port('port', 8787),
    etcd: flags.text('etcd'),
    env: flags.text('env'),
    logLevel: logLevel(flags),
    limits,
    print: (line) => console.log(line),
  });
  await stopped;
  await running.close();
  return 0;
}

async function drain(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, adminFlags, 1);
  const [name] = flags.positionals;
  if (name === undefined) throw new UsageError('drain takes the name of a node');
  return answered(flags, await ask(adminUrl(flags), '/api/drain', { node: name }));
}

async function migrate(args: readonly string[]): Promise<number> {
  const flags = parseFlags(
    args,
    {
      ...adminFlags,
      name: { type: 'string' },
      to: { type: 'string' },
      region: { type: 'string' },
      force: { type: 'boolean' },
    },
    2,
  );
  const [namespace, id] = flags.positionals;
  const name = flags.text('name');
  const to = flags.text('to');
  const region = flags.text('region');
  if (
    namespace === undefined ||
    (to === undefined) === (region === undefined) ||
    (id === undefined) === (name === undefined)
  ) {
    throw new UsageError(
      'migrate takes a namespace, an id or --name, and --to NODE or --region REGION',
    );
  }
  const which = name === undefined ? { id } : { name };
  const where = to === undefined ? { region } : { to };
  const force = flags.isSet('force') ? { force: 'true' } : {};
  const body = { namespace, ...where, ...which, ...force };
  return answered(flags, await ask(adminUrl(flags), '/api/migrate', body));
}

async function migrations(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { ...adminFlags, cap: { type: 'string' } }, 0);
  const cap = flags.text('cap');
  if (cap !== undefined && !/^(none|\d{1,6})$/.test(cap)) {
    throw new UsageError('--cap must be a whole number, or none');
  }
  const body = cap === undefined ? undefined : { cap };
  return answered(flags, await ask(adminUrl(flags), '/api/migrations', body));
}

/** Objects shown to people; programs get all. */
const recordsShownMax = 50;

async function force(args: readonly string[]): Promise<number> {
  const flags = parseFlags(
    args,
    {
      ...adminFlags,
      admin: { type: 'string', multiple: true },
      'lose-what-is-missing': { type: 'boolean' },
    },
    0,
  );
  const admins = adminsOf(flags, 'force-members');
  const { controller, sets, records } = await planForce(admins);
  if (sets.forced.length === 0 && sets.empty.length === 0) {
    throw new CommandError('these nodes are a majority of every set: there is nothing to force');
  }
  const shown = {
    sets: sets.forced.map(({ before, after }) => ({
      shard: `${after.region}/${after.shard}`,
      generation: after.generation,
      before: before.members.join(' '),
      after: after.members.join(' '),
    })),
    nothingLeft: sets.empty.map(({ region, shard }) => `${region}/${shard}`),
    objects: records,
  };
  if (flags.isSet('json')) console.log(JSON.stringify(shown, undefined, 2));
  else {
    console.log(table(shown.sets));
    if (shown.nothingLeft.length > 0)
      console.log(`nothing left of ${shown.nothingLeft.join(', ')}`);
    console.log(`\n${records.length} objects; the newest record left of each:`);
    console.log(table(records.slice(0, recordsShownMax)));
    if (records.length > recordsShownMax) console.log('… --json shows all of them');
  }
  if (!flags.isSet('lose-what-is-missing')) {
    throw new CommandError(
      'nothing was changed. If the other nodes are off for good, and what they alone hold may be lost, ' +
        'add --lose-what-is-missing',
    );
  }
  const forced = JSON.stringify(sets.forced.map(({ after }) => after));
  await ask(controller, '/api/force-members', { sets: forced });
  return 0;
}

function answered(flags: Parsed, answer: unknown): number {
  console.log(flags.isSet('json') ? JSON.stringify(answer, undefined, 2) : table(answer));
  return 0;
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let isFirst = true;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (!isFirst) process.exit(1);
        isFirst = false;
        resolve();
      });
    }
  });
}

async function show(
  args: readonly string[],
  positionalsMax: number,
  path: (flags: Parsed) => string,
  more: Record<string, { readonly type: 'string' }> = {},
): Promise<number> {
  const flags = parseFlags(args, { ...adminFlags, ...more }, positionalsMax);
  const answer = await ask(adminUrl(flags), path(flags));
  console.log(flags.isSet('json') ? JSON.stringify(answer, undefined, 2) : table(answer));
  return 0;
}

function adminUrl(flags: Parsed): string {
  const url = flags.text('admin') ?? defaultAdmin;
  if (!URL.canParse(url)) throw new UsageError(`--admin must be a URL, as ${defaultAdmin}`);
  return url;
}

function objects(args: readonly string[]): Promise<number> {
  const names = ['namespace', 'limit', 'after'];
  const more = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const path = (flags: Parsed) => {
    const limit = flags.text('limit');
    if (limit !== undefined && !/^[1-9]\d*$/.test(limit)) {
      throw new UsageError('--limit must be a whole number above 0');
    }
    return `/api/objects${query(flags, names)}`;
  };
  return show(args, 0, path, more);
}

function describe(args: readonly string[]): Promise<number> {
  const path = (flags: Parsed) => {
    const [namespace, id] = flags.positionals;
    const name = flags.text('name');
    if (namespace === undefined || (id === undefined) === (name === undefined)) {
      throw new UsageError('describe takes a namespace, and an id or --name');
    }
    const which = name === undefined ? { id: id as string } : { name };
    return `/api/describe?${new URLSearchParams({ namespace, ...which })}`;
  };
  return show(args, 2, path, { name: { type: 'string' } });
}

function query(flags: Parsed, names: readonly string[]): string {
  const given = names.flatMap((name): [string, string][] => {
    const value = flags.text(name);
    return value === undefined ? [] : [[name, value]];
  });
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}
