/**
 * `npm start`: installs and builds what is missing, then runs the chat example on one node. Flags
 * after `--` go to `homing dev` (`npm start -- --port 9000`).
 *
 * The node runs in this process, not in a child: a signal, `kill -9` included, then reaches the
 * node itself and leaves nothing behind.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, install, requireNode, root, SetupError, script } from './bootstrap.js';

await script(async () => {
  requireNode();
  install();
  build();
  const bin = join(root, 'packages', 'server', 'bin', 'homing.js');
  if (!existsSync(bin)) throw new SetupError(`${bin} is missing from this checkout.`);
  const args = ['dev', join(root, 'examples', 'chat'), ...process.argv.slice(2)];
  process.argv = [process.execPath, bin, ...args];
  await import(pathToFileURL(bin).href);
});
