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
 *    An acknowledgement that comes when no link stands is of the last one.
 * 4. What a holder releases while the disk takes a seal or append of its is not held once it is taken.
 * 5. The owner counts from when it sent the heartbeat, the replica from when it received it, each on
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

/** Seals and appends of one holder for one object that the disk has not taken yet. */
export interface Taking {
  readonly object: ObjectIdHex;
  readonly holder: Holder;
  count: number;
  isReleased: boolean;
}

const keyOf = ({ node, run }: Holder): string => `${node}\0${run}`;
const takingKey = (object: ObjectIdHex, holder: Holder): string => `${object}\0${keyOf(holder)}`;

export class PromiseGrants {
  readonly #times: PromiseTimes;
  /** Of links that stand. */
  readonly #granted = new Map<string, Granted>();
  /** Of links that are gone, until their promises have run out. */
  readonly #ended = new Set<Granted>();
  readonly #holders = new Map<ObjectIdHex, Granted>();
  /** By object and holder. */
  readonly #taking = new Map<string, Taking>();
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

  /** A link to the holder stands. */
  up(holder: Holder): void {
    const key = keyOf(holder);
    if (this.#granted.has(key)) return;
    // It may not have noticed yet that the link of its last promise is gone.
    const untilMs = this.#latestOf(key)?.untilMs ?? 0;
    this.#granted.set(key, { ...holder, untilMs, lost: new Map() });
  }

  /** The disk is given a seal or append by `holder`. `taken` follows. */
  take(object: ObjectIdHex, holder: Holder): Taking {
    const key = takingKey(object, holder);
    const under = this.#taking.get(key);
    if (under !== undefined) {
      under.count += 1;
      return under;
    }
    const taking = { object, holder, count: 1, isReleased: false };
    this.#taking.set(key, taking);
    return taking;
  }

  /** The disk has taken or refused it. */
  taken(taking: Taking): void {
    taking.count -= 1;
    if (taking.count > 0 || taking.isReleased) return;
    this.#taking.delete(takingKey(taking.object, taking.holder));
  }

  /** It is acknowledged: from now on promises to the holder cover the object. Before `taken`. */
  hold({ object, holder, isReleased }: Taking): void {
    if (isReleased) return;
    const key = keyOf(holder);
    const granted = this.#granted.get(key) ?? this.#endedOf(holder);
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
      this.#release(object, holder);
      this.#granted.get(key)?.lost.delete(object);
      const granted = this.#holders.get(object);
      if (granted === undefined || keyOf(granted) !== key) continue;
      granted.lost.delete(object);
      this.#holders.delete(object);
    }
  }

  /**
   * Answers a heartbeat: a promise of `promiseMs` from now for all objects held for `holder` but
   * those returned. With more than `lostMax` of those, or no link, there is no promise, and undefined.
   */
  promise(holder: Holder, nowMs: MonotonicMs, lostMax: number): readonly ObjectIdHex[] | undefined {
    const granted = this.#granted.get(keyOf(holder));
    if (granted === undefined || granted.lost.size > lostMax) return undefined;
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

  /** The promises to the holder on links that are gone. Nothing is promised there any more. */
  #endedOf(holder: Holder): Granted {
    const latest = this.#latestOf(keyOf(holder));
    if (latest !== undefined) return latest;
    const granted = { ...holder, untilMs: 0, lost: new Map() };
    this.#ended.add(granted);
    return granted;
  }

  #latestOf(key: string): Granted | undefined {
    let latest: Granted | undefined;
    for (const granted of this.#ended) {
      if (keyOf(granted) !== key) continue;
      if (latest === undefined || granted.untilMs > latest.untilMs) latest = granted;
    }
    return latest;
  }

  #release(object: ObjectIdHex, holder: Holder): void {
    const key = takingKey(object, holder);
    const taking = this.#taking.get(key);
    if (taking === undefined) return;
    taking.isReleased = true;
    this.#taking.delete(key);
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
