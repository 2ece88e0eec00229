/**
 * 1,000 sockets, on all nodes of two regions, of one object that moves ten times while they talk: none
 * is closed, and of their frames none is lost, doubled or overtaken, in either direction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Talker, talk, troubleOf, until } from './talkers.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

const project = fileURLToPath(new URL('fixtures/echo', import.meta.url));
const sockets = 1000;
const moves = 10;
const timeoutMs = 240_000;
/** Between two frames of one socket. */
const talkMs = 2000;
const name = 'moving';

let cluster: TestCluster;

beforeAll(async () => {
  if (!hasEtcd) return;
  // Only the test moves the object.
  process.env['HOMING_MIGRATION_MODE'] = 'off';
  const regions = ['--regions', 'eu,us', '--rtt', '20'];
  cluster = await TestCluster.start(project, '--nodes', '4', ...regions);
}, timeoutMs);

afterAll(() => {
  delete process.env['HOMING_MIGRATION_MODE'];
  cluster?.dispose();
});

/** Moves the object to a node that it is not on; which one depends on where it may go. */
async function move(turn: number): Promise<string> {
  const owner = await cluster.ownerOf('ECHO', name, 'n1');
  for (let choice = 0; choice < cluster.nodes.length; choice++) {
    const to = cluster.nodes[(turn + choice) % cluster.nodes.length]?.name ?? '';
    if (to === owner) continue;
    const response = await cluster.admin('n1', '/api/migrate', { namespace: 'ECHO', name, to });
    if (response.ok) return to;
  }
  throw new Error('the object moves nowhere');
}

test.skipIf(!hasEtcd)(
  '1,000 sockets of an object that moves ten times notice nothing',
  async () => {
    const talkers: Talker[] = [];
    for (let number = 0; number < sockets; number++) {
      const node = cluster.nodes[number % cluster.nodes.length];
      talkers.push(new Talker(node?.http ?? '', name, `s${number}`));
      if (number % 100 === 99) await until(() => talkers.every((one) => one.isOpen), 'all open');
    }
    let isOver = false;
    const talking = talk(talkers, { everyMs: talkMs, isOver: () => isOver });
    const homes = new Set<string>();
    for (let turn = 0; turn < moves; turn++) {
      await sleep(talkMs / 2);
      homes.add(await move(turn));
    }
    await sleep(talkMs);
    await until(() => talkers.every(({ sent }) => sent > moves / 3), 'all talked');
    isOver = true;
    await talking;
    const trouble = await troubleOf(talkers);
    expect(trouble.slice(0, 20)).toEqual([]);
    expect(homes.size).toBeGreaterThan(1);
  },
  timeoutMs,
);
