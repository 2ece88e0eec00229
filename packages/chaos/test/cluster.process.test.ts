/** The tool on what it is for: three nodes of homing and a real etcd, for half a minute each way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { isEtcdInstalled } from '../src/etcd.ts';
import { mayUseNamespaces } from '../src/network-namespaces.ts';

const program = fileURLToPath(new URL('../bin/chaos.js', import.meta.url));

async function chaos(...flags: string[]): Promise<void> {
  const args = [program, '--minutes', '0.5', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
  const [status] = (await once(child, 'close')) as [number | null];
  expect(output).toContain('every promise was kept');
  expect(status).toBe(0);
}

describe.skipIf(!isEtcdInstalled())('a cluster keeps its promises (needs etcd)', () => {
  test('while nodes die, stop and are cut off', () =>
    chaos('--seed', '3', '--faults', 'kill,pause,partition'));

  test.skipIf(!mayUseNamespaces())(
    'in network namespaces that drop packets (needs root and iptables)',
    () => chaos('--seed', '5', '--faults', 'kill,partition', '--netns'),
  );
});
