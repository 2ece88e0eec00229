/**
 * `npm run sim`: runs seeds one after the other and prints a line for each that fails, with how to
 * replay it; a single seed is always printed. The status is 1 where any failed.
 */
import { createWriteStream } from 'node:fs';
import { parseArgs } from 'node:util';
import { runSimulation, type Verdict } from './simulation.ts';

const usage = `npm run sim -- [--seed N | --seeds A..B] [--steps N] [--trace FILE]

  --seed N      one seed (default 1)
  --seeds A..B  all from A to B
  --steps N     ends load and faults of each run after so many events
  --trace FILE  every event of a single seed, for reading`;

/** Resolves with the exit status. Called by scripts/sim.js. */
export async function simulate(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
  const { first, last, stepsMax, trace } = options;
  const startMs = performance.now();
  let failed = 0;
  let steps = 0;
  for (let seed = first; seed <= last; seed++) {
    const file = trace === undefined ? undefined : createWriteStream(trace);
    const verdict = await runSimulation({
      seed,
      stepsMax,
      keep: file && ((line) => file.write(`${line}\n`)),
    });
    file?.end();
    steps += verdict.steps;
    if (verdict.violations.length > 0) failed += 1;
    if (verdict.violations.length > 0 || first === last) print(verdict, stepsMax);
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${last - first + 1} seeds, ${steps} steps, ${failed} failed, ${seconds} s`);
  return failed > 0 ? 1 : 0;
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      steps: { type: 'string' },
      trace: { type: 'string' },
    },
  });
  const [from, to] = (values.seeds ?? values.seed ?? '1').split('..');
  const first = wholeNumber(from, 'seed');
  const last = to === undefined ? first : wholeNumber(to, 'seed');
  if (last < first) throw new TypeError('--seeds A..B: A must not be greater than B');
  if (values.trace !== undefined && first !== last) throw new TypeError('--trace takes one seed');
  const stepsMax = values.steps === undefined ? undefined : wholeNumber(values.steps, 'steps');
  return { first, last, stepsMax, trace: values.trace };
}

function wholeNumber(text: string | undefined, name: string): number {
  if (text === undefined || !/^\d+$/.test(text)) throw new TypeError(`${name}: a whole number`);
  return Number(text);
}

function print(verdict: Verdict, stepsMax: number | undefined): void {
  const { seed, steps, operations, answered, virtualMs, traceHash, violations } = verdict;
  const result = violations.length === 0 ? 'ok' : 'FAILED';
  console.log(
    `seed ${seed}: ${result}; ${steps} steps, ${operations} operations (${answered} answered), ` +
      `${Math.round(virtualMs / 1000)} virtual s, trace ${traceHash}`,
  );
  for (const { rule, message } of violations) console.log(`  ${rule}: ${message}`);
  const limit = stepsMax === undefined ? '' : ` --steps ${stepsMax}`;
  if (violations.length > 0) {
    console.log(`  replay: npm run sim -- --seed ${seed}${limit} --trace trace.txt`);
  }
}
