/**
 * homing beside workerd: the same worker, the same load, in turns within one run, so that whatever
 * else the machine does meets both. Prints a table of medians over the rounds.
 *
 *     node bench/src/compare.js [--rounds 5] [--seconds 3] [--connections 32]
 */
import { parseArgs } from 'node:util';
import { load } from './load.js';
import { cpuMs, startHoming, startWorkerd } from './servers.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '32' },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);

/** @param {(index: number) => string} path */
const get = (path) => (/** @type {number} */ index) =>
  `GET ${path(index)} HTTP/1.1\r\nHost: bench\r\n\r\n`;

const cases = [
  { name: 'worker alone', request: get(() => '/worker') },
  { name: 'object fetch', request: get((index) => `/fetch/o${index % 100}`) },
  { name: 'object call, read', request: get((index) => `/read/o${index % 100}`) },
  { name: 'object call, write', request: get((index) => `/write/o${index % 100}`) },
  { name: 'one object, write', request: get(() => '/write/one') },
];

/** @param {readonly number[]} numbers */
const median = (numbers) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

const servers = [await startHoming(), await startWorkerd()];
try {
  console.log(`${connections} connections, ${rounds} rounds of ${durationMs / 1000} s, medians`);
  console.log('case                  server    requests/s  p50 ms  p99 ms  CPU us/request');
  for (const { name, request } of cases) {
    /** @type {Map<string, { rate: number; p50: number; p99: number; cpuUs: number }[]>} */
    const results = new Map(servers.map((server) => [server.name, []]));
    for (const server of servers)
      await load({ port: server.port, connections, durationMs: 1000, request });
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? servers : [...servers].reverse();
      for (const server of order) {
        const before = cpuMs(server.pid);
        const { count, latenciesMs } = await load({
          port: server.port,
          connections,
          durationMs,
          request,
        });
        results.get(server.name)?.push({
          rate: count / (durationMs / 1000),
          p50: latenciesMs[Math.floor(count * 0.5)] ?? NaN,
          p99: latenciesMs[Math.floor(count * 0.99)] ?? NaN,
          cpuUs: ((cpuMs(server.pid) - before) * 1000) / count,
        });
      }
    }
    const cpu = [];
    for (const [server, runs] of results) {
      const of = (/** @type {'rate' | 'p50' | 'p99' | 'cpuUs'} */ key) =>
        median(runs.map((run) => run[key]));
      cpu.push(of('cpuUs'));
      console.log(
        `${name.padEnd(22)}${server.padEnd(10)}${of('rate').toFixed(0).padStart(10)}${of('p50').toFixed(2).padStart(8)}${of('p99').toFixed(2).padStart(8)}${of('cpuUs').toFixed(0).padStart(16)}`,
      );
    }
    const [ours = NaN, theirs = NaN] = cpu;
    console.log(`${''.padEnd(22)}CPU ratio homing / workerd: ${(ours / theirs).toFixed(2)}`);
  }
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
