import { expect, test } from 'vitest';
import { waitsBetween } from '../src/availability.ts';
import type { Operation, Outcome } from '../src/history.ts';

function read(object: string, invokedMs: number, returnedMs: number, outcome: Outcome): Operation {
  const times = { invokedNs: invokedMs * 1e6, returnedNs: returnedMs * 1e6 };
  return { id: 0, client: 0, object, node: 'n1', kind: 'list', outcome, ...times };
}

test('a wait lasts until a later request to the same place is answered', () => {
  const history = [
    read('a-0', 0, 1, 'ok'),
    read('a-0', 10, 20, 'info'),
    read('a-1', 30, 40, 'fail'),
    read('a-1', 50, 60, 'ok'),
    read('b-0', 12, 15, 'ok'),
    read('a-1', 900, 1000, 'ok'),
  ];
  expect(waitsBetween(history, 5e6, 100e6)).toEqual({
    requests: 4,
    p50Ms: 10,
    p99Ms: 50,
    maxMs: 50,
    allMs: 3,
  });
  expect(waitsBetween(history, 2000e6, 3000e6).requests).toBe(0);
});
