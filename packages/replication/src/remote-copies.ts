/**
 * Copies of owned objects that are kept in a second region, for the day that the first one is lost: begins
 * them, begins them anew where they failed or fell too far behind, and tells how far behind they are: also
 * their stores, since this node may be lost before anybody asks it.
 * Nothing waits for them: what was acknowledged in the last moments may be missing there.
 *
 * Bounds: so many copies are caught up at a time, and the records kept for all of them together; past that
 * the one that keeps the most is given up, and copied anew from the state.
 *
 * Owned by `Replication`.
 */
import type {
  Clock,
  Epoch,
  HomingError,
  ObjectIdHex,
  ObjectRef,
  ShardAssignment,
  Timer,
  Timers,
} from '@homing/base';
import { storesOf } from '@homing/protocol';
import type { ReplicationLimits } from './limits.ts';
import type { RemoteReport } from './remote-reports.ts';
import type { RemoteCopy } from './staging.ts';

/** The region that is to have a copy of an object at home in `home`; undefined where none is. */
export type RemoteOf = (object: ObjectRef, home: string) => string | undefined;

/** Of `ReplicatedLog`, what is needed here. */
export interface CopiedLog {
  readonly object: ObjectRef;
  readonly home: string;
  readonly epoch: Epoch;
  copyTo(set: ShardAssignment, ended: (error: HomingError) => void): RemoteCopy | undefined;
}

export interface RemoteCopiesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly remoteOf: RemoteOf;
  readonly setOf: (home: string, id: ObjectIdHex) => ShardAssignment | undefined;
  /** A store there takes nothing of the object's epoch: it needs a newer one. */
  readonly reclaim: (id: ObjectIdHex) => void;
  readonly report: (store: string, report: RemoteReport) => void;
}

/** How far a copy is behind what is committed, or all copies of this node are. */
export interface RemoteLag {
  readonly records: number;
  readonly bytes: number;
  /** Since when something has been missing; of several, the longest. */
  readonly seconds: number;
}

/** Of the objects that this node owns and that are to have a copy. */
export interface RemoteState extends RemoteLag {
  readonly objects: number;
  /** Those whose copy a majority does not have yet, but for a tail. */
  readonly incomplete: number;
}

interface Kept {
  readonly copy: RemoteCopy;
  readonly region: string;
  readonly generation: number;
  readonly stores: readonly string[];
  /** What was committed by then is there. */
  asOfMs: number;
  /** What had been committed at a later moment. */
  mark: { readonly lsn: number; readonly atMs: number };
}

/** Objects named in a report: those that are furthest behind. */
const reportedMax = 100;
/** Logs looked at in one go whether a copy can be begun. */
const looksMax = 1000;

export class RemoteCopies {
  readonly #options: RemoteCopiesOptions;
  /** Those without a copy, and since when. */
  readonly #wanted = new Map<CopiedLog, number>();
  readonly #kept = new Map<CopiedLog, Kept>();
  /** Where the copy has once had what was committed: before that it may lack more than this owner knows of. */
  readonly #reached = new Map<CopiedLog, string>();
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: RemoteCopiesOptions) {
    this.#options = options;
  }

  /** It need not be recovered yet: until then no copy can be begun. */
  opened(log: CopiedLog): void {
    const { remoteOf, clock } = this.#options;
    if (remoteOf(log.object, log.home) === undefined || this.#kept.has(log)) return;
    this.#wanted.set(log, clock.monotonicMs());
    this.#look();
  }

  /** It may be that this log is to have a copy since, or none, or one elsewhere. */
  reconsider(log: CopiedLog): void {
    const region = this.#options.remoteOf(log.object, log.home);
    const kept = this.#kept.get(log);
    // It is wanted from then on.
    if (kept !== undefined && kept.region !== region) kept.copy.cancel();
    if (region === undefined) this.closed(log);
    else if (!this.#kept.has(log) && !this.#wanted.has(log)) this.opened(log);
  }

  closed(log: object): void {
    this.#wanted.delete(log as CopiedLog);
    this.#kept.delete(log as CopiedLog);
    this.#reached.delete(log as CopiedLog);
  }

  get state(): RemoteState {
    const nowMs = this.#options.clock.monotonicMs();
    let [records, bytes, seconds, incomplete] = [0, 0, 0, this.#wanted.size];
    for (const sinceMs of this.#wanted.values()) {
      seconds = Math.max(seconds, (nowMs - sinceMs) / 1000);
    }
    for (const kept of this.#kept.values()) {
      const lag = lagOf(kept, nowMs);
      records += lag.records;
      bytes += lag.bytes;
      seconds = Math.max(seconds, lag.seconds);
      if (!kept.copy.isNear) incomplete += 1;
    }
    return { objects: this.#wanted.size + this.#kept.size, incomplete, records, bytes, seconds };
  }

  /** Undefined where the object is not owned here, or no copy of it is under way. */
  of(id: ObjectIdHex): (RemoteLag & { readonly region: string }) | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [log, kept] of this.#kept) {
      if (log.object.id === id) return { region: kept.region, ...lagOf(kept, nowMs) };
    }
    return undefined;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #look(): void {
    if (this.#timer !== undefined || this.#isStopped) return;
    const { timers, limits } = this.#options;
    this.#timer = timers.after(limits.remoteLookMs, () => {
      this.#timer = undefined;
      this.#mark();
      this.#giveUpLargest();
      this.#begin();
      this.#report();
      if (this.#wanted.size > 0 || this.#kept.size > 0) this.#look();
    });
  }

  #mark(): void {
    const { clock, setOf } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const [log, kept] of [...this.#kept]) {
      const { committed, records } = kept.copy.lag;
      if (committed - records >= kept.mark.lsn && kept.copy.isNear) {
        this.#reached.set(log, kept.region);
        kept.asOfMs = kept.mark.atMs;
        kept.mark = { lsn: committed, atMs: nowMs };
      }
      // The set has changed: its new stores are to have copies, too.
      if (setOf(kept.region, log.object.id)?.generation !== kept.generation) kept.copy.cancel();
    }
  }

  #giveUpLargest(): void {
    const kept = [...this.#kept.values()].sort((a, b) => b.copy.bytes - a.copy.bytes);
    let bytes = kept.reduce((sum, { copy }) => sum + copy.bytes, 0);
    for (const { copy } of kept) {
      if (bytes <= this.#options.limits.remoteBytesMax) return;
      bytes -= copy.bytes;
      copy.cancel();
    }
  }

  #begin(): void {
    const { limits, remoteOf, setOf, clock } = this.#options;
    let room = limits.remoteStartsMax;
    for (const { copy } of this.#kept.values()) if (!copy.isNear) room -= 1;
    for (const [log, sinceMs] of [...this.#wanted].slice(0, looksMax)) {
      if (room <= 0) return;
      // Those that cannot be begun now are tried after the others.
      this.#wanted.delete(log);
      this.#wanted.set(log, sinceMs);
      const region = remoteOf(log.object, log.home);
      const set = region === undefined ? undefined : setOf(region, log.object.id);
      if (region === undefined || set === undefined) continue;
      const nowMs = clock.monotonicMs();
      const copy = log.copyTo(set, (error) => this.#ended(log, error));
      if (copy === undefined) continue;
      room -= 1;
      this.#wanted.delete(log);
      const mark = { lsn: copy.lag.committed, atMs: nowMs };
      const { generation } = set;
      const stores = storesOf(set);
      this.#kept.set(log, { copy, region, generation, stores, asOfMs: sinceMs, mark });
    }
  }

  /** To all stores that have any of the copies. */
  #report(): void {
    const { clock, report, remoteOf } = this.#options;
    const known = (log: CopiedLog, region: string | undefined, seconds: number) =>
      this.#reached.get(log) === region ? seconds : Number.POSITIVE_INFINITY;
    const nowMs = clock.monotonicMs();
    const behind: { id: ObjectIdHex; seconds: number }[] = [];
    const stores = new Set<string>();
    let newest = 0n as Epoch;
    for (const [log, sinceMs] of this.#wanted) {
      const { object, home, epoch } = log;
      const region = remoteOf(object, home);
      behind.push({ id: object.id, seconds: known(log, region, (nowMs - sinceMs) / 1000) });
      if (epoch > newest) newest = epoch;
    }
    for (const [log, kept] of this.#kept) {
      const { object, epoch } = log;
      const { seconds } = lagOf(kept, nowMs);
      if (seconds > 0) behind.push({ id: object.id, seconds: known(log, kept.region, seconds) });
      if (epoch > newest) newest = epoch;
      for (const store of kept.stores) stores.add(store);
    }
    behind.sort((a, b) => (a.seconds === b.seconds ? 0 : b.seconds - a.seconds));
    const seconds = behind[reportedMax]?.seconds ?? 0;
    const listed = behind.slice(0, reportedMax);
    for (const store of stores)
      report(store, { atMs: clock.wallMs(), newest, seconds, behind: listed });
  }

  #ended(log: CopiedLog, error: HomingError): void {
    const { clock, reclaim } = this.#options;
    const asOfMs = this.#kept.get(log)?.asOfMs ?? clock.monotonicMs();
    this.#kept.delete(log);
    this.#wanted.set(log, asOfMs);
    this.#look();
    if (error.code === 'fenced') reclaim(log.object.id);
  }
}

function lagOf({ copy, asOfMs }: Kept, nowMs: number): RemoteLag {
  const { records, bytes } = copy.lag;
  const isCurrent = records === 0 && copy.isNear;
  return { records, bytes, seconds: isCurrent ? 0 : (nowMs - asOfMs) / 1000 };
}
