/** The controller on a simulated clock: what it waits for, and for how long. */
import { memoryCluster } from '@homing/coordinator';
import { Controller } from '@homing/replication';
import { expect, test } from 'vitest';
import { Process, World } from '../src/world.ts';

const silent = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };

test('a leaver that never hands over what it owns is waited for so long, and no longer', async () => {
  const world = new World();
  const { clock, timers } = new Process(world, 1);
  const cluster = memoryCluster({ sessionTtlMs: 1e9 });
  const [coordinator] = [...'abcd'].map((name) =>
    cluster.node({ node: name, storeId: name, region: 'eu', zone: name, clock, timers }),
  );
  if (coordinator === undefined) throw new Error('no coordinator');
  await world.run(1000, () => coordinator.isController);
  const joint = { region: 'eu', shard: 0, generation: 3, members: [...'abc'], next: [...'abd'] };
  const written = coordinator.assign([{ assignment: joint, revision: 0n }]);
  await world.run(world.nowMs + 100);
  expect(await written).toBe(true);
  const logger = { ...silent, child: () => logger };
  const controller = new Controller({
    coordinator,
    // All is there, and nothing vacated.
    replication: {
      sets: () => new Map(),
      standingOf: () => ({ isSettled: true, isComplete: true, isVacated: false }),
    },
    clock,
    timers,
    logger,
    regions: () => ['eu'],
    shardCount: 1,
    factor: 3,
    limits: {
      settleMs: 100,
      assignDelayMs: 100,
      rebuildDelayMs: 1e9,
      changesMax: 1,
      balanceDelayMs: 100,
      balancePercent: 0,
      vacateTimeoutMs: 20_000,
      lookMs: 1000,
    },
  });
  const present = () => coordinator.shards().get('eu/0')?.assignment;
  await world.run(world.nowMs + 19_000);
  expect(present()).toEqual(joint);
  await world.run(world.nowMs + 3000);
  expect(present()).toEqual({ region: 'eu', shard: 0, generation: 4, members: [...'abd'] });
  controller.stop();
});
