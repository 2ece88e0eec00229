/** Objects that are to move while something else goes wrong. */
import type { ObjectRef, ShardAssignment, Staging } from '@homing/base';
import { replicationLimits } from '@homing/replication';
import { expect, test } from 'vitest';
import type { Command } from '../src/history.ts';
import { readState } from '../src/list-object.ts';
import { drawProfile, type Profile } from '../src/profile.ts';
import { SeededRandom } from '../src/random.ts';
import { SimCluster } from '../src/sim-cluster.ts';
import type { CallOutcome, SimNode } from '../src/sim-node.ts';
import { World } from '../src/world.ts';
import { epochOf, put, Replicas, id as replicatedId } from './replicas.ts';
import { hastyController, steadyCoordinator, steadyNetwork } from './steady.ts';

const nothing = () => {};

const wheres = ['another region', 'another node'] as const;
type Where = (typeof wheres)[number];

class Moving {
  readonly world = new World();
  readonly cluster: SimCluster;
  readonly object: ObjectRef;

  constructor(drawn: Partial<Profile> = {}) {
    const random = new SeededRandom(1);
    const profile = {
      ...drawProfile(random.child('profile')),
      nodes: 6,
      firstNodes: 6,
      spares: 0,
      regions: ['eu', 'us'],
      factor: 3,
      shards: 1,
      objects: 1,
      isRemote: false,
      overloadedShare: 0,
      limits: replicationLimits,
      coordinator: steadyCoordinator,
      network: steadyNetwork,
      ...drawn,
    };
    this.cluster = new SimCluster({
      world: this.world,
      random: random.child('cluster'),
      profile,
      observer: { appended: nothing, changed: nothing, forgotten: nothing },
      bugs: {},
      trace: nothing,
      broken: (rule, message) => {
        throw new Error(`${rule}: ${message}`);
      },
    });
    this.object = this.cluster.objects[0] as ObjectRef;
  }

  run(ms: number, isDone?: () => boolean): Promise<boolean> {
    return this.world.run(this.world.nowMs + ms, isDone);
  }

  get owner(): SimNode | undefined {
    return this.ownerOf(this.object);
  }

  ownerOf({ id }: ObjectRef): SimNode | undefined {
    return this.cluster.nodes.find((node) => node.owned().includes(id));
  }

  /** Writes the object for the first time. */
  async begin(): Promise<{ readonly caller: SimNode; readonly owner: SimNode }> {
    const { cluster, object } = this;
    await this.run(30_000, () => cluster.setOf(object) !== undefined);
    const [caller] = cluster.nodes as [SimNode];
    expect(await this.append(caller, 1)).toBe('ok');
    return { caller, owner: this.owner as SimNode };
  }

  /** Resolves when it has moved, or was found not to. */
  async move(owner: SimNode, where: Where): Promise<void> {
    const { cluster, object } = this;
    const isNear = where === 'another node';
    const home = cluster.regionOf(owner.self.node);
    const next = cluster.nodes.find(
      ({ self }) =>
        self.node !== owner.self.node && (cluster.regionOf(self.node) === home) === isNear,
    ) as SimNode;
    let isOver = false;
    const move = isNear
      ? owner.move(object.id, next.self.node)
      : owner.moveHome(object.id, cluster.regionOf(next.self.node));
    void move.then(() => {
      isOver = true;
    });
    expect(await this.run(60_000, () => isOver)).toBe(true);
  }

  append(node: SimNode, value: number): Promise<CallOutcome['outcome'] | undefined> {
    return this.call(node, { kind: 'append', value });
  }

  async call(
    node: SimNode,
    command: Command,
    object = this.object,
  ): Promise<CallOutcome['outcome'] | undefined> {
    let outcome: CallOutcome['outcome'] | undefined;
    node.process.run(() => {
      node.call(object, command, (heard) => {
        outcome = heard.outcome;
      });
    });
    await this.run(20_000, () => outcome !== undefined);
    return outcome;
  }
}

test.each(wheres)(
  'an object that is to go to %s while the coordinator is away stays, and is served',
  async (where) => {
    const moving = new Moving();
    const { caller, owner } = await moving.begin();
    moving.cluster.setCoordinatorAway(true);
    await moving.run(100);
    await moving.move(owner, where);
    expect(await moving.append(caller, 2)).toBe('ok');
    expect(moving.owner?.self.node).toBe(owner.self.node);
  },
);

test.each(wheres)(
  'an object that was just written goes to %s before anybody is told what is committed',
  async (where) => {
    const moving = new Moving();
    const { caller, owner } = await moving.begin();
    const written = moving.append(caller, 2);
    await moving.run(30);
    const begunMs = moving.world.nowMs;
    await moving.move(owner, where);
    expect(owner.owned()).toEqual([]);
    const tookMs = moving.world.nowMs - begunMs;
    expect(await written).toBe('ok');
    // Of the clock of the run, on which nothing takes time but links and disks.
    expect(tookMs).toBeLessThan(replicationLimits.noticeMs / 2);
  },
);

test.each(['dies', 'comes back with an empty disk'] as const)(
  'a move whose next owner %s is called off, and leaves nothing behind',
  async (what) => {
    const limits = { ...replicationLimits, leftoverSweepMs: 1000, leftoverDelayMs: 500 };
    const moving = new Moving({ limits });
    const { cluster, object } = moving;
    const { caller, owner } = await moving.begin();
    const home = cluster.regionOf(owner.self.node);
    const there = cluster.names.filter((name) => cluster.regionOf(name) !== home);
    const [next] = there as [string];
    let isOver = false;
    void owner.moveHome(object.id, cluster.regionOf(next)).then(() => {
      isOver = true;
    });
    cluster.kill(next);
    if (what !== 'dies') {
      cluster.replaceDisk(next);
      cluster.start(next);
    }
    const copies = () =>
      there.filter((name) => cluster.disk(name).contents.head(object.id) !== undefined);
    await moving.run(1000);
    expect(copies()).not.toEqual([]);
    expect(await moving.run(60_000, () => isOver)).toBe(true);
    expect(cluster.homeOf(object)).toBe(home);
    expect(await moving.run(60_000, () => copies().length === 0)).toBe(true);
    expect(await moving.append(caller, 2)).toBe('ok');
  },
);

test('an object that cannot go to its first caller’s region is served at its default home', async () => {
  const moving = new Moving();
  const { cluster, object } = moving;
  await moving.run(30_000, () => cluster.sets.length === 2);
  const home = cluster.homeOf(object) as string;
  const there = cluster.names.filter((name) => cluster.regionOf(name) !== home);
  const [next, caller] = there as [string, string];
  // Its session stands, and no link has been found broken.
  for (const name of cluster.names.filter((each) => cluster.regionOf(each) === home)) {
    cluster.network.cut(name, next);
    cluster.network.cut(next, name);
  }
  expect(await moving.append(cluster.node(caller) as SimNode, 1)).toBe('ok');
  expect(cluster.homeOf(object)).toBe(home);
});

/** Objects that were handed to nodes which nobody has called since, and which are in their sets no more. */
async function strandedObjects(): Promise<{ moving: Moving; stranded: readonly ObjectRef[] }> {
  const [nodes, shards, objects] = [3, 8, 8];
  const size = { nodes, firstNodes: nodes, spares: 3, shards, objects };
  const moving = new Moving({ ...size, regions: ['eu'], zones: 0, controller: hastyController });
  const { cluster } = moving;
  const { caller } = await moving.begin();
  for (const object of cluster.objects) {
    const command = { kind: 'append', value: 7, alarmMs: 40_000 } as const;
    expect(await moving.call(caller, command, object)).toBe('ok');
  }
  await moving.run(3000);
  const takers = new Map<ObjectRef, SimNode>();
  for (const [index, object] of cluster.objects.entries()) {
    const owner = moving.ownerOf(object) as SimNode;
    const others = cluster.nodes.filter((node) => node !== owner);
    const taker = others[index % others.length] as SimNode;
    void owner.move(object.id, taker.self.node);
    takers.set(object, taker);
  }
  expect(
    await moving.run(5000, () => cluster.nodes.every((node) => node.owned().length === 0)),
  ).toBe(true);
  for (const name of cluster.names) cluster.start(name);
  await moving.run(20_000);
  expect(cluster.unrest).toBeUndefined();
  const stranded = cluster.objects.filter(
    (object) => !cluster.isMember(takers.get(object)?.disk.storeId ?? '', object),
  );
  expect(stranded).not.toEqual([]);
  expect(cluster.nodes.flatMap((node) => node.owned())).toEqual([]);
  return { moving, stranded };
}

test('an object whose next owner has left its set before it was ever called there is served', async () => {
  const { moving, stranded } = await strandedObjects();
  for (const object of stranded) {
    for (const node of moving.cluster.nodes) {
      expect(await moving.call(node, { kind: 'append', value: 8 }, object)).toBe('ok');
    }
  }
});

test('its alarm rings, though nobody calls it', async () => {
  const { moving, stranded } = await strandedObjects();
  const hasRung = (object: ObjectRef) =>
    moving.cluster.nodes.some(
      ({ disk }) => readState(disk.contents.reader(), object.id).fired.get(7) === 1,
    );
  expect(await moving.run(40_000, () => stranded.every(hasRung))).toBe(true);
});

test('an object whose state its next owner has yet to get goes to the node that has it', async () => {
  const limits = { pageBytes: 100, pagesInFlightMax: 1, windowBytesMax: 0, acquireTimeoutMs: 3000 };
  const moving = new Moving({
    nodes: 3,
    firstNodes: 3,
    regions: ['eu'],
    limits: { ...replicationLimits, ...limits },
    network: { ...steadyNetwork, delayMs: [20, 60] },
  });
  const { cluster, object } = moving;
  const { owner } = await moving.begin();
  const [ahead, behind] = cluster.nodes.filter((node) => node !== owner) as [SimNode, SimNode];
  for (const { self } of [owner, ahead]) {
    cluster.network.cut(behind.self.node, self.node);
    cluster.network.cut(self.node, behind.self.node);
  }
  for (let value = 2; value < 300; value++) expect(await moving.append(owner, value)).toBe('ok');
  await moving.run(1000);
  cluster.kill(owner.self.node);
  cluster.network.heal();
  const lsnOf = ({ disk }: SimNode) => disk.contents.head(object.id)?.applied.lsn ?? 0;
  expect(lsnOf(ahead) - lsnOf(behind)).toBeGreaterThan(200);
  const untilMs = moving.world.nowMs + 60_000;
  let outcome: CallOutcome['outcome'] | undefined;
  while (outcome !== 'ok' && moving.world.nowMs < untilMs) {
    outcome = await moving.append(behind, 300);
    await moving.run(100);
  }
  expect(outcome).toBe('ok');
  expect(moving.owner?.self.node).toBe(ahead.self.node);
});

test('an owner that has to bring others the whole state is given the time, and calls are answered', async () => {
  // Nobody asks for the state of its own accord.
  const pages = { pageBytes: 100, pagesInFlightMax: 1, windowBytesMax: 0 };
  const limits = { ...pages, acquireTimeoutMs: 3000, pullsMax: 0 };
  const moving = new Moving({
    nodes: 3,
    firstNodes: 3,
    regions: ['eu'],
    limits: { ...replicationLimits, ...limits },
    network: { ...steadyNetwork, delayMs: [280, 320] },
  });
  const { cluster, object } = moving;
  const { owner } = await moving.begin();
  const [damaged, behind] = cluster.nodes.filter((node) => node !== owner) as [SimNode, SimNode];
  for (const { self } of [owner, damaged]) {
    cluster.network.cut(behind.self.node, self.node);
    cluster.network.cut(self.node, behind.self.node);
  }
  for (let value = 2; value < 400; value++) expect(await moving.append(owner, value)).toBe('ok');
  // Before anybody has folded in the last one, so that it takes a majority to settle it.
  await damaged.disk.contents.quarantine(object.id, 'damaged');
  cluster.kill(owner.self.node);
  cluster.start(owner.self.node);
  cluster.network.heal();
  const outcomes = new Set<CallOutcome['outcome'] | undefined>();
  const untilMs = moving.world.nowMs + 120_000;
  while (!outcomes.has('ok') && moving.world.nowMs < untilMs) {
    const again = cluster.node(owner.self.node);
    if (again?.isServing === true) outcomes.add(await moving.append(again, 400));
    await moving.run(100);
  }
  // None has gone without an answer, though recovery took longer than a call may wait.
  expect([...outcomes].sort()).toEqual(['fail', 'ok']);
  expect(moving.owner?.self.node).toBe(owner.self.node);
  const others = [damaged, behind].map(({ disk }) => readState(disk.contents.reader(), object.id));
  expect(Math.max(...others.map(({ list }) => list.length))).toBeGreaterThan(290);
});

test('a second move does not have erased what the first one counts on', async () => {
  const replicas = new Replicas({}, {}, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  const there: ShardAssignment = { ...replicas.set, members: replicas.stores(3, 4, 5) };
  let isSettled = false;
  const first: Staging = log.stage(there, 'store-d');
  void first.near
    .then(() => first.settled())
    .then(() => {
      isSettled = true;
    });
  await replicas.run(1000);
  expect(isSettled).toBe(true);
  log.stage({ ...replicas.set, members: replicas.stores(6) }, 'store-g').near.catch(nothing);
  // As a store does that finds what nobody seems to need.
  const asked = log as unknown as { orderAway(store: string): void };
  asked.orderAway('store-d');
  await replicas.run(1000);
  expect(replicas.value(3, 'k')).toBe('1');
  expect(replicas.disks[3]?.contents.head(replicatedId)).toBeDefined();
  first.cancel();
  asked.orderAway('store-d');
  await replicas.run(1000);
  expect(replicas.value(3, 'k')).toBeUndefined();
});

test('copies that nobody waits for keep none from a replica that is behind', async () => {
  const limits = { copiesMax: 1, rebuildBytesPerSecond: 20, pageBytes: 100, windowBytesMax: 0 };
  const replicas = new Replicas({}, limits, ['a', 'b', 'c', 'd', 'e', 'f']);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  replicas.kill(2);
  for (let n = 0; n < 20; n++) log.append([put(`k${n}`, 'x'.repeat(90))]);
  await replicas.run(2000);
  const there: ShardAssignment = { ...replicas.set, members: replicas.stores(3, 4, 5) };
  log.stage(there, 'store-d').near.catch(nothing);
  await replicas.run(500);
  replicas.start(2);
  await replicas.run(5000);
  expect(replicas.value(2, 'k19')).toHaveLength(90);
  expect(replicas.value(3, 'k19')).toBeUndefined();
});
