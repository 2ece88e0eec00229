/**
 * What every `Coordinator` must do, whatever it is built on. `open` gives the coordinator of one node
 * as its next start would; calling it again after `close` is a restart of that node.
 */
import type { Coordinator, ObjectIdHex, ObjectRef } from '@homing/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claim, locate } from './claims.ts';

export function coordinatorConformance(name: string, open: () => Promise<Coordinator>): void {
  describe(`${name} coordinator`, () => {
    const object: ObjectRef = {
      namespace: 'worker/Class',
      id: '0a'.repeat(32) as ObjectIdHex,
    };
    let coordinator: Coordinator;
    beforeEach(async () => {
      coordinator = await open();
    });
    afterEach(() => coordinator.close());

    test('grants an object to this node, and says so when asked', async () => {
      expect(await locate(coordinator, object)).toBeUndefined();
      const { outcome, ownership } = await claim(coordinator, object);
      expect(outcome).toBe('granted');
      expect(ownership.owner).toEqual(coordinator.self);
      expect(await locate(coordinator, object)).toEqual(ownership);
      expect(coordinator.nodes()).toContainEqual(coordinator.self);
    });

    test('epochs grow from grant to grant and over restarts', async () => {
      let newest = -1n;
      for (let start = 0; start < 3; start++) {
        for (let grant = 0; grant < 3; grant++) {
          const { ownership } = await claim(coordinator, object);
          expect(ownership.epoch > newest).toBe(true);
          newest = ownership.epoch;
          await coordinator.release(object, newest as typeof ownership.epoch);
        }
        await coordinator.close();
        coordinator = await open();
      }
    });

    test('a release under an old epoch changes nothing', async () => {
      const old = (await claim(coordinator, object)).ownership;
      await coordinator.release(object, old.epoch);
      const { ownership } = await claim(coordinator, object);
      await coordinator.release(object, old.epoch);
      expect(await locate(coordinator, object)).toEqual(ownership);
      await coordinator.release(object, ownership.epoch);
      expect(await locate(coordinator, object)).toBeUndefined();
    });

    test('a claim of what is held already gives a greater epoch, and only that one counts', async () => {
      const [first, second] = await Promise.all([
        claim(coordinator, object),
        claim(coordinator, object),
      ]);
      expect(second.outcome).toBe('granted');
      expect(second.ownership.epoch > first.ownership.epoch).toBe(true);
      const third = (await claim(coordinator, object)).ownership;
      expect(third.epoch > second.ownership.epoch).toBe(true);
      await coordinator.release(object, first.ownership.epoch);
      await coordinator.release(object, second.ownership.epoch);
      expect(await locate(coordinator, object)).toEqual(third);
      await coordinator.release(object, third.epoch);
      expect(await locate(coordinator, object)).toBeUndefined();
    });

    test('says of itself whether it is draining', async () => {
      await coordinator.setDraining(true);
      expect(coordinator.self?.draining).toBe(true);
      expect(coordinator.nodes()).toContainEqual(coordinator.self);
      await coordinator.setDraining(false);
      expect(coordinator.self?.draining ?? false).toBe(false);
    });

    test('closing ends the session, once; stopped watchers hear nothing', async () => {
      const heard: string[] = [];
      // Of being elected and the like others may hear at any time.
      coordinator.watch(({ type }) => type === 'session-lost' && heard.push(type));
      coordinator.watch(() => heard.push('stopped')).stop();
      await coordinator.close();
      await coordinator.close();
      expect(heard).toEqual(['session-lost']);
      expect(coordinator.self).toBeUndefined();
      await expect(claim(coordinator, object)).rejects.toMatchObject({ code: 'unavailable' });
    });
  });
}
