/**
 * Runs the benchmark that the first argument names; without one, homing beside workerd. Each takes
 * flags of its own, and ends by itself.
 *
 *     npm run bench -- --rounds 5
 *     npm run bench -- replicated --rounds 5
 *     npm run bench -- forwarded --rounds 5
 *     npm run bench -- day
 *     npm run bench -- migration
 */
const benches = ['replicated', 'forwarded', 'day', 'migration'];

const named = process.argv[2];
if (named === undefined || named.startsWith('-')) {
  await import('./beside-workerd.js');
} else if (benches.includes(named)) {
  // What is left are the benchmark's own flags.
  process.argv.splice(2, 1);
  await import(`./${named}/bench.js`);
} else {
  console.error(`no benchmark is called ${named}; there are ${benches.join(', ')}`);
  process.exitCode = 1;
}
