/** What of an error another node is told. */
import { errorFromData, HomingError } from '@homing/base';
import { expect, test } from 'vitest';
import { errorToPeer } from './peer-error.ts';

test('an error of the project has no stack, and all that is its contract', () => {
  const details = { owner: 'n2', epoch: '65536' };
  const sent = errorToPeer(new HomingError('not_owner', 'elsewhere', { executed: 'no', details }));
  expect(sent.stack).toBeUndefined();
  expect(errorFromData(sent)).toMatchObject({ code: 'not_owner', executed: 'no', details });
});

test('what an object was aborted with keeps its class, properties and stack', () => {
  const error = Object.assign(new RangeError('too far'), { status: 7 });
  const heard = errorFromData(errorToPeer(error));
  expect(heard).toBeInstanceOf(RangeError);
  expect(heard).toMatchObject({ message: 'too far', status: 7, stack: error.stack });
});

test('it is bounded, whatever that was', () => {
  const long = 'x'.repeat(1_000_000);
  const error = Object.assign(new Error(long), { name: long, small: 1, large: long, [long]: 2 });
  error.stack = long;
  const sent = errorToPeer(error);
  expect(JSON.stringify(sent).length).toBeLessThan(40_000);
  expect(sent.message.startsWith('xxx')).toBe(true);
  expect(sent.properties).toMatchObject({ small: 1 });
  const odd = Object.assign(new Error('odd'), { message: 5 });
  expect(errorToPeer(odd).message).toBe('5');
});
