/**
 * `npm run bench`: homing beside workerd, on what is installed; builds what is stale. Flags after `--`
 * go to bench/src/compare.js.
 */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, requireNode, root, script } from './bootstrap.js';

await script(async () => {
  requireNode();
  build();
  await import(pathToFileURL(join(root, 'bench', 'src', 'compare.js')).href);
});
