/** A cluster on this machine, of three nodes where nothing else is said, as `homing cluster` starts it: etcd, three processes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const project = join(here, 'worker');
const homing = join(here, '..', 'packages', 'server', 'bin', 'homing.js');

/**
 * @typedef {{ name: string; region: string; pid: number; http: number; grpc: number; admin: number }} ClusterNode
 * @typedef {{ nodes: ClusterNode[]; stop: () => Promise<void> }} Cluster
 */

/**
 * Resolves when all nodes serve.
 * @param {readonly string[]} flags of `homing cluster`
 * @param {Readonly<Record<string, string>>} env beside this process's
 * @returns {Promise<Cluster>}
 */
export function startCluster(flags = [], env = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'bench-cluster-'));
  const args = [homing, 'cluster', project, '--port', '0', '--data', directory, ...flags];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await gone;
    rmSync(directory, { recursive: true, force: true });
  };
  return new Promise((resolve, reject) => {
    let text = '';
    const read = (/** @type {Buffer} */ chunk) => {
      text += chunk;
      if (/^ready$/m.test(text)) resolve({ nodes: nodesIn(text), stop });
    };
    child.stdout.on('data', read);
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    void gone.then(() => reject(new Error(`homing cluster ended before it served:\n${text}`)));
  });
}

/** @param {string} text */
function nodesIn(text) {
  const line = /^node=(\w+) region=(\S+) pid=(\d+) http=\S+:(\d+) grpc=\S+:(\d+) admin=\S+:(\d+)/gm;
  return [...text.matchAll(line)].map(([, name = '', region = '', pid, http, grpc, admin]) => ({
    name,
    region,
    pid: Number(pid),
    http: Number(http),
    grpc: Number(grpc),
    admin: Number(admin),
  }));
}
