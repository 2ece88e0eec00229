/**
 * Brings a checkout into a state that can run: a Node that is new enough, packages installed as the
 * lock file says, TypeScript compiled. Uses Node's own modules alone, because it runs before
 * anything is installed. Called by start.js, test.js and check.js.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const nodeMinimum = [20, 19];
const windows = process.platform === 'win32';

/**
 * Something that a person must mend before the command can go on; printed without a stack trace.
 */
export class SetupError extends Error {}

/** Throws SetupError when this Node is older than the project supports. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [minimumMajor = 0, minimumMinor = 0] = nodeMinimum;
  if (major > minimumMajor || (major === minimumMajor && minor >= minimumMinor)) return;
  throw new SetupError(
    `homing needs Node ${nodeMinimum.join('.')} or newer, and this is ${process.versions.node}. ` +
      'Install a newer one, for instance with `nvm install 20`.',
  );
}

/**
 * Installs with `npm ci` unless what is installed is already what the lock file asks for. Throws
 * SetupError when npm fails.
 */
export function install() {
  const reason = staleInstall();
  if (reason === undefined) return;
  console.log(`installing packages (${reason})`);
  const status = run('npm', ['ci', '--no-audit', '--no-fund'], { shell: windows });
  if (status !== 0) {
    throw new SetupError('npm ci failed; its output is above. A registry must be reachable.');
  }
}

/**
 * Compiles what is stale: `tsc -b` decides, and takes about a second when nothing is. Throws
 * SetupError when the code does not compile.
 */
export function build() {
  const status = run(process.execPath, [tool('typescript', 'bin/tsc'), '-b']);
  if (status !== 0) throw new SetupError('the build failed; the compiler’s messages are above.');
}

/**
 * Runs a command in the repository's root, its output on ours, and returns its exit status; 1 when
 * it could not be started or a signal ended it.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) console.error(`${command}: ${result.error.message}`);
  return result.status ?? 1;
}

/**
 * Path of a JavaScript file in an installed package. Tools are started this way, not through
 * `node_modules/.bin`, so that no shell is involved and paths with spaces are safe.
 * @param {string} packageName
 * @param {string} file
 */
export function tool(packageName, file) {
  return join(root, 'node_modules', packageName, file);
}

/**
 * Runs `main` and turns what it throws into an exit status: 1, with one line for a SetupError.
 * @param {() => void | Promise<void>} main
 */
export async function script(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

/**
 * Why `npm ci` is due, or undefined. npm keeps a copy of the lock file of what it installed, which
 * lacks only what other platforms would have got.
 */
function staleInstall() {
  const installedPath = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return 'none are installed';
  const wanted = lockedPackages(join(root, 'package-lock.json'));
  const installed = lockedPackages(installedPath);
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/')) continue;
    const present = installed[path];
    if (present === undefined) {
      if (!entry.optional && !entry.devOptional && !entry.peer) return `${path} is missing`;
    } else if (present.version !== entry.version || present.resolved !== entry.resolved) {
      return `${path} is not as locked`;
    }
  }
  return undefined;
}

/**
 * @typedef {{ version?: string; resolved?: string; optional?: boolean; devOptional?: boolean;
 *   peer?: boolean }} LockedPackage
 * @param {string} path
 * @returns {Record<string, LockedPackage>}
 */
function lockedPackages(path) {
  return JSON.parse(readFileSync(path, 'utf8')).packages ?? {};
}
