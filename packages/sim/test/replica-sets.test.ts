/** A replica set that changes, on simulated disks and links: who has to agree, step by step. */
import { HomingError, spaces } from '@homing/base';
import { expect, test } from 'vitest';
import type { Disk } from '../src/disk.ts';
import { epochOf, id, put, Replicas } from './replicas.ts';

const names = ['a', 'b', 'c', 'd', 'e'];

test('an owner that etcd does not reach hears of a new set from a replica', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  const joint = { ...replicas.set, generation: 2, next: replicas.stores(1, 3, 4) };
  for (const other of ['n3', 'n4']) {
    replicas.network.cut('n0', other);
    replicas.network.cut(other, 'n0');
  }
  replicas.tell(1, joint);
  await replicas.run(300);
  expect(replicas.replication(0).setOf('main', id)?.generation).toBe(2);
  log.append([put('k', '1')]);
  await replicas.run(500);
  // The old list has it; of the new one only the second node.
  expect(heard).toEqual([]);
  expect(log.isCovered()).toBe(false);
  replicas.network.heal();
  await replicas.run(4000);
  expect(heard).toEqual(['committed 1']);
  expect(log.isCovered()).toBe(true);
  expect(replicas.value(3, 'k')).toBe('1');
});

test('an owner commits with the new list alone once it stands', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  replicas.tell(0, { ...replicas.set, generation: 2, next: replicas.stores(0, 3, 4) });
  await replicas.run(500);
  replicas.tell(0, { generation: 3, members: replicas.stores(0, 3, 4) });
  await replicas.run(500);
  replicas.kill(1);
  replicas.kill(2);
  log.append([put('k', '2')]);
  await replicas.run(500);
  expect(heard).toContain('committed 2');
  await replicas.run(2000);
  expect([3, 4].map((index) => replicas.value(index, 'k'))).toEqual(['2', '2']);
});

test('a node that is in the set no more stops owning', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  replicas.tell(0, { generation: 2, members: replicas.stores(1, 3, 4) });
  await replicas.run(100);
  expect(heard).toEqual(['lost unavailable']);
  expect(log.isOver).toBe(true);
});

test('a store keeps its set over a restart, and refuses what goes by an older one', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  for (const index of [1, 2]) {
    replicas.tell(index, { generation: 3, members: replicas.stores(1, 2, 3) });
  }
  await replicas.run(100);
  for (const index of [0, 1, 2, 3, 4]) replicas.kill(index);
  for (const index of [0, 1, 2]) replicas.start(index);
  expect(replicas.replication(1).setOf('main', id)?.generation).toBe(3);
  await replicas.run(500);
  // It has heard so from the others, and is no member.
  await expect(replicas.acquire(0, epochOf(5))).rejects.toMatchObject({ code: 'unavailable' });
  await replicas.acquire(1, epochOf(6));
});

test('what is sealed under an older set is sealed again under the new one', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(1000);
  replicas.kill(0);
  // The second node alone cannot seal a majority; the set changes meanwhile.
  replicas.kill(2);
  const acquired = replicas.acquire(1, epochOf(6));
  await replicas.run(3500);
  replicas.tell(1, { ...replicas.set, generation: 2, next: replicas.stores(1, 3, 4) });
  await replicas.run(200);
  replicas.start(2);
  await acquired;
  expect(replicas.value(1, 'k')).toBe('1');
});

test('replicas that know of two lists take nothing by the old one alone', async () => {
  for (const bugs of [{}, { 'one-behind': true }] as const) {
    const replicas = new Replicas(bugs, {}, names);
    await replicas.run(200);
    const { log, heard } = await replicas.acquire(0, epochOf(5));
    // The owner's disk is busy: it cannot adopt what it hears.
    (replicas.disks[0] as Disk).slowMs = 100_000;
    const next = replicas.stores(0, 3, 4);
    for (const index of [1, 2, 3, 4]) {
      replicas.tell(index, { ...replicas.set, generation: 2, next });
    }
    await replicas.run(500);
    expect([3, 4].map((index) => replicas.replication(index).isComplete('main/0'))).toEqual([
      true,
      true,
    ]);
    log.append([put('k', '1')]);
    await replicas.run(500);
    expect(replicas.replication(0).setOf('main', id)?.generation).toBe(1);
    // With the mistake it is acknowledged, and the two new stores are complete without it.
    expect(heard.includes('committed 1')).toBe('one-behind' in bugs);
  }
});

test('the old list alone may let an owner read until it has settled', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  await replicas.run(2000);
  const members = replicas.stores(2, 3, 4);
  for (const old of [0, 1]) {
    for (const other of [2, 3, 4]) {
      replicas.network.cut(`n${old}`, `n${other}`);
      replicas.network.cut(`n${other}`, `n${old}`);
    }
  }
  for (const index of [2, 3, 4]) {
    replicas.tell(index, { ...replicas.set, generation: 2, next: members });
  }
  await replicas.run(500);
  // What the controller would wait for: two of the old list.
  expect(replicas.replication(3).standingOf('main/0', 'store-b', 2).isSettled).toBe(false);
  for (const index of [2, 3, 4]) replicas.tell(index, { generation: 3, members });
  await replicas.run(100);
  await replicas.acquire(3, epochOf(6));
  // Finished too early: two owners, and the first still answers.
  expect(log.isCovered()).toBe(true);
});

test('a store has settled when the promises that it gave before have run out', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const next = replicas.stores(0, 1, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, next });
  }
  const standing = (store: string) => replicas.replication(4).standingOf('main/0', store, 2);
  await replicas.run(2900);
  expect(standing('store-b')).toMatchObject({ isSettled: false, isComplete: true });
  await replicas.run(400);
  expect(standing('store-b')).toMatchObject({ isSettled: true, isComplete: true });
  expect(standing('store-c')).toMatchObject({ isSettled: true, isComplete: false });
  expect(standing('store-d')).toMatchObject({ isSettled: false, isComplete: true });
});

test('a joiner is complete with what nobody sends it, and a leaver erases what it holds', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  for (let n = 0; n < 50; n++) log.append([put(`k${n}`, 'x'.repeat(1000))]);
  await replicas.run(2000);
  log.release();
  const next = replicas.stores(0, 1, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, next });
  }
  await replicas.run(2000);
  expect(replicas.value(3, 'k49')).toHaveLength(1000);
  expect(replicas.last(3)).toEqual(replicas.last(0));
  expect(replicas.replication(3).isComplete('main/0')).toBe(true);
  for (const index of names.keys()) replicas.tell(index, { generation: 3, members: next });
  await replicas.run(500);
  expect(replicas.last(2)).toBeUndefined();
  expect(replicas.replication(2).setOf('main', id)?.generation).toBe(3);
});

test('a copy that waits its turn is not sent to a store that has left', async () => {
  const limits = { copiesMax: 1, windowBytesMax: 0, pageBytes: 100, pagesInFlightMax: 1 };
  const replicas = new Replicas({}, limits, names);
  const tellAll = (generation: number, ...members: number[]) => {
    for (const index of names.keys()) {
      replicas.tell(index, { generation, members: replicas.stores(...members) });
    }
  };
  tellAll(2, 0, 1, 2, 3, 4);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  for (const index of [3, 4]) {
    replicas.network.cut('n0', `n${index}`);
    replicas.network.cut(`n${index}`, 'n0');
  }
  await replicas.run(3000);
  for (let n = 0; n < 300; n++) log.append([put(`k${n}`, 'x'.repeat(90))]);
  await replicas.run(2000);
  replicas.network.mend('n0', 'n3');
  replicas.network.mend('n3', 'n0');
  await replicas.run(200);
  replicas.network.heal();
  await replicas.run(200);
  // One is under way, and the other waits for it.
  tellAll(3, 0, 1, 2, 3);
  await replicas.run(1000);
  expect([3, 4].map((index) => replicas.value(index, 'k299'))).toEqual([undefined, undefined]);
  await replicas.run(10_000);
  expect(replicas.value(3, 'k299')).toHaveLength(90);
  expect(replicas.last(4)).toBeUndefined();
});

test('a copy that a set changes under begins anew at once', async () => {
  for (const isAsked of [false, true]) {
    const limits = { windowBytesMax: 0, pageBytes: 100, pagesInFlightMax: 1 };
    const replicas = new Replicas({}, limits, names);
    await replicas.run(200);
    const { log } = await replicas.acquire(0, epochOf(5));
    for (let n = 0; n < 300; n++) log.append([put(`k${n}`, 'x'.repeat(90))]);
    await replicas.run(2000);
    if (isAsked) log.release();
    const next = replicas.stores(0, 1, 3);
    for (const index of names.keys()) {
      replicas.tell(index, { ...replicas.set, generation: 2, next });
    }
    await replicas.run(1000);
    expect(replicas.value(3, 'k299')).toBeUndefined();
    for (const index of names.keys()) {
      replicas.tell(index, { ...replicas.set, generation: 3, next: replicas.stores(0, 2, 3) });
    }
    await replicas.run(7000);
    expect(replicas.value(3, 'k299')).toHaveLength(90);
  }
});

test('a vow is part of what a joiner takes over', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(2000);
  const second = await replicas.acquire(1, epochOf(9));
  await replicas.run(1000);
  second.log.release();
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, next: replicas.stores(2, 3, 4) });
  }
  await replicas.run(2000);
  expect((replicas.disks[4] as Disk).contents.head(id)?.promised).toBe(epochOf(9));
});

test('an owner reads on while a joiner is still being sent the state', async () => {
  const limits = { windowBytesMax: 0, pageBytes: 100, pagesInFlightMax: 1 };
  const replicas = new Replicas({}, limits, names);
  for (const index of names.keys()) {
    replicas.tell(index, { generation: 2, members: replicas.stores(0) });
  }
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  for (let n = 0; n < 500; n++) log.append([put(`k${n}`, 'x'.repeat(90))]);
  await replicas.run(2000);
  for (const index of names.keys()) {
    const members = replicas.stores(0);
    replicas.tell(index, { generation: 3, members, next: replicas.stores(0, 1, 2) });
  }
  await replicas.run(1500);
  expect(replicas.value(1, 'k499')).toBeUndefined();
  expect(log.isCovered()).toBe(true);
  await replicas.run(20_000);
  expect(replicas.value(1, 'k499')).toHaveLength(90);
});

test('nobody waits for a copy that a set grows by', async () => {
  for (const isAhead of [true, false]) {
    const limits = { pageBytes: 100, pagesInFlightMax: 1, rebuildBytesPerSecond: 10_000 };
    const replicas = new Replicas({}, { ...limits, windowBytesMax: 20_000 }, names);
    const members = replicas.stores(0);
    const list = replicas.stores(0, 1, 2);
    const tellAll = (set: Parameters<typeof replicas.tell>[1]) => {
      for (const index of names.keys()) replicas.tell(index, set);
    };
    tellAll({ generation: 2, members });
    await replicas.run(200);
    const { log, heard } = await replicas.acquire(0, epochOf(5));
    for (let n = 0; n < 100; n++) log.append([put(`k${n}`, 'x'.repeat(1000))]);
    await replicas.run(2000);
    if (isAhead) {
      tellAll({ generation: 3, members, coming: list });
      // Twenty seconds' worth, and no write waits for it.
      for (let n = 0; n < 30; n++) {
        log.append([put('during', `${n}`)]);
        await replicas.run(1000);
        expect(heard.at(-1)).toBe(`committed ${101 + n}`);
      }
      const complete = (index: number) =>
        replicas.replication(4).standingOf('main/0', list[index] as string, 3).isComplete;
      expect([1, 2].map(complete)).toEqual([true, true]);
      expect(replicas.value(2, 'during')).toBe('29');
    }
    heard.length = 0;
    tellAll({ generation: 4, members, next: list });
    log.append([put('after', '1')]);
    await replicas.run(500);
    // Where the copy was not sent ahead it is waited for.
    expect(heard).toHaveLength(isAhead ? 1 : 0);
  }
});

test('one that learns has no vote, and its log is not asked for', async () => {
  for (const bugs of [{}, { 'learners-vote': true }] as const) {
    const replicas = new Replicas(bugs, {}, names);
    await replicas.run(200);
    const { log, heard } = await replicas.acquire(0, epochOf(5));
    const coming = replicas.stores(0, 3, 4);
    for (const index of names.keys()) {
      replicas.tell(index, { ...replicas.set, generation: 2, coming });
    }
    await replicas.run(1000);
    replicas.kill(1);
    replicas.kill(2);
    log.append([put('k', '1')]);
    await replicas.run(500);
    expect(replicas.last(3)?.lsn).toBe(1);
    expect(heard.includes('committed 1')).toBe('learners-vote' in bugs);
  }
});

test('what a store holds of a former life comes back neither while it learns nor later', async () => {
  const replicas = new Replicas({}, {}, names);
  const tellAll = (set: Parameters<typeof replicas.tell>[1], indexes = [0, 1, 2, 4]) => {
    for (const index of indexes) replicas.tell(index, set);
  };
  await replicas.run(200);
  tellAll({ generation: 2, members: replicas.stores(0, 1, 3) }, [0, 1, 2, 3, 4]);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', 'former')]);
  await replicas.run(2000);
  expect(replicas.value(3, 'k')).toBe('former');
  // It is away while another takes its place, and the object is forgotten.
  replicas.kill(3);
  const members = replicas.stores(0, 1, 2);
  tellAll({ generation: 3, members });
  await replicas.run(3000);
  log.append([{ type: 'clear', space: spaces.kv }]);
  await replicas.run(3000);
  expect(log.isWhole).toBe(true);
  await Promise.all([log.forget(), replicas.run(3000)]);
  expect([0, 1, 2].map((index) => replicas.last(index))).toEqual([undefined, undefined, undefined]);
  // It comes back to learn, and never hears that it was left out.
  const coming = replicas.stores(0, 1, 3);
  tellAll({ generation: 4, members, coming });
  replicas.start(3);
  replicas.tell(3, { ...replicas.set, generation: 4, members, coming });
  await replicas.run(100);
  expect(replicas.replication(3).setOf('main', id)?.generation).toBe(4);
  const second = await replicas.acquire(0, epochOf(9));
  expect(second.log.isEmpty).toBe(true);
  second.log.release();
  await replicas.run(2000);
  expect(replicas.replication(3).isComplete('main/0')).toBe(true);
  tellAll({ generation: 5, members: coming }, [0, 1, 2, 3, 4]);
  await replicas.run(1000);
  replicas.kill(0);
  const third = await replicas.acquire(1, epochOf(12));
  expect(third.log.isEmpty).toBe(true);
  expect(replicas.value(1, 'k')).toBeUndefined();
});

test('one whose node changed its region keeps what it holds there while it learns here', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(2000);
  const shard = { region: 'other', shard: 0, generation: 1 };
  const set = { ...shard, members: replicas.stores(4), coming: replicas.stores(4, 2) };
  for (const index of [2, 4]) replicas.replication(index).adopt([set]);
  await replicas.run(3000);
  expect(replicas.replication(2).isComplete('other/0')).toBe(true);
  expect(replicas.value(2, 'k')).toBe('1');
});

test('one that learns under a greater floor has the object claimed anew, and lost to nobody', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { log, heard } = await replicas.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await replicas.run(1500);
  let renewals = 0;
  replicas.replication(0).follow({
    reclaim: () => {
      renewals += 1;
    },
  });
  const { contents } = replicas.disks[3] as Disk;
  await contents.raiseFloors(contents.floors().map(() => epochOf(9)));
  const coming = replicas.stores(0, 1, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, coming });
  }
  await replicas.run(4000);
  expect(renewals).toBe(1);
  log.append([put('k', '2')]);
  await replicas.run(1000);
  expect(heard).toEqual(['committed 1', 'committed 2']);
  expect(log.isCovered()).toBe(true);
  expect(replicas.replication(3).isComplete('main/0')).toBe(true);
});

test('one that learns on a disk that has too much to write tries again', async () => {
  const replicas = new Replicas({}, {}, names);
  await replicas.run(200);
  const { contents } = replicas.disks[3] as Disk;
  const erasePage = contents.erasePage.bind(contents);
  let refused = 0;
  contents.erasePage = async (options) => {
    refused += 1;
    if (refused < 3) throw new HomingError('overloaded', 'too much to write');
    return erasePage(options);
  };
  const coming = replicas.stores(0, 1, 3);
  for (const index of names.keys()) {
    replicas.tell(index, { ...replicas.set, generation: 2, coming });
  }
  await replicas.run(5000);
  expect(refused).toBeGreaterThan(2);
  expect(replicas.replication(3).isComplete('main/0')).toBe(true);
});

test('what is left of an object that is at home elsewhere need not be settled', async () => {
  for (const isHere of [true, false]) {
    const replicas = new Replicas({}, { passAttemptsMax: 3 }, names);
    await replicas.run(200);
    const { log } = await replicas.acquire(0, epochOf(5));
    log.append([put('k', '1')]);
    await replicas.run(1500);
    log.append([put('k', '2')]);
    await replicas.run(20);
    // Nobody that is left knows whether the last record was committed.
    replicas.kill(0);
    for (const index of [1, 2, 3, 4]) {
      replicas.replication(index).follow({ settle: async () => isHere });
      const next = replicas.stores(1, 2, 3);
      replicas.tell(index, { ...replicas.set, generation: 2, next });
    }
    await replicas.run(20_000);
    expect(replicas.value(3, 'k')).toBe(isHere ? undefined : '1');
    const complete = [1, 2, 3].map((index) => replicas.replication(index).isComplete('main/0'));
    expect(complete).toEqual([!isHere, !isHere, !isHere]);
  }
});
