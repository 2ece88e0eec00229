/** The workload and its worker on the real program: one node, killed and started again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkHistory } from '../src/check.ts';
import { killFault } from '../src/faults.ts';
import { freePorts } from '../src/free-ports.ts';
import { History, type ListOperation } from '../src/history.ts';
import { answers, ManagedProcess } from '../src/managed-process.ts';
import { Workload } from '../src/workload.ts';

const homing = fileURLToPath(new URL('../../server/bin/homing.js', import.meta.url));
const project = fileURLToPath(new URL('../worker', import.meta.url));
const kills = 2;

let data: string;
let node: ManagedProcess;
let http: string;

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'chaos-homing-'));
  const [httpPort = 0, grpcPort = 0, adminPort = 0] = await freePorts(3);
  const ports = ['--port', httpPort, '--grpc-port', grpcPort, '--admin-port', adminPort];
  http = `http://127.0.0.1:${httpPort}`;
  node = new ManagedProcess({
    name: 'n1',
    command: process.execPath,
    args: [homing, 'dev', project, '--no-watch', '--data', data, ...ports.map(String)],
    isReady: () => answers(`http://127.0.0.1:${adminPort}/readyz`),
  });
  await node.start();
});

afterAll(async () => {
  await node.kill();
  rmSync(data, { recursive: true, force: true });
});

test(`lists and registers are kept over ${kills} kills under load`, async () => {
  const history = new History();
  const nodes = [{ node: 'n1', http }];
  const workload = new Workload({ nodes, history, seed: 1, objects: 3, operationsPerObject: 100 });
  workload.start();
  for (let round = 0; round < kills; round++) {
    const appended = () => history.operations.filter(({ outcome }) => outcome === 'ok').length;
    const before = appended();
    while (appended() < before + 100) await new Promise((resolve) => setTimeout(resolve, 20));
    const fault = killFault('kill', [node]);
    await fault.inject();
    await fault.heal();
  }
  await workload.stop();
  expect(await workload.readAll(20_000)).toEqual([]);
  workload.close();

  const { operations } = history;
  expect(checkHistory(operations)).toEqual([]);
  expect(operations.filter(({ outcome }) => outcome !== 'ok').length).toBeGreaterThanOrEqual(kills);
  expect(node.crashes).toBe(0);

  // The checker sees what it should: without a value that others saw the same history is wrong. The
  // newest one may be of a call without an answer, and nobody else's.
  const lists = operations.filter((one): one is ListOperation => one.kind === 'list');
  const last = lists.findLast(({ output = [] }) => output.length > 1) as ListOperation;
  const robbed = operations.map((one) =>
    one === last ? { ...last, output: last.output?.slice(1) } : one,
  );
  expect(checkHistory(robbed)).not.toEqual([]);
});
