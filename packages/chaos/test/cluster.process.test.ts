/** The tool on what it is for: three nodes of homing and a real etcd, for half a minute. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { isEtcdInstalled } from '../src/etcd.ts';

const program = fileURLToPath(new URL('../bin/chaos.js', import.meta.url));

test.skipIf(!isEtcdInstalled())(
  'a cluster keeps its promises while nodes die, stop and are cut off',
  async () => {
    const args = ['--minutes', '0.5', '--seed', '3', '--faults', 'kill,pause,partition'];
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output += String(chunk)));
    }
    const [status] = (await once(child, 'close')) as [number | null];
    expect(output).toContain('every promise was kept');
    expect(status).toBe(0);
  },
);
