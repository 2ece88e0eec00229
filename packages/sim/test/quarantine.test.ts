/** Replicas that have lost what they held: they keep others out, and have no say in what the log is. */
import { encodeBody, HomingError, noRecord } from '@homing/base';
import { expect, test } from 'vitest';
import { epochOf, id, put, Replicas } from './replicas.ts';

function cut(trio: Replicas, a: number, b: number): void {
  trio.network.cut(`n${a}`, `n${b}`);
  trio.network.cut(`n${b}`, `n${a}`);
}

const isQuarantined = (trio: Replicas, index: number) =>
  trio.disks[index]?.contents.head(id)?.isQuarantined === true;

/** Of `k`, acknowledged by the first two, the third knows nothing; the second is damaged then. */
async function acknowledgedTwice(trio: Replicas): Promise<void> {
  await trio.run(200);
  const { log, heard } = await trio.acquire(0, epochOf(5));
  log.append([put('first', '1')]);
  await trio.run(1500);
  cut(trio, 0, 2);
  log.append([put('k', 'kept')]);
  await trio.run(1500);
  expect(heard.at(-1)).toBe('committed 2');
  cut(trio, 0, 1);
  await trio.run(1500);
  await trio.disks[1]?.contents.quarantine(id, 'damaged');
  trio.kill(0);
  trio.network.heal();
  await trio.run(500);
}

test('a quarantined replica does not make a majority with one that lacks what it had', async () => {
  for (const bugs of [{}, { 'quarantined-votes': true }] as const) {
    const trio = new Replicas(bugs);
    await acknowledgedTwice(trio);
    if ('quarantined-votes' in bugs) {
      await trio.acquire(2, epochOf(6));
      expect(trio.value(2, 'k')).toBeUndefined();
      continue;
    }
    await expect(trio.acquire(2, epochOf(6))).rejects.toMatchObject({ code: 'unavailable' });
    trio.start(0);
    await trio.acquire(2, epochOf(7));
    expect(trio.value(2, 'k')).toBe('kept');
    await trio.run(8000);
    expect(trio.value(1, 'k')).toBe('kept');
    expect(isQuarantined(trio, 1)).toBe(false);
  }
});

test('it keeps its promises, and so a former owner out', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const first = await trio.acquire(0, epochOf(5));
  first.log.append([put('k', '1')]);
  await trio.run(1500);
  cut(trio, 0, 1);
  cut(trio, 0, 2);
  const second = await trio.acquire(1, epochOf(6));
  await trio.disks[2]?.contents.quarantine(id, 'damaged');
  cut(trio, 0, 1);
  cut(trio, 1, 2);
  trio.network.mend('n0', 'n2');
  trio.network.mend('n2', 'n0');
  first.log.append([put('k', 'stale')]);
  await trio.run(5000);
  expect(first.heard.at(-1)).toBe('lost fenced');
  trio.network.heal();
  await trio.run(8000);
  second.log.append([put('k', '2')]);
  await trio.run(1500);
  expect([0, 1, 2].map((index) => trio.value(index, 'k'))).toEqual(['2', '2', '2']);
});

test('while it is written to, and while it is idle, its owner makes it anew', async () => {
  for (const isIdle of [false, true]) {
    const trio = new Replicas();
    await trio.run(200);
    const { log, heard } = await trio.acquire(0, epochOf(5));
    for (let n = 1; n <= 50; n++) log.append([put(`k${n}`, 'x'.repeat(4000))]);
    await trio.run(1500);
    await trio.disks[2]?.contents.quarantine(id, 'damaged');
    if (!isIdle) log.append([put('k', 'more')]);
    await trio.run(8000);
    expect(isQuarantined(trio, 2)).toBe(false);
    expect(trio.value(2, 'k50')).toHaveLength(4000);
    if (!isIdle) expect(heard.at(-1)).toBe('committed 51');
  }
});

test('an owner whose own replica is damaged is one no more; its node may be the next', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const first = await trio.acquire(0, epochOf(5));
  for (let n = 1; n <= 9; n++) first.log.append([put('k', String(n))]);
  await trio.run(1500);
  trio.replication(0).damaged(id, 'the state does not fit its checksum');
  expect(first.log.isOver).toBe(true);
  await trio.run(100);
  expect(trio.value(0, 'k')).toBeUndefined();
  const second = await trio.acquire(0, epochOf(6));
  expect(trio.value(0, 'k')).toBe('9');
  expect(isQuarantined(trio, 0)).toBe(false);
  second.log.append([put('k', '10')]);
  await trio.run(1500);
  expect([0, 1, 2].map((index) => trio.value(index, 'k'))).toEqual(['10', '10', '10']);
});

/** The disk has no room to take down what is given up; ends what it returns. */
function withoutRoom(trio: Replicas, index: number): () => void {
  const { contents } = trio.disks[index] as Replicas['disks'][number];
  const give = contents.quarantine.bind(contents);
  contents.quarantine = () => Promise.reject(new HomingError('overloaded', 'no room'));
  return () => {
    contents.quarantine = give;
  };
}

test('nothing is built on a damaged replica while the disk has no room to give it up', async () => {
  for (const bugs of [{}, { 'damaged-votes': true }] as const) {
    const trio = new Replicas(bugs);
    await trio.run(200);
    const first = await trio.acquire(0, epochOf(5));
    for (let n = 1; n <= 9; n++) first.log.append([put('k', String(n))]);
    await trio.run(1500);
    const madeRoom = withoutRoom(trio, 0);
    trio.replication(0).damaged(id, 'the state does not fit its checksum');
    trio.world.at(2000, madeRoom);
    const second = await trio.acquire(0, epochOf(6));
    await trio.run(4000);
    expect(second.log.isOver).toBe(false);
    // What the owner built on was taken away under it.
    expect(trio.value(0, 'k')).toBe('damaged-votes' in bugs ? undefined : '9');
    expect(isQuarantined(trio, 0)).toBe('damaged-votes' in bugs);
  }
});

test('what was found damaged is given to nobody, though the disk has not given it up', async () => {
  for (const bugs of [{}, { 'damaged-votes': true }] as const) {
    const trio = new Replicas(bugs);
    await trio.run(200);
    const { log } = await trio.acquire(0, epochOf(5));
    cut(trio, 0, 2);
    log.append([put('k', 'true')]);
    await trio.run(1500);
    await falsify(trio, 1);
    trio.kill(0);
    trio.network.heal();
    // What was promised to the owner has run out.
    await trio.run(4000);
    const madeRoom = withoutRoom(trio, 1);
    trio.replication(1).damaged(id, 'its state is not that of a majority');
    trio.world.at(2000, madeRoom);
    trio.world.at(4000, () => trio.start(0));
    await trio.acquire(2, epochOf(6));
    expect(trio.value(2, 'k')).toBe('damaged-votes' in bugs ? 'false' : 'true');
  }
});

test('of two replicas the one that is whole is enough, since both had what was acknowledged', async () => {
  const pair = new Replicas({}, {}, ['a', 'b', 'c']);
  for (const index of [0, 1, 2]) {
    pair.tell(index, { generation: 2, members: pair.stores(0, 1) });
  }
  await pair.run(200);
  const { log } = await pair.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await pair.run(1500);
  log.release();
  await pair.disks[1]?.contents.quarantine(id, 'damaged');
  await pair.acquire(1, epochOf(6));
  expect(pair.value(1, 'k')).toBe('1');
  expect(isQuarantined(pair, 1)).toBe(false);
});

test('the only copy of an object is not given up', async () => {
  const trio = new Replicas();
  for (const index of [0, 1, 2]) trio.tell(index, { generation: 2, members: trio.stores(0) });
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  await trio.run(1500);
  expect(() => trio.replication(0).damaged(id, 'damaged')).toThrow(/one copy/);
  expect(trio.value(0, 'k')).toBe('1');
  // Stores that are to hold it too have nothing yet.
  cut(trio, 0, 1);
  cut(trio, 0, 2);
  trio.tell(0, { generation: 3, members: trio.stores(0), next: trio.stores(0, 1, 2) });
  await trio.run(100);
  expect(() => trio.replication(0).damaged(id, 'damaged')).toThrow(/one copy/);
  expect(trio.value(0, 'k')).toBe('1');
});

/** Another state under the same name, as from a bit that no checksum covers. */
async function falsify(trio: Replicas, index: number): Promise<void> {
  const contents = (trio.disks[index] as Replicas['disks'][number]).contents;
  const applied = contents.head(id)?.applied ?? noRecord;
  await contents.quarantine(id, 'by hand');
  await contents.install({
    object: { namespace: 'w/C', id },
    epoch: contents.head(id)?.promised ?? noRecord.epoch,
    applied,
    alarmMs: null,
    index: 0,
    isLast: true,
    page: encodeBody({ name: applied, operations: [put('k', 'false')] }),
  });
  expect(trio.value(index, 'k')).toBe('false');
}

test('a state that is not that of a majority is found and replaced, the owner’s own too', async () => {
  for (const index of [0, 2]) {
    const trio = new Replicas({}, { scrubPauseMs: 500, scrubBytesPerSecond: 1_000_000 });
    await trio.run(200);
    const { log, heard } = await trio.acquire(0, epochOf(5));
    log.append([put('k', 'true')]);
    await trio.run(1500);
    await falsify(trio, index);
    await trio.run(10_000);
    expect(log.isOver).toBe(index === 0);
    if (index === 0) {
      expect(heard.at(-1)).toBe('lost fenced');
      await trio.acquire(1, epochOf(6));
      await trio.run(8000);
    }
    expect([0, 1, 2].map((each) => trio.value(each, 'k'))).toEqual(['true', 'true', 'true']);
  }
});

test('where no majority agrees nothing is given up', async () => {
  const trio = new Replicas({}, { scrubPauseMs: 500, scrubBytesPerSecond: 1_000_000 });
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  log.append([put('k', 'true')]);
  await trio.run(1500);
  trio.kill(1);
  await falsify(trio, 2);
  await trio.run(10_000);
  expect([0, 2].map((index) => trio.value(index, 'k'))).toEqual(['true', 'false']);
  expect(log.isOver).toBe(false);
});
