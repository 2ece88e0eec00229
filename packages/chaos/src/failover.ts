/**
 * How long an object is gone when its owner dies: SIGKILL of the owner, and requests through the
 * other nodes until one is answered, again and again. The answer must hold what was acknowledged.
 */
import { quantiles } from './availability.ts';
import type { Cluster, ClusterNode } from './cluster.ts';
import { HttpClient } from './http-client.ts';

export interface FailoverOptions {
  readonly cluster: Cluster;
  readonly rounds: number;
  readonly print: (line: string) => void;
}

export interface FailoverReport {
  readonly rounds: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly timesMs: readonly number[];
  /** Rounds in which an acknowledged append was gone. */
  readonly lost: number;
}

const probeIntervalMs = 25;
const probesInFlightMax = 200;
const roundTimeoutMs = 60_000;

/** Rejects when an object has no owner, or gets no new one in a minute. */
export async function measureFailover(options: FailoverOptions): Promise<FailoverReport> {
  const { cluster, rounds, print } = options;
  const http = new HttpClient(probesInFlightMax);
  const timesMs: number[] = [];
  let lost = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      const object = `failover-${Date.now().toString(36)}-${round}`;
      const before = await placed(http, cluster, object);
      const owner = await cluster.ownerOf(object);
      if (owner === undefined) throw new Error(`no node says who owns ${object}`);
      const killedMs = performance.now();
      const gone = owner.process.kill();
      const list = await firstAnswer(http, others(cluster, owner), object);
      const tookMs = performance.now() - killedMs;
      timesMs.push(tookMs);
      if (before.some((value) => !list.includes(value))) lost += 1;
      print(`round ${round + 1}: ${owner.node} killed, answered after ${tookMs.toFixed(0)} ms`);
      await gone;
      await owner.process.start();
    }
  } finally {
    http.close();
  }
  const quantile = quantiles(timesMs);
  return {
    rounds,
    p50Ms: quantile(0.5),
    p90Ms: quantile(0.9),
    p99Ms: quantile(0.99),
    maxMs: quantile(1),
    timesMs,
    lost,
  };
}

/** Makes the object live and returns what it acknowledged. */
async function placed(http: HttpClient, cluster: Cluster, object: string): Promise<number[]> {
  const deadline = performance.now() + roundTimeoutMs;
  for (let value = 1; ; value++) {
    const node = cluster.nodes[value % cluster.nodes.length] as ClusterNode;
    const answer = await http.send({
      url: node.http,
      method: 'POST',
      path: `/list/${object}`,
      body: { value },
      timeoutMs: 10_000,
    });
    if (answer.outcome === 'ok') return (answer.body as { list: number[] }).list;
    if (performance.now() > deadline) throw new Error(`${object} was not placed: ${answer.error}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function others(cluster: Cluster, node: ClusterNode): ClusterNode[] {
  return cluster.nodes.filter((other) => other !== node);
}

/** A new request every 25 ms, whatever the earlier ones wait for; resolves with the first answer. */
function firstAnswer(
  http: HttpClient,
  nodes: readonly ClusterNode[],
  object: string,
): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    let sent = 0;
    let inFlight = 0;
    const probe = () => {
      if (performance.now() - startedMs > roundTimeoutMs) {
        clearInterval(timer);
        reject(new Error(`${object} was not answered for in ${roundTimeoutMs} ms`));
        return;
      }
      if (inFlight >= probesInFlightMax) return;
      const node = nodes[sent++ % nodes.length] as ClusterNode;
      inFlight += 1;
      const sending = { url: node.http, method: 'GET', path: `/list/${object}`, timeoutMs: 5000 };
      void http.send(sending).then(({ outcome, body }) => {
        inFlight -= 1;
        if (outcome !== 'ok') return;
        clearInterval(timer);
        resolve((body as { list: number[] }).list);
      });
    };
    const timer = setInterval(probe, probeIntervalMs);
    probe();
  });
}

const bars = 10;
const barWidth = 40;

export function failoverText(report: FailoverReport): string {
  const { rounds, p50Ms, p90Ms, p99Ms, maxMs, timesMs, lost } = report;
  const minMs = timesMs.reduce((a, b) => Math.min(a, b), maxMs);
  const widthMs = Math.max(1, (maxMs - minMs) / bars);
  const counts = new Array<number>(bars).fill(0);
  for (const timeMs of timesMs) {
    const bar = Math.min(bars - 1, Math.floor((timeMs - minMs) / widthMs));
    counts[bar] = (counts[bar] ?? 0) + 1;
  }
  const highest = counts.reduce((a, b) => Math.max(a, b), 1);
  return [
    `${rounds} kills of an owner; until the first answer: p50 ${p50Ms.toFixed(0)} ms, ` +
      `p90 ${p90Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms, max ${maxMs.toFixed(0)} ms`,
    ...counts.map((count, bar) => {
      const from = `${(minMs + bar * widthMs).toFixed(0).padStart(7)} ms`;
      return `${from}  ${'#'.repeat(Math.ceil((barWidth * count) / highest)).padEnd(barWidth)} ${count}`;
    }),
    lost === 0 ? 'nothing acknowledged was lost' : `LOST acknowledged appends in ${lost} rounds`,
  ].join('\n');
}
