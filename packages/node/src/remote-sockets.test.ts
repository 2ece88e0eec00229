import type { Epoch, ObjectIdHex, ObjectRef, Timers } from '@homing/base';
import { expect, test } from 'vitest';
import type { CallMessage } from './call-messages.ts';
import { RemoteSockets } from './remote-sockets.ts';
import { SocketTable } from './socket-table.ts';

const timers: Timers = { after: () => ({ cancel: () => {} }) };
const object: ObjectRef = { namespace: 'w/Room', id: 'a'.repeat(64) as ObjectIdHex };
const epoch = 2n as Epoch;
const copy = {
  socket: 'edge/1',
  tags: [],
  attachment: undefined,
  autoResponseMs: undefined,
  autoResponse: undefined,
};
const event = { type: 'message', data: 'hello' } as const;

test('an event goes back only behind the word that its object has left, each time that it leaves', () => {
  const said: string[] = [];
  const send = (_node: string, { type }: CallMessage) => said.push(type) > 0;
  const nothing = () => {};
  const remote = new RemoteSockets({
    sockets: new SocketTable({
      clock: { monotonicMs: () => 0 as never, wallMs: () => 0 as never },
      unattachedBytesMax: 1000,
      events: {
        objectEvent: nothing,
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    }),
    timers,
    lanes: { send, keep: send, sendOrEnd: send },
    epochOf: () => epoch,
    reachable: () => [],
    gatherTimeoutMs: 1000,
    adopted: nothing,
  });
  const taken = { type: 'taken', object, epoch, sockets: [copy] } as const;
  remote.onTaken('edge', taken);
  remote.left(object);
  expect(remote.giveBack('edge/1', event)).toBe(true);
  expect(said).toEqual(['not-here', 'returned']);
  // It comes here again: its node passes on what follows, and would put this behind it.
  remote.onTaken('edge', taken);
  expect(remote.giveBack('edge/1', event)).toBe(false);
  remote.left(object);
  expect(remote.giveBack('edge/1', event)).toBe(true);
  expect(said).toEqual(['not-here', 'returned', 'not-here', 'returned']);
});
