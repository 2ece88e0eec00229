import { expect, test } from 'vitest';
import { holdsOnlyCopies } from './adopted-sets.ts';

test('a store of a set of one has the only copies, also while the set grows', () => {
  const isAlone = (...sets: object[]) =>
    holdsOnlyCopies('/homing/', 's1', (prefix) =>
      prefix === 'replica-set /homing/ '
        ? sets.map((set) => ({ name: prefix, value: Buffer.from(JSON.stringify(set)) }))
        : [],
    );
  const three = { generation: 1, members: ['s1', 's2', 's3'] };
  expect(isAlone(three)).toBe(false);
  expect(isAlone(three, { generation: 1, members: ['s1'] })).toBe(true);
  expect(isAlone({ generation: 2, members: ['s1'], next: ['s1', 's2'] })).toBe(true);
  expect(isAlone({ generation: 1, members: ['s2'] })).toBe(false);
});
