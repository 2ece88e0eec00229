/**
 * The logs of the objects that this node owns, as the object table drives them. Two implementations:
 * the store alone (`node`, a single node), and a majority of replicas (`replication`).
 */
import type { Epoch } from './epoch.ts';
import type { HomingError } from './errors.ts';
import type { ObjectIdHex } from './object-id.ts';
import type { ObjectRef, RecordOperation, ShardAssignment } from './ports.ts';

export interface LogEvents {
  /** Groups up to the `count`-th are on disk at a majority. In order; may be left out for `folded`. */
  committed(count: number): void;
  /** They are, and are part of the state that readers of this node's store see. In order. */
  folded(count: number): void;
  /**
   * The object may belong to another, or the disk failed: nothing more of this log will be
   * committed. The last event.
   */
  lost(error: HomingError): void;
  /**
   * No majority for a while. What was appended may yet be committed (`settled` tells): what waits
   * for it is to be failed as unknown.
   */
  stalled(error: HomingError): void;
}

/** A copy of an owned object at another region's replica set, on its way there. */
export interface Staging {
  /** Resolves when all but a tail is there. Rejects with `unavailable` when it will not be, with `fenced`
   * where a store there has promised a newer epoch than the log's. */
  readonly near: Promise<void>;
  /**
   * Resolves when a majority of that set, the next owner among it, has all that was ever appended, and
   * knows it committed; nothing may be appended meanwhile. Rejects as `near`.
   */
  settled(): Promise<void>;
  /** Ends it; what was copied may stay where it is, and means nothing. Idempotent. */
  cancel(): void;
}

export interface OwnedLog {
  readonly epoch: Epoch;
  /** Lost or released. */
  readonly isOver: boolean;
  /**
   * Appends one group of writes that take effect together; groups are counted from 1. Returns its
   * number. After `lost` it does nothing.
   */
  append(operations: readonly RecordOperation[]): number;
  /** Whether a majority of the replicas has lately promised to let nobody else in. */
  hasMajority(): boolean;
  /** Whether what was read before this call may leave now, without asking anyone. */
  isCovered(): boolean;
  /**
   * Resolves when a majority, asked after this call, holds this epoch for the newest. Rejects with
   * `unavailable` when it does not answer, `fenced` when the object is lost.
   */
  confirm(): Promise<void>;
  /** Resolves when all that was appended is folded in; also when the log is lost. */
  settled(): Promise<void>;
  /** Whether no replica that can be reached lacks anything that was appended. */
  readonly isIdle: boolean;
  /** Whether a replica is brought the whole state, or is to be: that ends or fails by itself. */
  readonly isCopying: boolean;
  /** Whether every replica has all that was appended, and has folded it in. */
  readonly isWhole: boolean;
  /**
   * Ends the log, and has every replica forget the object. Only of an object that is empty, at its
   * default home, while `isWhole`. Resolves when it was tried: who could not be told, or did not
   * answer in time, still knows the object, as empty.
   */
  forget(): Promise<void>;
  /**
   * Copies the object to the stores of `set`, of another region, whose store `target` is to own it next;
   * goes on while the log is appended to. One at a time.
   */
  stage(set: ShardAssignment, target: string): Staging;
  /** Whether there is no record at all. */
  readonly isEmpty: boolean;
  /** Gives the object up; nothing may be appended any more. Idempotent. */
  release(): void;
}

export interface ObjectLogs {
  /**
   * Takes over the log of an object whose lease was granted under `epoch`, and that is at home in the
   * region `home`: its replica set there holds it. Resolves when all that was ever acknowledged is in
   * this node's state. Rejects with `fenced` (a newer epoch exists) or
   * `unavailable` (no majority answered). Where the object was promoted to its home, what a majority
   * tells of it becomes the log by a record of the new epoch, which takes the place of all others there are.
   */
  acquire(
    object: ObjectRef,
    epoch: Epoch,
    home: string,
    events: LogEvents,
    isPromoted?: boolean,
  ): Promise<OwnedLog>;
  /**
   * What this node's store holds of the object cannot be read: it stops being the owner, and what is
   * held is made anew from other replicas. Absent where there are no others.
   */
  damaged?(id: ObjectIdHex, reason: string): void;
}
