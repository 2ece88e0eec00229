import { type Epoch, makeEpoch, noRecord, type ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { type FoundCopy, planPromotion } from './promotion.ts';

const id = '1'.repeat(64) as ObjectIdHex;
const epoch = (revision: number): Epoch => makeEpoch(BigInt(revision), 0);
const set = { generation: 1, members: ['a', 'b', 'c'] };
const copy = (store: string, lsn: number, promised = 5): FoundCopy => ({
  id,
  store,
  region: 'us',
  promised: epoch(promised),
  last: { epoch: epoch(promised), lsn },
  recordEpoch: epoch(5),
});
const plan = (...copies: FoundCopy[]) => planPromotion(copies, () => set);

test('a copy counts as far as every majority has it', () => {
  const { promoted } = plan(copy('a', 9), copy('b', 7), copy('c', 3));
  expect(promoted).toMatchObject([{ id, to: 'us', copy: { lsn: 7 }, newest: { lsn: 9 } }]);
  expect(plan(copy('a', 9), copy('b', 7)).promoted).toMatchObject([{ copy: { lsn: 7 } }]);
});

test('an object whose copy one store of three has stays', () => {
  const { promoted, kept } = plan(copy('a', 9));
  expect(promoted).toEqual([]);
  expect(kept).toMatchObject([{ copy: noRecord, newest: { lsn: 9 } }]);
});

test('whose time a copy is of', () => {
  expect(plan(copy('a', 9), copy('b', 7)).promoted[0]?.isOfLastOwner).toBe(true);
  expect(plan(copy('a', 9, 4), copy('b', 7, 5)).promoted[0]?.isOfLastOwner).toBe(false);
});

test('while a set changes its old list counts, which is asked for the log', () => {
  const joint = { generation: 2, members: ['a', 'b', 'c'], next: ['a', 'd', 'e'] };
  const [found] = planPromotion([copy('a', 4), copy('b', 4)], () => joint).promoted;
  expect(found?.copy.lsn).toBe(4);
  expect(planPromotion([copy('d', 4)], () => joint).promoted).toEqual([]);
  expect(planPromotion([copy('d', 4), copy('e', 4)], () => joint).promoted).toEqual([]);
  const newer = [copy('a', 9), copy('d', 9), copy('e', 9), copy('b', 4), copy('c', 4)];
  expect(planPromotion(newer, () => joint).promoted[0]?.copy.lsn).toBe(4);
});

test('of several regions that with the newest', () => {
  const asia = [copy('x', 8), copy('y', 8)].map((one) => ({ ...one, region: 'asia' }));
  const sets: Record<string, typeof set> = {
    us: set,
    asia: { generation: 1, members: ['x', 'y'] },
  };
  const all = [copy('a', 7), copy('b', 7), ...asia];
  expect(planPromotion(all, (region) => sets[region]).promoted).toMatchObject([{ to: 'asia' }]);
});
