/** What a node says of objects that it is to claim after a promotion. */
import { HomingError, type ObjectIdHex, type ObjectRef } from '@homing/base';
import { expect, test } from 'vitest';
import { settleHere } from './promote.ts';

const ref = (digit: string): ObjectRef => ({
  namespace: 'w/C',
  id: digit.repeat(64) as ObjectIdHex,
});

test('an object is settled where it was recovered here, and a failure is told', async () => {
  const [own, elsewhere, stuck] = [ref('1'), ref('2'), ref('3')];
  const take = async ({ id }: ObjectRef) => {
    if (id === stuck.id) throw new HomingError('unavailable', 'no majority');
    return id === own.id;
  };
  expect(await settleHere({ take }, [own, elsewhere, stuck])).toEqual({
    settled: [own.id],
    failed: [{ id: stuck.id, why: 'no majority' }],
  });
});
