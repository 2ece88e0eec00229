/**
 * Writes where objects are at home into an etcd that was wiped or restored, before any node trusts it.
 * Called for an operator's recovery by one node, which still refuses this etcd.
 *
 * Invariant: every write is on condition that no node has a session here. Who trusts this etcd has one, and
 * what it then says of an object is newer than what disks said before.
 */
import { type Epoch, HomingError, type ObjectRef } from '@homing/base';
import { type DiskContext, raiseBase } from './disk.ts';
import { encodeRecord, encodeRecovery } from './keys.ts';
import { untilAnswered } from './pacer.ts';
import { foundAt, type Operation } from './transaction.ts';

/** An object that is at home elsewhere than by default, or whose log is to be settled by its next owner. */
export interface RecoveredHome {
  readonly object: ObjectRef;
  readonly home: string;
  readonly isPromoted?: boolean | undefined;
}

/** etcd takes 128 operations in one transaction. */
const recordsPerTransaction = 100;

/**
 * Forgets all records of objects that etcd has, whose owners and homes may be long out of date. Epochs of
 * what is written from then on are greater than `highest`. Resolves with the mark of this recovery.
 */
export async function forgetRecords(context: DiskContext, highest: Epoch): Promise<bigint> {
  const { client, keys } = context;
  await raiseBase(context, highest);
  const found = await untilAnswered(context, (timeoutMs) =>
    client.transact({ apply: [{ get: keys.recovery }] }, timeoutMs),
  );
  // The mark changes with it: an attempt whose answer was lost cannot forget what is written later.
  const mark = { put: keys.recovery, value: encodeRecovery(String(highest)) };
  const last = foundAt(found, 0)?.modRevision ?? 0n;
  return await write(context, last, [{ deleteUnder: keys.objects }, mark]);
}

/** Writes records without an owner. To be begun anew, by forgetting, where it fails. */
export async function writeHomes(
  context: DiskContext,
  mark: bigint,
  homes: readonly RecoveredHome[],
): Promise<void> {
  for (let at = 0; at < homes.length; at += recordsPerTransaction) {
    const page = homes
      .slice(at, at + recordsPerTransaction)
      .map(({ object, home, isPromoted }) => ({
        put: context.keys.object(object),
        value: encodeRecord({ owner: undefined, home, isPromoted }),
      }));
    await write(context, mark, page);
  }
}

async function write(
  context: DiskContext,
  mark: bigint,
  apply: readonly Operation[],
): Promise<bigint> {
  const { client, identity, keys } = context;
  if (!identity.refused) {
    throw new HomingError('invalid_argument', 'this node trusts its etcd: homes are as it says');
  }
  const when = [{ noneUnder: keys.nodes }, { key: keys.recovery, modRevision: mark }];
  const { succeeded, revision } = await untilAnswered(context, (timeoutMs) =>
    client.transact({ when, apply }, timeoutMs),
  );
  if (succeeded) return revision;
  throw new HomingError(
    'unavailable',
    'a node has a session with the etcd that is to be recovered, or it is recovered twice at a time: ' +
      'try again in some seconds',
  );
}
