/**
 * `npm run check`: format, lint, import boundaries, types, dead code and tests, on what is already
 * installed. `--static` leaves the tests out but keeps those of packages/tidy, which check the
 * repository itself: seconds instead of minutes.
 */
import { build, requireNode, script } from './bootstrap.js';
import { closingLine, runStaticChecks, runVitest, sum } from './checks.js';

await script(() => {
  requireNode();
  build();
  const staticOnly = process.argv.includes('--static');
  const checks = runStaticChecks();
  const tally = sum(checks, runVitest(staticOnly ? ['packages/tidy'] : []));
  process.exitCode = tally.failed > 0 ? 1 : 0;
  console.log(closingLine(tally));
});
