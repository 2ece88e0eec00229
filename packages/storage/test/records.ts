/** What the tests of stores write, and how they look at it. */
import {
  type Epoch,
  makeEpoch,
  type ObjectIdHex,
  type RecordOperation,
  type Store,
  spaces,
  type WallMs,
} from '@homing/base';

export const epochOf = (revision: number): Epoch => makeEpoch(BigInt(revision), 0);

export const put = (key: string, value: string): RecordOperation => ({
  type: 'put',
  space: spaces.kv,
  key: Buffer.from(key),
  value: Buffer.from(value),
});

export const alarm = (dueMs: number): RecordOperation => ({
  type: 'alarm',
  dueMs: dueMs as WallMs,
});

export const keysOf = (store: Store, id: ObjectIdHex) =>
  [...store.reader().list(id, spaces.kv, {})].map(({ key }) => Buffer.from(key).toString());

/** The same numbers for the same seed: 0 up to `below`. */
export type Random = (below: number) => number;

export function numbers(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
