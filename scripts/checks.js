/**
 * What `npm test` and `npm run check` run, and how it is counted: every static check is one, every
 * test is one. Assumes that packages are installed and built.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, tool } from './bootstrap.js';

/** @typedef {{ passed: number; failed: number; skipped: number }} Tally */

/** @type {readonly { name: string; args: readonly string[] }[]} */
const staticChecks = [
  {
    name: 'format, lint, imports (biome)',
    args: [tool('@biomejs/biome', 'bin/biome'), 'check', '--diagnostic-level=error', '.'],
  },
  {
    name: 'floating promises (oxlint)',
    args: [tool('oxlint', 'bin/oxlint'), '--type-aware', 'packages', 'scripts', 'bench'],
  },
  {
    name: 'types of tests and scripts (tsc)',
    args: [tool('typescript', 'bin/tsc'), '-p', 'tsconfig.test.json'],
  },
  {
    name: 'dead code (knip)',
    args: [tool('knip', 'bin/knip.js'), '--no-progress', '--no-config-hints'],
  },
];

/**
 * Runs all static checks, also after one has failed, and prints one line for each.
 * @returns {Tally}
 */
export function runStaticChecks() {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const check of staticChecks) {
    const ok = run(process.execPath, check.args) === 0;
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${check.name}`);
    if (ok) tally.passed += 1;
    else tally.failed += 1;
  }
  return tally;
}

/**
 * Runs vitest once with `args` and counts from its JSON report. A file that could not be loaded
 * counts as one failure, and so does an error outside any test, which vitest reports by its exit
 * status alone.
 * @param {readonly string[]} args
 * @returns {Tally}
 */
export function runVitest(args) {
  const directory = mkdtempSync(join(tmpdir(), 'homing-test-'));
  try {
    const report = join(directory, 'report.json');
    const status = run(process.execPath, [
      tool('vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ]);
    const tally = countReport(report);
    if (status !== 0 && tally.failed === 0) tally.failed = 1;
    return tally;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * @param {string} path
 * @returns {Tally}
 */
function countReport(path) {
  /** @type {{ testResults: { status: string; assertionResults: { status: string }[] }[] }} */
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    console.error('vitest ended without a report');
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    const failedBefore = tally.failed;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') tally.passed += 1;
      else if (test.status === 'failed') tally.failed += 1;
      else tally.skipped += 1;
    }
    if (file.status === 'failed' && tally.failed === failedBefore) tally.failed += 1;
  }
  return tally;
}

/**
 * @param {Tally} a
 * @param {Tally} b
 * @returns {Tally}
 */
export function sum(a, b) {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  };
}

/**
 * The line that continuous integration reads.
 * @param {Tally} tally
 */
export function closingLine(tally) {
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
  return `${tally.passed} passed, ${tally.failed} failed${skipped}`;
}
