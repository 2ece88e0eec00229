import { expect, test } from 'vitest';
import { OutputGate } from './output-gate.ts';

function start(goesAhead: () => boolean) {
  const left: string[] = [];
  const awaited: number[] = [];
  const gate = new OutputGate({
    ahead: (group, send) => {
      if (!goesAhead()) return false;
      left.push(`ahead of ${group}`);
      send();
      return true;
    },
    awaits: (group) => awaited.push(group),
  });
  const sends = (name: string) => () => left.push(name);
  return { gate, left, awaited, sends };
}

test('what is posted goes ahead of its group, what has an effect here waits', () => {
  const { gate, left, awaited, sends } = start(() => true);
  gate.post(0, sends('a'));
  gate.post(1, sends('b'));
  gate.output(1, sends('c'));
  expect(left).toEqual(['a', 'ahead of 1', 'b']);
  expect(awaited).toEqual([1]);
  gate.durable(1);
  expect(left.slice(3)).toEqual(['c']);
});

test('nothing goes ahead of what waits here', () => {
  const { gate, left, awaited, sends } = start(() => true);
  gate.output(1, sends('a'));
  gate.post(1, sends('b'));
  gate.post(2, sends('c'));
  expect(left).toEqual([]);
  expect(awaited).toEqual([1, 2]);
  gate.durable(1);
  gate.post(2, sends('d'));
  expect(left).toEqual(['a', 'b']);
  gate.durable(2);
  gate.post(3, sends('e'));
  expect(left).toEqual(['a', 'b', 'c', 'd', 'ahead of 3', 'e']);
});

test('where too much is ahead, it waits here', () => {
  let hasRoom = false;
  const { gate, left, awaited, sends } = start(() => hasRoom);
  gate.post(1, sends('a'));
  hasRoom = true;
  gate.post(1, sends('b'));
  expect(left).toEqual([]);
  expect(awaited).toEqual([1]);
  gate.durable(1);
  expect(left).toEqual(['a', 'b']);
});

test('a closed gate lets nothing out', () => {
  const { gate, left, sends } = start(() => true);
  gate.output(1, sends('a'));
  gate.close();
  gate.post(0, sends('b'));
  gate.post(2, sends('c'));
  gate.durable(1);
  expect(left).toEqual([]);
});
