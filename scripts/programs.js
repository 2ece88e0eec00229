/**
 * The programs that some tests drive: etcd, a browser, promtool, Python with gRPC, what breaks networks. Installed with
 * apt-get where this process may do so; a test whose program is missing skips itself and says so.
 */
import { spawnSync } from 'node:child_process';
import { run } from './bootstrap.js';

/** @type {readonly { debianPackage: string; usedFor: string; probe: readonly string[] }[]} */
const programs = [
  { debianPackage: 'etcd-server', usedFor: 'the etcd adapter', probe: ['etcd', '--version'] },
  { debianPackage: 'chromium', usedFor: 'pages in a browser', probe: ['chromium', '--version'] },
  { debianPackage: 'iproute2', usedFor: 'network namespaces', probe: ['ip', '-V'] },
  { debianPackage: 'iptables', usedFor: 'network namespaces', probe: ['iptables', '--version'] },
  { debianPackage: 'prometheus', usedFor: 'the metrics page', probe: ['promtool', '--version'] },
  {
    debianPackage: 'python3-grpcio',
    usedFor: 'a gRPC client of another language',
    probe: ['/usr/bin/python3', '-c', 'import grpc'],
  },
];

const aptTimeoutMs = 4 * 60_000;

/** Installs what is missing where it can; never throws, prints one line for each still missing. */
export function installPrograms() {
  const missing = programs.filter((program) => !works(program.probe));
  if (missing.length === 0) return;
  if (mayInstall()) aptInstall(missing.map((program) => program.debianPackage));
  for (const program of missing) {
    if (works(program.probe)) continue;
    console.log(
      `not installed: ${program.debianPackage}; the tests that need it are skipped ` +
        `(${program.usedFor})`,
    );
  }
}

/** @param {readonly string[]} probe */
function works(probe) {
  const [command = '', ...args] = probe;
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function mayInstall() {
  return (
    process.platform === 'linux' && process.getuid?.() === 0 && works(['apt-get', '--version'])
  );
}

/**
 * Installs each package by itself, so that one that the distribution lacks costs only itself.
 * @param {readonly string[]} packages
 */
function aptInstall(packages) {
  console.log(`installing ${packages.join(', ')} with apt-get`);
  /** @type {import('node:child_process').SpawnSyncOptions} */
  const options = {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: aptTimeoutMs,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  run('apt-get', ['-q', 'update'], options);
  for (const name of packages) {
    run('apt-get', ['-q', '-y', '--no-install-recommends', 'install', name], options);
  }
}
