/**
 * Calls of a method that returns at once, on an object that another node owns, beside calls over
 * grpc-js alone between two processes, in turns within one run. CPU is that of the two processes
 * together. Callers are
 *
 * - inside: loops in the calling process, code of the worker there, each of which awaits one call
 *   after the other. They go in step: what one message brought together leaves together, which
 *   favours the side that puts many calls into one message;
 * - outside: connections over HTTP to the calling process, which makes one call a request.
 *
 *     npm run bench -- forwarded --rounds 5 --seconds 1.2 --callers 1,32,256
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startCluster } from '../cluster.js';
import { inTurns, row, spread } from '../figures.js';
import { load } from '../load.js';
import { cpuMs } from '../servers.js';

/**
 * @typedef {(callers: number, ms: number) => Promise<number>} Calls resolves with how many there were
 * @typedef {{ name: string; pids: number[]; inside: Calls; outside: Calls;
 *   stop: () => Promise<void> }} Subject
 * @typedef {{ count: number; rate: number; perCpu: number }} Figure
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.2' },
    callers: { type: 'string', default: '1,32,256' },
    warm: { type: 'string', default: '10000' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const warmCalls = Number(values.warm);
const widths = [22, 10, 28, 28];

/** @param {string} name */
const program = (name) => fileURLToPath(new URL(name, import.meta.url));

/**
 * @param {number} port
 * @param {string} path
 * @returns {Calls}
 */
function requests(port, path) {
  const request = () => `GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`;
  return async (connections, durationMs) =>
    (await load({ port, connections, durationMs, request })).count;
}

/** @returns {Promise<Subject>} */
async function startHoming() {
  const { nodes, stop } = await startCluster();
  const [near, far] = nodes;
  if (near === undefined || far === undefined) throw new Error('a cluster without nodes');
  const ask = async (/** @type {number} */ port, /** @type {string} */ path) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return text;
  };
  // An object is placed on the node that first asks for it.
  await ask(far.http, '/memory/far');
  await expectOwner(near.admin, far.name);
  return {
    name: 'homing',
    pids: [near.pid, far.pid],
    inside: async (callers, ms) => Number(await ask(near.http, `/burst/far/${callers}/${ms}`)),
    outside: requests(near.http, '/memory/far'),
    stop,
  };
}

/**
 * Rejects unless the object of the calls is on the node that it should be on.
 * @param {number} admin
 * @param {string} owner
 */
async function expectOwner(admin, owner) {
  const url = `http://127.0.0.1:${admin}/api/describe?namespace=BENCH&name=far`;
  const { node } = /** @type {{ node: string }} */ (await (await fetch(url)).json());
  if (node !== owner) throw new Error(`the object is on ${node}, not on ${owner}`);
}

/** @returns {Promise<Subject>} */
async function startEcho() {
  const server = fork(program('echo-server.js'));
  const [{ port }] = await once(server, 'message');
  const caller = fork(program('echo-caller.js'), [String(port)]);
  const [{ http }] = await once(caller, 'message');
  return {
    name: 'grpc-js',
    pids: [caller, server].map(({ pid }) => /** @type {number} */ (pid)),
    inside: async (callers, ms) => {
      const done = once(caller, 'message');
      caller.send({ callers, ms });
      const [{ count }] = await done;
      return count;
    },
    outside: requests(http, '/'),
    stop: async () => {
      for (const child of [caller, server]) {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }
    },
  };
}

/**
 * @param {Subject} subject
 * @param {'inside' | 'outside'} where
 * @param {number} callers
 * @param {number} ms
 * @returns {Promise<Figure>}
 */
async function run(subject, where, callers, ms) {
  const { pids } = subject;
  const cpu = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const cpuBefore = cpu();
  const startMs = performance.now();
  const count = await subject[where](callers, ms);
  return {
    count,
    rate: (count * 1000) / (performance.now() - startMs),
    perCpu: (count * 1000) / (cpu() - cpuBefore),
  };
}

/**
 * The same number of calls on each side: V8 compiles what has run often, and a second of one caller
 * would leave both sides cold.
 * @param {Subject} subject
 * @param {'inside' | 'outside'} where
 * @param {number} callers
 */
async function warm(subject, where, callers) {
  for (let done = 0; done < warmCalls; ) done += (await run(subject, where, callers, 500)).count;
}

/**
 * @param {readonly Subject[]} subjects
 * @param {'inside' | 'outside'} where
 * @param {number} callers
 */
async function compare(subjects, where, callers) {
  for (const subject of subjects) await warm(subject, where, callers);
  const figures = await inTurns(subjects, rounds, (subject) =>
    run(subject, where, callers, durationMs),
  );
  const [ours = []] = figures.values();
  for (const [{ name }, theirs] of figures) {
    const of = (/** @type {keyof Figure} */ key) => theirs.map((one) => one[key]);
    const title = `${callers} callers ${where}`;
    row([title, name, spread(of('rate'), 0), spread(of('perCpu'), 0)], widths);
    if (theirs === ours) continue;
    const ratio = (/** @type {keyof Figure} */ key) =>
      spread(
        ours.map((one, round) => one[key] / (theirs[round]?.[key] ?? NaN)),
        2,
      );
    console.log(`  homing / ${name}: calls ${ratio('rate')}, calls per CPU ${ratio('perCpu')}`);
  }
}

/** @type {Subject[]} */
const subjects = [];
try {
  subjects.push(await startHoming());
  if (values.only !== 'homing') subjects.push(await startEcho());
  console.log(`${rounds} rounds of ${durationMs / 1000} s: median [least–greatest]`);
  row(['case', '', 'calls a second', 'calls a CPU second'], widths);
  for (const where of /** @type {const} */ (['inside', 'outside'])) {
    for (const callers of values.callers.split(',').map(Number)) {
      await compare(subjects, where, callers);
    }
  }
} finally {
  await Promise.all(subjects.map((subject) => subject.stop()));
}
