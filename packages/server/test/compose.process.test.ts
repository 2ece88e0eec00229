/**
 * The services of docker-compose.yml, run as local processes: a room of the chat example is the same
 * by all three nodes, outlives one of them, and everything ends in order. Skipped where there is no
 * etcd; Prometheus takes part where it is installed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { repository } from './compose-file.ts';
import { isInstalled, LocalCompose } from './local-compose.ts';
import { run } from './program.ts';

const hasCommand = /^ {2}node /m.test((await run('--help')).stdout);
const hasPrometheus = isInstalled('prometheus');
const deploy = join(repository, 'deploy');
const pollMs = 200;
const answerMs = 20_000;

/** Waits until `attempt` gives something; the test's own timeout ends it otherwise. */
async function eventually<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const result = await attempt().catch(() => undefined);
    if (result !== undefined) return result;
    await sleep(pollMs);
  }
}

describe.skipIf(!hasCommand || !isInstalled('etcd') || !isInstalled('openssl'))('compose', () => {
  let compose: LocalCompose;
  let nodes: string[];

  /** Fails at once when the service ends instead, with what it printed. */
  async function answers(service: string, port: number, path: string): Promise<void> {
    const url = `http://127.0.0.1:${compose.port(service, port)}${path}`;
    await eventually(async () => {
      if (compose.hasEnded(service)) return { hasEnded: true };
      return (await fetch(url)).ok ? { hasEnded: false } : undefined;
    });
    expect(compose.hasEnded(service), compose.output(service)).toBe(false);
  }

  /** Joins the room by a node, says something, and gives the texts of the room up to it. */
  function say(node: string, text: string): Promise<string[]> {
    const url = `ws://127.0.0.1:${compose.port(node, 8787)}/api/room/test/websocket`;
    return eventually(async () => {
      const socket = new WebSocket(url, { handshakeTimeout: answerMs });
      try {
        return await converse(socket, text);
      } finally {
        socket.terminate();
      }
    });
  }

  beforeAll(async () => {
    compose = await LocalCompose.create();
    nodes = compose.running('homing');
    compose.start('etcd');
    const made = await compose.runToEnd('certs');
    expect(made, compose.output('certs')).toEqual({ code: 0, signal: null });
    await answers('etcd', 2379, '/health');
    for (const node of nodes) compose.start(node);
    for (const node of nodes) await answers(node, 8790, '/readyz');
  });

  afterAll(() => compose.dispose());

  test('every node is healthy, by the healthcheck written there', async () => {
    for (const node of nodes) expect(await compose.isHealthy(node)).toBe(true);
  });

  test('one room, by whichever node', async () => {
    const said: string[] = [];
    for (const node of nodes) {
      said.push(`by ${node}`);
      expect(await say(node, `by ${node}`)).toEqual(said);
    }
  });

  test.skipIf(!hasPrometheus)('Prometheus scrapes every node', async () => {
    compose.start('prometheus');
    const url = `http://127.0.0.1:${compose.port('prometheus', 9090)}/api/v1/targets`;
    const expected = nodes.map((node) => compose.port(node, 8790)).sort();
    const ports = await eventually(async () => {
      const { data } = (await (await fetch(url)).json()) as Targets;
      const up = data.activeTargets.filter((one) => one.health === 'up');
      const found = up.filter((one) => one.labels['job'] === 'homing');
      return found.length === expected.length ? found : undefined;
    });
    expect(ports.map((one) => Number(new URL(one.scrapeUrl).port)).sort()).toEqual(expected);
  });

  test('the others go on when one is killed, and nothing is lost', async () => {
    const [killed = '', ...others] = nodes;
    await compose.stop(killed, 'SIGKILL');
    const said = nodes.map((node) => `by ${node}`);
    for (const node of others) {
      said.push(`after, by ${node}`);
      expect(await say(node, `after, by ${node}`)).toEqual(said);
    }
  });

  test('SIGTERM ends the rest in order', async () => {
    const left = nodes.filter((node) => !compose.hasEnded(node));
    expect(left.length).toBe(2);
    const endings = await Promise.all(left.map((node) => compose.stop(node, 'SIGTERM')));
    for (const [index, ending] of endings.entries()) {
      expect(ending, compose.output(left[index] as string)).toEqual({ code: 0, signal: null });
    }
    if (hasPrometheus) {
      expect(await compose.stop('prometheus', 'SIGTERM')).toEqual({ code: 0, signal: null });
    }
    // Outside a container etcd hands the signal on to itself when it is done.
    const { code, signal } = await compose.stop('etcd', 'SIGTERM');
    expect(code === 0 || signal === 'SIGTERM').toBe(true);
  });
});

interface Targets {
  readonly data: {
    readonly activeTargets: readonly {
      readonly labels: Record<string, string>;
      readonly health: string;
      readonly scrapeUrl: string;
    }[];
  };
}

interface RoomMessage {
  readonly type: string;
  readonly text?: string;
  readonly messages?: readonly { readonly text: string }[];
}

/**
 * The texts that the room has, `text` being the last, said by this call unless an earlier attempt at
 * it got through. Undefined when the socket ends before.
 */
function converse(socket: WebSocket, text: string): Promise<string[] | undefined> {
  return new Promise((resolve) => {
    let texts: string[] = [];
    const timer = setTimeout(() => resolve(undefined), answerMs);
    const done = (result: string[] | undefined) => {
      clearTimeout(timer);
      resolve(result);
    };
    socket.on('error', () => done(undefined));
    socket.on('close', () => done(undefined));
    socket.on('open', () => socket.send(JSON.stringify({ name: 'tester' })));
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as RoomMessage;
      if (message.type === 'error') done(undefined);
      if (message.type === 'history') {
        texts = (message.messages ?? []).map((one) => one.text);
        if (texts.at(-1) === text) done(texts);
        else socket.send(JSON.stringify({ text }));
      }
      if (message.type === 'message') done([...texts, message.text ?? '']);
    });
  });
}

test.skipIf(!isInstalled('promtool'))('Prometheus accepts both configurations', () => {
  const dir = mkdtempSync(join(tmpdir(), 'homing-promtool-'));
  try {
    const says = (file: string) => {
      const check = spawnSync('promtool', ['check', 'config', file], { encoding: 'utf8' });
      return check.status === 0 ? 'ok' : check.stdout + check.stderr;
    };
    expect(says(join(deploy, 'prometheus/prometheus.yml'))).toBe('ok');
    // Debian builds Prometheus without Kubernetes: all but the finding of pods is checked.
    const kubernetes = parse(readFileSync(join(deploy, 'prometheus/kubernetes.yml'), 'utf8')) as {
      scrape_configs: Record<string, unknown>[];
    };
    for (const job of kubernetes.scrape_configs) {
      expect(job['kubernetes_sd_configs']).toEqual([
        { role: 'pod', namespaces: { names: ['homing'] } },
      ]);
      delete job['kubernetes_sd_configs'];
    }
    const file = join(dir, 'kubernetes.yml');
    writeFileSync(file, JSON.stringify(kubernetes));
    expect(says(file)).toBe('ok');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
