/** What the object table keeps of one object that this node owns, and what is meant for it. */
import type { Epoch, HomingError, MonotonicMs, ObjectRef, OwnedLog, WallMs } from '@homing/base';
import type { Executor } from './executor-pool.ts';
import type { ReadGuard } from './read-guard.ts';

/** A running instance of an object. */
export interface Activation {
  readonly number: number;
  readonly executor: Executor;
  readonly epoch: Epoch;
}

export type ActivationCause = 'request' | 'alarm' | 'socket' | 'recovery';

/** Something for an object: given the activation that takes it, or where or why not. */
export interface Delivery {
  /** Another node sent it here, and took this one for the owner. */
  readonly isForwarded: boolean;
  /** The node that did; undefined where it came in here. */
  readonly from?: string | undefined;
  deliver(activation: Activation): void;
  /** The object is on another node. */
  forward(node: string): void;
  refuse(error: unknown): void;
  /** Of a socket's event, which must not be refused like a call: what it weighs. */
  readonly bytes?: number;
  /** The object has left while it waited; without this it is delivered anew. */
  left?: (() => unknown) | undefined;
}

/** What waits for an object, oldest first: calls are bounded by number, socket events by bytes. */
export class WaitingDeliveries {
  #all: Delivery[] = [];
  #calls = 0;
  #eventBytes = 0;

  constructor(first: Delivery) {
    this.push(first);
  }

  get length(): number {
    return this.#all.length;
  }

  get first(): Delivery | undefined {
    return this.#all[0];
  }

  get isForwarded(): boolean {
    return this.#all.some((delivery) => delivery.isForwarded);
  }

  hasRoom({ bytes }: Delivery, limits: { calls: number; eventBytes: number }): boolean {
    if (bytes === undefined) return this.#calls < limits.calls;
    return this.#eventBytes + bytes <= limits.eventBytes;
  }

  push(delivery: Delivery): void {
    this.#all.push(delivery);
    if (delivery.bytes === undefined) this.#calls += 1;
    else this.#eventBytes += delivery.bytes;
  }

  /** Those that are calls; events wait on. */
  refuseCalls(error: HomingError): void {
    for (const delivery of this.take()) {
      if (delivery.bytes === undefined) delivery.refuse(error);
      else this.push(delivery);
    }
  }

  /** All of it, which waits here no more. */
  take(): readonly Delivery[] {
    const all = this.#all;
    this.#all = [];
    this.#calls = 0;
    this.#eventBytes = 0;
    return all;
  }
}

export interface Entry {
  object: ObjectRef;
  state: 'placing' | 'active' | 'leaving' | 'draining' | 'asleep';
  activation: Activation | undefined;
  log: OwnedLog | undefined;
  /** The region whose replica set holds the object; known from its lease on. */
  home: string | undefined;
  guard: ReadGuard | undefined;
  /** Groups that earlier activations appended to the log. */
  groupsBefore: number;
  /** Groups of the log that are folded in. */
  folded: number;
  /** Groups that the activation waits for to be folded in. */
  foldNeeded: number;
  /** Alarms set by groups that are not folded in, oldest first. */
  alarms: { readonly group: number; readonly dueMs: WallMs | null }[];
  /** Why the activation was reset, where that was not its own doing. */
  resetBy: HomingError | undefined;
  readonly waiting: WaitingDeliveries;
  /** For the duration metric; of one asleep, when it fell asleep. */
  since: MonotonicMs;
  /** Since when no majority of its replicas is known to promise. */
  uncoveredSinceMs: MonotonicMs | undefined;
  /** Called when the object is to leave this node and is asleep. */
  leave: (() => void) | undefined;
  /** Fell asleep with something in it. */
  isKept: boolean;
}

export function newEntry(object: ObjectRef, first: Delivery, nowMs: MonotonicMs): Entry {
  return {
    object,
    state: 'placing',
    activation: undefined,
    log: undefined,
    home: undefined,
    guard: undefined,
    groupsBefore: 0,
    folded: 0,
    foldNeeded: 0,
    alarms: [],
    resetBy: undefined,
    waiting: new WaitingDeliveries(first),
    since: nowMs,
    uncoveredSinceMs: undefined,
    leave: undefined,
    isKept: false,
  };
}

/** What `homing objects` and `describe` show of one object in memory. */
export interface ObjectStatus {
  readonly object: ObjectRef;
  readonly state: Entry['state'];
  readonly epoch: Epoch | undefined;
  /** The region whose replica set holds it. */
  readonly home: string | undefined;
  readonly executor: number | undefined;
}
