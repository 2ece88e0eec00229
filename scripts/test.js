/**
 * `npm test`: installs and builds what is missing, gets the programs that some tests drive, then
 * runs every check and every test. Arguments after `--` go to vitest and leave the static checks
 * out (`npm test -- packages/storage`).
 *
 * The last line is `N passed, N failed` or `N passed, N failed, N skipped`; the exit status is 0
 * only if nothing failed. Continuous integration reads both.
 */
import { build, install, requireNode, SetupError } from './bootstrap.js';
import { closingLine, runStaticChecks, runVitest, sum } from './checks.js';
import { installPrograms } from './programs.js';

const vitestArgs = process.argv.slice(2);
const setupFailed = { passed: 0, failed: 1, skipped: 0 };

function main() {
  try {
    requireNode();
    install();
    build();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    return setupFailed;
  }
  installPrograms();
  const tests = runVitest(vitestArgs);
  return vitestArgs.length > 0 ? tests : sum(runStaticChecks(), tests);
}

const tally = main();
process.exitCode = tally.failed > 0 ? 1 : 0;
console.log(closingLine(tally));
