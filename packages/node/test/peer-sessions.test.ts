/** Sessions between nodes when a link has no room. */
import type { Epoch, FramePort, ObjectIdHex, ObjectRef, PeerRun } from '@homing/base';
import { expect, test } from 'vitest';
import type { CallMessage } from '../src/call-messages.ts';
import type { Activation } from '../src/object-entry.ts';
import { PeerSessions } from '../src/peer-sessions.ts';

const peer: PeerRun = { node: 'n2', storeId: 's2', run: 'r2' };
const object: ObjectRef = { namespace: 'w/C', id: '0'.repeat(64) as ObjectIdHex };
const epoch = 1n as Epoch;

/** One node's sessions; its link to `n2` takes nothing while `isFull`, but what must be sent. */
function makeSessions() {
  const sent: string[] = [];
  const opened: {
    closed(error: unknown): void;
    frame(frame: Uint8Array): void;
    accepted(): void;
    isClosed: boolean;
  }[] = [];
  const state = { isFull: false };
  const due: (() => void)[] = [];
  const sessions = new PeerSessions({
    send: (_node, message: CallMessage) => {
      if (!state.isFull) sent.push(message.type);
      return !state.isFull;
    },
    sendOrEnd: (_node, message: CallMessage) => void sent.push(`${message.type}!`),
    open: (_object, sink, accepted): FramePort => {
      const session = {
        ...sink,
        accepted: () => accepted({ epoch } as Activation),
        isClosed: false,
      };
      opened.push(session);
      return { send() {}, close: () => void Object.assign(session, { isClosed: true }) };
    },
    timers: {
      after: (_delayMs, run) => {
        due.push(run);
        return { cancel() {} };
      },
    },
    learned() {},
    notOwner() {},
    ownerOf: () => undefined,
  });
  const wait = () => {
    for (const run of due.splice(0)) run();
  };
  return { sessions, sent, opened, state, wait };
}

test('the end of a session and its acceptance are sent, or the link ends', () => {
  const { sessions, sent, opened, state } = makeSessions();
  for (const session of [1, 2]) sessions.onMessage(peer, { type: 'open', session, object });
  state.isFull = true;
  opened[0]?.accepted();
  opened[1]?.closed(new Error('over'));
  expect(sent).toEqual(['accepted!', 'ended!']);
});

test('an answer that finds no room ends its session on both nodes', () => {
  const { sessions, sent, opened, state } = makeSessions();
  sessions.onMessage(peer, { type: 'open', session: 1, object });
  opened[0]?.frame(new Uint8Array(1));
  state.isFull = true;
  opened[0]?.frame(new Uint8Array(1));
  state.isFull = false;
  expect(sent).toEqual(['reply', 'ended!']);
  expect(opened[0]?.isClosed).toBe(true);
});

test('nothing follows a frame that found no room, and the other node is told', async () => {
  const { sessions, sent, state } = makeSessions();
  const closed: unknown[] = [];
  const port = sessions.open('n2', object, {
    accepted() {},
    frame() {},
    closed: (error) => void closed.push(error),
  });
  port.send(new Uint8Array(1));
  state.isFull = true;
  port.send(new Uint8Array(1));
  state.isFull = false;
  port.send(new Uint8Array(1));
  await Promise.resolve();
  port.close();
  expect(sent).toEqual(['open', 'frame', 'close!']);
  expect(closed).toMatchObject([{ code: 'outcome_unknown', executed: 'maybe' }]);
});

test('that a session was accepted goes before its answer, and alone where there is none', () => {
  const { sessions, sent, opened, wait } = makeSessions();
  for (const session of [1, 2]) sessions.onMessage(peer, { type: 'open', session, object });
  opened[0]?.accepted();
  expect(sent).toEqual([]);
  opened[0]?.frame(new Uint8Array(1));
  expect(sent).toEqual(['accepted!', 'reply']);
  opened[1]?.accepted();
  wait();
  expect(sent).toEqual(['accepted!', 'reply', 'accepted!']);
  wait();
  expect(sent).toHaveLength(3);
});

test('that a caller has closed its session goes with what comes next', () => {
  const { sessions, sent, wait } = makeSessions();
  const sink = { accepted() {}, frame() {}, closed() {} };
  const first = sessions.open('n2', object, sink);
  first.send(new Uint8Array(1));
  first.close();
  first.close();
  expect(sent).toEqual(['open', 'frame']);
  sessions.open('n2', object, sink).close();
  expect(sent).toEqual(['open', 'frame', 'close!', 'open']);
  wait();
  expect(sent).toEqual(['open', 'frame', 'close!', 'open', 'close!']);
});

test('news does not outlive its link', () => {
  const { sessions, sent, opened, wait } = makeSessions();
  sessions.onMessage(peer, { type: 'open', session: 1, object });
  opened[0]?.accepted();
  sessions.down('n2');
  wait();
  expect(sent).toEqual([]);
});

test('much news waits for nothing', () => {
  const { sessions, sent } = makeSessions();
  const sink = { accepted() {}, frame() {}, closed() {} };
  const ports = Array.from({ length: 100 }, () => sessions.open('n2', object, sink));
  for (const port of ports) port.close();
  expect(sent.filter((type) => type === 'close!').length).toBeGreaterThan(0);
});
