import type { FromExecutor } from '@homing/base';
import { expect, test } from 'vitest';
import { SentAhead } from './sent-ahead.ts';

function start(bytesMax: number) {
  const posted: FromExecutor[] = [];
  const sentAhead = new SentAhead((message) => posted.push(message), bytesMax);
  const frame = { type: 'frame' as const, session: 2, frame: new Uint8Array(1000) };
  const send = (activation: number, group: number) =>
    sentAhead.send(activation, group, () => sentAhead.post(frame));
  return { posted, sentAhead, frame, send };
}

test('only what is sent ahead is marked', () => {
  const { posted, sentAhead, frame, send } = start(10_000);
  sentAhead.post(frame);
  send(5, 1);
  sentAhead.post(frame);
  expect(posted).toEqual([
    frame,
    { type: 'after', activation: 5, group: 1, message: frame },
    frame,
  ]);
});

test('past the bound nothing goes ahead until groups are durable or the activation ends', () => {
  const { sentAhead, send } = start(3000);
  expect([send(1, 1), send(1, 2), send(2, 1), send(2, 1)]).toEqual([true, true, true, false]);
  sentAhead.durable(1, 1);
  expect([send(2, 2), send(2, 2)]).toEqual([true, false]);
  sentAhead.ended(2);
  expect([send(1, 3), send(1, 3), send(1, 3)]).toEqual([true, true, false]);
  sentAhead.durable(1, 3);
  expect([send(1, 4), send(1, 4), send(1, 4), send(1, 4)]).toEqual([true, true, true, false]);
});

test('from half of the bound on it asks about what is held, once for each group', () => {
  const { posted, sentAhead, send } = start(10_000);
  const asked = () => posted.splice(0).filter(({ type }) => type === 'awaits');
  for (const group of [1, 2]) send(1, group);
  send(2, 1);
  send(2, 1);
  expect(asked()).toEqual([]);
  send(2, 2);
  expect(asked()).toEqual([
    { type: 'awaits', activation: 1, group: 2 },
    { type: 'awaits', activation: 2, group: 2 },
  ]);
  send(2, 2);
  expect(asked()).toEqual([]);
  send(1, 3);
  expect(asked()).toEqual([{ type: 'awaits', activation: 1, group: 3 }]);
  sentAhead.durable(1, 3);
  sentAhead.durable(2, 2);
  send(1, 4);
  expect(asked()).toEqual([]);
});
