/** A private etcd of one member, which keeps its data over kills. */
import { spawnSync } from 'node:child_process';
import { answers, ManagedProcess } from './managed-process.ts';

/** As packages of distributions call it. */
const program = 'etcd';

export function isEtcdInstalled(): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Not started yet. */
export function etcdProcess(options: {
  readonly directory: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** What its command is started with. */
  readonly within?: readonly string[];
  readonly clientPort: number;
  readonly peerPort: number;
  readonly logFile?: string;
}): ManagedProcess {
  const { directory, host = '127.0.0.1', within = [], clientPort, peerPort, logFile } = options;
  const client = `http://${host}:${clientPort}`;
  const peer = `http://${host}:${peerPort}`;
  const [command = program, ...args] = [...within, program];
  return new ManagedProcess({
    name: program,
    command,
    args: [
      ...args,
      ...['--name', 'chaos', '--data-dir', directory],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `chaos=${peer}`, '--logger', 'zap', '--log-level', 'warn'],
    ],
    isReady: () => answers(`${client}/health`),
    ...(logFile === undefined ? {} : { logFile }),
  });
}
