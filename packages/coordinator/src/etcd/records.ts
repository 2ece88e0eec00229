/**
 * What is done to one object's record besides claiming it. Each is one transaction on the very revision
 * under which this process owns the object, so it may be repeated until etcd answers: it is applied at
 * most once, and a definite answer to the repeat tells what became of the first.
 */
import {
  type Epoch,
  HomingError,
  type Located,
  type MoveHome,
  type NodeInfo,
  type ObjectRef,
  type Rehoming,
} from '@homing/base';
import { type Grants, pastOf } from '../grants.ts';
import type { EtcdClient } from './client.ts';
import type { Identity } from './identity.ts';
import { decodeNode, decodeRecord, encodeRecord, type Keys, unreadable } from './keys.ts';
import type { Mirror } from './mirror.ts';
import { type RepeatContext, untilAnswered } from './pacer.ts';
import { type Condition, foundAt, type Transaction } from './transaction.ts';

export interface RecordsOptions extends RepeatContext {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly mirror: Mirror;
  readonly grants: Grants;
  readonly keys: Keys;
}

export class Records {
  readonly #options: RecordsOptions;

  constructor(options: RecordsOptions) {
    this.#options = options;
  }

  async release(object: ObjectRef, epoch: Epoch): Promise<void> {
    const { client, identity, grants, keys } = this.#options;
    const history = identity.checkTrusted();
    const key = keys.object(object);
    const grant = grants.under(key, epoch);
    if (grant === undefined) return;
    const unchanged = { key, modRevision: grant.revision };
    const { home, isDefault } = grant;
    const past = pastOf(grant);
    // Whether it was ever recovered there is not known here: the next owner has to be told.
    const remains =
      isDefault && past.isPromoted !== true
        ? { delete: key }
        : { put: key, value: encodeRecord({ owner: undefined, home, ...past }) };
    await untilAnswered(this.#options, async (timeoutMs) => {
      identity.checkTrusted(history);
      await client.transact({ when: [unchanged], apply: [remains] }, timeoutMs);
    });
    grants.delete(key, grant);
  }

  async transfer(
    object: ObjectRef,
    epoch: Epoch,
    to: NodeInfo,
    move: MoveHome | undefined,
  ): Promise<boolean> {
    const { client, identity, grants, keys } = this.#options;
    const history = identity.checkTrusted();
    const key = keys.object(object);
    const grant = grants.under(key, epoch);
    if (grant === undefined) return false;
    const owner = { node: to.node, incarnation: to.incarnation };
    const home = move === undefined ? grant.home : move.home;
    const past = move === undefined ? pastOf(grant) : { from: grant.home };
    const when = [
      { key, modRevision: grant.revision },
      { key: keys.node(to.node), lease: to.incarnation },
      identity.baseUnchanged,
    ];
    if (move !== undefined) {
      const { assignment, revision } = move.shard;
      const shard = keys.shard(assignment.region, assignment.shard);
      when.push({ key: shard, modRevision: revision });
    }
    const answer = await untilAnswered(this.#options, async (timeoutMs) => {
      identity.checkTrusted(history);
      return await client.transact(
        {
          when,
          apply: [{ put: key, value: encodeRecord({ owner, home, ...past }) }],
          otherwise: [{ get: key }, { get: keys.base }],
        },
        timeoutMs,
      );
    });
    identity.checkTrusted(history);
    if (!answer.succeeded) identity.setBase(foundAt(answer, 1), answer.revision);
    const kv = foundAt(answer, 0);
    // Still our own: the target is gone or the shard changed, and with it any earlier attempt's chance.
    if (!answer.succeeded && kv?.modRevision === grant.revision) return false;
    grants.delete(key, grant);
    if (answer.succeeded) return true;
    // An attempt whose answer was lost may have done it.
    const found = kv === undefined ? undefined : decodeRecord(kv);
    return found?.owner?.node === to.node && found.owner.incarnation === to.incarnation;
  }

  async rehome(object: ObjectRef, change: Rehoming): Promise<boolean> {
    const { client, identity, keys } = this.#options;
    const { located, home, from, isForced } = change;
    const history = identity.checkTrusted();
    const key = keys.object(object);
    const transact = async (transaction: Transaction) => {
      const answer = await untilAnswered(this.#options, async (timeoutMs) => {
        identity.checkTrusted(history);
        return await client.transact(transaction, timeoutMs);
      });
      identity.checkTrusted(history);
      return answer;
    };
    const found = await transact({ apply: [{ get: key }, { get: keys.base }] });
    identity.setBase(foundAt(found, 1), found.revision);
    const kv = foundAt(found, 0);
    const record = kv && decodeRecord(kv);
    if (kv !== undefined && record === undefined) throw unreadable(kv);
    const isSame =
      kv === undefined
        ? located.home === undefined
        : located.home !== undefined && identity.epochAt(kv.modRevision) === located.epoch;
    if (!isSame) return false;
    const when: Condition[] = [{ key, modRevision: kv?.modRevision ?? 0n }, identity.baseUnchanged];
    const owner = record?.owner;
    if (owner !== undefined && !isForced) {
      when.push({ key: keys.node(owner.node), notLease: owner.incarnation });
    }
    const value = encodeRecord({ owner: undefined, home, from, isPromoted: true });
    const answer = await transact({
      when,
      apply: [{ put: key, value }],
      otherwise: [{ get: key }],
    });
    // An attempt whose answer was lost may have done it.
    const now = answer.succeeded ? undefined : foundAt(answer, 0);
    return answer.succeeded || now?.value.equals(value) === true;
  }

  async locate(object: ObjectRef): Promise<Located> {
    const { client, identity, mirror, keys } = this.#options;
    identity.checkTrusted();
    const key = keys.object(object);
    const read = async (...gets: readonly string[]) =>
      await untilAnswered(this.#options, (timeoutMs) =>
        client.transact({ apply: gets.map((get) => ({ get })) }, timeoutMs),
      ).catch((cause: unknown) => {
        const message = 'etcd could not be asked where an object is';
        throw new HomingError('unavailable', message, { executed: 'no', cause });
      });
    const answer = await read(key, keys.base);
    identity.setBase(foundAt(answer, 1), answer.revision);
    identity.checkTrusted();
    const kv = foundAt(answer, 0);
    if (kv === undefined) {
      const epoch = identity.epochAt(answer.revision);
      return { home: undefined, ownership: undefined, epoch };
    }
    const epoch = identity.epochAt(kv.modRevision);
    const record = decodeRecord(kv);
    if (record === undefined) throw unreadable(kv);
    const { owner: holder, ...rest } = record;
    const nobody = { home: rest.home, ownership: undefined, epoch, lastOwner: holder?.node };
    if (holder === undefined) return nobody;
    const nodeKey = keys.node(holder.node);
    let session = mirror.get(nodeKey);
    // A node that came a moment ago may not be in the mirror yet.
    if (session?.lease !== holder.incarnation) session = foundAt(await read(nodeKey), 0);
    if (session?.lease !== holder.incarnation) return nobody;
    const owner = decodeNode(keys, session);
    if (owner === undefined) throw unreadable(session);
    return { ...nobody, ownership: { owner, epoch, ...rest } };
  }
}
