/**
 * Increments that a majority of three has on disk, in turns within one run: a homing cluster, the
 * same shape without the product (skeleton-process.js), and a Restate cluster where one is
 * installed. Callers keep HTTP connections to all three processes and name objects at random, so most
 * requests to homing come to a node that does not own the object, and so they do to the skeleton that
 * is `routed`; the other one does not ask whose object it is.
 *
 *     npm run bench -- replicated --rounds 5 --seconds 1.5 --connections 96 --restate DIR
 *
 * DIR is where `npm install @restatedev/restate-server @restatedev/restate-sdk` was run.
 */
import { parseArgs } from 'node:util';
import { startCluster } from '../cluster.js';
import { inTurns, row, spread } from '../figures.js';
import { load } from '../load.js';
import { cpuMs } from '../servers.js';
import { startRestate } from './restate.js';
import { startSkeleton } from './skeleton.js';

/**
 * @typedef {{ name: string; ports: number[]; pids: number[]; request: (name: string) => string;
 *   stop: () => Promise<void> }} Subject
 * @typedef {{ count: number; rate: number; p50: number; p99: number; cpu: number }} Figure
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    connections: { type: 'string', default: '96' },
    objects: { type: 'string', default: '1,100,10000' },
    warm: { type: 'string', default: '20000' },
    only: { type: 'string' },
    restate: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);
const warmRequests = Number(values.warm);
const widths = [27, 10, 24, 22, 24, 26];

/** @returns {Promise<Subject>} */
async function startHoming() {
  const { nodes, stop } = await startCluster();
  return {
    name: 'homing',
    ports: nodes.map(({ http }) => http),
    pids: nodes.map(({ pid }) => pid),
    request: (name) => `GET /write/${name} HTTP/1.1\r\nHost: bench\r\n\r\n`,
    stop,
  };
}

/**
 * @param {Subject} subject
 * @param {number} ms
 * @param {() => string} nextName
 * @returns {Promise<Figure>}
 */
async function run({ ports, pids, request }, ms, nextName) {
  const cpu = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const cpuBefore = cpu();
  const startMs = performance.now();
  const each = Math.round(connections / ports.length);
  const runs = await Promise.all(
    ports.map((port) =>
      load({ port, connections: each, durationMs: ms, request: () => request(nextName()) }),
    ),
  );
  const seconds = (performance.now() - startMs) / 1000;
  const latencies = Float64Array.from(runs.flatMap(({ latenciesMs }) => [...latenciesMs])).sort();
  const at = (/** @type {number} */ part) => latencies[Math.floor(latencies.length * part)] ?? NaN;
  return {
    count: latencies.length,
    rate: latencies.length / seconds,
    p50: at(0.5),
    p99: at(0.99),
    cpu: (cpu() - cpuBefore) / latencies.length,
  };
}

/**
 * Every object is written once before it is measured: where it lives is decided then. And all of
 * them so often that V8 has compiled what runs often, the same number on each side: seconds would
 * leave the slower side cold.
 * @param {Subject} subject
 * @param {number} objects
 */
async function warm(subject, objects) {
  let next = 0;
  while (next < objects) await run(subject, 300, () => nameOf(objects, next++ % objects));
  let done = 0;
  while (done < warmRequests) {
    const { count } = await run(subject, 500, () =>
      nameOf(objects, Math.floor(Math.random() * objects)),
    );
    done += count;
  }
}

/**
 * @param {number} objects
 * @param {number} index
 */
const nameOf = (objects, index) => `of-${objects}-${index}`;

/**
 * @param {readonly Subject[]} subjects
 * @param {number} objects
 */
async function compare(subjects, objects) {
  for (const subject of subjects) await warm(subject, objects);
  const nextName = () => nameOf(objects, Math.floor(Math.random() * objects));
  const figures = await inTurns(subjects, rounds, (subject) => run(subject, durationMs, nextName));
  const title = `increments, ${objects} object${objects === 1 ? '' : 's'}`;
  const [ours = []] = figures.values();
  for (const [{ name }, theirs] of figures) {
    const of = (/** @type {keyof Figure} */ key) => theirs.map((one) => one[key]);
    row(
      [
        ...[title, name, spread(of('rate'), 0), spread(of('p50'), 1), spread(of('p99'), 1)],
        spread(of('cpu'), 3),
      ],
      widths,
    );
    if (theirs === ours) continue;
    const ratio = (/** @type {keyof Figure} */ key) =>
      spread(
        ours.map((one, round) => one[key] / (theirs[round]?.[key] ?? NaN)),
        2,
      );
    console.log(`  homing / ${name}: rate ${ratio('rate')}, CPU an increment ${ratio('cpu')}`);
  }
}

/** @type {Subject[]} */
const subjects = [];
try {
  subjects.push(await startHoming());
  if (values.only !== 'homing') {
    subjects.push(await startSkeleton('alone'), await startSkeleton('routed'));
  }
  if (values.restate !== undefined) subjects.push(await startRestate(values.restate));
  console.log(
    `${connections} connections over three processes, ${rounds} rounds of ${durationMs / 1000} s: ` +
      'median [least–greatest]',
  );
  row(['case', '', 'per second', 'p50 ms', 'p99 ms', 'CPU seconds per 1,000'], widths);
  for (const objects of values.objects.split(',').map(Number)) await compare(subjects, objects);
} finally {
  await Promise.all(subjects.map((subject) => subject.stop()));
}
