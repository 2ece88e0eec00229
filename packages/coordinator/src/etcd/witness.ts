/**
 * A count that this store keeps in etcd and raises now and then, and that its disk remembers. An etcd
 * that holds a smaller one, or none, was restored from a backup: also where its revision has long
 * passed every epoch that this node has seen, so that nothing else shows it.
 *
 * Invariant: the disk's count is never greater than the one that etcd was last known to hold.
 *
 * Read at the first contact and before every session; raised while there is a session.
 */
import type { Logger, Timer, Timers } from '@homing/base';
import { type EtcdClient, isAway } from './client.ts';
import type { Identity } from './identity.ts';
import { decodeWitness, encodeWitness, type Keys } from './keys.ts';
import { foundAt, type KeyValue } from './transaction.ts';

export interface WitnessOptions {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly keys: Keys;
  readonly storeId: string;
  /** What the disk remembers; 0 on a new one. */
  readonly count: number;
  readonly intervalMs: number;
  readonly hasSession: () => boolean;
  readonly timers: Timers;
  readonly logger: Logger;
}

export class Witness {
  readonly key: string;
  readonly #options: WitnessOptions;
  #count: number;
  /** At which etcd was last seen to hold it. */
  #revision = 0n;
  /** Since an operator accepted etcd: what it holds is below the count, and is written over. */
  #isAccepted = false;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.key = options.keys.witness(options.storeId);
    this.#count = options.count;
  }

  /** Etcd holds at least this much; for the disk. */
  get count(): number {
    return this.#count;
  }

  /** What etcd held under `key` at `revision`: ends trust where that is less than it held before. */
  inspect(kv: KeyValue | undefined, revision: bigint): void {
    const { identity } = this.#options;
    // An older reading says nothing; a revision that went back is noticed by `identity`.
    if (identity.refused || revision < this.#revision) return;
    const found = kv === undefined ? 0 : decodeWitness(kv);
    if (this.#isAccepted) {
      this.#revision = kv?.modRevision ?? 0n;
      return;
    }
    if (found === undefined || found < this.#count) {
      identity.refuse(
        `its key ${this.key} is ${found ?? kv?.value.toString()}, and was ${this.#count} before`,
      );
      return;
    }
    this.#count = found;
    this.#revision = kv?.modRevision ?? 0n;
  }

  /** An operator vouches for this etcd, whatever it has forgotten: the next count is above it all. */
  accept(): void {
    this.#revision = 0n;
    this.#isAccepted = true;
  }

  /** Raises it now, and again after every interval. */
  start(): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#raise().then(
      () => this.#later(),
      (cause: unknown) => {
        if (!isAway(cause)) this.#options.logger.error('no witness in etcd', { cause });
        this.#later();
      },
    );
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #later(): void {
    const { timers, intervalMs } = this.#options;
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = timers.after(intervalMs, () => this.start());
  }

  async #raise(): Promise<void> {
    const { client, identity, hasSession } = this.#options;
    if (identity.refused || !hasSession()) return;
    const count = this.#count + 1;
    const answer = await client.transact({
      when: [{ key: this.key, modRevision: this.#revision }],
      apply: [{ put: this.key, value: encodeWitness(count) }],
      otherwise: [{ get: this.key }],
    });
    if (identity.refused) return;
    if (answer.succeeded) {
      this.#count = count;
      this.#revision = answer.revision;
      this.#isAccepted = false;
    } else this.inspect(foundAt(answer, 0), answer.revision);
  }
}
