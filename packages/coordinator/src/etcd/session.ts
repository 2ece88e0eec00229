/**
 * This process's session: a lease, and the key `nodes/<node>` that the lease holds. The lease's id is
 * the process's incarnation; whoever claims an object writes it into the record.
 *
 * Invariants
 * 1. A session is lost only when etcd says so, the lease is gone or the key is, or when etcd is refused. An
 *    etcd that does not answer takes nothing away; but past the lease's time since the last renewal nothing
 *    is claimed.
 * 2. A process whose key another process has taken over has lost its session for good: two processes
 *    with one name would take it from each other for ever.
 * 3. A lease is left behind only when etcd says that it is gone, so that a late write under an older
 *    lease of this process can never replace the newer key.
 */
import {
  type Clock,
  HomingError,
  type Logger,
  type MonotonicMs,
  type NodeInfo,
  type Timers,
} from '@homing/base';
import { type EtcdClient, isAway, isLeaseGone } from './client.ts';
import type { Identity } from './identity.ts';
import { encodeNode, type Keys } from './keys.ts';
import type { EtcdLimits } from './limits.ts';
import { backOff, Pacer, untilAnswered } from './pacer.ts';
import { type Condition, foundAt, type KeyValue } from './transaction.ts';
import type { Witness } from './witness.ts';

export interface SessionOptions {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly keys: Keys;
  readonly witness: Pick<Witness, 'key' | 'inspect'>;
  readonly node: Omit<NodeInfo, 'incarnation' | 'draining'>;
  readonly ttlMs: number;
  readonly limits: EtcdLimits;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** The own key as just written. */
  readonly written: (kv: KeyValue) => void;
  readonly began: (self: NodeInfo) => void;
  readonly lost: () => void;
}

interface LiveSession {
  readonly lease: string;
  readonly ttlMs: number;
  self: NodeInfo;
  /** Revision at which the own key was first written: what was there before is not of interest. */
  readonly since: bigint;
  /** When the last keep-alive that etcd answered was sent. */
  renewedAtMs: MonotonicMs;
}

export class Session {
  readonly #options: SessionOptions;
  readonly #key: string;
  readonly #pacer: Pacer;
  #live: LiveSession | undefined;
  #draining = false;
  #closed = false;
  /** Why there will be no further session. */
  #fatal: HomingError | undefined;
  #settled: Promise<void> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#key = options.keys.node(options.node.node);
    this.#pacer = new Pacer(options.timers);
  }

  get self(): NodeInfo | undefined {
    return this.#live?.self;
  }

  get lease(): string | undefined {
    return this.#live?.lease;
  }

  /** The condition on which everything is written that only a live session may write. */
  holds(lease: string): Condition {
    return { key: this.#key, lease };
  }

  /** The session, where it may claim; throws what to say to a caller where not. */
  claimable(): NodeInfo {
    const live = this.#live;
    if (live === undefined) {
      throw this.#fatal ?? new HomingError('unavailable', 'this node has no session with etcd');
    }
    const silentMs = this.#options.clock.monotonicMs() - live.renewedAtMs;
    if (silentMs <= live.ttlMs) return live.self;
    throw new HomingError(
      'unavailable',
      `etcd has not answered for ${Math.round(silentMs)} ms, longer than a session lasts; nothing is claimed until it does`,
    );
  }

  /** Runs sessions, one after another, until `close`. Rejects when none will ever be. */
  async start(): Promise<void> {
    const { limits, logger } = this.#options;
    let first: { resolve: () => void; reject: (error: unknown) => void } | undefined;
    const began = new Promise<void>((resolve, reject) => {
      first = { resolve, reject };
    });
    const run = async () => {
      let failures = 0;
      while (!this.#closed && this.#fatal === undefined) {
        try {
          const ran = await this.#begin(() => first?.resolve());
          failures = ran ? 0 : failures + 1;
        } catch (error) {
          if (!isAway(error) && !isLeaseGone(error)) first?.reject(error);
          if (failures === 0) logger.warn('no session with etcd; trying again', { cause: error });
          failures += 1;
        }
        if (!this.#closed) await this.#pacer.pause(backOff(limits, failures));
      }
      first?.reject(this.#fatal ?? new HomingError('unavailable', 'the coordinator is closed'));
    };
    this.#settled = run();
    await began;
  }

  /** Tries at once where the next attempt waits. */
  wake(): void {
    this.#pacer.wake();
  }

  /** Ends the one there is, if any; the next one begins at once. */
  abandon(reason: string): void {
    this.#lose(reason);
  }

  /** What etcd holds under the own key, as of `revision`. */
  observe(kv: KeyValue | undefined, revision: bigint): void {
    const live = this.#live;
    if (live === undefined || revision <= live.since || kv?.lease === live.lease) return;
    if (kv === undefined) {
      this.#lose('the key of this node is gone from etcd');
      return;
    }
    const { node } = this.#options.node;
    const message = `another process runs as node ${node} (incarnation ${kv.lease}, this one was ${live.lease}): give each process a name of its own, then restart this one`;
    this.#options.logger.error(message);
    this.#fatal = new HomingError('unavailable', message);
    this.#lose('another process took over the key of this node');
  }

  async setDraining(draining: boolean): Promise<void> {
    const { client, identity } = this.#options;
    const { lease } = this.#requireLive();
    const self = this.#describe(lease, draining);
    const value = encodeNode(self);
    const { succeeded, revision } = await untilAnswered(this.#options, async (timeoutMs) => {
      identity.checkTrusted();
      return await client.transact(
        { when: [this.holds(lease)], apply: [{ put: this.#key, value, lease }] },
        timeoutMs,
      );
    });
    const live = this.#requireLive();
    if (!succeeded || live.lease !== lease) {
      throw new HomingError('unavailable', 'the session with etcd was lost meanwhile');
    }
    this.#draining = draining;
    live.self = self;
    this.#options.written({ key: this.#key, value, lease, modRevision: revision });
  }

  /** Ends the session in etcd too, where etcd answers. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#lose('the coordinator is closed');
    this.#pacer.wake();
    await this.#settled;
  }

  /** One session, from its lease to its loss. False when none came about. */
  async #begin(began: () => void): Promise<boolean> {
    const { client, identity, clock, ttlMs, logger } = this.#options;
    if (identity.refused) return false;
    // Before anything is written: this may be an etcd that was wiped, which is why the lease is gone.
    const { witness } = this.#options;
    const read = await client.transact({ apply: [{ get: this.#key }, { get: witness.key }] });
    const before = foundAt(read, 0);
    witness.inspect(foundAt(read, 1), read.revision);
    if (identity.refused) return false;
    const renewedAtMs = clock.monotonicMs();
    const { lease, ttlSeconds } = await client.grantLease(Math.ceil(ttlMs / 1000));
    const self = this.#describe(lease, this.#draining);
    const value = encodeNode(self);
    const since = await this.#putKey(lease, value, before?.modRevision ?? 0n);
    if (since === undefined || this.#closed || identity.refused) {
      await this.#revoke(lease);
      return false;
    }
    const live = { lease, self, since, renewedAtMs, ttlMs: Math.min(ttlMs, ttlSeconds * 1000) };
    this.#live = live;
    logger.info('session with etcd', { incarnation: lease });
    this.#options.began(self);
    this.#options.written({ key: this.#key, value, lease, modRevision: since });
    began();
    await this.#keepAlive(live);
    // An etcd that is refused is left as it is: a session there would say that this node trusts it.
    if (!identity.refused) await this.#revoke(lease);
    return true;
  }

  /**
   * Writes the own key, and gives the revision that did. Whatever is there belongs to an earlier session
   * of this node: the newest wins. It names the key's state all the same, so that an attempt whose
   * answer was lost cannot be applied after a later session's. Undefined: closed meanwhile.
   */
  async #putKey(lease: string, value: Buffer, before: bigint): Promise<bigint | undefined> {
    const { client, limits } = this.#options;
    let modRevision = before;
    for (let failures = 0; !this.#closed; ) {
      try {
        const answer = await client.transact({
          when: [{ key: this.#key, modRevision }],
          apply: [{ put: this.#key, value, lease }],
          otherwise: [{ get: this.#key }],
        });
        if (answer.succeeded) return answer.revision;
        const found = foundAt(answer, 0);
        if (found?.lease === lease) return found.modRevision;
        modRevision = found?.modRevision ?? 0n;
      } catch (error) {
        // While etcd is away nothing is known of the lease; once it answers it refuses one that is gone.
        if (!isAway(error)) throw error;
        await this.#pacer.pause(backOff(limits, failures++));
      }
    }
    return undefined;
  }

  /** Resolves when the session is lost. */
  async #keepAlive(live: LiveSession): Promise<void> {
    const { client, identity, clock, limits, logger } = this.#options;
    const timeoutMs = Math.min(limits.requestTimeoutMs, live.ttlMs / 2);
    let failures = 0;
    while (this.#live === live) {
      // Often enough that one more failure does not use up the lease.
      const againMs = Math.min(backOff(limits, failures), live.ttlMs / 6);
      await this.#pacer.pause(failures === 0 ? live.ttlMs / 3 : againMs);
      if (this.#live !== live) return;
      if (identity.refused) {
        this.#lose('etcd is refused', live);
        return;
      }
      const sentAtMs = clock.monotonicMs();
      try {
        if ((await client.keepAlive(live.lease, timeoutMs)) === 0) {
          this.#lose('etcd says that the lease is gone', live);
          return;
        }
        live.renewedAtMs = sentAtMs;
        if (failures > 0) logger.info('etcd answers again', { incarnation: live.lease });
        failures = 0;
      } catch (cause) {
        if (failures === 0) logger.warn('the session with etcd could not be renewed', { cause });
        failures += 1;
      }
    }
  }

  #lose(reason: string, session = this.#live): void {
    if (session === undefined || this.#live !== session) return;
    this.#live = undefined;
    const level = this.#closed ? 'info' : 'warn';
    this.#options.logger[level]('session with etcd ended', { reason, incarnation: session.lease });
    this.#pacer.wake();
    this.#options.lost();
  }

  async #revoke(lease: string): Promise<void> {
    const { client, logger } = this.#options;
    await client.revokeLease(lease).catch((cause: unknown) => {
      logger.info('the lease is left to expire', { incarnation: lease, cause });
    });
  }

  #describe(lease: string, draining: boolean): NodeInfo {
    const { node } = this.#options;
    return Object.freeze({ ...node, incarnation: lease, ...(draining ? { draining } : {}) });
  }

  #requireLive(): LiveSession {
    if (this.#live !== undefined) return this.#live;
    throw this.#fatal ?? new HomingError('unavailable', 'this node has no session with etcd');
  }
}
