import type { Epoch, NetworkHandler, ObjectIdHex, ObjectRef } from '@homing/base';
import { expect, test } from 'vitest';
import {
  type CallMessage,
  decodeCall,
  encodeCall,
  encodeInLane,
  takeInLane,
} from './call-messages.ts';
import type { Delivery } from './object-entry.ts';
import { PeerLinks, type PeerLinksOptions } from './peer-links.ts';
import { SocketTable } from './socket-table.ts';

const object: ObjectRef = { namespace: 'w/Room', id: 'a'.repeat(64) as ObjectIdHex };
const copy = {
  socket: 'edge/1',
  tags: [],
  attachment: undefined,
  autoResponseMs: undefined,
  autoResponse: undefined,
};
const nothing = () => {};

/** A node that owns an object under epoch 1, with a client of node `edge`. */
class World {
  readonly said: string[] = [];
  readonly sockets: SocketTable;
  readonly links: PeerLinks;
  /** Events that the object cannot take now, by socket. */
  readonly waiting: (() => void)[] = [];
  isLeaving = false;
  epoch: Epoch | undefined = 1n as Epoch;
  #handler: NetworkHandler | undefined;

  constructor() {
    const clock = { monotonicMs: () => 0, wallMs: () => 0 };
    const say = (node: string, bytes: Uint8Array) => {
      const message = decodeCall(takeInLane(bytes) ?? bytes);
      if (message?.type === 'event' || message?.type === 'returned') {
        const { event } = message;
        this.said.push(`${message.type} ${event.type === 'message' ? event.data : ''} to ${node}`);
      } else if (message !== undefined) this.said.push(`${message.type} to ${node}`);
      return true;
    };
    const sockets = new SocketTable({
      clock: clock as never,
      unattachedBytesMax: 1000,
      events: {
        objectEvent: (_object, socket, event) =>
          this.waiting.push(() => links.resend(object, socket, event)),
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    });
    this.sockets = sockets;
    const links = new PeerLinks({
      network: {
        serve: (_purpose: string, handler: NetworkHandler) => {
          this.#handler = handler;
        },
        send: (node: string, _purpose: string, bytes: Uint8Array) => say(node, bytes),
        sendOrEnd: (node: string, _purpose: string, bytes: Uint8Array) => void say(node, bytes),
      },
      placement: { remembered: nothing, learn: nothing },
      coordinator: { self: { node: 'self' }, nodes: () => [], watch: nothing },
      sockets,
      clock,
      timers: { after: () => ({ cancel: nothing }) },
      limits: {
        gatherTimeoutMs: 1000,
        socketSeekTimeoutMs: 1000,
        socketWaitingBytesMax: 1000,
        laneKeptBytesMax: 100_000,
        leaveTimeoutMs: 1000,
      },
      objects: () => ({
        owns: () => this.epoch !== undefined,
        deliver: (_object: ObjectRef, _cause: string, delivery: Delivery) =>
          delivery.forward('new'),
        status: () =>
          this.epoch === undefined ? { state: 'placing' } : { state: 'asleep', epoch: this.epoch },
        isLeaving: () => this.isLeaving,
        activation: nothing,
        giveBackEvents: () => {
          for (const back of this.waiting.splice(0)) back();
        },
      }),
    } as unknown as PeerLinksOptions);
    this.links = links;
    for (const node of ['edge', 'new']) {
      this.#handler?.up(peerOf(node));
      const greeting = encodeCall({ type: 'lane', life: 1, taken: 0 });
      this.#handler?.message(peerOf(node), greeting);
    }
    this.hears('edge', { type: 'reattach', object, sockets: [copy] });
    this.said.length = 0;
  }

  hears(node: string, message: CallMessage): void {
    this.#handler?.message(peerOf(node), encodeInLane(message));
  }
}

function peerOf(node: string) {
  return { node, storeId: node, run: node };
}

test.each([false, true])(
  'an owner that hears of the next one from a gateway lets go at once, on its way out: %s',
  (isLeaving) => {
    const world = new World();
    const event = (data: string) =>
      world.hears('edge', { type: 'event', socket: 'edge/1', event: { type: 'message', data } });
    event('1');
    world.isLeaving = isLeaving;
    world.hears('edge', { type: 'flush', object, socket: 'edge/1', epoch: 2n as Epoch });
    event('2');
    expect(world.said).toEqual([
      'not-here to edge',
      'returned 1 to edge',
      'flushed to edge',
      'returned 2 to edge',
    ]);
    expect(world.sockets.has('edge/1')).toBe(false);
  },
);

test('a node that looks for the owner anew gives back what waits for that', () => {
  const world = new World();
  const message = { type: 'message', data: '1' } as const;
  world.hears('edge', { type: 'event', socket: 'edge/1', event: message });
  world.epoch = undefined;
  world.hears('edge', { type: 'flush', object, socket: 'edge/1', epoch: 2n as Epoch });
  expect(world.said).toEqual(['not-here to edge', 'returned 1 to edge', 'flushed to edge']);
});

test('an owner that is the newest keeps its sockets, and says so', () => {
  const world = new World();
  world.hears('edge', { type: 'flush', object, socket: 'edge/1', epoch: 1n as Epoch });
  expect(world.said).toEqual(['flushed to edge']);
  expect(world.sockets.has('edge/1')).toBe(true);
});

test('an owner that hears of the next one gives back what it has not taken, and what still comes', () => {
  const world = new World();
  const event = (data: string) =>
    world.hears('edge', { type: 'event', socket: 'edge/1', event: { type: 'message', data } });
  event('1');
  event('2');
  expect([world.said, world.waiting.length]).toEqual([[], 2]);
  world.hears('new', { type: 'take', object, epoch: 2n as Epoch });
  event('3');
  expect(world.said).toEqual([
    'not-here to edge',
    'returned 1 to edge',
    'returned 2 to edge',
    'taken to new',
    'returned 3 to edge',
  ]);
});

test('a client of this node is brought to its object, which left before the client was attached', () => {
  const world = new World();
  const { links, sockets, said } = world;
  sockets.add('self/1', { kind: 'object', object });
  world.epoch = undefined;
  links.left(object);
  said.length = 0;
  const port = links.attach('self/1', { send: nothing, close: nothing });
  expect(said).toEqual(['reattach to new']);
  port.message('1');
  world.hears('new', { type: 'reattached', object, epoch: 2n as Epoch });
  expect(said).toEqual(['reattach to new', 'event 1 to new']);
});
