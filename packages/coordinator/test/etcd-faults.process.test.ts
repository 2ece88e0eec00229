/** What etcd, the network and other processes can do to a coordinator, done to it. */
import type { Coordinator, CoordinatorEvent } from '@homing/base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { claim, locate } from './claims.ts';
import { objectNumber } from './cluster-conformance.ts';
import { etcdMissing, memoryLogger, TestEtcd, until } from './etcd.ts';
import { brief, type ClusterParts, clusterOn, type EtcdNode, openNode } from './etcd-cluster.ts';

const unavailable = { code: 'unavailable', executed: 'no' };

function listen(node: Coordinator): CoordinatorEvent['type'][] {
  const heard: CoordinatorEvent['type'][] = [];
  node.watch(({ type }) => heard.push(type));
  return heard;
}

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(etcdMissing)('etcd', () => {
  const object = objectNumber(1);
  const etcd = new TestEtcd();
  let prefix = '';
  let prefixes = 0;
  let cluster: ClusterParts;
  let a: EtcdNode;
  let b: EtcdNode;
  beforeAll(async () => {
    await etcd.start();
  });
  afterAll(() => etcd.remove());
  beforeEach(async () => {
    prefixes += 1;
    prefix = `/faults-${prefixes}/`;
    // Long enough that none ends because the machine is busy.
    cluster = clusterOn(etcd, { prefix, sessionTtlMs: 30_000 });
    [a, b] = await Promise.all([cluster.node('a'), cluster.node('b')]);
    await until('both know both', () => [a, b].every((one) => one.nodes().length === 2));
  });
  afterEach(() => cluster.close());

  test('killed and restarted, etcd ends no session, and is followed again', async () => {
    const { ownership } = await claim(a, object);
    const before = a.self;
    const heard = listen(a);
    const elsewhere = { prefix: '/elsewhere/', endpoints: [etcd.endpoint], limits: brief };
    const hasty = await openNode('h', { ...elsewhere, sessionTtlMs: 30_000 });
    await etcd.kill();
    await expect(claim(hasty, object)).rejects.toMatchObject(unavailable);
    expect([a.self, a.nodes().length]).toEqual([before, 2]);
    await etcd.start();
    const c = await cluster.node('c');
    await until('a sees c', () => a.nodes().some(({ node }) => node === 'c'));
    expect(await claim(c, object)).toEqual({ outcome: 'held', ownership });
    await until('a claims again', () =>
      claim(a, objectNumber(2)).then(
        ({ outcome }) => outcome === 'granted',
        () => false,
      ),
    );
    expect([a.self, heard.includes('session-lost')]).toEqual([before, false]);
    await hasty.close();
  });

  test('a claim that waits while etcd restarts is granted', async () => {
    const patient = await openNode('p', {
      prefix,
      endpoints: [etcd.endpoint],
      sessionTtlMs: 20_000,
      limits: { operationTimeoutMs: 20_000, requestTimeoutMs: 500 },
    });
    await etcd.kill();
    const claiming = claim(patient, object);
    await etcd.start();
    expect((await claiming).outcome).toBe('granted');
    await patient.close();
  });

  test('stopped for longer than a session, etcd is claimed from by nobody until it answers', async () => {
    const other = clusterOn(etcd, { prefix, sessionTtlMs: 2000, limits: brief });
    const c = await other.node('c');
    await claim(c, object);
    const heard = listen(c);
    const before = c.self;
    etcd.signal('SIGSTOP');
    await pass(3000);
    expect([c.self, heard.includes('session-lost')]).toEqual([before, false]);
    await expect(claim(c, object)).rejects.toThrow(/has not answered for/);
    etcd.signal('SIGCONT');
    let claimed = await claim(c, object).catch(() => undefined);
    await until('it claims again', async () => {
      claimed = await claim(c, object).catch(() => undefined);
      return claimed?.outcome === 'granted';
    });
    expect(claimed?.ownership.owner).toEqual(c.self);
    // Whether the lease outlived the stop is etcd's to say; that it did not must have been told.
    expect(heard.includes('session-lost')).toBe(c.self !== before);
    await other.close();
  });

  test('what was missed while the watch was cut is learned, history or not', async () => {
    cluster.proxy(a).set('closed');
    for (let times = 0; times < 5; times++) await b.setDraining(times % 2 === 0);
    const { header } = JSON.parse(etcd.etcdctl('get', 'x', '-w', 'json'));
    etcd.etcdctl('compact', String(header.revision));
    await cluster.node('c');
    cluster.proxy(a).set('open');
    await until('a knows all', () => a.nodes().length === 3);
    expect(a.nodes().find(({ node }) => node === 'b')?.draining).toBe(true);
    await b.setDraining(false);
    await until('a follows again', () => a.nodes().every(({ draining }) => draining !== true));
  });

  test('a claim whose answer is lost is granted under the epoch that etcd gave it', async () => {
    cluster.proxy(a).set('mute');
    const claiming = claim(a, object);
    await until('etcd has it', async () => (await locate(b, object)) !== undefined);
    cluster.proxy(a).cut();
    cluster.proxy(a).set('open');
    expect(await claiming).toEqual({ outcome: 'granted', ownership: await locate(b, object) });
  });

  test('a claim that is given up may have been granted, and the next one says so', async () => {
    const c = await cluster.node('c', { limits: brief });
    cluster.proxy(c).set('mute');
    await expect(claim(c, object)).rejects.toMatchObject(unavailable);
    const given = await locate(b, object);
    expect(given?.owner.node).toBe('c');
    cluster.proxy(c).cut();
    cluster.proxy(c).set('open');
    await until('it claims', () =>
      claim(c, object).then(
        (result) => {
          expect(result).toEqual({ outcome: 'granted', ownership: given });
          return true;
        },
        () => false,
      ),
    );
    const again = await claim(c, object);
    expect(again.ownership.epoch > given!.epoch).toBe(true);
  });

  test('a release and a transfer whose answers are lost take effect once', async () => {
    const first = (await claim(a, object)).ownership;
    cluster.proxy(a).set('mute');
    const release = a.release(object, first.epoch);
    await until('etcd has it', async () => (await locate(b, object)) === undefined);
    const byB = (await claim(b, object)).ownership;
    cluster.proxy(a).cut();
    cluster.proxy(a).set('open');
    await release;
    expect(await locate(b, object)).toEqual(byB);

    const other = objectNumber(2);
    const second = (await claim(a, other)).ownership;
    cluster.proxy(a).set('mute');
    const transfer = a.transfer(other, second.epoch, b.self!);
    await until('etcd has it', async () => (await locate(b, other))?.owner.node === 'b');
    await claim(b, other);
    const newest = (await claim(b, other)).ownership;
    cluster.proxy(a).cut();
    cluster.proxy(a).set('open');
    expect(await transfer).toBe(true);
    expect(await locate(b, other)).toEqual(newest);
  });

  test('a transfer of unknown outcome is ruled out by a claim', async () => {
    const c = await cluster.node('c', { limits: brief });
    const { epoch } = (await claim(c, object)).ownership;
    cluster.proxy(c).set('closed');
    await expect(c.transfer(object, epoch, b.self!)).rejects.toMatchObject({
      code: 'unavailable',
      executed: 'maybe',
    });
    cluster.proxy(c).set('open');
    let mine = await claim(c, object).catch(() => undefined);
    await until('it claims', async () => {
      mine ??= await claim(c, object).catch(() => undefined);
      return mine !== undefined;
    });
    expect(mine?.outcome).toBe('granted');
    expect(mine!.ownership.epoch > epoch).toBe(true);
    expect(await c.transfer(object, epoch, b.self!)).toBe(false);
    expect(await locate(b, object)).toEqual(mine?.ownership);
  });

  test('a thousand claims take the transactions that they fill', async () => {
    const count = async () => {
      const page = await (await fetch(`${etcd.endpoint}/metrics`)).text();
      const line = /^grpc_server_started_total\{grpc_method="Txn",.*\} (\d+)$/m.exec(page);
      return Number(line?.[1]);
    };
    // Being elected takes transactions too.
    await until('there is a controller', () => a.isController || b.isController);
    const before = await count();
    const claims = Array.from({ length: 1000 }, (_, number) => claim(a, objectNumber(number)));
    const results = await Promise.all(claims);
    expect(results.every(({ outcome }) => outcome === 'granted')).toBe(true);
    const transactions = (await count()) - before;
    expect(transactions).toBeGreaterThanOrEqual(1000 / 40);
    expect(transactions).toBeLessThan(1000 / 40 + 5);
  });

  test('a lease that is revoked is a lost session, and a new one follows', async () => {
    const before = (await claim(a, object)).ownership;
    const heard = listen(a);
    etcd.etcdctl('lease', 'revoke', BigInt(before.owner.incarnation).toString(16));
    await until('it is told', () => heard.includes('session'));
    expect(heard.indexOf('session-lost')).toBeLessThan(heard.indexOf('session'));
    expect(a.self?.incarnation).not.toBe(before.owner.incarnation);
    const after = (await claim(b, object)).ownership;
    expect(after.owner.node).toBe('b');
    await a.release(object, before.epoch);
    expect(await claim(a, object)).toEqual({ outcome: 'held', ownership: after });
  });

  test('nothing is granted under a lease that is gone, noticed or not', async () => {
    // No event is read before the claim is sent: etcdctl runs synchronously.
    etcd.etcdctl('lease', 'revoke', BigInt(a.self!.incarnation).toString(16));
    await expect(claim(a, object)).rejects.toMatchObject(unavailable);
    expect(etcd.etcdctl('get', `${prefix}objects/`, '--prefix')).toBe('');
  });

  test('an object that the old session held is released by the new one', async () => {
    const { epoch, owner } = (await claim(a, object)).ownership;
    etcd.etcdctl('lease', 'revoke', BigInt(owner.incarnation).toString(16));
    await until(
      'it has another',
      () => ![undefined, owner.incarnation].includes(a.self?.incarnation),
    );
    await a.release(object, epoch);
    expect(etcd.etcdctl('get', `${prefix}objects/`, '--prefix')).toBe('');
    expect((await claim(a, object)).ownership.owner).toEqual(a.self);
  });

  test('of two processes with one name the newer stays, and the older gives up', async () => {
    const heard = listen(a);
    const lines: string[] = [];
    const logger = memoryLogger(lines);
    const third = await openNode('c', { prefix, endpoints: [etcd.endpoint], logger });
    const newer = await cluster.node('a');
    const newest = await cluster.node('c');
    await until('the older ones know', () => a.self === undefined && third.self === undefined);
    expect(heard).toContain('session-lost');
    await expect(claim(a, object)).rejects.toThrow(/another process runs as node a/);
    expect(lines.some((line) => line.startsWith('error another process runs as node c'))).toBe(
      true,
    );
    await pass(500);
    expect([a.self, third.self, heard.includes('session')]).toEqual([undefined, undefined, false]);
    expect(newer.self).toBeDefined();
    expect(newest.self).toBeDefined();
    await third.close();
  });

  test('the next endpoint is used when one fails', async () => {
    const other = cluster.proxy(a);
    const node = await openNode('c', {
      prefix,
      endpoints: ['127.0.0.1:1', other.endpoint, etcd.endpoint.slice('http://'.length)],
    });
    const before = node.self;
    other.set('closed');
    await until('it claims', () =>
      claim(node, object).then(
        ({ outcome }) => outcome === 'granted',
        () => false,
      ),
    );
    await b.setDraining(true);
    await until('it follows', () => node.nodes().some(({ draining }) => draining === true));
    expect(node.self).toBe(before);
    await node.close();
  });

  test('a record that cannot be read is said to be so, and harms no other claim', async () => {
    const key = `${prefix}objects/worker%2FClass/${object.id}`;
    etcd.etcdctl('put', key, '{"owner":1}');
    const claims = [object, objectNumber(2)].map((one) => claim(a, one));
    const [bad, good] = await Promise.allSettled(claims);
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'corruption' } });
    expect(good).toMatchObject({ status: 'fulfilled', value: { outcome: 'granted' } });
    await expect(locate(a, object)).rejects.toThrow(key);
  });

  test('nodes and shards that cannot be read are left out, with a word to the log', async () => {
    const lines: string[] = [];
    const logger = memoryLogger(lines);
    const c = await openNode('c', { prefix, endpoints: [etcd.endpoint], logger });
    // Held by no lease; no JSON; no number of a shard.
    etcd.etcdctl('put', `${prefix}nodes/x`, '{"store":"s","region":"r","zone":"z","addresses":{}}');
    etcd.etcdctl('put', `${prefix}shards/r/1`, '{"generation":');
    etcd.etcdctl('put', `${prefix}shards/r/one`, '{"generation":1,"members":["s"]}');
    etcd.etcdctl('put', `${prefix}shards/r/2`, '{"generation":1,"members":["s"]}');
    await until('the last is seen', () => c.shards().size === 1);
    expect(
      c
        .nodes()
        .map(({ node }) => node)
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    expect(lines).toContain('warn etcd holds a value that homing cannot read');
    await c.close();
  });

  test('more claims than may wait are refused', async () => {
    const limits = { claimsWaitingMax: 10 };
    const c = await openNode('c', { prefix, endpoints: [etcd.endpoint], limits });
    const claims = Array.from({ length: 11 }, (_, number) => claim(c, objectNumber(number)));
    const last = claims.pop();
    await expect(last).rejects.toMatchObject({ code: 'overloaded' });
    expect((await Promise.all(claims)).every(({ outcome }) => outcome === 'granted')).toBe(true);
    expect((await claim(c, objectNumber(10))).outcome).toBe('granted');
    await c.close();
  });

  test('a node does not start without etcd', async () => {
    const options = { endpoints: ['127.0.0.1:1'], limits: { startTimeoutMs: 300 } };
    await expect(openNode('c', options)).rejects.toThrow(/a node starts only with etcd/);
  });
});
