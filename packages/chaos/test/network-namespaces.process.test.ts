/** Links between namespaces, held one way, both ways and cut, as real TCP connections see it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { mayUseNamespaces } from '../src/network-namespaces.ts';

const fixture = fileURLToPath(new URL('fixtures/namespaces.mjs', import.meta.url));

test.skipIf(!mayUseNamespaces())('rules hold and are lifted (needs root and iptables)', () => {
  const { stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, fixture], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({
    'at first': 'answered',
    'held to the target': 'silence',
    'lifted again': 'answered',
    'held to the client': 'silence',
    cut: 'refused',
    'of another source': 'answered',
    healed: 'answered',
  });
});
