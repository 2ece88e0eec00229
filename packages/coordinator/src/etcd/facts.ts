/**
 * What a cluster was made with and all nodes must have alike for ever, since data lies where it says:
 * written by the first node that starts, read by all others.
 */
import type { DiskContext } from './disk.ts';
import { decodeFacts, encodeFacts, unreadable } from './keys.ts';
import { untilAnswered } from './pacer.ts';
import { foundAt } from './transaction.ts';

/** By name, each a whole number. */
export type ClusterFacts = Readonly<Record<string, number>>;

/** Resolves with the facts that stand: those given, where there were none. */
export async function agreedFacts(
  context: DiskContext,
  facts: ClusterFacts,
): Promise<ClusterFacts> {
  const { client, identity, keys } = context;
  const history = identity.checkTrusted();
  const key = keys.cluster;
  const answer = await untilAnswered(context, async (timeoutMs) => {
    identity.checkTrusted(history);
    const write = {
      when: [{ key, modRevision: 0n }],
      apply: [{ put: key, value: encodeFacts(facts) }],
    };
    return await client.transact({ ...write, otherwise: [{ get: key }] }, timeoutMs);
  });
  identity.checkTrusted(history);
  if (answer.succeeded) return facts;
  const kv = foundAt(answer, 0);
  const found = kv && decodeFacts(kv);
  if (kv !== undefined && found === undefined) throw unreadable(kv);
  return found ?? facts;
}
