/** The metrics page: what it promises is there, Prometheus accepts it, no series names an object. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { example, Program } from './program.ts';

const hasPromtool = spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0;

const promised = [
  'homing_requests_total',
  'homing_request_duration_seconds',
  'homing_objects_active',
  'homing_objects_owned',
  'homing_sockets',
  'homing_activations_total',
  'homing_activation_duration_seconds',
  'homing_migrations_total',
  'homing_failovers_total',
  'homing_forwarded_total',
  'homing_commit_duration_seconds',
  'homing_commit_batch_records',
  'homing_fsync_duration_seconds',
  'homing_replication_lag_records',
  'homing_placement_claims_total',
  'homing_session_expired_total',
  'homing_alarms_total',
  'homing_overload_rejections_total',
  'process_cpu_seconds_total',
];

const twoCalls = 'homing_requests_total{namespace="COUNTER",kind="call",outcome="ok"} 2';

let program: Program;
let page: string;

beforeAll(async () => {
  program = await Program.start(example('counter'), '--no-watch');
  for (const name of ['a', 'b']) await fetch(program.url(`/${name}`), { method: 'POST' });
  const scrape = async () =>
    (await fetch(`http://127.0.0.1:${program.ports.admin}/metrics`)).text();
  do page = await scrape();
  while (
    // Executors report what they ran a few times a second.
    !page.includes(twoCalls)
  );
});

afterAll(() => program.dispose());

test.each(promised)('%s', (name) => {
  expect(page).toContain(`# TYPE ${name} `);
});

test('no label holds an id', () => {
  expect(page).not.toMatch(/[0-9a-f]{64}/);
  expect(page).toContain(twoCalls);
});

test.skipIf(!hasPromtool)('promtool finds nothing wrong', () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: page,
    encoding: 'utf8',
  });
  const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line.startsWith('homing_'));
  expect(complaints).toEqual([]);
  // What prom-client's default metrics are called is not ours to change.
  expect([0, 3]).toContain(status);
});

test('health and readiness', async () => {
  for (const path of ['/healthz', '/readyz', '/api/status', '/api/nodes', '/api/objects']) {
    const response = await fetch(`http://127.0.0.1:${program.ports.admin}${path}`);
    expect(response.status, path).toBe(200);
  }
  const missing = await fetch(`http://127.0.0.1:${program.ports.admin}/nothing`);
  expect(missing.status).toBe(404);
});
