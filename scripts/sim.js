/**
 * `npm run sim`: clusters on simulated time, disks and links, under faults drawn from a seed; builds
 * what is stale. Flags after `--` go to packages/sim/src/cli.ts.
 */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, requireNode, root, script } from './bootstrap.js';

await script(async () => {
  requireNode();
  build();
  const entry = pathToFileURL(join(root, 'packages', 'sim', 'dist', 'index.js')).href;
  /** @type {typeof import('../packages/sim/src/index.ts')} */
  const { simulate } = await import(entry);
  process.exitCode = await simulate(process.argv.slice(2));
});
