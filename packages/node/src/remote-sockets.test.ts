import type { Epoch, ObjectIdHex, ObjectRef, Timers } from '@homing/base';
import { beforeEach, expect, test } from 'vitest';
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
const closed = { type: 'close', code: 1006, reason: '', wasClean: false } as const;
const taken = { type: 'taken', object, epoch, sockets: [copy] } as const;
const nothing = () => {};

/** A node that owns an object with a client on `edge`. */
class World {
  readonly said: string[] = [];
  readonly told: string[] = [];
  hasRoom = true;
  isOwner = true;
  readonly sockets: SocketTable;
  readonly remote: RemoteSockets;

  constructor() {
    const send = (_node: string, { type }: CallMessage) => this.said.push(type) > 0;
    this.sockets = new SocketTable({
      clock: { monotonicMs: () => 0 as never, wallMs: () => 0 as never },
      unattachedBytesMax: 1000,
      events: {
        objectEvent: (_object, _socket, { type }) => this.told.push(type),
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    });
    this.remote = new RemoteSockets({
      sockets: this.sockets,
      timers,
      lanes: {
        send,
        keep: (node, message) => this.hasRoom && send(node, message),
        sendOrEnd: send,
      },
      epochOf: () => (this.isOwner ? epoch : undefined),
      reachable: () => [],
      gatherTimeoutMs: 1000,
      adopted: nothing,
    });
    this.remote.onTaken('edge', taken);
  }
}

let world: World;

beforeEach(() => {
  world = new World();
});

test('an event goes back only behind the word that its object has left, each time that it leaves', () => {
  const { remote, said } = world;
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

test('a client whose answers find no room is heard to its end', () => {
  const { remote, sockets, said, told } = world;
  world.hasRoom = false;
  sockets.send('edge/1', 'left out');
  world.hasRoom = true;
  // Must not be seen without what was before it.
  sockets.send('edge/1', 'more');
  expect([said, told]).toEqual([['gone'], []]);
  remote.onEvent('edge', { type: 'event', socket: 'edge/1', event });
  remote.onEvent('edge', { type: 'event', socket: 'edge/1', event: closed });
  expect(told).toEqual(['message', 'close']);
  expect(sockets.has('edge/1')).toBe(false);
});

test('an object that leaves before a client is attached loses nothing that the client sends', () => {
  const { remote, sockets, said, told } = world;
  sockets.add('self/1', { kind: 'object', object });
  sockets.send('self/1', 'welcome');
  remote.left(object);
  sockets.takeAll(object.id);
  world.isOwner = false;
  said.length = 0;
  remote.onAttach('edge', 'self/1');
  remote.onEvent('edge', { type: 'event', socket: 'self/1', event });
  expect([said, told]).toEqual([['attached', 'send', 'not-here', 'returned'], []]);
  expect(sockets.has('self/1')).toBe(false);
});

test('of sockets that were left and get no client the oldest are forgotten', () => {
  const { sockets } = world;
  for (let number = 0; number <= 1000; number++) {
    sockets.add(`self/${number}`, { kind: 'object', object });
  }
  sockets.takeAll(object.id);
  expect(['self/0', 'self/1', 'self/1000'].map((socket) => sockets.has(socket))).toEqual([
    false,
    true,
    true,
  ]);
});
