/**
 * What a node does between its disk and etcd: registering a start of the store, and an operator's
 * recovery of an etcd that was wiped or restored.
 */
import { type Epoch, epochRevision } from '@homing/base';
import type { EtcdClient } from './client.ts';
import type { Identity } from './identity.ts';
import {
  decodeBase,
  decodeStarts,
  encodeBase,
  encodeStarts,
  type Keys,
  unreadable,
} from './keys.ts';
import { type RepeatContext, untilAnswered } from './pacer.ts';
import { foundAt, type KeyValue } from './transaction.ts';

export interface DiskContext extends RepeatContext {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly keys: Keys;
}

/**
 * Notes that the store was opened for the `starts`-th time. `behind`: etcd knows of more starts, so this
 * disk is a restored copy that has forgotten promises; nothing is written.
 */
export async function registerStart(
  context: DiskContext,
  storeId: string,
  starts: number,
): Promise<'ok' | 'behind'> {
  const { client, identity, keys } = context;
  const key = keys.store(storeId);
  const history = identity.checkTrusted();
  let modRevision = 0n;
  for (;;) {
    const answer = await untilAnswered(context, async (timeoutMs) => {
      identity.checkTrusted(history);
      return await client.transact(
        {
          when: [{ key, modRevision }],
          apply: [{ put: key, value: encodeStarts(starts) }],
          otherwise: [{ get: key }],
        },
        timeoutMs,
      );
    });
    identity.checkTrusted(history);
    if (answer.succeeded) return 'ok';
    const kv = foundAt(answer, 0);
    const known = kv && decodeStarts(kv);
    if (kv !== undefined && known === undefined) throw unreadable(kv);
    if (known !== undefined && known > starts) return 'behind';
    // Written by an attempt whose answer was lost, or at this very start.
    if (known === starts) return 'ok';
    modRevision = kv?.modRevision ?? 0n;
  }
}

/**
 * Trusts the etcd that answers, with `base` raised so far that every epoch granted from now on is
 * greater than `highest` and than whatever this node has seen. `accepted` runs at the moment of trust.
 */
export async function recover(
  context: DiskContext,
  highest: Epoch,
  accepted: () => void,
): Promise<void> {
  const { clusterId, base, revision } = await raiseBase(context, highest);
  context.identity.accept(clusterId, base, revision);
  accepted();
}

interface RaisedBase {
  readonly clusterId: string;
  readonly base: KeyValue | undefined;
  readonly revision: bigint;
}

/** Resolves when every epoch made of a later revision is greater; nothing is trusted by that. */
export async function raiseBase(context: DiskContext, highest: Epoch): Promise<RaisedBase> {
  const { client, identity, keys } = context;
  const known = epochRevision(highest > identity.highestEpoch ? highest : identity.highestEpoch);
  for (;;) {
    const read = await untilAnswered(context, (timeoutMs) =>
      client.transact({ apply: [{ get: keys.base }] }, timeoutMs),
    );
    const kv = foundAt(read, 0);
    const base = kv === undefined ? 0n : (decodeBase(kv) ?? 0n);
    if (base + read.revision > known) {
      return { clusterId: read.clusterId, base: kv, revision: read.revision };
    }
    const raised = { put: keys.base, value: encodeBase(known - read.revision + 1n) };
    const unchanged = { key: keys.base, modRevision: kv?.modRevision ?? 0n };
    // Whatever becomes of it, the next reading shows.
    await untilAnswered(context, (timeoutMs) =>
      client.transact({ when: [unchanged], apply: [raised] }, timeoutMs),
    );
  }
}
