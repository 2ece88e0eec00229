/**
 * A copy of the few keys that every node wants at hand: nodes, shards, the controller.
 *
 * It reads them all at one revision and watches from the next one on. Whenever the watch ends, for any
 * reason (etcd restarted, history compacted away, another endpoint), it reads everything again: so no
 * kind of gap needs a treatment of its own.
 *
 * Invariants
 * 1. Per key, only newer writes replace older ones, whatever way they arrive.
 * 2. `changed` runs after the copy changed, with the keys that did.
 * 3. While etcd is away or not trusted the copy stays as it was.
 */
import type { Logger, Timers } from '@homing/base';
import type { EtcdClient } from './client.ts';
import type { Identity } from './identity.ts';
import type { EtcdLimits } from './limits.ts';
import { backOff, Pacer } from './pacer.ts';
import type { KeyValue } from './transaction.ts';
import type { WatchEvent, WatchHandle } from './watch-stream.ts';

export interface MirrorOptions {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly prefixes: readonly string[];
  readonly limits: EtcdLimits;
  readonly timers: Timers;
  readonly logger: Logger;
  /** `revision`: that of the newest change among them. */
  readonly changed: (keys: ReadonlySet<string>, revision: bigint) => void;
}

export class Mirror {
  readonly #options: MirrorOptions;
  readonly #pacer: Pacer;
  #entries = new Map<string, KeyValue>();
  /** Deleted since the last full reading, with the revision that did it. */
  readonly #deleted = new Map<string, bigint>();
  #handle: WatchHandle | undefined;
  #loaded = false;
  #stopped = false;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#pacer = new Pacer(options.timers);
  }

  /** Resolves after the first full reading. */
  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      void this.#run(resolve);
    });
  }

  /** False until the first full reading: that a key is not here means nothing yet. */
  get loaded(): boolean {
    return this.#loaded;
  }

  get(key: string): KeyValue | undefined {
    return this.#entries.get(key);
  }

  list(prefix: string): KeyValue[] {
    return [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
  }

  /** A write whose outcome is known before the watch tells of it. */
  learn(kv: KeyValue): void {
    if (this.#put(kv)) this.#options.changed(new Set([kv.key]), kv.modRevision);
  }

  /** Reads everything again, from the endpoint now in use. */
  renew(reason: string): void {
    this.#handle?.cancel(reason);
  }

  /** What was read is of an etcd that is no more: its revisions do not compare with those to come. */
  outlive(): void {
    for (const [key, kv] of this.#entries) this.#entries.set(key, { ...kv, modRevision: 0n });
    this.#deleted.clear();
    this.renew('etcd was recovered');
    this.#pacer.wake();
  }

  stop(): void {
    this.#stopped = true;
    this.renew('the coordinator is closed');
    this.#pacer.wake();
  }

  /** Never rejects. */
  async #run(loaded: () => void): Promise<void> {
    const { identity, limits, logger } = this.#options;
    let failures = 0;
    while (!this.#stopped) {
      if (identity.refused) {
        await this.#pacer.pause(limits.retryMaxMs);
        continue;
      }
      try {
        const revision = await this.#load();
        if (identity.refused) continue;
        loaded();
        if (failures > 0) logger.info('etcd is followed again', { revision });
        failures = 0;
        const reason = await this.#follow(revision + 1n);
        if (this.#stopped) return;
        logger.info('the watch of etcd ended; reading everything again', { reason });
      } catch (cause) {
        if (this.#stopped) return;
        if (failures === 0) logger.warn('etcd cannot be followed; trying again', { cause });
        failures += 1;
      }
      await this.#pacer.pause(backOff(limits, failures));
    }
  }

  async #load(): Promise<bigint> {
    const { client, identity, prefixes, changed } = this.#options;
    const answer = await client.transact({ apply: prefixes.map((list) => ({ list })) });
    if (identity.refused) return answer.revision;
    const before = this.#entries;
    this.#entries = new Map();
    this.#deleted.clear();
    const keys = new Set(before.keys());
    for (const kv of answer.results.flatMap(({ found }) => found)) {
      this.#entries.set(kv.key, kv);
      if (before.get(kv.key)?.modRevision === kv.modRevision) keys.delete(kv.key);
      else keys.add(kv.key);
    }
    // Learned after this reading was made.
    for (const kv of before.values()) {
      if (kv.modRevision > answer.revision && this.#put(kv)) keys.delete(kv.key);
    }
    this.#loaded = true;
    if (keys.size > 0) changed(keys, answer.revision);
    return answer.revision;
  }

  /** Resolves when the watch is over, with what ended it. */
  async #follow(revision: bigint): Promise<string> {
    const { client, prefixes } = this.#options;
    return await new Promise<string>((resolve, reject) => {
      const handler = {
        events: (events: readonly WatchEvent[], clusterId: string) =>
          this.#takeEvents(events, clusterId),
        end: resolve,
      };
      client.watch(prefixes, revision, handler).then((handle) => {
        this.#handle = handle;
        if (this.#stopped) handle.cancel('the coordinator is closed');
      }, reject);
    }).finally(() => {
      this.#handle = undefined;
    });
  }

  #takeEvents(events: readonly WatchEvent[], clusterId: string): void {
    const { identity, changed } = this.#options;
    identity.inspectCluster(clusterId);
    if (identity.refused) return;
    const keys = new Set<string>();
    let newest = 0n;
    for (const event of events) {
      const key = event.type === 'put' ? event.kv.key : event.key;
      const revision = event.type === 'put' ? event.kv.modRevision : event.revision;
      if (event.type === 'put' ? this.#put(event.kv) : this.#delete(key, revision)) keys.add(key);
      if (revision > newest) newest = revision;
    }
    if (keys.size > 0) changed(keys, newest);
  }

  #put(kv: KeyValue): boolean {
    const known = this.#entries.get(kv.key)?.modRevision ?? this.#deleted.get(kv.key) ?? -1n;
    if (kv.modRevision <= known) return false;
    this.#entries.set(kv.key, kv);
    this.#deleted.delete(kv.key);
    return true;
  }

  #delete(key: string, revision: bigint): boolean {
    const known = this.#entries.get(key);
    if (known !== undefined && known.modRevision > revision) return false;
    this.#deleted.set(key, revision);
    return this.#entries.delete(key);
  }
}
