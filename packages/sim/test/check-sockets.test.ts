/** Sockets made by hand: what the check holds against them. */
import { beforeEach, expect, test } from 'vitest';
import { type SeenSocket, SocketChecks } from '../src/check-sockets.ts';
import type { Operation } from '../src/history.ts';

let broken: string[];
let checks: SocketChecks;
let socket: SeenSocket;

beforeEach(() => {
  broken = [];
  checks = new SocketChecks((_rule, message) => broken.push(message), 1000);
  socket = checks.opened('t', 0, 0);
});

/** Appends 1, 2, 3 …, one every 10 seconds, each answered a second later. */
function say(count: number): void {
  for (let number = 1; number <= count; number++) {
    const operation: Operation = {
      client: 't',
      object: 0,
      command: { kind: 'append', value: number },
      startMs: 10_000 * number,
      endMs: 10_000 * number + 1000,
      outcome: 'ok',
      reply: undefined,
    };
    socket.frames.push({ operation, number });
  }
}

const check = (list: number[]) => checks.check(0, list, 100_000);

test('frames that took effect in their order are fine, also among others', () => {
  say(3);
  for (const number of [1, 2, 3]) checks.answered(socket, number, number, 10_000 * number);
  check([1, 7, 2, 8, 3]);
  expect(broken).toEqual([]);
});

test('one that overtook another is noticed', () => {
  say(3);
  check([1, 3, 2]);
  expect(broken).toHaveLength(1);
});

test('one that is missing takes an interruption of its object, at that time', () => {
  say(3);
  check([1, 3]);
  expect(broken).toEqual(['t: frame 2 was lost']);
  checks.interrupted(50_000, 0);
  checks.interrupted(25_000, 1);
  check([1, 3]);
  expect(broken).toHaveLength(2);
  checks.interrupted(25_000, 0);
  check([1, 3]);
  expect(broken).toHaveLength(2);
});

test('what was sent last may be missing where the cluster closed the socket, and not else', () => {
  say(3);
  checks.ended(socket, 1013, 40_000);
  check([1]);
  expect(broken).toEqual([]);
  check([3]);
  expect(broken).toHaveLength(2);
});

test('where the client closed it, all is there', () => {
  say(3);
  checks.over(socket, 'closed', 40_000);
  check([1, 2]);
  expect(broken).toEqual(['t: frame 3 was lost']);
});

test('answers are numbered one by one', () => {
  say(3);
  checks.answered(socket, 1, 1, 11_000);
  checks.answered(socket, 1, 2, 21_000);
  expect(broken).toHaveLength(1);
  checks.answered(socket, 3, 3, 31_000);
  expect(broken).toHaveLength(2);
});

test('a code that says nothing true is noticed', () => {
  checks.ended(socket, 1006, 1000);
  expect(broken).toHaveLength(1);
});
