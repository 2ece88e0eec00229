/**
 * Who calls the objects of this node, by region, and since when each is at home here. A caller's
 * region is that of the node that the call comes from: the one that a client is connected to, or that
 * runs the code which calls.
 *
 * Invariants: an entry stands only for an object that is owned here; it is made by the first thing
 * counted. When the object moves its counts go along, so that its next owner knows what this one knew;
 * when a node dies they are lost, and begin anew.
 *
 * Called by the node for everything that goes to or from an object; kept cheap. `Migrator` reads it.
 */
import type { Clock, Coordinator, ObjectIdHex, ObjectRef } from '@homing/base';
import {
  arrived,
  CallerCounts,
  type CallerShare,
  type MoveDecision,
  RegionNumbers,
  type Stay,
} from '@homing/protocol';
import type { CarriedCallers } from './call-messages.ts';

/** An object and its callers. */
export interface Called {
  readonly object: ObjectRef;
  readonly counts: CallerCounts;
  stay: Stay;
  /** The last decision on it: why it stays. */
  why: Extract<MoveDecision, { kind: 'stay' }>['why'] | undefined;
  isMoving: boolean;
}

/** What `homing describe` shows. */
export interface CallersView {
  readonly shares: readonly CallerShare[];
  /** How long it has been here, as far as its callers were counted. */
  readonly stayedMs: number;
  readonly bounces: number;
  readonly why: Called['why'];
}

export interface CallersOptions {
  /** Of this node. */
  readonly region: string;
  readonly coordinator: Coordinator;
  readonly clock: Clock;
}

/** Nodes that are told apart; those that are gone are forgotten past it. */
const nodesMax = 10_000;
/** Counts that came before their object did; past it the oldest is forgotten. */
const expectedMax = 10_000;

export class Callers {
  readonly #options: CallersOptions;
  readonly #numbers = new RegionNumbers();
  readonly #own: number;
  /** The number of each node's region. */
  readonly #byNode = new Map<string, number>();
  readonly #called = new Map<ObjectIdHex, Called>();
  /** Those with something counted since the last turn. */
  readonly #fresh = new Set<Called>();
  readonly #expected = new Map<ObjectIdHex, CarriedCallers>();

  constructor(options: CallersOptions) {
    this.#options = options;
    this.#own = this.#numbers.of(options.region);
    const look = () => {
      if (this.#byNode.size > nodesMax) this.#byNode.clear();
      for (const { node, region } of options.coordinator.nodes()) {
        this.#byNode.set(node, this.#numbers.of(region));
      }
    };
    options.coordinator.watch(({ type }) => {
      if (type === 'nodes') look();
    });
    look();
  }

  /** A session to an object here. `node`: where it comes from; undefined for this node. */
  call(object: ObjectRef, node: string | undefined): void {
    this.#of(object).counts.call(this.#numberOf(node));
  }

  /** Something on a session or socket that stands, in either direction. */
  frame(object: ObjectRef, node: string | undefined, bytes: number): void {
    this.#of(object).counts.frame(this.#numberOf(node), bytes);
  }

  /** Those with something counted since the last time. */
  takeFresh(): Called[] {
    const fresh = [...this.#fresh];
    this.#fresh.clear();
    return fresh;
  }

  view(id: ObjectIdHex): CallersView | undefined {
    const called = this.#called.get(id);
    if (called === undefined) return undefined;
    const { counts, stay, why } = called;
    const stayedMs = this.#options.clock.monotonicMs() - stay.sinceMs;
    return { shares: counts.shares(), stayedMs, bounces: stay.bounces, why };
  }

  /** What goes along with an object that moves; undefined where nothing is known of it. */
  carried(id: ObjectIdHex): CarriedCallers | undefined {
    const called = this.#called.get(id);
    if (called === undefined) return undefined;
    const { home, sinceMs, bounces } = called.stay;
    const stayedMs = this.#options.clock.monotonicMs() - sinceMs;
    return { home, shares: called.counts.shares(), stayedMs, bounces };
  }

  /** Another node says what it knew of an object that is to be here, or is. */
  expect(id: ObjectIdHex, carried: CarriedCallers): void {
    const called = this.#called.get(id);
    if (called !== undefined) {
      this.#take(called, carried);
      return;
    }
    this.#expected.set(id, carried);
    const [oldest] = this.#expected.keys();
    if (this.#expected.size > expectedMax && oldest !== undefined) this.#expected.delete(oldest);
  }

  /** The object is not here any more. */
  forget(id: ObjectIdHex): void {
    const called = this.#called.get(id);
    if (called === undefined) return;
    this.#called.delete(id);
    this.#fresh.delete(called);
  }

  #numberOf(node: string | undefined): number {
    return node === undefined ? this.#own : (this.#byNode.get(node) ?? -1);
  }

  #of(object: ObjectRef): Called {
    const called = this.#called.get(object.id) ?? this.#enter(object);
    this.#fresh.add(called);
    return called;
  }

  #enter(object: ObjectRef): Called {
    const { clock, region } = this.#options;
    const nowMs = clock.monotonicMs();
    const called: Called = {
      object,
      counts: new CallerCounts(this.#numbers, nowMs),
      stay: arrived(region, nowMs),
      why: undefined,
      isMoving: false,
    };
    this.#called.set(object.id, called);
    const carried = this.#expected.get(object.id);
    this.#expected.delete(object.id);
    if (carried !== undefined) this.#take(called, carried);
    return called;
  }

  #take(called: Called, { shares, home, stayedMs, bounces }: CarriedCallers): void {
    for (const share of shares) called.counts.add(share.region, share);
    // In another region its stay has just begun.
    const isSameHome = home === called.stay.home;
    const sinceMs = isSameHome ? this.#options.clock.monotonicMs() - stayedMs : called.stay.sinceMs;
    called.stay = { ...called.stay, sinceMs, bounces };
  }
}
