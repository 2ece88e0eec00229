/**
 * `npm run chaos`: a real cluster under faults, and whether it kept its promises; builds what is
 * stale. Flags after `--` are those of packages/chaos/README.md.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { build, requireNode, root, script } from './bootstrap.js';

await script(() => {
  requireNode();
  build();
  const program = join(root, 'packages', 'chaos', 'bin', 'chaos.js');
  const args = [program, ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
});
