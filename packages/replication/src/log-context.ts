/** What a log of an owned object is given by `Replication`, and what that has of the log. */
import type { Clock, Epoch, ObjectIdHex, ObjectRef, PeerRun, Store, Timers } from '@homing/base';
import type { DeliberateBugs, PromisesHeld } from '@homing/protocol';
import type { ReplicationLimits } from './limits.ts';
import type { LogMessage } from './messages.ts';
import type { Replica } from './replica.ts';
import type { SnapshotSender } from './snapshot-sender.ts';

/**
 * `soon`: something is waited for that has to be seen to regularly. `later`: stores have not answered
 * yet, as they are going to. `notice`: all have all there is, and not all know yet that it is committed.
 * `nothing`: not before something is appended.
 */
export type Outstanding = 'soon' | 'later' | 'notice' | 'nothing';

/** A log that is not over, as those see it that it reports to. */
export interface OpenLog {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  readonly home: string;
  readonly isOver: boolean;
  up(store: string): void;
  /** Says when it is to be looked at again. */
  tick(): Outstanding;
  lagOf(store: string): number;
}

/** The nodes that can be reached, by their stores. */
export interface Peers {
  stores(): Iterable<string>;
  nodeOf(store: string): string | undefined;
  /** False when the store cannot be sent to now. */
  send(store: string, message: LogMessage): boolean;
}

/** What a log uses. */
export interface LogContext {
  readonly self: PeerRun;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly bugs: DeliberateBugs;
  readonly peers: Peers;
  readonly replica: Replica;
  readonly copies: SnapshotSender;
  readonly promises: PromisesHeld;
  /** There is something to see to: it is looked at with the next tick. */
  changed(log: OpenLog): void;
  /** A record was sent: it is looked at when the stores should have answered. */
  appended(log: OpenLog): void;
  /** The store is to be tried again at the next tick. */
  blocked(log: OpenLog, store: string): void;
  closed(log: OpenLog): void;
  /** The object is to be claimed anew, once it is at rest. */
  renew(id: ObjectIdHex): void;
  failed(error: unknown): void;
  isClosing(): boolean;
}
