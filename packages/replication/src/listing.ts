/** What a store lists of the objects it holds, shard by shard, for those who must become complete. */
import type { ObjectIdHex, Store } from '@homing/base';
import { type ListedHead, type ListedPage, shardKey } from '@homing/protocol';
import type { AdoptedSets } from './adopted-sets.ts';
import type { LogRequest } from './messages.ts';

export type ListRequest = Extract<LogRequest, { type: 'list' }>;

const idDigits = 64;

export const firstId = '0'.repeat(idDigits) as ObjectIdHex;

/** Undefined after the last one. */
export function idAfter(id: ObjectIdHex): ObjectIdHex | undefined {
  const next = (BigInt(`0x${id}`) + 1n).toString(16);
  return next.length > idDigits ? undefined : (next.padStart(idDigits, '0') as ObjectIdHex);
}

/** Undefined before the first one. */
export function idBefore(id: ObjectIdHex): ObjectIdHex | undefined {
  if (id === firstId) return undefined;
  return (BigInt(`0x${id}`) - 1n).toString(16).padStart(idDigits, '0') as ObjectIdHex;
}

/** Whatever home an object has elsewhere: a copy that is staged counts like any other. One page from `from` on, of the shards that this store has under the generation asked for. */
export function listPage(
  store: Store,
  sets: AdoptedSets,
  keyOf: (home: string, id: ObjectIdHex) => string,
  { region, shards, from, limit }: ListRequest,
): ListedPage {
  const current = new Set<string>();
  for (const { shard, generation } of shards) {
    const key = shardKey(region, shard);
    if (sets.get(key)?.generation === generation) current.add(key);
  }
  const heads: ListedHead[] = [];
  const found = store.heads({ after: idBefore(from), limit });
  for (const { namespace, id, name, promised, last, applied, isQuarantined } of found) {
    const object = name === undefined ? { namespace, id } : { namespace, id, name };
    if (!current.has(keyOf(region, id))) continue;
    heads.push({ object, promised, last, applied, isBlank: isQuarantined === true });
  }
  const until = found.length < limit ? undefined : found.at(-1)?.id;
  // What a generation allows to be forgotten was forgotten before the next one was adopted.
  const floors = from === firstId ? store.floors() : [];
  return { current: [...current], heads, floors, until };
}
