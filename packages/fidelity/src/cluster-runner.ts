/**
 * Serves a project with `homing cluster`: three nodes, of which the one that is asked has given all
 * objects away and takes none. So whatever its code asks of an object crosses to another node. See
 * `runner.ts` for the contract.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { startChild } from './child.ts';
import type { Runner } from './runner.ts';

const HOMING = fileURLToPath(new URL('../../server/bin/homing.js', import.meta.url));

export const hasEtcd = spawnSync('etcd', ['--version'], { stdio: 'ignore' }).status === 0;

export const clusterRunner: Runner = {
  name: 'homing cluster',
  async start(projectDir) {
    const data = mkdtempSync(join(tmpdir(), 'fidelity-cluster-'));
    let admin = '';
    let port = 0;
    const child = await startChild({
      command: process.execPath,
      args: [HOMING, 'cluster', projectDir, '--nodes', '3', '--port', '0', '--data', data],
      readyFd: 1,
      portOf: (line) => {
        const match = /^node=n1 .*http=127\.0\.0\.1:(\d+) .*admin=(\S+)/.exec(line);
        if (match !== null) [port, admin] = [Number(match[1]), match[2] ?? ''];
        return line === 'ready' ? port : null;
      },
    });
    const stop = async () => {
      await child.kill('SIGTERM');
      rmSync(data, { recursive: true, force: true });
    };
    // Its replicas are to be assigned before it gives everything away.
    while (!(await fetch(`http://${admin}/readyz`)).ok) await sleep(50);
    const drained = await fetch(`http://${admin}/api/drain`, {
      method: 'POST',
      body: JSON.stringify({ node: 'n1' }),
    });
    if (!drained.ok) {
      await stop();
      throw new Error(`n1 does not drain: ${await drained.text()}`);
    }
    return {
      url: `http://127.0.0.1:${port}`,
      log: () => child.log(),
      stop: async () => {
        const metrics = await (await fetch(`http://${admin}/metrics`)).text();
        await stop();
        const forwarded = /^homing_forwarded_total\{.*\} ([1-9]\d*)$/m.test(metrics);
        const ownsNone = /^homing_objects_owned 0$/m.test(metrics);
        if (!forwarded || !ownsNone) throw new Error('the node that was asked ran objects itself');
      },
    };
  },
};
