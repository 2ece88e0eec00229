/**
 * homing beside workerd: the same worker, the same load, in turns within one run, so that whatever
 * else the machine does meets both. Prints a table of medians over the rounds. The benchmark that
 * compare.js runs when none is named.
 *
 *     npm run bench -- --rounds 5 --seconds 2 --connections 32 --only increments
 */
import { parseArgs } from 'node:util';
import { load } from './load.js';
import { rawRecordsPerSecond } from './raw-rocksdb.js';
import { closeSockets, converse, openSockets } from './room.js';
import { batchTotals, cpuMs, residentBytes, startHoming, startWorkerd } from './servers.js';
import { storeRecordsPerSecond } from './store-alone.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);
const socketsInRoom = 500;
const objectsInMemory = 10_000;
const sleepingSockets = 5000;
const untilAsleepMs = 14_000;

/** @typedef {import('./servers.js').Server} Server */
/** @typedef {{ count: number; latenciesMs: Float64Array }} Run */

/**
 * @param {(index: number) => string} path
 * @returns {(server: Server, ms: number) => Promise<Run>}
 */
function requests(path) {
  const request = (/** @type {number} */ index) =>
    `GET ${path(index)} HTTP/1.1\r\nHost: bench\r\n\r\n`;
  return (server, ms) => load({ port: server.port, connections, durationMs: ms, request });
}

let fresh = 0;
const cases = [
  { name: 'worker alone', run: requests(() => '/worker') },
  { name: 'counter in memory', run: requests((index) => `/memory/o${index % 100}`) },
  { name: 'counter in storage, read', run: requests((index) => `/read/o${index % 100}`) },
  { name: 'increments, 1 object', run: requests(() => '/write/one') },
  { name: 'increments, 100 objects', run: requests((index) => `/write/o${index % 100}`) },
  { name: 'increments, 10,000 objects', run: requests((index) => `/write/w${index % 10_000}`) },
  { name: 'activation of a new object', run: requests(() => `/memory/fresh-${fresh++}`) },
];

/** @param {readonly number[]} numbers */
const median = (numbers) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

/**
 * Runs one case on both servers and prints a line each.
 * @param {readonly Server[]} servers
 * @param {string} name
 * @param {(server: Server, ms: number) => Promise<Run>} run
 */
async function compare(servers, name, run) {
  /** @type {Map<string, { rate: number; p50: number; p99: number; cpu: number }[]>} */
  const results = new Map(servers.map((server) => [server.name, []]));
  for (const server of servers) await run(server, 1000);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? servers : [...servers].reverse();
    for (const server of order) {
      const cpuBefore = cpuMs(server.pid);
      const startMs = performance.now();
      const { count, latenciesMs } = await run(server, durationMs);
      results.get(server.name)?.push({
        rate: (count * 1000) / (performance.now() - startMs),
        p50: latenciesMs[Math.floor(latenciesMs.length * 0.5)] ?? NaN,
        p99: latenciesMs[Math.floor(latenciesMs.length * 0.99)] ?? NaN,
        cpu: (cpuMs(server.pid) - cpuBefore) / count,
      });
    }
  }
  const cpus = [];
  for (const [server, runs] of results) {
    const of = (/** @type {'rate' | 'p50' | 'p99' | 'cpu'} */ key) =>
      median(runs.map((one) => one[key]));
    cpus.push(of('cpu'));
    print(
      name,
      server,
      of('rate').toFixed(0),
      of('p50').toFixed(2),
      of('p99').toFixed(2),
      of('cpu').toFixed(3),
    );
  }
  const [ours = NaN, theirs = NaN] = cpus;
  console.log(`${''.padEnd(40)}CPU, homing / workerd: ${(ours / theirs).toFixed(2)}`);
  return results;
}

/** @param {readonly string[]} cells */
function print(...cells) {
  const widths = [28, 10, 12, 10, 10, 22];
  console.log(
    cells
      .map((cell, index) =>
        index < 2 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0),
      )
      .join(''),
  );
}

/** @param {readonly Server[]} servers */
async function room(servers) {
  const rooms = new Map();
  for (const server of servers)
    rooms.set(server, await openSockets(server.port, 'room', socketsInRoom));
  await compare(servers, `room of ${socketsInRoom}, deliveries`, (server, ms) =>
    converse(rooms.get(server), ms),
  );
  for (const sockets of rooms.values()) closeSockets(sockets);
}

/**
 * Bytes of a server's memory that each of what `fill` makes takes. A server of its own, so that
 * nothing else moves them.
 * @param {() => Promise<Server>} start
 * @param {(server: Server) => Promise<number>} fill resolves with how many it made
 */
async function bytesEach(start, fill) {
  const server = await start();
  try {
    await load({ port: server.port, connections, durationMs: 1000, request: warm });
    await new Promise((resolve) => setTimeout(resolve, untilAsleepMs));
    const before = residentBytes(server.pid);
    const count = await fill(server);
    return (residentBytes(server.pid) - before) / count;
  } finally {
    await server.stop();
  }
}

/** @param {number} index */
const warm = (index) => `GET /write/warm-${index % 1000} HTTP/1.1\r\nHost: bench\r\n\r\n`;

/** @param {Server} server */
async function activeObjects(server) {
  let touched = 0;
  const request = () => `GET /write/held-${touched++} HTTP/1.1\r\nHost: bench\r\n\r\n`;
  while (touched < objectsInMemory) {
    await load({ port: server.port, connections, durationMs: 100, request });
  }
  return touched;
}

/** @param {Server} server */
async function hibernatingSockets(server) {
  /** @type {import('ws').WebSocket[]} */
  const sockets = [];
  for (let index = 0; index < sleepingSockets; index += 10) {
    sockets.push(...(await openSockets(server.port, `asleep-${index}`, 10)));
  }
  await new Promise((resolve) => setTimeout(resolve, untilAsleepMs));
  setImmediate(() => closeSockets(sockets));
  return sockets.length;
}

/** How near the increments come to what the disk gives. */
async function besideRocksDb(/** @type {Server} */ server) {
  const { adminPort } = server;
  if (adminPort === undefined) return;
  const before = await batchTotals(adminPort);
  const startMs = performance.now();
  await requests((index) => `/write/w${index % 10_000}`)(server, durationMs * 2);
  const after = await batchTotals(adminPort);
  const records = after.records - before.records;
  const rate = (records * 1000) / (performance.now() - startMs);
  const batch = Math.max(1, Math.round(records / (after.batches - before.batches)));
  const raw = await rawRecordsPerSecond(batch, durationMs);
  const alone = await storeRecordsPerSecond(batch * 2, durationMs);
  console.log(`increments over 10,000 objects: ${rate.toFixed(0)}/s, ${batch} to an fsync`);
  console.log(
    `RocksDB alone, batches of ${batch}: ${raw.toFixed(0)}/s, ratio ${(rate / raw).toFixed(2)}`,
  );
  console.log(
    `homing's store alone, ${batch * 2} in flight: ${alone.toFixed(0)}/s, ratio ${(alone / raw).toFixed(2)}`,
  );
}

const servers = [await startHoming(), await startWorkerd()];
try {
  console.log(`${connections} connections, ${rounds} rounds of ${durationMs / 1000} s, medians`);
  print('case', 'server', 'per second', 'p50 ms', 'p99 ms', 'CPU seconds per 1,000');
  for (const { name, run } of cases) {
    if (values.only === undefined || name.includes(values.only)) await compare(servers, name, run);
  }
  if (values.only === undefined) await room(servers);
  for (const server of servers) await besideRocksDb(server);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
for (const [name, start] of Object.entries({ homing: startHoming, workerd: startWorkerd })) {
  const active = (await bytesEach(start, activeObjects)) / 1024;
  const asleep = (await bytesEach(start, hibernatingSockets)) / 1024;
  console.log(
    `${name}: ${active.toFixed(1)} KiB an active object, ${asleep.toFixed(1)} KiB a hibernating socket`,
  );
}
