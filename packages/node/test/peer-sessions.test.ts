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
    timers: { after: () => ({ cancel() {} }) },
    learned() {},
    notOwner() {},
    ownerOf: () => undefined,
  });
  return { sessions, sent, opened, state };
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
