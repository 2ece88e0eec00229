import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import {
  bytes,
  closeAll,
  type Node,
  quick,
  sleep,
  startNode,
  startPair,
  TcpProxy,
  until,
} from './peer-nodes.ts';

afterEach(closeAll);

const mebibyte = 1024 * 1024;

function numbered(index: number): Uint8Array {
  const message = new Uint8Array(20);
  new DataView(message.buffer).setUint32(0, index);
  return message;
}

/** Sends `count` numbered messages as fast as the link takes them. */
async function sendAll(from: Node, to: string, count: number): Promise<void> {
  for (let index = 0; index < count; ) {
    if (from.network.send(to, 'log', numbered(index))) index++;
    else await new Promise((resolve) => setImmediate(resolve));
  }
}

test('100,000 messages each way, all of them, in order, in far fewer frames', async () => {
  const { a, b } = await startPair();
  const count = 100_000;
  const expected = [0, 0];
  for (const [index, node] of [a, b].entries()) {
    node.log.onMessage = (_peer, message) => {
      const number = new DataView(message.buffer, message.byteOffset).getUint32(0);
      if (number !== expected[index]) throw new Error(`${number} in place of ${expected[index]}`);
      expected[index] = number + 1;
    };
  }
  await Promise.all([sendAll(a, 'b', count), sendAll(b, 'a', count)]);
  await until(() => expected[0] === count && expected[1] === count);
  for (const { network } of [a, b]) {
    const { messagesSent, framesSent, buffered } = network.stats();
    expect(messagesSent).toBe(count);
    expect(framesSent).toBeLessThan(count / 100);
    await until(() => network.stats().buffered === 0);
    expect(buffered).toBeLessThan(mebibyte);
  }
});

test('what is sent in one turn goes into one frame, the purposes apart', async () => {
  const { a, b } = await startPair();
  const before = a.network.stats().framesSent;
  for (let index = 0; index < 1000; index++) a.network.send('b', 'log', numbered(index));
  a.network.send('b', 'call', bytes('one'));
  await until(() => b.log.messages.length === 1000 && b.call.messages.length === 1);
  expect(a.network.stats().framesSent - before).toBe(2);
  expect(b.call.texts()).toEqual(['one']);
});

test('a long message is cut up and put together, in its place', async () => {
  const { a, b } = await startPair({ limits: { messageBytesMax: 8 * mebibyte } });
  const long = new Uint8Array(5 * mebibyte).map((_, index) => index % 251);
  for (const [from, to, at] of [
    [a, 'b', b],
    [b, 'a', a],
  ] as const) {
    expect(from.network.send(to, 'log', bytes('before'))).toBe(true);
    expect(from.network.send(to, 'log', long)).toBe(true);
    expect(from.network.send(to, 'log', bytes('after'))).toBe(true);
    await until(() => at.log.messages.length === 3);
    const [before, middle, after] = at.log.messages;
    expect(Buffer.from(before!).toString()).toBe('before');
    expect(Buffer.compare(middle!, long)).toBe(0);
    expect(Buffer.from(after!).toString()).toBe('after');
  }
  expect(() => a.network.send('b', 'log', new Uint8Array(8 * mebibyte + 1))).toThrow(TypeError);
});

test('a message longer than the receiver takes ends the link, and both ends say why', async () => {
  const a = await startNode('a');
  const b = await startNode('b', { limits: { messageBytesMax: mebibyte } });
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => a.network.peer('b', 'log') !== undefined);
  a.network.send('b', 'log', new Uint8Array(2 * mebibyte));
  await until(() => a.log.events.includes('down b b-1'));
  for (const { lines } of [a, b]) {
    expect(lines.of('peer: link down')[0]?.['reason']).toContain('messageBytesMax');
  }
  expect(b.log.messages).toEqual([]);
});

test.each([
  ['the one that dialled', 'a', 'b', 'there'],
  ['the one that was dialled', 'b', 'a', 'back'],
] as const)('a peer that reads nothing costs a bounded buffer: %s sends', async (...row) => {
  const [, name, to, direction] = row;
  const linkBufferBytesMax = 4 * mebibyte;
  const pair = await startPair({ limits: { linkBufferBytesMax, flowWindowBytes: 128 * 1024 } });
  const [from, at] = [pair[name], pair[to]];
  pair.proxy.hold({ there: false, back: false, [direction]: true });
  const message = new Uint8Array(10_000);
  let sent = 0;
  // The machine's own socket buffers fill first.
  for (let isFull = false; !isFull; await sleep(20)) {
    const before = from.network.stats().framesSent;
    while (from.network.send(to, 'log', message)) sent++;
    await sleep(20);
    isFull = from.network.stats().framesSent === before && !from.network.send(to, 'log', message);
    expect(from.network.stats().buffered).toBeLessThanOrEqual(linkBufferBytesMax);
  }
  expect(from.network.stats().buffered).toBeGreaterThan(linkBufferBytesMax - message.length - 5);
  expect(from.network.send(to, 'call', bytes('the other link has room'))).toBe(true);
  pair.proxy.hold({ there: false, back: false });
  await until(() => at.log.messages.length >= sent && from.network.stats().buffered === 0);
  expect(from.network.send(to, 'log', bytes('last'))).toBe(true);
  await until(() => at.log.texts().at(-1) === 'last');
  expect(from.log.events).toEqual([`up ${to} ${to}-1`]);
});

test('a message longer than the buffer goes when the link is idle, and alone', async () => {
  const { a, b } = await startPair({ limits: { linkBufferBytesMax: mebibyte } });
  expect(a.network.send('b', 'log', new Uint8Array(3 * mebibyte))).toBe(true);
  expect(a.network.send('b', 'log', bytes('x'))).toBe(false);
  await until(() => b.log.messages.length === 1);
  expect(b.log.messages[0]?.length).toBe(3 * mebibyte);
});

test('an idle link lives on signs of life; a silent one ends at both ends and comes back', async () => {
  const { a, b, proxy } = await startPair({
    // A busy machine may keep both ends waiting for a while, which is no silence of the peer's.
    limits: { keepaliveMs: 100, keepaliveTimeoutMs: 1000, connectTimeoutMs: 1000 },
  });
  await sleep(1500);
  expect(a.log.events).toEqual(['up b b-1']);
  expect(b.log.events).toEqual(['up a a-1']);
  proxy.hold({ there: true, back: true });
  await until(() => a.log.events.includes('down b b-1') && b.log.events.includes('down a a-1'));
  expect(a.lines.of('peer: link down')[0]?.['reason']).toContain('nothing came from the peer');
  expect(a.network.send('b', 'log', bytes('lost'))).toBe(false);
  proxy.hold({ there: false, back: false });
  await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
  a.network.send('b', 'log', bytes('again'));
  await until(() => b.log.messages.length > 0);
  expect(b.log.texts()).toEqual(['again']);
});

test('a peer that starts anew on its port is found, and named by its new run', async () => {
  const a = await startNode('a');
  const b = await startNode('b');
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => a.network.stats().links === 2);
  await b.network.close();
  await until(() => a.network.stats().links === 0);
  expect(a.network.peer('b', 'log')).toBeUndefined();
  expect(a.network.send('b', 'log', bytes('lost'))).toBe(false);
  const again = await startNode('b', { port: b.network.port, run: 'b-2' });
  await until(() => a.network.stats().links === 2);
  expect(a.log.events).toEqual(['up b b-1', 'down b b-1', 'up b b-2']);
  expect(a.network.peer('b', 'log')).toEqual({ node: 'b', storeId: 'store-b', run: 'b-2' });
  a.network.send('b', 'log', bytes('hello'));
  await until(() => again.log.messages.length === 1);
});

test('a new link takes the place of a half-open one, which delivers nothing any more', async () => {
  const { a, b, proxy } = await startPair();
  proxy.hold({ there: true, back: true });
  a.network.send('b', 'log', bytes('too late'));
  await sleep(20);
  await a.network.close();
  const again = await startNode('a', { run: 'a-2' });
  again.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => again.network.stats().links === 2);
  await until(() => b.network.peer('a', 'log')?.run === 'a-2');
  expect(b.log.events).toEqual(['up a a-1', 'down a a-1', 'up a a-2']);
  proxy.hold({ there: false, back: false });
  again.network.send('b', 'log', bytes('in time'));
  await until(() => b.log.messages.length > 0);
  await sleep(50);
  expect(b.log.texts()).toEqual(['in time']);
  expect(b.log.events).toEqual(['up a a-1', 'down a a-1', 'up a a-2']);
});

test('a handler may send from up, and close the network from message', async () => {
  const a = await startNode('a');
  const b = await startNode('b');
  a.log.onUp = () => a.network.send('b', 'log', bytes('from up'));
  b.log.onUp = () => {
    b.network.send('a', 'log', bytes('first'));
    b.network.send('a', 'log', bytes('second'));
  };
  let delivered = 0;
  a.log.onMessage = () => {
    delivered++;
    a.network.close().catch(() => {});
  };
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => delivered > 0 && b.network.stats().links === 0);
  await sleep(20);
  expect(delivered).toBe(1);
  expect(a.log.events).toEqual(['up b b-1', 'down b b-1']);
  expect(a.network.send('b', 'log', bytes('x'))).toBe(false);
});

test('one connection for each purpose, however often the peers are named', async () => {
  const { a, b, proxy } = await startPair();
  for (let round = 0; round < 3; round++) {
    a.network.setPeers([
      { node: 'a', address: a.address },
      { node: 'b', address: proxy.address },
    ]);
    b.network.setPeers([{ node: 'a', address: a.address }]);
    await sleep(20);
  }
  expect(proxy.connections).toBe(2);
  expect([a.log.events, b.log.events]).toEqual([['up b b-1'], ['up a a-1']]);
});

test('peers come and go as they are named; one hung up on stays out until it is named again', async () => {
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => startNode(name)));
  const named = (...nodes: Node[]) => nodes.map(({ name, address }) => ({ node: name, address }));
  a!.network.setPeers(named(b!, c!));
  c!.network.setPeers(named(a!, b!));
  b!.network.setPeers(named(a!, c!));
  await until(() => [a, b, c].every((node) => node!.network.stats().links === 4));
  // b is dialled by a, and dials c.
  b!.network.setPeers(named(c!));
  expect(b!.log.events.at(-1)).toBe('down a a-1');
  await until(() => a!.log.events.includes('down b b-1'));
  await sleep(150);
  expect(b!.network.stats().links).toBe(2);
  expect(a!.network.stats().links).toBe(2);
  b!.network.setPeers(named(a!));
  await until(() => b!.network.stats().links === 2 && b!.network.peer('a', 'call') !== undefined);
  expect(b!.network.peer('c', 'log')).toBeUndefined();
  expect(c!.network.peer('b', 'log')).toBeUndefined();
  expect(c!.log.events.filter((event) => event.endsWith('a-1'))).toEqual(['up a a-1']);
});

test('a node that is not known yet is let in', async () => {
  const a = await startNode('a');
  const b = await startNode('b');
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => b.network.stats().links === 2);
  b.network.send('a', 'log', bytes('welcome'));
  await until(() => a.log.messages.length === 1);
});

test('a new address is dialled in place of the old one', async () => {
  const { a, b, proxy } = await startPair();
  a.network.setPeers([{ node: 'b', address: b.address }]);
  expect(a.log.events).toEqual(['up b b-1', 'down b b-1']);
  await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
  await proxy.close();
  a.network.send('b', 'log', bytes('direct'));
  await until(() => b.log.messages.length === 1);
});

test('addresses that lead nowhere are tried on and on, and logged once', async () => {
  const a = await startNode('a');
  const gone = await startNode('b');
  await gone.network.close();
  a.network.setPeers([
    { node: 'b', address: gone.address },
    { node: 'c', address: 'no address' },
    { node: 'd', address: '' },
  ]);
  await until(() => a.lines.of('peer: not reached').length >= 3);
  await sleep(300);
  expect(a.lines.of('peer: not reached').map(({ peer }) => peer)).toEqual(
    expect.arrayContaining(['b', 'c', 'd']),
  );
  expect(a.lines.of('peer: not reached').length).toBe(3);
  a.network.setPeers([]);
});

test('a peer that is only starting is asked again, and no trouble', async () => {
  const a = await startNode('a');
  const b = await startNode('b', {}, { isStarting: true });
  const proxy = await TcpProxy.start(b.network.port);
  a.network.setPeers([{ node: 'b', address: proxy.address }]);
  b.network.setPeers([{ node: 'a', address: a.address }]);
  // One connection for the log, and more than one try for the calls.
  await until(() => a.network.stats().links === 1 && proxy.connections > 3);
  b.network.serve('call', b.call);
  await until(() => a.network.stats().links === 2);
  expect(a.lines.of('peer: not reached')).toEqual([]);
  expect(b.lines.of('peer: refused')).toEqual([]);
});

test('much is under way without a word from the receiver, so that distance costs no speed', async () => {
  const { a, b, proxy } = await startPair();
  a.network.send('b', 'log', bytes('opens'));
  await until(() => b.log.messages.length === 1);
  proxy.hold({ there: false, back: true });
  for (let index = 0; index < 30; index++) a.network.send('b', 'log', new Uint8Array(100_000));
  await until(() => b.log.messages.length === 31);
});

test('a connection that brings no link is dropped', async () => {
  const b = await startNode('b', { limits: { connectTimeoutMs: 50 } });
  const socket = connect(b.network.port, '127.0.0.1');
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
});

test('a dialler gives up on who takes a connection and says nothing', async () => {
  const b = await startNode('b', { limits: { connectTimeoutMs: 60_000 } });
  const { proxy, a } = await startPair({ limits: { connectTimeoutMs: 50 } });
  proxy.hold({ there: true, back: true });
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => a.network.stats().links === 2);
  a.network.setPeers([{ node: 'b', address: proxy.address }]);
  await until(() => proxy.connections > 4);
  expect(a.lines.of('peer: not reached')[0]?.['reason']).toBe('no answer within 50 ms');
});

test('connections are bounded', async () => {
  const b = await startNode('b', { limits: { connectionsMax: 1 } });
  const a = await startNode('a');
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => b.lines.of('peer: too many connections').length > 0);
  expect(b.network.stats().links).toBeLessThanOrEqual(1);
});

test('the port that is taken is said', async () => {
  const { network } = await startNode('a', { limits: quick });
  await expect(startNode('b', { port: network.port })).rejects.toThrow('EADDRINUSE');
});
