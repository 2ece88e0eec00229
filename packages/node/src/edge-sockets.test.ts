import type {
  Clock,
  Epoch,
  MonotonicMs,
  ObjectIdHex,
  ObjectRef,
  SocketSink,
  Timers,
  WallMs,
} from '@homing/base';
import { beforeEach, expect, test } from 'vitest';
import type { CallMessage } from './call-messages.ts';
import { EdgeSockets } from './edge-sockets.ts';
import type { Delivery } from './object-entry.ts';
import { SocketTable } from './socket-table.ts';

let nowMs = 0;
const clock: Clock = { monotonicMs: () => nowMs as MonotonicMs, wallMs: () => 0 as WallMs };
const timers: Timers = { after: () => ({ cancel: () => {} }) };
const object: ObjectRef = { namespace: 'w/Room', id: 'a'.repeat(64) as ObjectIdHex };
const epoch = 2n as Epoch;
const flushed = (epoch = 0n) =>
  ({ type: 'flushed', socket: 'old/1', epoch: epoch as Epoch }) as const;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** An edge with one client of an object that node `old` owns; what it sends to other nodes. */
class World {
  readonly sent: { readonly node: string; readonly message: CallMessage }[] = [];
  readonly heard: (string | Uint8Array)[] = [];
  readonly adopted: string[] = [];
  /** What the object here is told, in order. */
  readonly told: string[] = [];
  readonly sockets: SocketTable;
  readonly edge: EdgeSockets;
  readonly port;
  isStanding = true;
  hasRoom = true;
  giveBack: () => void = () => {};
  find: ((delivery: Delivery) => void) | undefined;

  constructor() {
    const nothing = () => {};
    this.sockets = new SocketTable({
      clock,
      unattachedBytesMax: 1000,
      events: {
        objectEvent: (_object, socket, { type }) => this.told.push(`${type} of ${socket}`),
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    });
    const send = (node: string, message: CallMessage) => {
      if (message.type === 'event' && !this.hasRoom) return false;
      this.sent.push({ node, message });
      return true;
    };
    this.edge = new EdgeSockets({
      sockets: this.sockets,
      clock,
      timers,
      lanes: { send, keep: send, sendOrEnd: send, isStanding: () => this.isStanding },
      find: (_object, delivery) => this.find?.(delivery),
      learned: nothing,
      newestEpoch: () => undefined,
      notOwner: nothing,
      giveBack: () => this.giveBack(),
      bufferBytesMax: 1000,
      seekTimeoutMs: 1000,
      settleTimeoutMs: 1000,
      adopted: (_object, sockets) => {
        this.adopted.push(...sockets.map(({ socket }) => socket));
        this.told.push(...sockets.map(({ socket }) => `adopt ${socket}`));
      },
    });
    const client: SocketSink = {
      send: (data) => void this.heard.push(data),
      close: (code) => void this.heard.push(`closed ${code}`),
    };
    this.port = this.edge.attach('old/1', client, 'old');
    this.edge.onAttached('old', {
      type: 'attached',
      socket: 'old/1',
      object,
      state: {
        socket: 'old/1',
        tags: [],
        attachment: undefined,
        autoResponseMs: undefined,
        autoResponse: undefined,
      },
    });
    this.sent.length = 0;
  }

  /** In short: `to new taken`. */
  get log(): string[] {
    return this.sent.map(({ node, message }) => {
      const data = message.type === 'event' && message.event.type === 'message';
      return `to ${node} ${message.type}${data ? ` ${String(message.event.data)}` : ''}`;
    });
  }

  get takenAttachment(): string | undefined {
    const taken = this.sent.find(({ message }) => message.type === 'taken')?.message;
    if (taken?.type !== 'taken') return undefined;
    return Buffer.from(taken.sockets[0]?.attachment ?? []).toString();
  }
}

let world: World;

beforeEach(() => {
  nowMs = 0;
  world = new World();
});

test('the old owner is heard to its end before the new one gets the sockets', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  expect(world.log).toEqual(['to old flush']);
  // Sent before the object left; the new owner is nearer than the old one.
  edge.onSend('old', 'old/1', 'last');
  edge.onAttachment('old', 'old/1', bytes('fresh'));
  world.port.message('meanwhile');
  edge.onNotHere('old', object);
  expect(world.heard).toEqual(['last']);
  expect(world.log).toEqual(['to old flush', 'to new taken']);
  expect(world.takenAttachment).toBe('fresh');
  // What the object had not taken goes first.
  edge.onReturned('old', 'old/1', { type: 'message', data: 'returned' });
  edge.onFlushed('old', flushed());
  expect(world.log.slice(2)).toEqual(['to new event returned', 'to new event meanwhile']);
});

test('nothing is heard of an owner that has left', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onNotHere('old', object);
  edge.onSend('old', 'old/1', 'stale');
  edge.onAttachment('old', 'old/1', bytes('stale'));
  edge.onFlushed('old', flushed());
  edge.onSend('new', 'old/1', 'right');
  expect(world.heard).toEqual(['right']);
});

test('an owner whose link ends is waited for no longer', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.over('old', 'dead');
  expect(world.log).toEqual(['to old flush', 'to new taken']);
  world.port.message('on');
  expect(world.log.at(-1)).toBe('to new event on');
});

test('of two that take, the newer gets the sockets', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onTake('newer', object, 3n as Epoch);
  edge.onFlushed('old', flushed());
  expect(world.log).toEqual(['to old flush', 'to newer taken']);
});

test('this node as the next owner takes what the old one left, and tells a running object', async () => {
  const { edge } = world;
  let isDrained = false;
  const drained = edge.drained(object, epoch).then(() => {
    isDrained = true;
  });
  // Too early: the copy may still change.
  edge.takeHere(object);
  await Promise.resolve();
  expect([isDrained, world.sockets.has('old/1')]).toEqual([false, false]);
  edge.onAttachment('old', 'old/1', bytes('fresh'));
  world.find = (delivery) => delivery.deliver({} as Parameters<Delivery['deliver']>[0]);
  edge.onFlushed('old', flushed());
  await drained;
  expect(world.adopted).toEqual(['old/1']);
  const { attachment } = world.sockets.describe('old/1')?.state ?? {};
  expect(Buffer.from(attachment ?? []).toString()).toBe('fresh');
});

test('a running object hears of a socket before the frames that waited for it', () => {
  const { edge } = world;
  edge.takeHere(object);
  world.port.message('meanwhile');
  world.find = (delivery) => delivery.deliver({} as Parameters<Delivery['deliver']>[0]);
  edge.onFlushed('old', flushed());
  expect(world.told).toEqual(['adopt old/1', 'message of old/1']);
});

test('the new owner is heard while the old one still gives back', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onNotHere('old', object);
  edge.onSend('new', 'old/1', 'early');
  edge.onFlushed('old', flushed());
  expect(world.heard).toEqual(['early']);
});

test('a last owner that has not noticed yet that it is none is heard on', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onFlushed('old', flushed(1n));
  expect(world.log).toEqual(['to old flush']);
  edge.onSend('old', 'old/1', 'still');
  edge.onNotHere('old', object);
  expect(world.heard).toEqual(['still']);
  expect(world.log).toEqual(['to old flush', 'to new taken']);
});

test('a last owner is told under which epoch it is none any more', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  expect(world.sent.map(({ message }) => message.type === 'flush' && message.epoch)).toEqual([2n]);
});

test('where a last owner never lets go, its client is closed, and nothing that waits is passed', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  world.port.message('meanwhile');
  edge.onFlushed('old', flushed(1n));
  nowMs = 1001;
  edge.onFlushed('old', flushed(1n));
  expect(world.heard).toEqual(['closed 1013']);
  // What it kept of the client may come now, and belongs before what has waited.
  edge.onReturned('old', 'old/1', { type: 'message', data: 'late' });
  expect(world.log).toEqual(['to old flush', 'to old event', 'to new taken']);
  expect([edge.size, edge.has(object.id)]).toEqual([0, false]);
});

test('a last owner that has become the next one keeps its sockets', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  world.port.message('meanwhile');
  edge.onFlushed('old', flushed(3n));
  edge.onSend('old', 'old/1', 'mine');
  expect(world.heard).toEqual(['mine']);
  expect(world.log).toEqual(['to old flush', 'to old event meanwhile']);
});

test('what a client sends while the node of its object is away is kept, up to the bound', () => {
  const { edge } = world;
  world.isStanding = false;
  world.port.message('one');
  world.port.message('two');
  world.isStanding = true;
  edge.standing('old');
  expect(world.log).toEqual(['to old event one', 'to old event two']);
  world.isStanding = false;
  world.port.message('much'.repeat(300));
  expect(world.heard).toEqual(['closed 1013']);
  world.isStanding = true;
  edge.standing('old');
  // The object hears that the client is gone, and nothing is left of it here.
  expect(world.sent.map(({ message }) => message.type === 'event' && message.event.type)).toEqual([
    'message',
    'message',
    'message',
    'close',
  ]);
  expect([edge.size, edge.has(object.id)]).toEqual([0, false]);
});

test.each([true, false])(
  'where answers find no room the end comes behind what has waited, client gone before: %s',
  (hasClosed) => {
    const { edge } = world;
    world.isStanding = false;
    world.port.message('one');
    if (hasClosed) world.port.closed(1000, '', true);
    edge.onGone('old/1', true);
    expect(world.heard).toEqual(hasClosed ? [] : ['closed 1013']);
    // Its client answers the closing handshake.
    world.port.closed(1013, '', true);
    world.isStanding = true;
    edge.standing('old');
    const events = world.sent.map(({ message }) => message.type === 'event' && message.event);
    expect(events).toMatchObject([
      { type: 'message', data: 'one' },
      { type: 'close', code: hasClosed ? 1000 : 1006 },
    ]);
    expect([edge.size, edge.has(object.id)]).toEqual([0, false]);
  },
);

test('where frames may be missing though both ends live, the client is closed', () => {
  world.edge.over('old', 'lost');
  expect(world.heard).toEqual(['closed 1013']);
  expect(world.edge.has(object.id)).toBe(false);
});

test('a client that has left while its object did is brought to the next owner', () => {
  const { edge } = world;
  world.port.closed(1001, '', true);
  expect(edge.has(object.id)).toBe(false);
  edge.onReturned('old', 'old/1', { type: 'close', code: 1001, reason: '', wasClean: true });
  expect(edge.has(object.id)).toBe(true);
  edge.onTake('new', object, epoch);
  edge.onFlushed('old', flushed());
  expect(world.sent.at(-1)?.message).toMatchObject({ type: 'event', event: { code: 1001 } });
  expect([edge.has(object.id), world.heard]).toEqual([false, []]);
});

test('what comes back for a client that has left waits until all of it has', () => {
  const { edge } = world;
  for (const data of ['1', '2']) world.port.message(data);
  world.port.closed(1000, '', true);
  world.sent.length = 0;
  // The same node claims the object anew, while later events are still on their way to it.
  edge.onNotHere('old', object);
  edge.onReturned('old', 'old/1', { type: 'message', data: '1' });
  edge.onTake('old', object, epoch);
  expect(world.log).toEqual(['to old flush', 'to old taken']);
  edge.onReturned('old', 'old/1', { type: 'message', data: '2' });
  edge.onReturned('old', 'old/1', { type: 'close', code: 1000, reason: '', wasClean: true });
  edge.onFlushed('old', flushed());
  expect(world.log.slice(2)).toEqual(['to old event 1', 'to old event 2', 'to old event']);
  expect(edge.has(object.id)).toBe(false);
});

test('what waits for an object that was here comes to its next owner before what follows', () => {
  const { edge } = world;
  // The object has become this node's, and is on its way out while its client goes on.
  edge.over('old', 'dead');
  edge.takeHere(object);
  world.sent.length = 0;
  world.giveBack = () => {
    edge.resend(object, 'old/1', { type: 'message', data: '1' });
  };
  edge.onTake('new', object, epoch);
  world.port.message('2');
  expect(world.log).toEqual(['to new taken', 'to new event 1', 'to new event 2']);
});

test('what an owner that was given up gives back late is not passed behind later frames', () => {
  const { edge } = world;
  edge.over('old', 'dead');
  edge.onTake('new', object, epoch);
  edge.onReturned('old', 'old/1', { type: 'message', data: 'in time' });
  edge.onReturned('old', 'old/1', { type: 'message', data: 'and this' });
  world.port.message('later');
  edge.onReturned('old', 'old/1', { type: 'message', data: 'too late' });
  const frames = world.log.filter((line) => line.startsWith('to new event'));
  expect(frames).toEqual(['to new event in time', 'to new event and this', 'to new event later']);
});

test('nor is it where the client has left meanwhile', () => {
  const { edge } = world;
  edge.over('old', 'dead');
  edge.onTake('new', object, epoch);
  world.port.message('later');
  world.port.closed(1000, '', true);
  edge.onReturned('old', 'old/1', { type: 'message', data: 'too late' });
  expect(world.log).toEqual(['to new taken', 'to new event later', 'to new event']);
  expect(edge.has(object.id)).toBe(false);
});

test('where too much waits the end comes behind all of it', () => {
  const { edge } = world;
  const frame = (name: string) => name.padEnd(150, '.');
  edge.over('old', 'dead');
  for (const name of ['d', 'e', 'f']) world.port.message(frame(name));
  for (const name of ['a', 'b', 'c']) {
    edge.onReturned('old', 'old/1', { type: 'message', data: frame(name) });
  }
  world.hasRoom = false;
  edge.onTake('new', object, epoch);
  expect(world.heard).toEqual(['closed 1013']);
  world.hasRoom = true;
  edge.standing('new');
  const passed = world.log.filter((line) => line.startsWith('to new event'));
  const frames = [...'abcdef'].map((name) => `to new event ${frame(name)}`);
  expect(passed).toEqual([...frames, 'to new event']);
});
