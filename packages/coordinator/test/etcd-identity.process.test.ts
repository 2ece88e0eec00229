/** An etcd that is not the one the disk knows, and disks that are not what etcd knows. */
import { type Epoch, makeEpoch } from '@homing/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claim, locate } from './claims.ts';
import { objectNumber } from './cluster-conformance.ts';
import { etcdMissing, memoryLogger, TestEtcd, TestProxy, until } from './etcd.ts';
import { brief, type EtcdNode, openNode } from './etcd-cluster.ts';

describe.skipIf(etcdMissing)('the identity of etcd', () => {
  const object = objectNumber(1);
  let etcd: TestEtcd;
  let nodes: EtcdNode[] = [];
  beforeEach(async () => {
    etcd = await new TestEtcd().start();
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    nodes = [];
    await etcd.remove();
  });

  const open = async (options: Partial<Parameters<typeof openNode>[1]> = {}, name = 'a') => {
    const node = await openNode(name, { endpoints: [etcd.endpoint], ...options });
    nodes.push(node);
    return node;
  };
  const guardOf = (node: EtcdNode) => ({
    clusterId: node.clusterId,
    highest: node.highestEpoch(),
    witness: node.witness,
  });
  const fill = (count: number) => {
    for (let more = 0; more < count; more++) etcd.etcdctl('put', 'filler', '');
  };
  const refusal = { code: 'unavailable', message: expect.stringContaining('homing recover') };
  const keys = () => etcd.etcdctl('get', '', '--prefix', '--keys-only');

  test('what a node tells its disk covers every epoch granted, and lets it start again', async () => {
    const node = await open();
    const { epoch } = (await claim(node, object)).ownership;
    expect(node.highestEpoch() >= epoch).toBe(true);
    expect(node.clusterId).toMatch(/^\d+$/);
    const guard = guardOf(node);
    await node.close();
    const again = await open({ guard });
    expect(again.refused).toBe(false);
    expect((await claim(again, object)).ownership.epoch > epoch).toBe(true);
  });

  test('wiped under a running node: refused, nothing written; recovered: epochs go on', async () => {
    const lines: string[] = [];
    const node = await open({ logger: memoryLogger(lines) });
    let { epoch } = (await claim(node, object)).ownership;
    for (let more = 0; more < 20; more++) epoch = (await claim(node, object)).ownership.epoch;
    const shards = node.shards();
    await etcd.wipe();
    await until('it is noticed', () => node.refused);
    expect(lines.filter((line) => line.includes('wiped or restored'))).toHaveLength(1);
    await expect(claim(node, object)).rejects.toMatchObject(refusal);
    await expect(locate(node, object)).rejects.toMatchObject(refusal);
    await expect(node.release(object, epoch)).rejects.toMatchObject(refusal);
    await expect(node.registerStart(1)).rejects.toMatchObject(refusal);
    await until('the session is lost', () => node.self === undefined);
    expect([node.shards(), keys()]).toEqual([shards, '']);

    const known = makeEpoch(1_000_000n, 3);
    await node.recover(known);
    await until('there is a session', () => node.self !== undefined);
    const after = await claim(node, object);
    expect(after.outcome).toBe('granted');
    expect(after.ownership.epoch > known).toBe(true);
    await until('it follows', () => node.nodes().length === 1 && node.isController);
  });

  test('wiped between two starts: refused until recovered, by one node for the others too', async () => {
    const first = await open();
    const second = await open({}, 'b');
    for (let more = 0; more < 20; more++) await claim(first, object);
    await locate(second, object);
    const guards = [guardOf(first), guardOf(second)] as const;
    await Promise.all([first.close(), second.close()]);
    await etcd.wipe();
    const [again, other] = await Promise.all([
      open({ guard: guards[0] }),
      open({ guard: guards[1] }, 'b'),
    ]);
    expect([again.refused, again.self, other.refused]).toEqual([true, undefined, true]);
    await expect(claim(again, object)).rejects.toMatchObject(refusal);
    expect(keys()).toBe('');

    const [highest] = guards.map((guard) => guard.highest).sort((x, y) => (x > y ? -1 : 1));
    if (highest === undefined) expect.fail();
    await again.recover(highest);
    await expect(claim(other, object)).rejects.toMatchObject(refusal);
    await other.recover(highest);
    await until('both are there', () => again.nodes().length === 2 && other.nodes().length === 2);
    const { ownership } = await claim(other, object);
    expect(ownership.epoch > highest).toBe(true);
    expect(await claim(again, object)).toEqual({ outcome: 'held', ownership });
  });

  test('another cluster is refused whatever its revision; recovering adopts it', async () => {
    const node = await open();
    const guard = { clusterId: node.clusterId, highest: 0n as Epoch };
    await node.close();
    await etcd.wipe({ token: 'two' });
    const again = await open({ guard });
    expect(again.clusterId).toBe(guard.clusterId);
    await expect(claim(again, object)).rejects.toMatchObject(refusal);
    await again.recover(guard.highest);
    await until('there is a session', () => again.self !== undefined);
    expect(again.clusterId).not.toBe(guard.clusterId);
    expect((await claim(again, object)).outcome).toBe('granted');
  });

  test('an etcd that was wiped a moment ago is refused as soon as it is asked', async () => {
    // Long enough that nothing else asks it.
    const proxy = await new TestProxy(etcd.port).start();
    const endpoints = [proxy.endpoint];
    const node = await open({ endpoints, sessionTtlMs: 60_000, limits: brief });
    for (let more = 0; more < 30; more++) await claim(node, object);
    await node.inspect();
    expect(node.refused).toBe(false);
    proxy.set('closed');
    await etcd.wipe();
    await expect(node.inspect()).rejects.toMatchObject({ code: 'unavailable' });
    expect(node.refused).toBe(false);
    proxy.set('open');
    await until('it answers', () =>
      node.inspect().then(
        () => true,
        () => false,
      ),
    );
    expect(node.refused).toBe(true);
    await proxy.stop();
  });

  test('homes are written into a refused etcd, as long as nobody trusts it', async () => {
    const node = await open();
    const other = await open({}, 'b');
    const [stale, moved] = [objectNumber(1), objectNumber(2)];
    await claim(node, stale);
    const backup = etcd.backup();
    const { epoch } = (await claim(node, moved)).ownership;
    await until('the backup is behind', () => node.highestEpoch() >= epoch);
    await locate(other, moved);
    await etcd.restore(backup);
    await until('it is refused', () => node.refused && other.refused);
    const homes = [{ object: moved, home: 'elsewhere', isPromoted: true }];
    // The sessions in the backup stand for a while.
    let mark: bigint | undefined;
    await until('the sessions have ended', async () => {
      mark = await node.forgetRecords(epoch).catch(() => undefined);
      return mark !== undefined;
    });
    if (mark === undefined) expect.fail();
    await node.writeHomes(mark, homes);
    expect(keys()).not.toContain(stale.id);
    const later = await other.forgetRecords(epoch);
    await expect(node.writeHomes(mark, homes)).rejects.toMatchObject({ code: 'unavailable' });
    await other.writeHomes(later, homes);
    const values = etcd.etcdctl('get', '', '--prefix', '--print-value-only');
    expect(values).toContain('{"home":"elsewhere","isPromoted":true}');
    await other.recover(epoch);
    await until('there is a session', () => other.self !== undefined);
    await expect(node.forgetRecords(epoch)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(node.writeHomes(later, homes)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(other.forgetRecords(epoch)).rejects.toMatchObject({ code: 'invalid_argument' });
    const found = await other.locate(moved);
    expect([found.home, found.ownership, found.epoch > epoch]).toEqual([
      'elsewhere',
      undefined,
      true,
    ]);
    expect(await locate(other, stale)).toBeUndefined();
  });

  test('a claim is never made under a base that has changed', async () => {
    const node = await open();
    const before = (await claim(node, object)).ownership.epoch;
    const other = await open({}, 'b');
    const known = makeEpoch(5_000_000n, 0);
    await other.recover(known);
    const after = (await claim(node, object)).ownership.epoch;
    expect([after > before, after > known]).toEqual([true, true]);
    await node.release(object, after);
    expect(await locate(other, object)).toBeUndefined();
    // No event is read before the claim is sent: etcdctl runs synchronously.
    etcd.etcdctl('put', '/homing/base', '{"base":"9000000"}');
    const last = (await claim(node, object)).ownership;
    expect(last.epoch > makeEpoch(9_000_000n, 0)).toBe(true);
    expect(await locate(other, object)).toEqual(last);
  });

  test('an old backup that has passed our revision: refused at the next start', async () => {
    const node = await open();
    await until('there is a witness', () => node.witness > 0);
    await node.close();
    const backup = etcd.backup();
    const again = await open({ guard: guardOf(node), limits: { witnessIntervalMs: 50 } });
    const { epoch } = (await claim(again, object)).ownership;
    await until('the witness is raised', () => again.witness > node.witness + 1);
    const guard = guardOf(again);
    await again.close();
    await etcd.restore(backup);
    fill(40);
    const last = await open({ guard });
    expect([last.clusterId, last.refused]).toEqual([guard.clusterId, true]);
    await expect(claim(last, object)).rejects.toMatchObject(refusal);
    await last.recover(guard.highest);
    await until('there is a session', () => last.self !== undefined);
    expect((await claim(last, object)).ownership.epoch > epoch).toBe(true);
    await until('the witness goes on', () => last.witness > guard.witness);
    await last.close();
    const next = await open({ guard: guardOf(last) });
    expect(next.refused).toBe(false);
  });

  test('an old backup that has passed our revision: refused by a node that was cut off', async () => {
    const proxy = await new TestProxy(etcd.port).start();
    const limits = { witnessIntervalMs: 50, requestTimeoutMs: 500 };
    const node = await open({ endpoints: [proxy.endpoint], limits });
    await claim(node, object);
    const backup = etcd.backup();
    const { witness } = node;
    // One raise may have been under way when the backup was made.
    await until('the witness is raised', () => node.witness > witness + 1);
    proxy.set('closed');
    await etcd.restore(backup);
    fill(60);
    proxy.set('open');
    await until('it is refused', () => node.refused);
    await expect(claim(node, objectNumber(2))).rejects.toMatchObject(refusal);
    await proxy.stop();
  });

  test('what was granted before a recovery counts for nothing after it', async () => {
    const node = await open();
    let { epoch } = (await claim(node, object)).ownership;
    for (let more = 0; more < 30; more++) epoch = (await claim(node, object)).ownership.epoch;
    await etcd.wipe({ token: 'two' });
    await until('it is noticed', () => node.refused);
    // Another's record gets the very revision that this node's had.
    // etcdctl keeps this thread, and so the session, waiting.
    const other = await open({ sessionTtlMs: 60_000 }, 'b');
    const revision = () =>
      Number(JSON.parse(etcd.etcdctl('get', 'x', '-w', 'json')).header.revision);
    await until('there is a controller', () => other.isController);
    while (BigInt(revision() + 1) < epoch >> 16n) etcd.etcdctl('put', 'filler', '');
    const { ownership } = await claim(other, object);
    expect(ownership.epoch).toBe(epoch);
    await node.recover(epoch);
    await node.release(object, epoch);
    await until('there is a session', () => node.self !== undefined);
    const seen = await claim(node, object);
    expect([seen.outcome, seen.ownership.owner.node]).toEqual(['held', 'b']);
  });

  test('a base that is lost again ends trust', async () => {
    const node = await open();
    await node.recover(makeEpoch(5_000_000n, 0));
    await claim(node, object);
    etcd.etcdctl('del', '/homing/base');
    await until('it is refused', async () => {
      await claim(node, object).catch(() => {});
      return node.refused;
    });
  });

  test('what a cluster was made with stands, whatever later nodes say', async () => {
    const node = await open();
    const other = await open({}, 'b');
    expect(await node.agreedFacts({ shards: 64 })).toEqual({ shards: 64 });
    expect(await other.agreedFacts({ shards: 32 })).toEqual({ shards: 64 });
    expect(await node.agreedFacts({ shards: 64 })).toEqual({ shards: 64 });
    etcd.etcdctl('put', '/homing/cluster', '{"shards":"many"}');
    await expect(node.agreedFacts({ shards: 64 })).rejects.toMatchObject({
      code: 'corruption',
      message: expect.stringContaining('/homing/cluster'),
    });
  });

  test('starts of a store are counted, and a disk that is behind is found out', async () => {
    const node = await open();
    expect(await node.registerStart(3)).toBe('ok');
    expect(await node.registerStart(3)).toBe('ok');
    expect(await node.registerStart(4)).toBe('ok');
    expect(await node.registerStart(3)).toBe('behind');
    expect(etcd.etcdctl('get', '/homing/stores/store-a', '--print-value-only').trim()).toBe(
      '{"starts":4}',
    );
  });
});
