/** What a node says of its disk before a recovery. */
import { makeEpoch, type ObjectIdHex } from '@homing/base';
import { memoryStore } from '@homing/storage';
import { expect, test } from 'vitest';
import { planRecovery, Recovery, type RecoveryOptions, type RecoveryState } from './recovery.ts';

const epochOf = (revision: number) => makeEpoch(BigInt(revision), 0);

test('the greatest epoch on a disk may be that of an object that was forgotten', async () => {
  const store = memoryStore();
  const options = {
    node: 'n1',
    store,
    coordinator: { refused: true, highestEpoch: () => epochOf(3) },
    replication: { sets: () => new Map() },
    regions: { list: () => undefined },
    shardsPerRegion: 1,
  };
  const recovery = new Recovery(options as unknown as RecoveryOptions);
  const highest = () => recovery.state().highest;
  expect(highest()).toBe(String(epochOf(3)));
  await store.seal({ namespace: 'w/C', id: 'ab'.repeat(32) as ObjectIdHex }, epochOf(5));
  expect(highest()).toBe(String(epochOf(5)));
  // What it knows nothing of counts as having promised that much.
  await store.forget('cd'.repeat(32) as ObjectIdHex, epochOf(9));
  expect(highest()).toBe(String(epochOf(9)));
});

test('a region is given up by name alone, and only where none of its nodes is there', () => {
  const set = (region: string, ...members: string[]) => ({
    region,
    shard: 0,
    generation: 1,
    members,
  });
  const regions = { regions: ['eu', 'us'], named: 2, jurisdictions: {} };
  const state = (storeId: string): RecoveryState => ({
    node: `node of ${storeId}`,
    storeId,
    refused: true,
    highest: String(epochOf(7)),
    shards: [set('eu', 'a', 'b', 'c'), set('us', 'x', 'y', 'z')],
    regions,
    shardsPerRegion: 1,
  });
  const left = [state('x'), state('y')];
  expect(() => planRecovery(left)).toThrow(/in region eu: a majority is needed.*--lost-region/);
  expect(() => planRecovery(left, ['us'])).toThrow(
    'region us is not lost: node node of x is there',
  );
  expect(() => planRecovery(left, ['asia'])).toThrow('there is no region asia; there is eu, us');
  expect(() => planRecovery([state('x')], ['eu'])).toThrow('in region us: a majority is needed');
  const whole = planRecovery([...left, state('a'), state('b')]);
  expect([whole.lost, whole.highest]).toEqual([[], epochOf(7)]);
  // What the lost region was granted in its last moments is below it.
  const { highest } = planRecovery(left, ['eu']);
  expect(highest).toBeGreaterThan(epochOf(1_000_000));
  // What was cut short after the first of the nodes goes on as it began.
  const recovered = { ...state('x'), refused: false, highest: String(highest) };
  expect(planRecovery([recovered, state('y')], ['eu']).highest).toBe(highest);
});
