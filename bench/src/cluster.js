/** A cluster of three nodes on this machine, as `homing cluster` starts it: etcd, three processes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const project = join(here, 'worker');
const homing = join(here, '..', 'packages', 'server', 'bin', 'homing.js');

/**
 * @typedef {{ name: string; pid: number; http: number; grpc: number; admin: number }} ClusterNode
 * @typedef {{ nodes: ClusterNode[]; stop: () => Promise<void> }} Cluster
 */

/**
 * Resolves when all nodes serve.
 * @returns {Promise<Cluster>}
 */
export function startCluster() {
  const directory = mkdtempSync(join(tmpdir(), 'bench-cluster-'));
  const args = [homing, 'cluster', project, '--port', '0', '--data', directory];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
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
  const line = /^node=(\w+) .*pid=(\d+) http=\S+:(\d+) grpc=\S+:(\d+) admin=\S+:(\d+)/gm;
  return [...text.matchAll(line)].map(([, name = '', pid, http, grpc, admin]) => ({
    name,
    pid: Number(pid),
    http: Number(http),
    grpc: Number(grpc),
    admin: Number(admin),
  }));
}
