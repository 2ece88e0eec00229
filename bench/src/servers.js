/** The two servers of a comparison, on the same worker project. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const project = join(here, 'worker');
const homing = join(here, '..', 'packages', 'server', 'bin', 'homing.js');

/**
 * @typedef {{ name: string; port: number; adminPort: number | undefined; pid: number;
 *   stop: () => Promise<void> }} Server
 */

/**
 * @param {string} name
 * @param {string} command
 * @param {string[]} args
 * @param {3 | 1} fd
 * @param {(line: string) => number | undefined} portOf
 * @param {string} directory
 * @returns {Promise<Server>}
 */
function start(name, command, args, fd, portOf, directory) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGKILL');
    await gone;
    rmSync(directory, { recursive: true, force: true });
  };
  return new Promise((resolve, reject) => {
    void gone.then(() => reject(new Error(`${name} ended before it served`)));
    let text = '';
    const stream = /** @type {import('node:stream').Readable} */ (child.stdio[fd]);
    stream.on('data', (chunk) => {
      text += chunk;
      for (const line of text.split('\n')) {
        const port = portOf(line);
        if (port === undefined) continue;
        const admin = /^ {2}admin +http:\/\/localhost:(\d+)/m.exec(text)?.[1];
        const adminPort = admin === undefined ? undefined : Number(admin);
        resolve({ name, port, adminPort, pid: /** @type {number} */ (child.pid), stop });
      }
    });
  });
}

/** @returns {Promise<Server>} */
export function startHoming() {
  const directory = mkdtempSync(join(tmpdir(), 'bench-homing-'));
  const ports = ['--port', '0', '--grpc-port', '0', '--admin-port', '0'];
  const args = [homing, 'dev', project, '--no-watch', '--data', directory, ...ports];
  const portOf = (/** @type {string} */ line) => {
    const match = /^ready http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
    return match ? Number(match[1]) : undefined;
  };
  return start('homing', process.execPath, args, 1, portOf, directory);
}

/** @returns {Promise<Server>} */
export function startWorkerd() {
  const binary = createRequire(import.meta.url)('workerd').default;
  const directory = mkdtempSync(join(tmpdir(), 'bench-workerd-'));
  const code = readFileSync(join(project, 'src', 'index.js'), 'utf8');
  writeFileSync(join(directory, 'worker.js'), code);
  writeFileSync(join(directory, 'config.capnp'), capnp(directory));
  const args = [
    'serve',
    join(directory, 'config.capnp'),
    '--control-fd=3',
    '--socket-addr=http=127.0.0.1:0',
  ];
  const portOf = (/** @type {string} */ line) => {
    if (!line.includes('"listen"')) return undefined;
    const event = JSON.parse(line);
    return event.socket === 'http' ? event.port : undefined;
  };
  return start('workerd', binary, args, 3, portOf, directory);
}

/** @param {string} directory */
function capnp(directory) {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "disk", disk = (path = "${directory}", writable = true))],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-06-01",
  bindings = [(name = "BENCH", durableObjectNamespace = "Bench")],
  durableObjectNamespaces = [(className = "Bench", uniqueKey = "bench", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}

/**
 * Processor time that a process has used, all its threads together.
 * @param {number} pid
 * @returns {number} milliseconds
 */
export function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticksPerSecond = 100;
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/**
 * Memory that a process holds.
 * @param {number} pid
 * @returns {number} bytes
 */
export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

/**
 * Records that shared an fsync since the start, on average.
 * @param {number} adminPort
 */
export async function batchTotals(adminPort) {
  const page = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const value = (/** @type {string} */ name) =>
    Number(
      page
        .split('\n')
        .find((line) => line.startsWith(name))
        ?.split(' ')
        .at(-1) ?? 0,
    );
  return {
    records: value('homing_commit_batch_records_sum'),
    batches: value('homing_commit_batch_records_count'),
  };
}
