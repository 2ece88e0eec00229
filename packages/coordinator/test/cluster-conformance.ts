/**
 * What a coordinator of several nodes must do besides. `open` gives an empty cluster; `kill` ends a node's
 * process without a word, so that its session has to expire.
 */
import type { Coordinator, ObjectIdHex, ObjectRef, VersionedShard } from '@homing/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claim, eu, locate } from './claims.ts';
import { until } from './etcd.ts';

export interface TestCluster {
  node(name: string): Promise<Coordinator>;
  kill(node: Coordinator): void;
  close(): Promise<void>;
}

export function objectNumber(number: number): ObjectRef {
  const id = number.toString(16).padStart(64, '0') as ObjectIdHex;
  return { namespace: 'worker/Class', id };
}

export function clusterConformance(name: string, open: () => Promise<TestCluster>): void {
  describe(`${name} cluster`, () => {
    const object = objectNumber(1);
    let cluster: TestCluster;
    let a: Coordinator;
    let b: Coordinator;
    beforeEach(async () => {
      cluster = await open();
      [a, b] = await Promise.all([cluster.node('a'), cluster.node('b')]);
    });
    afterEach(() => cluster.close());

    const everyoneKnows = () =>
      until('both know both', () => [a, b].every((one) => one.nodes().length === 2));
    const controller = async (): Promise<Coordinator> => {
      await until('there is a controller', () => a.isController || b.isController);
      return a.isController ? a : b;
    };

    test('of two who claim the same objects each gets what the other does not', async () => {
      const objects = Array.from({ length: 200 }, (_, number) => objectNumber(number));
      const claims = (node: Coordinator) => Promise.all(objects.map((one) => claim(node, one)));
      const [byA, byB] = await Promise.all([claims(a), claims(b)]);
      for (const [place, one] of objects.entries()) {
        const [won, lost] =
          byA[place]?.outcome === 'granted' ? [byA[place], byB[place]] : [byB[place], byA[place]];
        expect([won?.outcome, lost?.outcome]).toEqual(['granted', 'held']);
        expect(lost?.ownership).toEqual(won?.ownership);
        expect(await locate(a, one)).toEqual(won?.ownership);
      }
    });

    test('what one releases another gets, under a greater epoch', async () => {
      const before = (await claim(a, object)).ownership;
      expect((await claim(b, object)).outcome).toBe('held');
      await a.release(object, before.epoch);
      const after = await claim(b, object);
      expect(after.outcome).toBe('granted');
      expect(after.ownership.epoch > before.epoch).toBe(true);
      await a.release(object, before.epoch);
      expect(await locate(a, object)).toEqual(after.ownership);
    });

    test('a dead owner is heeded until its session expires, and no longer', async () => {
      await everyoneKnows();
      const before = (await claim(a, object)).ownership;
      cluster.kill(a);
      expect(await claim(b, object)).toEqual({ outcome: 'held', ownership: before });
      await until('the session expires', () => b.nodes().length === 1);
      expect(await locate(b, object)).toBeUndefined();
      const after = await claim(b, object);
      expect(after.outcome).toBe('granted');
      expect(after.ownership.epoch > before.epoch).toBe(true);
    });

    test('a closed node is nobody’s owner any more, at once', async () => {
      await claim(a, object);
      await a.close();
      expect((await claim(b, object)).outcome).toBe('granted');
    });

    test('a node that comes again has another incarnation, and is not its own predecessor', async () => {
      const before = (await claim(a, object)).ownership;
      cluster.kill(a);
      const again = await cluster.node('a');
      expect(again.self?.incarnation).not.toBe(before.owner.incarnation);
      const after = await claim(again, object);
      expect(after.outcome).toBe('granted');
      expect(after.ownership.epoch > before.epoch).toBe(true);
    });

    test('a transfer makes the other the owner, who learns its epoch by claiming', async () => {
      await everyoneKnows();
      const before = (await claim(a, object)).ownership;
      expect(await a.transfer(object, before.epoch, b.self!)).toBe(true);
      const given = await locate(a, object);
      expect(given?.owner.node).toBe('b');
      expect(given!.epoch > before.epoch).toBe(true);
      expect((await claim(a, object)).outcome).toBe('held');
      expect(await claim(b, object)).toEqual({ outcome: 'granted', ownership: given });
      const again = await claim(b, object);
      expect(again.ownership.epoch > given!.epoch).toBe(true);
    });

    test('no transfer of what one does not own, or to a node that is gone', async () => {
      const first = (await claim(a, object)).ownership;
      const second = (await claim(a, object)).ownership;
      expect(await a.transfer(object, first.epoch, b.self!)).toBe(false);
      expect(await b.transfer(object, second.epoch, b.self!)).toBe(false);
      const gone = b.self!;
      await b.close();
      expect(await a.transfer(object, second.epoch, gone)).toBe(false);
      expect(await locate(a, object)).toEqual(second);
    });

    const us = { home: 'us', isDefault: false };

    /** Moves what `a` owns to `b`, at home in us from then on. */
    const moved = async (one: ObjectRef): Promise<boolean> => {
      const { epoch } = (await claim(a, one)).ownership;
      const chief = await controller();
      const assignment = { region: 'us', shard: 0, generation: 1, members: ['s'] };
      if (!chief.shards().has('us/0')) await chief.assign([{ assignment, revision: 0n }]);
      await until('a sees the shard', () => a.shards().has('us/0'));
      const shard = a.shards().get('us/0')!;
      return await a.transfer(one, epoch, b.self!, { ...us, shard });
    };

    test('an object without a record is claimed at its default home, and nowhere else', async () => {
      expect(await a.claim(object, us)).toEqual({ outcome: 'elsewhere', home: undefined });
      expect(await a.locate(object)).toMatchObject({ home: undefined, ownership: undefined });
      expect((await a.claim(object, eu)).outcome).toBe('granted');
      expect((await b.claim(object, us)).outcome).toBe('held');
    });

    test('a move changes the home, which stays when nobody owns the object', async () => {
      await everyoneKnows();
      expect(await moved(object)).toBe(true);
      expect((await a.claim(object, eu)).outcome).toBe('held');
      expect(await b.claim(object, eu)).toEqual({ outcome: 'elsewhere', home: 'us' });
      const { outcome, ownership } = await claim(b, object, us);
      expect([outcome, ownership.home, ownership.from]).toEqual(['granted', 'us', 'eu']);
      const owned = await a.locate(object);
      const { epoch, owner } = ownership;
      expect(owned).toEqual({ home: 'us', ownership, epoch, lastOwner: owner.node });
      await b.release(object, ownership.epoch);
      const free = await a.locate(object);
      expect(free).toMatchObject({ home: 'us', ownership: undefined });
      expect(free.epoch > owned.epoch).toBe(true);
      expect(await a.claim(object, eu)).toEqual({ outcome: 'elsewhere', home: 'us' });
      const again = await claim(b, object, us);
      expect([again.outcome, again.ownership.from]).toEqual(['granted', 'eu']);
      expect(again.ownership.epoch > ownership.epoch).toBe(true);
    });

    test('an owner who died away from the default home is followed there alone', async () => {
      await everyoneKnows();
      expect(await moved(object)).toBe(true);
      const { ownership } = await claim(b, object, us);
      cluster.kill(b);
      expect(await a.claim(object, eu)).toEqual({ outcome: 'held', ownership });
      await until('the session expires', () => a.nodes().length === 1);
      expect(await a.claim(object, eu)).toEqual({ outcome: 'elsewhere', home: 'us' });
      const left = await a.locate(object);
      expect([left.ownership, left.lastOwner]).toEqual([undefined, ownership.owner.node]);
      expect((await claim(a, object, us)).outcome).toBe('granted');
    });

    test('an object that is back at its default home leaves no record behind', async () => {
      await everyoneKnows();
      expect(await moved(object)).toBe(true);
      const { epoch } = (await claim(b, object, us)).ownership;
      const shard = a.shards().get('us/0')!;
      const back = { home: 'eu', isDefault: true, shard };
      expect(await b.transfer(object, epoch, a.self!, back)).toBe(true);
      const { ownership } = await claim(a, object, eu);
      expect([ownership.home, ownership.from]).toEqual(['eu', 'us']);
      await a.release(object, ownership.epoch);
      const { home, epoch: later } = await a.locate(object);
      expect(home).toBeUndefined();
      expect(later > ownership.epoch).toBe(true);
    });

    test('an object whose home is lost is given another, and its owner of before has lost it', async () => {
      await everyoneKnows();
      const { ownership } = await claim(a, object, eu);
      const change = { from: 'eu', home: 'us', isForced: false };
      const owned = await b.locate(object);
      expect(await b.rehome(object, { ...change, located: owned })).toBe(false);
      expect((await a.claim(object, eu)).outcome).toBe('granted');
      expect(await b.rehome(object, { ...change, located: owned, isForced: true })).toBe(false);
      const again = await b.locate(object);
      expect(await b.rehome(object, { ...change, located: again, isForced: true })).toBe(true);
      expect(await a.claim(object, eu)).toEqual({ outcome: 'elsewhere', home: 'us' });
      const taken = await claim(b, object, us);
      expect(taken.ownership.epoch > ownership.epoch).toBe(true);
      expect([taken.ownership.home, taken.ownership.from]).toEqual(['us', 'eu']);
      // Also after an owner that could not recover it.
      expect(taken.ownership.isPromoted).toBe(true);
      await b.release(object, taken.ownership.epoch);
      expect((await b.locate(object)).ownership).toBeUndefined();
      const next = await claim(b, object, us);
      expect(next.ownership.isPromoted).toBe(true);
      await a.release(object, ownership.epoch);
      expect((await b.locate(object)).ownership).toEqual(next.ownership);
      const unused = objectNumber(7);
      const nowhere = await b.locate(unused);
      expect(await b.rehome(unused, { ...change, located: nowhere })).toBe(true);
      expect(await b.rehome(unused, { ...change, located: nowhere })).toBe(false);
      expect((await b.locate(unused)).home).toBe('us');
    });

    test('no move into a shard whose assignment has changed', async () => {
      await everyoneKnows();
      expect(await moved(objectNumber(2))).toBe(true);
      const stale = a.shards().get('us/0')!;
      const { epoch } = (await claim(a, object)).ownership;
      const assignment = { ...stale.assignment, generation: 2 };
      const chief = await controller();
      expect(await chief.assign([{ assignment, revision: stale.revision }])).toBe(true);
      expect(await a.transfer(object, epoch, b.self!, { ...us, shard: stale })).toBe(false);
      expect((await a.locate(object)).home).toBe('eu');
    });

    test('the list of regions is written by the controller, from what it has read', async () => {
      const chief = await controller();
      const other = chief === a ? b : a;
      const list = { regions: ['eu', 'us'], named: 2, jurisdictions: {} };
      expect(await other.setRegions({ list, revision: 0n })).toBe(false);
      expect(await chief.setRegions({ list, revision: 0n })).toBe(true);
      await until('both see it', () => [a, b].every((one) => one.regions() !== undefined));
      expect(other.regions()?.list).toEqual(list);
      expect(await chief.setRegions({ list, revision: 0n })).toBe(false);
      const jurisdictions = { law: { regions: ['eu'], named: 1 } };
      const longer = { regions: ['eu', 'us', 'ap'], named: 2, jurisdictions };
      const { revision } = chief.regions()!;
      expect(await chief.setRegions({ list: longer, revision })).toBe(true);
      await until('the other sees it', () => other.regions()?.list.regions.length === 3);
      expect(other.regions()?.list).toEqual(longer);
    });

    test('all nodes are seen by all, and that one is draining', async () => {
      await everyoneKnows();
      const heard: string[] = [];
      b.watch(({ type }) => heard.push(type));
      await a.setDraining(true);
      await until('b sees it', () =>
        b.nodes().some(({ node, draining }) => node === 'a' && draining === true),
      );
      await until('b hears of it', () => heard.includes('nodes'));
      await a.close();
      await until('b sees it go', () => b.nodes().length === 1);
    });

    const shard = (number: number, revision: bigint, ...members: string[]): VersionedShard => ({
      assignment: { region: 'r', shard: number, generation: 1, members },
      revision,
    });

    test('one is the controller; when it goes, the other becomes it', async () => {
      const first = await controller();
      const second = first === a ? b : a;
      expect(second.isController).toBe(false);
      const heard: string[] = [];
      second.watch(({ type }) => heard.push(type));
      await first.close();
      await until('the other is', () => second.isController);
      await until('it hears of it', () => heard.includes('controller'));
      expect(await second.assign([shard(1, 0n, 's')])).toBe(true);
    });

    test('a dead controller is replaced', async () => {
      const first = await controller();
      const second = first === a ? b : a;
      cluster.kill(first);
      await until('the other is', () => second.isController);
    });

    test('only the controller assigns, and only what is as it was seen', async () => {
      const first = await controller();
      const second = first === a ? b : a;
      expect(await second.assign([shard(1, 0n, 's')])).toBe(false);
      expect(first.shards().size).toBe(0);
      expect(await first.assign([shard(1, 0n, 's'), shard(2, 0n, 's', 't')])).toBe(true);
      await until('the other sees both', () => second.shards().size === 2);
      const { assignment, revision } = second.shards().get('r/2')!;
      expect(assignment).toEqual(shard(2, 0n, 's', 't').assignment);
      expect(revision > 0n).toBe(true);
      expect(await first.assign([shard(3, 0n, 'u'), shard(2, 0n, 'u')])).toBe(false);
      expect(first.shards().has('r/3')).toBe(false);
      const next = { ...assignment, generation: 2, next: ['t', 'u'] };
      expect(await first.assign([{ assignment: next, revision }])).toBe(true);
      expect(first.shards().get('r/2')?.assignment).toEqual(next);
      await until(
        'the other sees it',
        () => second.shards().get('r/2')?.assignment.next !== undefined,
      );
      const coming = { ...assignment, generation: 3, coming: ['s', 'v'] };
      const present = first.shards().get('r/2')?.revision ?? 0n;
      expect(await first.assign([{ assignment: coming, revision: present }])).toBe(true);
      await until(
        'the other sees that',
        () => second.shards().get('r/2')?.assignment.generation === 3,
      );
      expect(second.shards().get('r/2')?.assignment).toEqual(coming);
    });

    test('assigns up to 100 shards at once, each once', async () => {
      const first = await controller();
      const many = Array.from({ length: 101 }, (_, number) => shard(number, 0n, 's'));
      const invalid = { code: 'invalid_argument' };
      await expect(first.assign(many)).rejects.toMatchObject(invalid);
      await expect(first.assign([])).rejects.toMatchObject(invalid);
      await expect(first.assign([many[0]!, many[0]!])).rejects.toMatchObject(invalid);
      expect(await first.assign(many.slice(1))).toBe(true);
      expect(first.shards().size).toBe(100);
    });
  });
}
