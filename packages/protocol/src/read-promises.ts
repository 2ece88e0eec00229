/**
 * Read promises, both sides. A promise lets an owner serve reads without a round trip: for a while
 * the promising store answers no seal by another for objects that it holds for the owner.
 *
 * `PromiseGrants` is the replica's side: whom it holds each object for, until when it promised, which
 * objects it has vowed to others since and therefore lost for their old holder. `PromisesHeld` is the
 * owner's side: until when each peer's promise counts.
 *
 * Invariants
 * 1. An answer to a seal waits until the last promise to the object's holder has run out, or the
 *    holder has said that it knows the object is lost.
 * 2. A lost object is named in every heartbeat answer until its old holder confirms having read so;
 *    an answer that could not name them all promises nothing.
 * 3. What is held for somebody is forgotten with the promises of the link it was acknowledged on, or before.
 * 4. The owner counts from when it sent the heartbeat, the replica from when it received it, each on
 *    its own clock; the owner's share is shorter by the drift that two clocks may have.
 *
 * Pure: times are given. Driven by the replication package.
 */
import type { MonotonicMs, ObjectIdHex } from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';

export interface PromiseTimes {
  /** How long a promise holds, in milliseconds. */
  readonly promiseMs: number;
  /** Largest difference of two clocks' rates, as a share (0.01). */
  readonly drift: number;
}

/** Who a replica holds an object for: one process of one node. */
export interface Holder {
  readonly node: string;
  readonly run: string;
}

interface Granted {
  readonly node: string;
  readonly run: string;
  untilMs: number;
  /**
   * Objects sealed for others that this holder may still believe to have, and until when the
   * promises hold that it got before: later ones do not cover them.
   */
  readonly lost: Map<ObjectIdHex, number>;
}

const keyOf = ({ node, run }: Holder): string => `${node}\0${run}`;

export class PromiseGrants {
  readonly #times: PromiseTimes;
  /** Of links that stand. */
  readonly #granted = new Map<string, Granted>();
  /** Of links that are gone, until their promises have run out. */
  readonly #ended = new Set<Granted>();
  readonly #holders = new Map<ObjectIdHex, Granted>();
  /** Nothing is answered before: what an earlier run of this store promised is forgotten. */
  readonly #silentUntilMs: number;
  readonly #bugs: DeliberateBugs;

  /** `silenceMs`: how long the promises of an earlier run of the store may still hold. */
  constructor(
    times: PromiseTimes,
    nowMs: MonotonicMs,
    silenceMs: number,
    bugs: DeliberateBugs = {},
  ) {
    this.#times = times;
    this.#bugs = bugs;
    this.#silentUntilMs = nowMs + this.#inflated(silenceMs);
  }

  /** A seal or append by `holder` was acknowledged: from now on promises to it cover the object. */
  hold(object: ObjectIdHex, holder: Holder): void {
    const granted = this.#of(holder);
    if (this.#holders.get(object) === granted) return;
    this.#holders.set(object, granted);
    granted.lost.delete(object);
  }

  /**
   * Before which time a seal of the object by `claimant` must not be answered.
   * The object is lost for its holder from this call on: the vow must be on disk already.
   */
  sealedAt(object: ObjectIdHex, claimant: Holder): number {
    const holder = this.#holders.get(object);
    if (holder === undefined || keyOf(holder) === keyOf(claimant)) return this.#silentUntilMs;
    if (this.#bugs['seals-ignore-promises'] === true) return this.#silentUntilMs;
    const untilMs = holder.lost.get(object) ?? holder.untilMs;
    holder.lost.set(object, untilMs);
    return Math.max(this.#silentUntilMs, untilMs);
  }

  /** The holder knows that it has lost the objects, or gives them up itself. */
  released(objects: Iterable<ObjectIdHex>, holder: Holder): void {
    const key = keyOf(holder);
    for (const object of objects) {
      this.#granted.get(key)?.lost.delete(object);
      const granted = this.#holders.get(object);
      if (granted === undefined || keyOf(granted) !== key) continue;
      granted.lost.delete(object);
      this.#holders.delete(object);
    }
  }

  /**
   * Answers a heartbeat: a promise of `promiseMs` from now for all objects held for `holder` but
   * those returned. With more than `lostMax` of those there is no promise, and undefined.
   */
  promise(holder: Holder, nowMs: MonotonicMs, lostMax: number): readonly ObjectIdHex[] | undefined {
    const granted = this.#of(holder);
    if (granted.lost.size > lostMax) return undefined;
    granted.untilMs = nowMs + this.#inflated(this.#times.promiseMs);
    return this.#bugs['lost-not-named'] === true ? [] : [...granted.lost.keys()];
  }

  /**
   * The link to the holder is gone, and with it what the holder may have wanted to say. On another link it
   * counts a promise only for what is acknowledged on that anew.
   */
  down(holder: Holder): void {
    const key = keyOf(holder);
    const granted = this.#granted.get(key);
    if (granted === undefined) return;
    this.#granted.delete(key);
    this.#ended.add(granted);
  }

  /** Regularly: of holders whose links are gone nothing is kept once their promises have run out. */
  sweep(nowMs: MonotonicMs): void {
    const over = new Set([...this.#ended].filter(({ untilMs }) => untilMs <= nowMs));
    if (over.size === 0) return;
    for (const granted of over) this.#ended.delete(granted);
    for (const [object, granted] of this.#holders) {
      if (over.has(granted)) this.#holders.delete(object);
    }
  }

  /** Objects that are held for somebody. */
  get size(): number {
    return this.#holders.size;
  }

  #of(holder: Holder): Granted {
    const key = keyOf(holder);
    const known = this.#granted.get(key);
    if (known !== undefined) return known;
    // It may not have noticed yet that the link of its last promise is gone.
    const ended = [...this.#ended].filter((other) => keyOf(other) === key);
    const untilMs = Math.max(0, ...ended.map((other) => other.untilMs));
    const granted = { ...holder, untilMs, lost: new Map() };
    this.#granted.set(key, granted);
    return granted;
  }

  #inflated(durationMs: number): number {
    return durationMs * (1 + 2 * this.#times.drift);
  }
}

export class PromisesHeld {
  readonly #times: PromiseTimes;
  readonly #untilMs = new Map<string, number>();

  constructor(times: PromiseTimes) {
    this.#times = times;
  }

  /** The peer's store answered the heartbeat sent at `sentMs`, and what it named lost was dropped. */
  answered(store: string, sentMs: MonotonicMs): void {
    const untilMs = sentMs + this.#times.promiseMs * (1 - 2 * this.#times.drift);
    this.#untilMs.set(store, Math.max(untilMs, this.#untilMs.get(store) ?? 0));
  }

  /** The peer's process is another one, or may be. */
  dropped(store: string): void {
    this.#untilMs.delete(store);
  }

  /** Whether the store's promise counts at `nowMs`. Read the clock when the reply leaves. */
  counts(store: string, nowMs: MonotonicMs): boolean {
    return nowMs < (this.#untilMs.get(store) ?? 0);
  }
}
