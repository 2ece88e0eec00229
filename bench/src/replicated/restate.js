/**
 * A Restate cluster of three servers whose log has two copies before it answers, as homing's has,
 * and the process that its objects' code runs in. State on disk with Restate's own defaults.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const names = ['n1', 'n2', 'n3'];
const program = fileURLToPath(new URL('restate-counter.js', import.meta.url));
const startTimeoutMs = 60_000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/**
 * @param {string} installed where `@restatedev/restate-server` and `-sdk` are
 * @returns {Promise<import('./bench.js').Subject>}
 */
export async function startRestate(installed) {
  const require = createRequire(join(resolve(installed), 'package.json'));
  const platform = `${process.platform}-${process.arch}`;
  const binary = join(
    require.resolve(`@restatedev/restate-server-${platform}/package.json`),
    '../bin/restate-server',
  );
  const directory = mkdtempSync(join(tmpdir(), 'bench-restate-'));
  const ports = await Promise.all(names.flatMap(() => [freePort(), freePort(), freePort()]));
  const at = (/** @type {number} */ index) => `127.0.0.1:${ports[index]}`;
  const members = names.map((_, index) => `http://${at(index * 3)}`);
  const counterPort = await freePort();
  const counter = fork(program, [String(counterPort), resolve(installed)], { silent: true });
  await once(counter, 'message');
  const log = openSync(join(directory, 'log'), 'a');
  const servers = names.map((name, index) => {
    const args = [
      ...['--no-logo', '--listen-mode', 'tcp', '--node-name', name, '--cluster-name', 'bench'],
      ...['--base-dir', join(directory, name), '--auto-provision', String(index === 0)],
      ...['--bind-address', at(index * 3), '--advertised-address', members[index] ?? ''],
    ];
    const env = {
      ...process.env,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_DEFAULT_REPLICATION: '2',
      RESTATE_METADATA_CLIENT__ADDRESSES: JSON.stringify(members),
      RESTATE_INGRESS__BIND_ADDRESS: at(index * 3 + 1),
      RESTATE_ADMIN__BIND_ADDRESS: at(index * 3 + 2),
    };
    return spawn(binary, args, { stdio: ['ignore', log, log], env });
  });
  const children = [...servers, counter];
  const stop = async () => {
    const ended = children.map((child) => once(child, 'exit'));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    rmSync(directory, { recursive: true, force: true });
  };
  const httpPorts = names.map((_, index) => ports[index * 3 + 1] ?? 0);
  try {
    const uri = `http://127.0.0.1:${counterPort}`;
    await untilOk(`http://${at(2)}/deployments`, JSON.stringify({ uri }));
    // Partitions find their leaders a while after the servers serve.
    for (const port of httpPorts) {
      for (let index = 0; index < 50; index++) {
        await untilOk(`http://127.0.0.1:${port}/Bench/first-${index}/write`, undefined);
      }
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: 'restate',
    ports: httpPorts,
    pids: children.map(({ pid }) => /** @type {number} */ (pid)),
    request: (name) =>
      `POST /Bench/${name}/write HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n`,
    stop,
  };
}

/**
 * @param {string} url
 * @param {string | undefined} body JSON
 */
async function untilOk(url, body) {
  const endMs = performance.now() + startTimeoutMs;
  for (;;) {
    const answer = await fetch(url, {
      method: 'POST',
      signal: AbortSignal.timeout(20_000),
      ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }),
    }).then(
      async (response) => (response.ok ? undefined : await response.text()),
      (error) => String(error),
    );
    if (answer === undefined) return;
    if (performance.now() > endMs) throw new Error(`restate does not serve: ${url}: ${answer}`);
    await sleep(200);
  }
}
