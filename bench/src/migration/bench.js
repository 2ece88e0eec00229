/**
 * What callers of an object see when it moves between two regions, `--rtt` apart, for states of several
 * sizes. In each region a metronome writes to it at a fixed rate, whether or not the last call has been
 * answered. The pause of a move is the longest that one of them took, less what calls from there take
 * otherwise, before the move or after it, whichever is more: what remains is the move's doing and not the
 * distance's. It stands in milliseconds and in round trips between the regions; the worse region counts.
 * Throughput is that of callers beside the object, in the time of the move, as a share of the time before.
 * Processor time of a move is what all nodes take in its course beyond what they take for the metronomes,
 * for each megabyte of the state; Linux only.
 *
 *     npm run bench -- migration --rtt 80 --sizes 1024,1048576,104857600 --moves 30,10,4
 */
import { once } from 'node:events';
import { Agent, get, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startCluster } from '../cluster.js';
import { median, row } from '../figures.js';
import { cpuMs } from '../servers.js';

const { values } = parseArgs({
  options: {
    rtt: { type: 'string', default: '80' },
    sizes: { type: 'string', default: '1024,1048576,104857600' },
    moves: { type: 'string', default: '30,10,4' },
    every: { type: 'string', default: '20' },
    callers: { type: 'string', default: '8' },
    nodes: { type: 'string', default: '6' },
  },
});
const rttMs = Number(values.rtt);
const sizes = values.sizes.split(',').map(Number);
const moves = values.moves.split(',').map(Number);
const everyMs = Number(values.every);
const callers = Number(values.callers);
const regions = ['eu', 'us'];
const restMs = 1500;
/** Callers begin with code that is not compiled yet, and would look faster later for that alone. */
const warmUpMs = 5000;
const baseMs = 4000;
const agent = new Agent({ keepAlive: true, maxSockets: 1000 });

/** @typedef {import('../cluster.js').ClusterNode} ClusterNode */
/** @typedef {{ startMs: number; tookMs: number; failed: boolean }} Call */

/**
 * @param {ClusterNode} node
 * @param {string} path
 * @returns {Promise<Call>} never rejects
 */
function call(node, path) {
  const startMs = performance.now();
  return new Promise((resolve) => {
    const end = (/** @type {boolean} */ failed) =>
      resolve({ startMs, tookMs: performance.now() - startMs, failed });
    const request = get({ host: '127.0.0.1', port: node.http, path, agent }, (response) => {
      response.resume();
      response.on('end', () => end(response.statusCode !== 200));
    });
    request.on('error', () => end(true));
  });
}

/** Writes at a fixed rate until it is stopped. */
class Metronome {
  /** @type {Call[]} */
  calls = [];
  /** @type {Promise<void>[]} */
  #open = [];
  /** @type {NodeJS.Timeout} */
  #timer;

  /** @param {ClusterNode} node @param {string} path */
  constructor(node, path) {
    this.#timer = setInterval(() => {
      this.#open.push(call(node, path).then((done) => void this.calls.push(done)));
    }, everyMs);
  }

  async stop() {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }
}

/** Callers that each call again when they are answered; counts answers by time. */
class Load {
  /** @type {number[]} */
  answeredMs = [];
  failed = 0;
  #isOver = false;
  /** @type {Promise<void>[]} */
  #loops;

  /** @param {ClusterNode} node @param {string} path */
  constructor(node, path) {
    this.#loops = Array.from({ length: callers }, async () => {
      while (!this.#isOver) {
        const { failed } = await call(node, path);
        if (failed) this.failed++;
        else this.answeredMs.push(performance.now());
      }
    });
  }

  /** Answers in a second, over a time. @param {number} fromMs @param {number} toMs */
  rate(fromMs, toMs) {
    const count = this.answeredMs.filter((atMs) => atMs >= fromMs && atMs < toMs).length;
    return (count / (toMs - fromMs)) * 1000;
  }

  async stop() {
    this.#isOver = true;
    await Promise.all(this.#loops);
  }
}

/**
 * @param {ClusterNode} node
 * @param {string} name
 * @param {string} region
 */
async function migrate(node, name, region) {
  // `fetch` gives up on an answer after five minutes.
  const asked = request({
    host: '127.0.0.1',
    port: node.admin,
    path: '/api/migrate',
    method: 'POST',
  });
  asked.end(JSON.stringify({ namespace: 'BENCH', name, region }));
  const [response] = /** @type {[import('node:http').IncomingMessage]} */ (
    await once(asked, 'response')
  );
  const answer = await text(response);
  if (response.statusCode !== 200) throw new Error(`it does not move to ${region}: ${answer}`);
}

/**
 * @param {ClusterNode} node
 * @param {string} name
 * @returns {Promise<string>}
 */
async function regionOf(node, name) {
  const query = new URLSearchParams({ namespace: 'BENCH', name });
  const response = await fetch(`http://127.0.0.1:${node.admin}/api/describe?${query}`);
  const { region } = /** @type {{ region: string }} */ (await response.json());
  return region;
}

/** @param {readonly number[]} numbers @param {number} share */
function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Processor time that all nodes have taken so far, in milliseconds. */
function processorMs() {
  if (process.platform !== 'linux') return Number.NaN;
  return nodes.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
}

/**
 * One move under metronomes: the pause that callers see, in each region.
 * @param {Map<string, ClusterNode>} nodes by region
 * @param {string} name
 */
async function pauseOf(nodes, name) {
  const first = /** @type {ClusterNode} */ (nodes.get('eu'));
  const from = await regionOf(first, name);
  const to = regions.find((region) => region !== from) ?? '';
  const metronomes = [...nodes.values()].map((node) => new Metronome(node, `/write/${name}`));
  await sleep(restMs);
  const restProcessorMs = processorMs();
  await sleep(restMs);
  const startProcessorMs = processorMs();
  const startMs = performance.now();
  await migrate(first, name, to);
  const tookMs = performance.now() - startMs;
  const usualProcessorMs = ((startProcessorMs - restProcessorMs) / restMs) * tookMs;
  const copyProcessorMs = processorMs() - startProcessorMs - usualProcessorMs;
  await sleep(restMs);
  for (const metronome of metronomes) await metronome.stop();
  const pauses = metronomes.map(({ calls }) => {
    const usual = (/** @type {(call: Call) => boolean} */ isOne) =>
      median(calls.filter(isOne).map((one) => one.tookMs));
    const before = usual((one) => one.startMs + one.tookMs < startMs);
    const after = usual((one) => one.startMs > startMs + tookMs + restMs / 3);
    return Math.max(...calls.map((one) => one.tookMs)) - Math.max(before, after);
  });
  const failed = metronomes.flatMap(({ calls }) => calls).filter((one) => one.failed).length;
  return { pauseMs: Math.max(...pauses), tookMs, failed, processorMs: copyProcessorMs };
}

/**
 * One move under load beside the object.
 * @param {Map<string, ClusterNode>} nodes by region
 * @param {string} name
 */
async function throughputOf(nodes, name) {
  const first = /** @type {ClusterNode} */ (nodes.get('eu'));
  const from = await regionOf(first, name);
  const to = regions.find((region) => region !== from) ?? '';
  const load = new Load(/** @type {ClusterNode} */ (nodes.get(from)), `/write/${name}`);
  await sleep(warmUpMs + baseMs);
  const startMs = performance.now();
  await migrate(first, name, to);
  const endMs = performance.now();
  await load.stop();
  const share = load.rate(startMs, endMs) / load.rate(startMs - baseMs, startMs);
  return { share, failed: load.failed };
}

/** @param {number} bytes */
function sizeName(bytes) {
  if (bytes >= 1024 * 1024) return `${bytes / 1024 / 1024} MB`;
  return `${bytes / 1024} KB`;
}

const { nodes, stop } = await startCluster(
  ['--nodes', values.nodes, '--regions', regions.join(), '--rtt', String(rttMs)],
  { HOMING_MIGRATION_MODE: 'off' },
);
try {
  const byRegion = new Map(
    regions.map((region) => {
      const node = nodes.find((one) => one.region === region);
      if (node === undefined) throw new Error(`no node in ${region}`);
      return [region, node];
    }),
  );
  const first = /** @type {ClusterNode} */ (byRegion.get('eu'));
  const widths = [10, 7, 22, 22, 18, 14, 16, 8];
  const titles = [
    'state',
    'moves',
    'pause p50',
    'pause p99',
    'a move takes',
    'cpu per MB',
    'throughput',
  ];
  row([...titles, 'failed'], widths);
  for (const [index, size] of sizes.entries()) {
    const name = `size-${size}`;
    const filled = await call(first, `/fill/${name}/${size}`);
    if (filled.failed) throw new Error(`the object cannot be made ${size} bytes large`);
    const pauses = [];
    for (let move = 0; move < (moves[index] ?? 4); move++) {
      pauses.push(await pauseOf(byRegion, name));
    }
    const shares = [];
    for (let move = 0; move < 4; move++) shares.push(await throughputOf(byRegion, name));
    const shown = (/** @type {number} */ share) => {
      const ms = quantile(
        pauses.map(({ pauseMs }) => pauseMs),
        share,
      );
      return `${ms.toFixed(0)} ms, ${(ms / rttMs).toFixed(1)} rtt`;
    };
    const failed = [...pauses, ...shares].reduce((sum, one) => sum + one.failed, 0);
    const tookMs = median(pauses.map((one) => one.tookMs));
    const moved = median(pauses.map((one) => one.processorMs)) / (size / 1024 / 1024);
    const share = median(shares.map((one) => one.share));
    row(
      [
        sizeName(size),
        String(pauses.length),
        shown(0.5),
        shown(0.99),
        `${tookMs.toFixed(0)} ms`,
        size >= 1024 * 1024 ? `${moved.toFixed(0)} ms` : '',
        `${(100 * share).toFixed(0)} %`,
        String(failed),
      ],
      widths,
    );
  }
} finally {
  agent.destroy();
  await stop();
}
