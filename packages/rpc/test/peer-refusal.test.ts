import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import type { PeerNetworkOptions } from '../src/index.ts';
import { encodeHello, type Hello } from '../src/peer/handshake.ts';
import { closeAll, type Node, startNode, startPair, TcpProxy, until } from './peer-nodes.ts';

afterEach(closeAll);

/** `a` dials `b` through a proxy, and is refused; resolves after a few attempts. */
async function refused(
  ofA: Partial<PeerNetworkOptions>,
  ofB: Partial<PeerNetworkOptions>,
): Promise<{ a: Node; b: Node }> {
  const a = await startNode('a', ofA);
  const b = await startNode('b', ofB);
  const proxy = await TcpProxy.start(b.network.port);
  a.network.setPeers([{ node: 'b', address: proxy.address }]);
  await until(() => proxy.connections >= 8);
  return { a, b };
}

test.each([
  ['another cluster', { cluster: 'x' }, { cluster: 'y' }, 'cluster "x"'],
  ['a node in place of another', {}, { node: 'c' }, 'looks for b at the address of c'],
  [
    'two releases apart',
    { version: '0.1.0', protocol: { min: 1, max: 1 } },
    { version: '0.3.0', protocol: { min: 2, max: 3 } },
    'a (0.1.0, protocol 1 to 1) and b (0.3.0, protocol 2 to 3) have no protocol version in common',
  ],
])('%s is refused, and each end says why once', async (_name, ofA, ofB, reason) => {
  const { a, b } = await refused(ofA, ofB);
  for (const said of [a.lines.of('peer: refused by it'), b.lines.of('peer: refused')]) {
    expect(said.map((fields) => fields['reason'])).toEqual([expect.stringContaining(reason)]);
  }
  for (const { log, call, network } of [a, b]) {
    expect([...log.events, ...call.events]).toEqual([]);
    expect(network.stats().links).toBe(0);
  }
});

test('the link comes up when the operator has corrected what was wrong', async () => {
  const { a, b } = await refused({}, { cluster: 'y' });
  await b.network.close();
  const corrected = await startNode('b', { port: b.network.port, run: 'b-2' });
  await until(() => a.network.stats().links === 2 && corrected.network.stats().links === 2);
});

test.each([
  [{ min: 1, max: 1 }, { min: 1, max: 2 }, 1],
  [{ min: 1, max: 2 }, { min: 1, max: 1 }, 1],
  [{ min: 1, max: 2 }, { min: 2, max: 3 }, 2],
  [{ min: 2, max: 3 }, { min: 1, max: 2 }, 2],
])('neighbouring releases agree: %o and %o', async (ofA, ofB, agreed) => {
  const a = await startNode('a', { protocol: ofA });
  const b = await startNode('b', { protocol: ofB });
  a.network.setPeers([{ node: 'b', address: b.address }]);
  await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
  for (const { lines } of [a, b]) {
    expect(lines.of('peer: link up').map(({ protocol }) => protocol)).toEqual([agreed, agreed]);
  }
});

const hello: Hello = {
  node: 'a',
  storeId: 'store-a',
  run: 'a-1',
  cluster: 'test',
  version: '0.1.0',
  protocol: { min: 1, max: 1 },
  purpose: 'log',
  to: 'b',
  attempt: 5,
  keepaliveMs: 600_000,
};

/** A stream as a stranger opens it. */
function openRaw(node: Node, first: Buffer) {
  const client = new Client(node.address, credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  const stream = client.makeBidiStreamRequest('/homing.peer.v1.Peer/Link', same, same);
  const frames: Buffer[] = [];
  stream.on('data', (frame: Buffer) => frames.push(frame));
  const ended = new Promise<ServiceError>((resolve) => stream.on('error', resolve));
  stream.write(first);
  const close = () => {
    stream.cancel();
    client.close();
  };
  return { stream, frames, ended, close };
}

test('what is no handshake is refused, and what follows it goes nowhere', async () => {
  const b = await startNode('b');
  const raw = openRaw(b, Buffer.from('GET / HTTP/1.1'));
  raw.stream.write(encodeHello(hello));
  const { code, details } = await raw.ended;
  expect([code, details]).toEqual([
    status.FAILED_PRECONDITION,
    'what came first is no handshake of homing',
  ]);
  expect(b.network.stats().links).toBe(0);
  raw.close();
});

test('a node that should wait to be dialled, and one that knows of a later link, are sent away', async () => {
  const b = await startNode('b');
  const wrongWay = openRaw(b, encodeHello({ ...hello, node: 'c' }));
  expect((await wrongWay.ended).details).toBe('it is for b to dial c');
  const first = openRaw(b, encodeHello(hello));
  await until(() => first.frames.length === 1);
  const stale = openRaw(b, encodeHello({ ...hello, attempt: 4 }));
  expect((await stale.ended).details).toBe('a later attempt has a link');
  expect(b.log.events).toEqual(['up a a-1']);
  const next = openRaw(b, encodeHello({ ...hello, attempt: 6 }));
  await until(() => next.frames.length === 1);
  expect((await first.ended).details).toBe('a new link takes its place');
  expect(b.log.events).toEqual(['up a a-1', 'down a a-1', 'up a a-1']);
  for (const raw of [wrongWay, first, stale, next]) raw.close();
});

test('a frame that no version writes ends the link, and nothing else', async () => {
  const { b } = await startPair();
  const raw = openRaw(b, encodeHello({ ...hello, node: 'aa', run: 'aa-1' }));
  await until(() => raw.frames.length === 1);
  raw.stream.write(Buffer.from([9, 9, 9]));
  expect((await raw.ended).details).toContain('the peer broke the protocol: a frame of kind 9');
  expect(b.log.events).toEqual(['up a a-1', 'up aa aa-1', 'down aa aa-1']);
  raw.close();
});
