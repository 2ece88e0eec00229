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

const clock: Clock = { monotonicMs: () => 0 as MonotonicMs, wallMs: () => 0 as WallMs };
const timers: Timers = { after: () => ({ cancel: () => {} }) };
const object: ObjectRef = { namespace: 'w/Room', id: 'a'.repeat(64) as ObjectIdHex };
const epoch = 2n as Epoch;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** An edge with one client of an object that node `old` owns; what it sends to other nodes. */
class World {
  readonly sent: { readonly node: string; readonly message: CallMessage }[] = [];
  readonly heard: (string | Uint8Array)[] = [];
  readonly adopted: string[] = [];
  readonly sockets: SocketTable;
  readonly edge: EdgeSockets;
  readonly port;
  find: ((delivery: Delivery) => void) | undefined;

  constructor() {
    const nothing = () => {};
    this.sockets = new SocketTable({
      clock,
      unattachedBytesMax: 1000,
      events: {
        objectEvent: nothing,
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    });
    const send = (node: string, message: CallMessage) => {
      this.sent.push({ node, message });
      return true;
    };
    this.edge = new EdgeSockets({
      sockets: this.sockets,
      clock,
      timers,
      send,
      sendOrEnd: send,
      find: (_object, delivery) => this.find?.(delivery),
      notOwner: nothing,
      bufferBytesMax: 1000,
      seekTimeoutMs: 1000,
      adopted: (_object, sockets) => this.adopted.push(...sockets.map(({ socket }) => socket)),
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
  edge.onReturned('old/1', { type: 'message', data: 'returned' });
  edge.onFlushed('old', object);
  expect(world.log.slice(2)).toEqual(['to new event returned', 'to new event meanwhile']);
});

test('nothing is heard of an owner that has left', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onNotHere('old', object);
  edge.onSend('old', 'old/1', 'stale');
  edge.onAttachment('old', 'old/1', bytes('stale'));
  edge.onFlushed('old', object);
  edge.onSend('new', 'old/1', 'right');
  expect(world.heard).toEqual(['right']);
});

test('an owner whose link ends is waited for no longer', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.down('old');
  expect(world.log).toEqual(['to old flush', 'to new taken']);
  world.port.message('on');
  expect(world.log.at(-1)).toBe('to new event on');
});

test('of two that take, the newer gets the sockets', () => {
  const { edge } = world;
  edge.onTake('new', object, epoch);
  edge.onTake('newer', object, 3n as Epoch);
  edge.onFlushed('old', object);
  expect(world.log).toEqual(['to old flush', 'to newer taken']);
});

test('this node as the next owner takes what the old one left, and tells a running object', async () => {
  const { edge } = world;
  let isDrained = false;
  const drained = edge.drained(object).then(() => {
    isDrained = true;
  });
  // Too early: the copy may still change.
  edge.takeHere(object);
  await Promise.resolve();
  expect([isDrained, world.sockets.has('old/1')]).toEqual([false, false]);
  edge.onAttachment('old', 'old/1', bytes('fresh'));
  world.find = (delivery) => delivery.deliver({} as Parameters<Delivery['deliver']>[0]);
  edge.onFlushed('old', object);
  await drained;
  expect(world.adopted).toEqual(['old/1']);
  const { attachment } = world.sockets.describe('old/1')?.state ?? {};
  expect(Buffer.from(attachment ?? []).toString()).toBe('fresh');
});
