/** Objects out of memory that their node would give up, while the coordinator is away. */
import type { ObjectRef } from '@homing/base';
import { expect, test } from 'vitest';
import type { Command } from '../src/history.ts';
import { drawProfile } from '../src/profile.ts';
import { SeededRandom } from '../src/random.ts';
import { SimCluster } from '../src/sim-cluster.ts';
import type { SimNode } from '../src/sim-node.ts';
import { World } from '../src/world.ts';
import { steadyCoordinator, steadyNetwork } from './steady.ts';

const nothing = () => {};

class Sleeping {
  readonly world = new World();
  readonly cluster: SimCluster;

  constructor(asleepMax: number) {
    const random = new SeededRandom(1);
    this.cluster = new SimCluster({
      world: this.world,
      random: random.child('cluster'),
      profile: {
        ...drawProfile(random.child('profile')),
        nodes: 3,
        firstNodes: 3,
        spares: 0,
        regions: ['eu'],
        factor: 3,
        shards: 1,
        objects: 3,
        isRemote: false,
        overloadedShare: 0,
        asleepMax,
        idleMs: [100, 200],
        coordinator: steadyCoordinator,
        network: steadyNetwork,
      },
      observer: { appended: nothing, changed: nothing, forgotten: nothing },
      bugs: {},
      trace: nothing,
      broken: (rule, message) => {
        throw new Error(`${rule}: ${message}`);
      },
    });
  }

  run(ms: number, isDone?: () => boolean): Promise<boolean> {
    return this.world.run(this.world.nowMs + ms, isDone);
  }

  async begin(): Promise<SimNode> {
    const { cluster } = this;
    await this.run(30_000, () => cluster.objects.every((object) => cluster.setOf(object)));
    return cluster.nodes[0] as SimNode;
  }

  async call(node: SimNode, index: number, command: Command): Promise<string | undefined> {
    let outcome: string | undefined;
    const object = this.cluster.objects[index] as ObjectRef;
    node.process.run(() => {
      node.call(object, command, (heard) => {
        outcome = heard.outcome;
      });
    });
    await this.run(30_000, () => outcome !== undefined);
    return outcome;
  }
}

const append: Command = { kind: 'append', value: 1 };

test('more of them than may be are served', async () => {
  const sleeping = new Sleeping(0);
  const node = await sleeping.begin();
  for (const index of [0, 1, 2]) expect(await sleeping.call(node, index, append)).toBe('ok');
  sleeping.cluster.setCoordinatorAway(true);
  await sleeping.run(20_000);
  for (const index of [0, 1, 2]) expect(await sleeping.call(node, index, append)).toBe('ok');
  await sleeping.run(5000);
  expect(node.owned().length).toBe(3);
  sleeping.cluster.setCoordinatorAway(false);
  await sleeping.run(20_000);
  expect(node.owned()).toEqual([]);
  expect(await sleeping.call(node, 0, append)).toBe('ok');
});

test('empty ones are served', async () => {
  const sleeping = new Sleeping(10);
  const node = await sleeping.begin();
  expect(await sleeping.call(node, 0, append)).toBe('ok');
  expect(await sleeping.call(node, 0, { kind: 'clear', value: 0 })).toBe('ok');
  sleeping.cluster.setCoordinatorAway(true);
  await sleeping.run(60_000);
  expect(await sleeping.call(node, 0, append)).toBe('ok');
  expect(await sleeping.call(node, 0, { kind: 'clear', value: 0 })).toBe('ok');
  sleeping.cluster.setCoordinatorAway(false);
  await sleeping.run(60_000);
  expect(node.owned()).toEqual([]);
});
