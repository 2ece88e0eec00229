/**
 * How far each store is with the change of a replica set: what it tells all others about itself, and
 * what it has heard of them. Whoever is the controller decides by it.
 *
 * A standing is true for ever once it is said: the set is on the store's disk, the promises it gave
 * before have run out; what makes it complete is on its disk. So nothing is lost when a link or a
 * controller is, and it does not matter which of them hears.
 *
 * Owned by `Replication`.
 */
import type { ShardAssignment, Timers } from '@homing/base';
import { isChanging, type Standing, shardKey } from '@homing/protocol';
import type { LogMessage, ShardStanding } from './messages.ts';

export interface StandingsOptions {
  readonly self: string;
  readonly timers: Timers;
  /** How long promises may stand that were given before a set was adopted. */
  readonly promiseMs: number;
  readonly nodes: () => Iterable<string>;
  readonly send: (node: string, message: LogMessage) => boolean;
  readonly changed: () => void;
}

/** Standings in one message. */
const standingsMax = 256;
const nothing: Standing = { isSettled: false, isComplete: false, isVacated: false };

export class Standings {
  readonly #options: StandingsOptions;
  /** Of this store, by shard, while its set changes. */
  readonly #own = new Map<string, ShardStanding>();
  /** Of others, by shard and store. */
  readonly #heard = new Map<string, Map<string, ShardStanding>>();

  constructor(options: StandingsOptions) {
    this.#options = options;
  }

  /** How far a store is said to be under a generation. */
  of(shard: string, store: string, generation: number): Standing {
    const isOwn = store === this.#options.self;
    const standing = isOwn ? this.#own.get(shard) : this.#heard.get(shard)?.get(store);
    return standing?.generation === generation ? standing : nothing;
  }

  /** The set is on the own disk, and in force. */
  adopted(set: ShardAssignment): void {
    const { self, timers, promiseMs } = this.#options;
    const key = shardKey(set.region, set.shard);
    this.#own.delete(key);
    if (!isChanging(set)) {
      this.#heard.delete(key);
      return;
    }
    const { region, shard, generation } = set;
    this.#own.set(key, { region, shard, generation, ...nothing });
    if (set.next === undefined || !set.members.includes(self)) return;
    timers.after(promiseMs, () => this.#advance(key, generation, { isSettled: true }));
  }

  /** The own store holds all that it must under this generation. */
  complete(key: string, generation: number): void {
    this.#advance(key, generation, { isComplete: true });
  }

  /** The own store, which is to leave, has handed over what it owned. */
  vacated(key: string, generation: number): void {
    if (!this.of(key, this.#options.self, generation).isVacated) {
      this.#advance(key, generation, { isVacated: true });
    }
  }

  heard(store: string, standings: readonly ShardStanding[]): void {
    for (const standing of standings) {
      const key = shardKey(standing.region, standing.shard);
      const ofShard = this.#heard.get(key) ?? new Map<string, ShardStanding>();
      this.#heard.set(key, ofShard);
      const known = ofShard.get(store);
      if (known === undefined || known.generation <= standing.generation) {
        ofShard.set(store, standing);
      }
    }
    this.#options.changed();
  }

  /** A link that stands anew: what was said on the last one may be lost. */
  up(node: string): void {
    const all = [...this.#own.values()].filter(isWorthTelling);
    for (let at = 0; at < all.length; at += standingsMax) {
      const standings = all.slice(at, at + standingsMax);
      this.#options.send(node, { type: 'standings', standings });
    }
  }

  /** Regularly: a link may have had no room. */
  repeat(): void {
    for (const node of this.#options.nodes()) this.up(node);
  }

  #advance(key: string, generation: number, gained: Partial<Standing>): void {
    const known = this.#own.get(key);
    if (known?.generation !== generation) return;
    const standing = { ...known, ...gained };
    this.#own.set(key, standing);
    for (const node of this.#options.nodes()) {
      this.#options.send(node, { type: 'standings', standings: [standing] });
    }
    this.#options.changed();
  }
}

function isWorthTelling({ isSettled, isComplete, isVacated }: Standing): boolean {
  return isSettled || isComplete || isVacated;
}
