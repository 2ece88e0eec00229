import { expect, test } from 'vitest';
import { encodeHello, type Hello, judge, type PeerIdentity } from './handshake.ts';

const own: PeerIdentity = {
  node: 'n2',
  storeId: 's2',
  run: 'r2',
  cluster: 'c',
  version: '0.2.0',
  protocol: { min: 1, max: 2 },
};
const hello: Hello = {
  node: 'n1',
  storeId: 's1',
  run: 'r1',
  cluster: 'c',
  version: '0.1.0',
  protocol: { min: 1, max: 1 },
  purpose: 'log',
  to: 'n2',
  attempt: 1,
  keepaliveMs: 2000,
};

function judged(changes: object): unknown {
  return judge(own, encodeHello({ ...hello, ...changes }));
}

test('what the other end said comes out, without what this version does not know', () => {
  expect(judged({ colour: 'blue' })).toEqual({ hello, protocol: 1 });
});

test.each([
  ['older peer', { min: 1, max: 2 }, { min: 1, max: 1 }, 1],
  ['newer peer', { min: 1, max: 2 }, { min: 2, max: 3 }, 2],
  ['same', { min: 1, max: 2 }, { min: 1, max: 2 }, 2],
  ['two releases older', { min: 2, max: 3 }, { min: 1, max: 1 }, undefined],
  ['two releases newer', { min: 1, max: 1 }, { min: 2, max: 3 }, undefined],
])('the highest common version: %s', (_name, mine, theirs, agreed) => {
  const verdict = judge({ ...own, protocol: mine }, encodeHello({ ...hello, protocol: theirs }));
  if (agreed === undefined) {
    expect(verdict).toEqual({ refused: expect.stringContaining('no protocol version in common') });
  } else expect(verdict).toMatchObject({ protocol: agreed });
});

test.each([
  [{ cluster: 'd' }, 'cluster "d"'],
  [{ to: 'n3' }, 'looks for n3 at the address of n2'],
  [{ node: 'n2' }, 'two processes are named n2'],
])('says what is wrong: %o', (changes, reason) => {
  expect(judged(changes)).toEqual({ refused: expect.stringContaining(reason) });
});

test.each([
  ['no JSON', 'hello'],
  ['null', 'null'],
  ['a list', '[]'],
  ['no protocol', JSON.stringify({ ...hello, protocol: undefined })],
  ['a purpose that is none', JSON.stringify({ ...hello, purpose: 'chat' })],
  ['an empty name', JSON.stringify({ ...hello, node: '' })],
  ['a name that is a number', JSON.stringify({ ...hello, node: 1 })],
  ['a very long name', JSON.stringify({ ...hello, node: 'n'.repeat(2000) })],
  ['a fraction of an attempt', JSON.stringify({ ...hello, attempt: 1.5 })],
  ['a negative wait', JSON.stringify({ ...hello, keepaliveMs: -1 })],
  ['a very long text', `${JSON.stringify(hello)}${' '.repeat(20_000)}`],
])('refuses %s', (_name, text) => {
  expect(judge(own, Buffer.from(text))).toEqual({
    refused: expect.stringContaining('no handshake'),
  });
});
