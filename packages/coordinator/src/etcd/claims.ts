/**
 * Claims. Those made together share a transaction, in which each is a nested one: it is decided by its
 * own conditions, so one that loses keeps no other from winning.
 *
 * A claim begins by supposing that the object has no record (or the one this process wrote last), and
 * learns better from the branch that etcd takes otherwise: a new object costs one round trip.
 *
 * Invariants
 * 1. A record is written only if it is as expected, its owner's incarnation is gone or is our own, our
 *    own session key is held by our lease, and `base` is what we add to revisions: all compared in the
 *    transaction that writes.
 * 2. A transaction without an answer is repeated with the same expectation. If it was applied, the
 *    repeat finds our own record and grants it; if it was not, the repeat rules it out.
 * 3. No epoch is granted twice by this process: what it was granted before is written anew.
 * 4. A record's home is never changed here, and one is begun only for the object's default home.
 * 5. One claim of an object at a time is under way; further ones wait for it, and get epochs of their own.
 */
import {
  assert,
  type ClaimAt,
  type ClaimResult,
  type Clock,
  HomingError,
  type NodeInfo,
  type ObjectRef,
  type Timers,
} from '@homing/base';
import { type Grants, type Past, pastOf } from '../grants.ts';
import { type EtcdClient, isAway } from './client.ts';
import type { Identity } from './identity.ts';
import { decodeNode, decodeRecord, encodeRecord, type Keys, unreadable } from './keys.ts';
import type { EtcdLimits } from './limits.ts';
import { backOff, Pacer } from './pacer.ts';
import type { Session } from './session.ts';
import { type Answer, foundAt, type Operation, type Outcome } from './transaction.ts';

export interface ClaimsOptions {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly session: Session;
  readonly grants: Grants;
  readonly keys: Keys;
  readonly limits: EtcdLimits;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** What the next attempt supposes of the object's record. */
interface Expected extends Past {
  /** 0n: there is none. */
  readonly revision: bigint;
  /** Of the record; where there is none, where it may be written. */
  readonly home: string | undefined;
  /** Whose incarnation must be gone; undefined where that is ourselves or nobody. */
  readonly holder?: { readonly node: string; readonly incarnation: string };
}

interface Claim {
  readonly key: string;
  readonly at: ClaimAt;
  readonly endMs: number;
  /** Of etcd, when the claim was made: what it learned is of that one. */
  readonly history: number;
  expected: Expected;
  readonly resolve: (result: ClaimResult) => void;
  readonly reject: (error: unknown) => void;
}

export class Claims {
  readonly #options: ClaimsOptions;
  readonly #pacer: Pacer;
  #ready: Claim[] = [];
  /** By object: claims that wait for the one under way. */
  readonly #behind = new Map<string, Claim[]>();
  #waiting = 0;
  #transactions = 0;
  #scheduled = false;
  #failures = 0;
  /** Why etcd gave no answer, for those whose time runs out. */
  #silence: unknown;
  #closed = false;

  constructor(options: ClaimsOptions) {
    this.#options = options;
    this.#pacer = new Pacer(options.timers);
  }

  async claim(object: ObjectRef, at: ClaimAt): Promise<ClaimResult> {
    const { identity, keys, limits, clock } = this.#options;
    this.#check();
    const history = identity.checkTrusted();
    if (this.#waiting >= limits.claimsWaitingMax) {
      throw new HomingError('overloaded', `${limits.claimsWaitingMax} claims wait for etcd`);
    }
    const key = keys.object(object);
    const endMs = clock.monotonicMs() + limits.operationTimeoutMs;
    return await new Promise<ClaimResult>((resolve, reject) => {
      this.#waiting += 1;
      const expected = absent(at);
      const claim: Claim = { key, at, endMs, history, expected, resolve, reject };
      const behind = this.#behind.get(key);
      if (behind !== undefined) {
        behind.push(claim);
        return;
      }
      this.#behind.set(key, []);
      this.#makeReady(claim);
    });
  }

  /** What waits is rejected now, what is under way when its transaction comes back. */
  close(): void {
    this.#closed = true;
    this.#pacer.wake();
    this.#begin();
  }

  #check(): NodeInfo {
    const { identity, session } = this.#options;
    if (this.#closed) throw new HomingError('unavailable', 'the coordinator is closed');
    identity.checkTrusted();
    return session.claimable();
  }

  #makeReady(claim: Claim): void {
    const granted = this.#options.grants.get(claim.key);
    if (granted !== undefined) {
      const { revision, home } = granted;
      claim.expected = { revision, home, ...pastOf(granted) };
    }
    this.#ready.push(claim);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After everything else that this turn claims.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#begin();
    });
  }

  /** One transaction is always worth it; more at the same time only when they are full. */
  #begin(): void {
    const { claimsPerTransactionMax, claimTransactionsMax } = this.#options.limits;
    while (this.#ready.length > 0 && this.#transactions < claimTransactionsMax) {
      if (this.#transactions > 0 && this.#ready.length < claimsPerTransactionMax) return;
      const batch = this.#current(this.#ready.splice(0, claimsPerTransactionMax));
      if (batch.length === 0) continue;
      try {
        void this.#run(batch, this.#check());
      } catch (error) {
        this.#failAll(batch, error);
      }
    }
  }

  /** The claims that may be tried; fails the others. */
  #current(claims: readonly Claim[]): Claim[] {
    const { clock, identity } = this.#options;
    const nowMs = clock.monotonicMs();
    return claims.filter((claim) => {
      try {
        identity.checkTrusted(claim.history);
        if (nowMs < claim.endMs) return true;
        const message = 'etcd did not settle the claim in time';
        throw new HomingError('unavailable', message, { cause: this.#silence });
      } catch (error) {
        return !this.#fail(claim, error);
      }
    });
  }

  /** Never rejects. Claims that it does not settle are ready again after it. */
  async #run(batch: readonly Claim[], self: NodeInfo): Promise<void> {
    this.#transactions += 1;
    let again: readonly Claim[] = [];
    try {
      const answer = await this.#attempt(batch, self);
      this.#failures = 0;
      this.#silence = undefined;
      for (const { history } of batch) this.#options.identity.checkTrusted(history);
      again = this.#decide(batch, self, answer);
    } catch (error) {
      if (isAway(error)) {
        again = batch;
        this.#silence = error;
        await this.#pacer.pause(backOff(this.#options.limits, this.#failures++));
      } else {
        this.#failAll(batch, error);
      }
    }
    this.#transactions -= 1;
    this.#ready.unshift(...again);
    this.#begin();
  }

  async #attempt(batch: readonly Claim[], self: NodeInfo): Promise<Answer> {
    const { client, identity, session, keys, limits, clock } = this.#options;
    const leftMs = Math.min(...batch.map(({ endMs }) => endMs)) - clock.monotonicMs();
    return await client.transact(
      {
        when: [session.holds(self.incarnation), identity.baseUnchanged],
        apply: batch.map((claim) => this.#write(claim, self)),
        otherwise: [{ get: keys.node(self.node) }, { get: keys.base }],
      },
      Math.max(1, Math.min(limits.requestTimeoutMs, leftMs)),
    );
  }

  /** Where the record is of another region nothing is written, and the answer tells that much. */
  #write({ key, at, expected }: Claim, self: NodeInfo): Operation {
    const { revision, holder, home } = expected;
    const owner = { node: self.node, incarnation: self.incarnation };
    const unchanged = { key, modRevision: revision };
    const value = encodeRecord({ owner, home: at.home, ...pastOf(expected) });
    const apply = home === at.home ? [{ put: key, value }] : [];
    if (holder === undefined) {
      return { nested: { when: [unchanged], apply, otherwise: [{ get: key }] } };
    }
    const session = this.#options.keys.node(holder.node);
    const gone = { key: session, notLease: holder.incarnation };
    return {
      nested: {
        when: [unchanged, gone],
        apply,
        otherwise: [{ get: key }, { get: session }],
      },
    };
  }

  /** Settles what can be, and gives the claims to try again with what they have learned. */
  #decide(batch: readonly Claim[], self: NodeInfo, answer: Answer): readonly Claim[] {
    const { identity, session } = this.#options;
    if (this.#closed) throw new HomingError('unavailable', 'the coordinator is closed');
    if (!answer.succeeded) {
      identity.setBase(foundAt(answer, 1), answer.revision);
      session.observe(foundAt(answer, 0), answer.revision);
    }
    if (session.lease !== self.incarnation) {
      throw new HomingError('unavailable', 'the session with etcd was lost meanwhile');
    }
    if (!answer.succeeded) return batch;
    return batch.filter((claim, place) => {
      const outcome = answer.results[place]?.nested;
      assert(outcome !== undefined, `etcd: no answer to the claim of ${claim.key}`);
      if (!outcome.succeeded) return !this.#learn(claim, outcome, self);
      const { home } = claim.expected;
      if (home === claim.at.home) this.#grant(claim, self, answer.revision, claim.expected);
      else this.#settle(claim, { outcome: 'elsewhere', home });
      return false;
    });
  }

  /** Takes in why a claim was not written; true when that settles it. */
  #learn(claim: Claim, outcome: Outcome, self: NodeInfo): boolean {
    const { grants, identity, keys } = this.#options;
    const kv = foundAt(outcome, 0);
    if (kv === undefined) {
      claim.expected = absent(claim.at);
      return false;
    }
    const { modRevision: revision } = kv;
    const record = decodeRecord(kv);
    if (record === undefined) return this.#fail(claim, unreadable(kv));
    const { owner: named, home } = record;
    const past = pastOf(record);
    if (named?.node === self.node && named.incarnation === self.incarnation) {
      // What we were granted before is what was expected, so this is another: it was given to us by
      // its owner, or by an attempt of ours whose answer was lost.
      if (home === claim.at.home) this.#grant(claim, self, revision, past);
      else this.#settle(claim, { outcome: 'elsewhere', home });
      return true;
    }
    if (named === undefined) {
      claim.expected = { revision, home, ...past };
      return false;
    }
    const { node, incarnation } = named;
    const holder = claim.expected.holder;
    if (holder?.node === node && holder.incarnation === incarnation) {
      const session = foundAt(outcome, 1);
      if (session?.lease === incarnation) {
        const owner = decodeNode(keys, session);
        if (owner === undefined) return this.#fail(claim, unreadable(session));
        grants.delete(claim.key);
        const ownership = { owner, epoch: identity.epochAt(revision), home, ...past };
        return this.#settle(claim, { outcome: 'held', ownership });
      }
    }
    claim.expected = { revision, home, ...past, holder: { node, incarnation } };
    return false;
  }

  #grant(claim: Claim, owner: NodeInfo, revision: bigint, past: Past): void {
    const epoch = this.#options.identity.epochAt(revision);
    const { home, isDefault } = claim.at;
    const rest = { epoch, home, ...pastOf(past) };
    this.#options.grants.set(claim.key, { ...rest, revision, isDefault });
    this.#settle(claim, { outcome: 'granted', ownership: { ...rest, owner } });
  }

  #settle(claim: Claim, result: ClaimResult): true {
    claim.resolve(result);
    this.#settled(claim);
    return true;
  }

  #failAll(claims: readonly Claim[], cause: unknown): void {
    for (const claim of claims) this.#fail(claim, cause);
  }

  #fail(claim: Claim, error: unknown): true {
    claim.reject(error);
    this.#settled(claim);
    return true;
  }

  #settled({ key }: Claim): void {
    this.#waiting -= 1;
    const behind = this.#behind.get(key) ?? [];
    const next = behind.shift();
    if (next !== undefined) this.#makeReady(next);
    else this.#behind.delete(key);
  }
}

/** What is supposed of an object that has no record. */
function absent({ home, isDefault }: ClaimAt): Expected {
  return { revision: 0n, home: isDefault ? home : undefined };
}
