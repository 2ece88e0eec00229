/** What a simulated link takes, and when it ends. */
import type { PeerRun } from '@homing/base';
import { expect, test } from 'vitest';
import { SimNetwork } from '../src/network.ts';
import { SeededRandom } from '../src/random.ts';
import { Process, World } from '../src/world.ts';

const bufferBytesMax = 1000;

/** A link on which messages take a while, from `a` to `b`, and what `b` hears. */
async function makeLink() {
  const world = new World();
  const random = new SeededRandom(1);
  const faults = {
    delayMs: [5, 5],
    keepaliveMs: 1000,
    reconnectMs: [5, 5],
    bufferBytesMax,
  } as const;
  const network = new SimNetwork(world, random, faults);
  const heard: (number | string)[] = [];
  const [from] = ['a', 'b'].map((node) => {
    const peer: PeerRun = { node, storeId: `store-${node}`, run: `run-${node}` };
    const joined = network.join(peer, new Process(world, 1));
    const isHeard = node === 'b';
    joined.serve('log', {
      up: () => {},
      down: () => void (isHeard && heard.push('down')),
      message: (_peer, { length }) => void (isHeard && heard.push(length)),
    });
    return joined;
  });
  if (from === undefined) throw new Error('no network');
  const run = (ms: number) => world.run(world.nowMs + ms);
  await run(20);
  const send = (bytes: number) => from.send('b', 'log', new Uint8Array(bytes));
  const sendOrEnd = (bytes: number) => from.sendOrEnd('b', 'log', new Uint8Array(bytes));
  return { heard, run, send, sendOrEnd };
}

test('a message that goes past the bound leaves the reserve to what must not be left out', async () => {
  const { heard, run, send, sendOrEnd } = await makeLink();
  expect(send(900)).toBe(true);
  expect(send(900)).toBe(true);
  expect(send(1)).toBe(false);
  for (let answer = 0; answer < 8; answer++) sendOrEnd(60);
  await run(10);
  expect(heard).toEqual([900, 900, ...Array(8).fill(60)]);
  // What has come takes no room any more.
  expect(send(900)).toBe(true);
  expect(send(900)).toBe(true);
  for (let answer = 0; answer < 8; answer++) sendOrEnd(60);
  await run(10);
  expect(heard.length).toBe(20);
});

test('past the reserve the link ends, and what was under way is lost', async () => {
  const { heard, run, send, sendOrEnd } = await makeLink();
  expect(send(900)).toBe(true);
  expect(send(900)).toBe(true);
  for (let answer = 0; answer < 10; answer++) sendOrEnd(60);
  expect(send(0)).toBe(false);
  await run(4);
  expect(heard).toEqual(['down']);
});
