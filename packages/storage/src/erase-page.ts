/** `Store.erasePage` in terms of what erases one object; the same for both adapters. */
import type { ObjectIdHex, Store } from '@homing/base';

export async function erasePage(
  store: Pick<Store, 'heads'>,
  { isMeant, after, limit }: Parameters<Store['erasePage']>[0],
  erase: (id: ObjectIdHex) => Promise<void>,
): Promise<ObjectIdHex | undefined> {
  const ids = store.heads({ after, limit }).map(({ id }) => id);
  await Promise.all(ids.filter(isMeant).map(erase));
  return ids.length < limit ? undefined : ids.at(-1);
}
