/** Faults on small processes of our own. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  etcdPartitionFault,
  killFault,
  type Linked,
  partitionFault,
  pauseFault,
} from '../src/faults.ts';
import { freePorts } from '../src/free-ports.ts';
import { answers, ManagedProcess } from '../src/managed-process.ts';
import type { Rule } from '../src/tcp-proxy.ts';

const started: ManagedProcess[] = [];

afterEach(async () => {
  for (const process_ of started.splice(0)) await process_.kill();
});

/** A web server that answers with its pid. */
async function small(name: string): Promise<{ process: ManagedProcess; url: string }> {
  const [port = 0] = await freePorts(1);
  const url = `http://127.0.0.1:${port}/`;
  const code = `http.createServer((_, out) => out.end(String(process.pid))).listen(${port}, '127.0.0.1')`;
  const process_ = new ManagedProcess({
    name,
    command: process.execPath,
    args: ['-e', code],
    isReady: () => answers(url),
  });
  started.push(process_);
  await process_.start();
  return { process: process_, url };
}

test('killed and started again, more than one at once', async () => {
  const [a, b] = [await small('a'), await small('b')];
  const before = a.process.pid;
  const fault = killFault('killall', [a.process, b.process]);
  expect(fault.target).toBe('a, b');
  await fault.inject();
  expect([await answers(a.url), await answers(b.url)]).toEqual([false, false]);
  expect(a.process.pid).toBeUndefined();
  await fault.heal();
  await fault.heal();
  expect([await answers(a.url), await answers(b.url)]).toEqual([true, true]);
  expect(a.process.pid).not.toBe(before);
  expect(a.process.crashes).toBe(0);
});

test('stopped, and let go on as the same process', async () => {
  const { process: process_, url } = await small('a');
  const pid = process_.pid;
  const fault = pauseFault(process_);
  await fault.inject();
  expect(await answers(url)).toBe(false);
  await fault.heal();
  expect(await answers(url)).toBe(true);
  expect(process_.pid).toBe(pid);
});

test('a stopped process can be killed', async () => {
  const { process: process_, url } = await small('a');
  process_.signal('SIGSTOP');
  await process_.kill();
  await process_.start();
  expect(await answers(url)).toBe(true);
});

test('one that ends by itself is counted; one that never serves is reported', async () => {
  const { process: process_ } = await small('a');
  process.kill(process_.pid as number, 'SIGKILL');
  await process_.ended();
  expect(process_.crashes).toBe(1);

  const bad = new ManagedProcess({
    name: 'bad',
    command: process.execPath,
    args: ['-e', 'console.error("no disk"); process.exit(3)'],
    isReady: () => Promise.resolve(false),
  });
  await expect(bad.start()).rejects.toThrow(/no disk/);
  expect(bad.crashes).toBe(0);
});

test('a server that answers with an error does not serve', async () => {
  const server = createServer((_request, response) => {
    response.statusCode = 503;
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  expect(await answers(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).toBe(false);
  server.close();
});

describe('partitions', () => {
  /** Notes the rules that are set, by proxy and source. */
  function links() {
    const rules = new Map<string, Rule>();
    const linked = (node: string): Linked => ({
      node,
      peerLinks: { set: (rule, source) => rules.set(`${source}→${node}`, rule) },
      etcdLinks: { set: (rule) => rules.set(`${node}→etcd`, rule) },
    });
    const [n1, n2, n3] = [linked('n1'), linked('n2'), linked('n3')] as const;
    return { n1, n2, n3, rules };
  }
  const hold = { holdToTarget: true, holdToClient: true };

  test('of a node from all others, whoever dials', async () => {
    const { n1, n2, n3, rules } = links();
    const fault = partitionFault(n1, [n2, n3], 'both ways', true);
    await fault.inject();
    expect(Object.fromEntries(rules)).toEqual({
      'n1→n2': hold,
      'n2→n1': hold,
      'n1→n3': hold,
      'n3→n1': hold,
      'n1→etcd': hold,
    });
    await fault.heal();
    expect(new Set([...rules.values()].map((rule) => JSON.stringify(rule)))).toEqual(
      new Set(['{}']),
    );
  });

  test('of what a node sends', async () => {
    const { n1, n2, rules } = links();
    await partitionFault(n1, [n2], 'outgoing').inject();
    expect(rules.get('n1→n2')).toEqual({ holdToTarget: true });
    expect(rules.get('n2→n1')).toEqual({ holdToClient: true });
    expect(rules.has('n1→etcd')).toBe(false);
  });

  test('from etcd alone', async () => {
    const { n1, rules } = links();
    await etcdPartitionFault(n1).inject();
    expect(Object.fromEntries(rules)).toEqual({ 'n1→etcd': hold });
  });
});
