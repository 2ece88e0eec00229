import { expect, test } from 'vitest';
import { SocketQueue } from './socket-queue.ts';

const message = (data: string) => ({ type: 'message', data }) as const;
const closed = { type: 'close', code: 1000, reason: '', wasClean: true } as const;

/** A queue before an object that takes what `room` says. */
class World {
  room = 0;
  readonly taken: string[] = [];
  readonly cut: string[] = [];
  readonly queue = new SocketQueue({
    bytesMax: 1000,
    isFull: () => this.room === 0,
    take: (socket, event) => {
      this.room -= 1;
      this.taken.push(`${socket} ${event.type === 'message' ? event.data : event.type}`);
      // As an object that is done at once.
      this.queue.more();
    },
    cut: (socket) => this.cut.push(socket),
  });
}

test('events wait while the object is full, and go in order', () => {
  const world = new World();
  world.room = 1;
  for (const data of ['1', '2', '3']) world.queue.push('a', message(data));
  expect([world.taken, world.queue.isEmpty]).toEqual([['a 1'], false]);
  world.room = 2;
  world.queue.more();
  expect([world.taken, world.queue.isEmpty]).toEqual([['a 1', 'a 2', 'a 3'], true]);
});

test('many events at once need no stack', () => {
  const world = new World();
  for (let count = 0; count < 10; count++) world.queue.push('a', message(''));
  world.room = Number.POSITIVE_INFINITY;
  world.queue.more();
  for (let count = 0; count < 100_000; count++) world.queue.push('a', message(''));
  expect(world.taken.length).toBe(100_010);
});

test('past the bound a socket is cut off once, and only its close follows what was queued', () => {
  const world = new World();
  world.queue.push('a', message('first'));
  for (let count = 0; count < 3; count++) world.queue.push('a', message('x'.repeat(900)));
  world.queue.push('a', message('small'));
  world.queue.push('b', message('other'));
  world.queue.push('a', closed);
  expect(world.cut).toEqual(['a']);
  world.room = 10;
  world.queue.more();
  expect(world.taken).toEqual(['a first', 'b other', 'a close']);
});
