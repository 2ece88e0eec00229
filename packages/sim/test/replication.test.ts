/** Three replicas of one object on simulated disks and links: what an owner does step by step. */
import type { WallMs } from '@homing/base';
import { expect, test } from 'vitest';
import { epochOf, put, Replicas } from './replicas.ts';

test('an appended group is committed by a majority, and reaches every replica', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log, heard } = await trio.acquire(0, epochOf(5));
  log.append([put('k', '1')]);
  log.append([put('k', '2')]);
  await trio.run(1000);
  expect(heard).toContain('committed 2');
  expect([0, 1, 2].map((index) => trio.value(index, 'k'))).toEqual(['2', '2', '2']);
  expect(log.isCovered()).toBe(true);
});

test('what sets an alarm is part of the owner’s state before it falls idle', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  log.append([put('k', '1'), { type: 'alarm', dueMs: 1 as WallMs }]);
  await trio.run(300);
  expect(trio.value(0, 'k')).toBe('1');
});

test('with one replica gone it goes on, with two it stalls, and goes on when one is back', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log, heard } = await trio.acquire(0, epochOf(5));
  trio.kill(2);
  log.append([put('k', '1')]);
  await trio.run(300);
  expect(heard).toEqual(['committed 1']);
  trio.kill(1);
  log.append([put('k', '2')]);
  await trio.run(6000);
  expect(heard).toEqual(['committed 1', 'stalled']);
  expect(log.isCovered()).toBe(false);
  trio.start(1);
  await trio.run(4000);
  expect(heard).toEqual(['committed 1', 'stalled', 'committed 2']);
  expect(log.isCovered()).toBe(true);
});

test('the next owner has what was committed, and the old one stops', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const first = await trio.acquire(0, epochOf(5));
  for (let n = 1; n <= 20; n++) first.log.append([put('k', String(n))]);
  await trio.run(300);
  const startMs = trio.world.nowMs;
  const second = await trio.acquire(1, epochOf(6));
  // The old owner lives and is told: nobody waits for its promises to run out.
  expect(trio.world.nowMs - startMs).toBeLessThan(3000);
  expect(trio.value(1, 'k')).toBe('20');
  await trio.run(300);
  expect(first.heard.at(-1)).toBe('lost fenced');
  expect(first.log.isCovered()).toBe(false);
  second.log.append([put('k', '21')]);
  await trio.run(300);
  expect(second.heard).toContain('committed 1');
});

test('an owner cut off serves no read after its promises have run out', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const first = await trio.acquire(0, epochOf(5));
  await trio.run(2000);
  for (const other of ['n1', 'n2']) {
    trio.network.cut('n0', other);
    trio.network.cut(other, 'n0');
  }
  const second = await trio.acquire(1, epochOf(6));
  expect(first.log.isCovered()).toBe(false);
  second.log.append([put('k', 'new')]);
  await trio.run(1000);
  expect(second.heard).toContain('committed 1');
  trio.network.heal();
  await trio.run(3000);
  expect(first.heard.at(-1)).toBe('lost fenced');
  expect(trio.value(0, 'k')).toBe('new');
});

test('a replica that was away long gets the state, all at once', async () => {
  const trio = new Replicas();
  await trio.run(200);
  const { log } = await trio.acquire(0, epochOf(5));
  trio.kill(2);
  for (let n = 0; n < 200; n++) {
    log.append([put(`k${n}`, 'x'.repeat(4000))]);
    if (n % 20 === 0) await trio.run(20);
  }
  await trio.run(500);
  trio.start(2);
  await trio.run(5000);
  expect(trio.value(2, 'k199')).toHaveLength(4000);
  log.append([put('k', 'after')]);
  await trio.run(1500);
  expect(trio.value(2, 'k')).toBe('after');
});

test('what a killed owner had not committed is kept or dropped everywhere', async () => {
  for (let killAfterMs = 0; killAfterMs < 12; killAfterMs++) {
    const trio = new Replicas();
    await trio.run(200);
    const first = await trio.acquire(0, epochOf(5));
    first.log.append([put('k', '1')]);
    await trio.run(100);
    first.log.append([put('k', '2')]);
    await trio.run(killAfterMs);
    trio.kill(0);
    const isAcked = first.heard.includes('committed 2');
    await trio.acquire(1, epochOf(6));
    const kept = trio.value(1, 'k');
    if (isAcked) expect(kept).toBe('2');
    trio.start(0);
    await trio.run(5000);
    expect([0, 1, 2].map((index) => trio.value(index, 'k'))).toEqual([kept, kept, kept]);
  }
});

test('a restarted replica answers no seal while what it promised before may hold', async () => {
  for (const bugs of [{}, { 'no-silence': true }] as const) {
    const trio = new Replicas(bugs);
    await trio.run(200);
    const cut = (a: number, b: number) => {
      trio.network.cut(`n${a}`, `n${b}`);
      trio.network.cut(`n${b}`, `n${a}`);
    };
    const first = await trio.acquire(0, epochOf(5));
    cut(0, 2);
    // Only the replica that is to restart promises to the owner from now on.
    await trio.run(5000);
    cut(0, 1);
    trio.kill(1);
    trio.start(1);
    await trio.acquire(2, epochOf(6));
    expect(first.log.isCovered()).toBe('no-silence' in bugs);
  }
});

test('a record of an older epoch is not committed by its copies alone', async () => {
  for (const bugs of [{}, { 'older-epochs-count': true }] as const) {
    const trio = new Replicas(bugs, { inFlightBytesMax: 1 });
    await trio.run(200);
    const alone = (index: number) => {
      for (const other of [0, 1, 2]) {
        if (other !== index) trio.network.cut(`n${index}`, `n${other}`);
      }
    };
    const first = await trio.acquire(0, epochOf(5));
    first.log.append([put('k', 'base')]);
    await trio.run(1000);
    alone(0);
    first.log.append([put('k', 'x')]);
    await trio.run(100);
    trio.kill(0);
    trio.network.heal();
    const second = await trio.acquire(2, epochOf(6));
    alone(2);
    second.log.append([put('k', 'y')]);
    await trio.run(100);
    trio.kill(2);
    trio.network.heal();
    trio.start(0);
    await trio.run(100);
    // The third owner finds `x`, copies it, and dies before its barrier is copied.
    const third = trio.acquire(0, epochOf(7)).catch(() => {});
    const hasCopied = () => trio.last(1)?.epoch === epochOf(5) && trio.last(1)?.lsn === 2;
    while (!hasCopied()) await trio.world.run(trio.world.nowMs + 1, hasCopied);
    trio.network.cut('n0', 'n1');
    await trio.run(100);
    trio.kill(0);
    // What was on its way is lost with the link.
    await trio.run(1500);
    trio.network.heal();
    await third;
    trio.start(2);
    await trio.acquire(2, epochOf(8));
    expect(trio.value(2, 'k')).toBe('y');
    expect(trio.value(0, 'k')).toBe('older-epochs-count' in bugs ? 'x' : 'base');
  }
});

test('a seal waits for the promises of the object’s holder', async () => {
  for (const bugs of [{}, { 'seals-ignore-promises': true }] as const) {
    const replicas = new Replicas(bugs);
    await replicas.run(200);
    const first = await replicas.acquire(0, epochOf(5));
    await replicas.run(2000);
    for (const other of ['n1', 'n2']) {
      replicas.network.cut('n0', other);
      replicas.network.cut(other, 'n0');
    }
    await replicas.acquire(1, epochOf(6));
    expect(first.log.isCovered()).toBe('seals-ignore-promises' in bugs);
  }
});

test('what a replica has vowed to another it names to the old holder', async () => {
  for (const bugs of [{}, { 'lost-not-named': true }] as const) {
    const replicas = new Replicas(bugs);
    await replicas.run(200);
    const first = await replicas.acquire(0, epochOf(5));
    await replicas.run(2000);
    // The third node talks to both, and both count it.
    replicas.network.cut('n0', 'n1');
    replicas.network.cut('n1', 'n0');
    await replicas.acquire(1, epochOf(6));
    await replicas.run(200);
    expect(first.log.isCovered()).toBe('lost-not-named' in bugs);
  }
});

test('a promise counts from when it was asked for, however late its answer is read', async () => {
  for (const bugs of [{}, { 'promise-from-receipt': true }] as const) {
    let covered = 0;
    for (let waitMs = 0; waitMs < 100; waitMs += 3) {
      const replicas = new Replicas(bugs, { promiseMs: 300 });
      await replicas.run(200);
      const first = await replicas.acquire(0, epochOf(5));
      await replicas.run(500 + waitMs);
      const process = replicas.nodes[0]?.process;
      process?.pause();
      await replicas.acquire(1, epochOf(6));
      process?.resume();
      // What came meanwhile is read first; then it hears of the new owner.
      for (let step = 0; step < 100; step++) {
        await replicas.run(0.1);
        if (first.log.isCovered()) covered += 1;
      }
    }
    expect(covered > 0).toBe('promise-from-receipt' in bugs);
  }
});
