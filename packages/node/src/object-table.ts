/**
 * The objects that this node owns, from claim to release: one entry per object that is being placed,
 * active, asleep, or on its way out. Whatever is meant for an object waits in its entry until there
 * is an activation to take it.
 *
 *   placing ──granted, log recovered──▶ active ──evict──▶ leaving ──ended──▶ asleep ──▶ (active, gone)
 *                                         └─broken, executor or lease lost─▶ draining ──▶ (same)
 *
 * Invariants: at most one activation of an object exists at any time, in one executor; a new one
 * starts only after everything the last one appended is committed or known lost, because it reads
 * state from disk. An object asleep is still owned: waking it asks nobody.
 *
 * Called by the node on its thread. Knows executors, the coordinator and logs by their ports.
 */
import {
  assert,
  type Clock,
  type Coordinator,
  damagedObjectOf,
  type Epoch,
  epochAfter,
  errorToData,
  HomingError,
  type Logger,
  type Metrics,
  type MoveHome,
  messageOf,
  type NodeInfo,
  type ObjectIdHex,
  type ObjectLogs,
  type ObjectRef,
  type OwnedLog,
  type Ownership,
  type RecordOperation,
  type Store,
  storeAhead,
  type Timer,
  type Timers,
  type WallMs,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import type { Executor } from './executor-pool.ts';
import type { HeldOutput } from './held-output.ts';
import {
  type Activation,
  type ActivationCause,
  type Delivery,
  type Entry,
  newEntry,
  type ObjectStatus,
} from './object-entry.ts';
import type { Placement } from './placement.ts';
import { ReadGuard } from './read-guard.ts';
import { Sleepers } from './sleepers.ts';
import type { SocketTable } from './socket-table.ts';

export interface ObjectTableOptions {
  readonly store: Store;
  readonly logs: ObjectLogs;
  readonly coordinator: Coordinator;
  readonly placement: Placement;
  /** Calls back with an executor, once there is one. */
  readonly whenExecutor: (callback: (executor: Executor) => void) => void;
  readonly sockets: SocketTable;
  readonly held: HeldOutput;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Calls, and bytes of socket events, that wait for one object's activation; more are refused. */
  readonly waitingMax: { readonly calls: number; readonly eventBytes: number };
  /** Objects asleep that stay owned; past it the one asleep longest is released. */
  readonly asleepMax: number;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
  /** How long an object is asleep before it is looked at whether it is empty, and forgotten. */
  readonly forgetAfterMs: number;
  /** How long an object whose writes find no majority is kept for it to come back. */
  readonly stalledReleaseMs: number;
  /** How long an object that leaves may take to end what it runs. */
  readonly leaveTimeoutMs: number;
  /** The region that an object which was never used is to live in, where that is not its home. */
  readonly firstRegion: (
    object: ObjectRef,
    home: string,
    from: string | undefined,
  ) => string | undefined;
  /** Resolves when it is there, or will not be. */
  readonly moveFirst: (id: ObjectIdHex, region: string) => Promise<unknown>;
  /** Gathers the sockets of an object that other nodes hold, into the table, before it starts. */
  readonly gatherSockets: (object: ObjectRef, epoch: Epoch) => Promise<void>;
  /** The object is this node's: its clients here are linked to it. */
  readonly takeSockets: (object: ObjectRef) => void;
  /** The object has left, perhaps for another node. */
  readonly left: (object: ObjectRef) => void;
  readonly alarmChanged: (id: ObjectIdHex, dueMs: WallMs | null) => void;
  /** An activation is gone: running calls and alarms on it end with `error`. */
  readonly activationEnded: (activation: number) => void;
  /** A record could not be made durable: the process must end. */
  readonly storeFailed: (error: unknown) => void;
}

/** Between asking an activation to leave and asking again. */
const leaveAgainMs = 10;

export class ObjectTable {
  readonly #options: ObjectTableOptions;
  readonly #entries = new Map<ObjectIdHex, Entry>();
  readonly #byActivation = new Map<number, Entry>();
  readonly #asleep: Sleepers;
  #nextActivation = 1;

  constructor(options: ObjectTableOptions) {
    this.#options = options;
    this.#asleep = new Sleepers({
      ...options,
      unreadable: ({ object }, error) => this.#onUnreadable(object.id, error),
      gone: (entry) => this.#forget(entry),
      kept: (entry) => this.#thaw(entry),
    });
  }

  /** Objects owned here: placed or being placed. */
  get size(): number {
    return this.#entries.size;
  }

  /** Activations by namespace key. */
  activeByNamespace(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const entry of this.#byActivation.values()) {
      const namespace = entry.object.namespace;
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
    return counts;
  }

  status(id: ObjectIdHex): ObjectStatus | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    return {
      object: entry.object,
      state: entry.state,
      epoch: entry.log?.epoch,
      home: entry.home,
      executor: entry.activation?.executor.id,
    };
  }

  owns(id: ObjectIdHex): boolean {
    return this.#entries.has(id);
  }

  /** It is on its way to another node, or is to be. */
  isLeaving(id: ObjectIdHex): boolean {
    return this.#entries.get(id)?.leave !== undefined;
  }

  /** The live activation of an object, for events that must not wake it. */
  active(id: ObjectIdHex): Activation | undefined {
    const entry = this.#entries.get(id);
    return entry?.state === 'active' ? entry.activation : undefined;
  }

  /** As `active`, or one that may be about to end, and may not. */
  activation(id: ObjectIdHex): Activation | undefined {
    return this.#entries.get(id)?.activation;
  }

  /** The object of a live activation. */
  objectOf(activation: number): ObjectRef | undefined {
    return this.#byActivation.get(activation)?.object;
  }

  /** Output of an activation: passes when its lease allows, or is refused. */
  output(activation: number, pass: () => void, refuse: (error: HomingError) => void): void {
    const guard = this.#byActivation.get(activation)?.guard;
    if (guard !== undefined) guard.output(pass, refuse);
    else refuse(new HomingError('outcome_unknown', 'the object was reset'));
  }

  /** As `output`, for what an object sends without an activation being named. */
  outputOf(id: ObjectIdHex, pass: () => void, refuse: (error: HomingError) => void): void {
    this.#entries.get(id)?.guard?.output(pass, refuse);
  }

  /** Hands `delivery` to the object's activation, making one if there is none. */
  deliver(object: ObjectRef, cause: ActivationCause, delivery: Delivery): void {
    const entry = this.#entries.get(object.id);
    if (entry === undefined) {
      const known = delivery.isForwarded ? undefined : this.#options.placement.elsewhere(object.id);
      if (known === undefined) this.#place(this.#enter(object, delivery), cause);
      else delivery.forward(known);
      return;
    }
    if (entry.object.name === undefined && object.name !== undefined) entry.object = object;
    if (entry.state === 'active') {
      assert(entry.activation !== undefined, 'object table: active without an activation');
      delivery.deliver(entry.activation);
    } else if (!entry.waiting.hasRoom(delivery, this.#options.waitingMax)) {
      delivery.refuse(
        new HomingError('overloaded', 'Durable Object is overloaded. Too many requests queued.'),
      );
    } else {
      entry.waiting.push(delivery);
      if (entry.state === 'asleep' && entry.leave === undefined) this.#wake(entry, cause);
    }
  }

  /** The executor asks to let an idle activation go. */
  onEvictable(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry?.state !== 'active') return;
    entry.state = 'leaving';
    entry.activation?.executor.post({ type: 'evict', activation: number });
  }

  /** The activation got work before the eviction reached it. */
  onBusy(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry?.state !== 'leaving') return;
    if (entry.leave === undefined) {
      entry.state = 'active';
      this.#flush(entry);
      return;
    }
    this.#options.timers.after(leaveAgainMs, () => {
      if (entry.state === 'leaving' && entry.activation?.number === number) {
        entry.activation.executor.post({ type: 'evict', activation: number });
      }
    });
  }

  onActivated(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry === undefined) return;
    const { clock, metrics } = this.#options;
    metrics.observe('activation_duration_seconds', (clock.monotonicMs() - entry.since) / 1000);
  }

  onAppend(number: number, operations: readonly RecordOperation[]): void {
    const entry = this.#byActivation.get(number);
    if (entry?.log === undefined) return;
    const group = entry.log.append(operations);
    for (const operation of operations) {
      if (operation.type === 'alarm') entry.alarms.push({ group, dueMs: operation.dueMs });
    }
  }

  /** The activation goes on once groups up to its `group`-th are folded in, which may be written later. */
  onNeedsFolded(number: number, group: number): void {
    const entry = this.#byActivation.get(number);
    if (entry === undefined) return;
    this.#options.held.awaits(number, group);
    entry.foldNeeded = Math.max(entry.foldNeeded, entry.groupsBefore + group);
    if (entry.folded < entry.foldNeeded) this.#foldSoon(entry);
  }

  /** The executor let the activation go, or it broke. */
  onEnded(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry !== undefined) this.#end(entry);
  }

  /** Everything an executor ran is gone. */
  onExecutorEnded(executor: Executor): void {
    for (const entry of [...this.#byActivation.values()]) {
      if (entry.activation?.executor === executor) this.#end(entry);
    }
  }

  /** Every object owned under an earlier session of this node is claimed again when it is needed. */
  sessionChanged(): void {
    const error = new HomingError('outcome_unknown', 'the node lost its session in the cluster');
    for (const entry of [...this.#entries.values()]) {
      entry.log?.release();
      if (entry.activation !== undefined) this.#reset(entry, error);
      else if (entry.state === 'asleep') this.#forget(entry);
    }
  }

  /**
   * Regularly: gives up objects whose replicas this node has not reached for long, though it reaches
   * the coordinator: others may reach them.
   */
  releaseUnreachable(): void {
    const { clock, coordinator, stalledReleaseMs } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const entry of [...this.#entries.values()]) {
      const { log } = entry;
      if (log === undefined || log.hasMajority()) {
        entry.uncoveredSinceMs = undefined;
        continue;
      }
      entry.uncoveredSinceMs ??= nowMs;
      if (nowMs - entry.uncoveredSinceMs < stalledReleaseMs || coordinator.self === undefined) {
        continue;
      }
      entry.uncoveredSinceMs = nowMs;
      coordinator.release(entry.object, log.epoch).then(
        () => this.#givenUp(entry, log),
        // Nobody else could claim it either: this node keeps it.
        () => {},
      );
    }
  }

  #givenUp(entry: Entry, log: OwnedLog): void {
    if (entry.log !== log) return;
    log.release();
    const error = new HomingError('outcome_unknown', 'no majority of the object’s replicas');
    if (entry.activation !== undefined) this.#reset(entry, error);
    else if (entry.state === 'asleep') this.#forget(entry);
  }

  /** Regularly: gives up objects that are asleep and hold nothing, or are too many. */
  lookAtAsleep(): void {
    this.#asleep.look();
  }

  /** What is here of the object is damaged: others have it, or it is the end. */
  #onUnreadable(id: ObjectIdHex, error: unknown): void {
    const { logs, storeFailed } = this.#options;
    if (damagedObjectOf(error) === undefined || logs.damaged === undefined) storeFailed(error);
    else logs.damaged(id, messageOf(error));
  }

  /** What clients sent and waits here goes back to them: the object is another node's, as that says. */
  giveBackEvents(id: ObjectIdHex): void {
    const waiting = this.#entries.get(id)?.waiting;
    for (const delivery of waiting?.take() ?? []) {
      if (delivery.bytes !== undefined && delivery.left !== undefined) delivery.left();
      else waiting?.push(delivery);
    }
  }

  /** The log of an object that is owned here, and not lost. */
  logOf(id: ObjectIdHex): OwnedLog | undefined {
    return this.#entries.get(id)?.log;
  }

  ids(): readonly ObjectIdHex[] {
    return [...this.#entries.keys()];
  }

  /**
   * Gives an object to another node, once it has ended what it runs; calls that come meanwhile go
   * there. Resolves with false when the object is not here or could not be given. Without `to`
   * whoever is next to need it takes it. A node that holds no replica is given nothing: it could not
   * own the object, and nobody else could claim it.
   */
  async move(id: ObjectIdHex, to: NodeInfo | undefined, isForced = true): Promise<boolean> {
    const entry = this.#entries.get(id);
    if (entry === undefined || (to !== undefined && !this.#mayOwn(entry, to))) return false;
    const log = await this.freeze(id, { timeoutMs: this.#options.leaveTimeoutMs, isForced });
    if (log === undefined) return false;
    const outcome = await this.handOver(id, log, to);
    if (outcome === 'kept') this.thaw(id, log);
    return outcome === 'given';
  }

  /**
   * Lets an object end what it runs, and delivers nothing new. Resolves with its log once nothing runs
   * and all that it wrote is folded in; from then on it waits, until `thaw` or `handOver`. Past the time
   * what still runs is cut off where `isForced`, and goes on where not. Resolves with undefined where
   * the object is not frozen: it is not here, or is leaving already, or did not end.
   */
  async freeze(
    id: ObjectIdHex,
    { timeoutMs, isForced }: { readonly timeoutMs: number; readonly isForced: boolean },
  ): Promise<OwnedLog | undefined> {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.leave !== undefined) return undefined;
    const { timers } = this.#options;
    this.#asleep.delete(entry);
    let timer: Timer | undefined;
    const asleep = new Promise<boolean>((resolve) => {
      entry.leave = () => resolve(true);
      timer = timers.after(timeoutMs, () => {
        if (!isForced) resolve(false);
        else this.#reset(entry, new HomingError('outcome_unknown', 'the object was moved'));
      });
    });
    this.#foldSoon(entry);
    this.#leave(entry);
    const isAsleep = await asleep;
    timer?.cancel();
    if (this.#entries.get(id) !== entry) return undefined;
    const { log } = entry;
    if (isAsleep && log !== undefined && !log.isOver) return log;
    this.#thaw(entry);
    return undefined;
  }

  /** The object that was frozen with this log goes on here, with what has waited meanwhile. */
  thaw(id: ObjectIdHex, log: OwnedLog): void {
    const entry = this.#entries.get(id);
    if (entry?.log === log) this.#thaw(entry);
  }

  #thaw(entry: Entry): void {
    entry.leave = undefined;
    // One that runs goes on by itself, as its executor says that it is busy.
    if (entry.state !== 'asleep' || entry.log === undefined) return;
    // What was appended while it was frozen is no group of the next activation.
    entry.state = 'draining';
    void entry.log.settled().then(() => this.#afterDrain(entry));
  }

  /** Ends every activation in memory, as at shutdown; waiting deliveries are refused. */
  async close(error: HomingError): Promise<void> {
    const logs: Promise<void>[] = [];
    for (const entry of this.#entries.values()) {
      for (const delivery of entry.waiting.take()) delivery.refuse(error);
      if (entry.log !== undefined) logs.push(entry.log.settled());
    }
    await Promise.all(logs);
  }

  #enter(object: ObjectRef, first: Delivery): Entry {
    const entry = newEntry(object, first, this.#options.clock.monotonicMs());
    this.#entries.set(object.id, entry);
    return entry;
  }

  // ── Placing ────────────────────────────────────────────────────────────────────────────────

  #place(entry: Entry, cause: ActivationCause): void {
    const { isForwarded } = entry.waiting;
    this.#options.placement.place(entry.object, isForwarded).then(
      (place) => {
        if (place.here) this.#acquire(entry, place.ownership, cause);
        else this.#sendOn(entry, place.node);
      },
      (error: unknown) => this.#give(entry, error),
    );
  }

  #acquire(entry: Entry, ownership: Ownership, cause: ActivationCause): void {
    const { epoch, home, isPromoted } = ownership;
    const { logs, gatherSockets } = this.#options;
    entry.home = home;
    const events = {
      committed: (count: number) => this.#onCommitted(entry, count),
      folded: (count: number) => this.#onFolded(entry, count),
      lost: (error: HomingError) => this.#onLost(entry, error),
      stalled: (error: HomingError) => this.#onStalled(entry, error),
    };
    const acquired = logs.acquire(entry.object, epoch, home, events, isPromoted);
    Promise.all([this.#recovered(entry, acquired), gatherSockets(entry.object, epoch)]).then(
      ([log]) => {
        if (this.#entries.get(entry.object.id) !== entry) log.release();
        else if (log.isOver) this.#place(entry, cause);
        else this.#start(entry, log, cause);
      },
      (error: unknown) => void this.#onNotAcquired(entry, epoch, cause, error),
    );
  }

  /** That may take long, where others have to be brought the state: no call waits for all of it. */
  async #recovered(entry: Entry, acquired: Promise<OwnedLog>): Promise<OwnedLog> {
    const { timers, placement } = this.#options;
    const refuse = () => {
      entry.waiting.refuseCalls(
        new HomingError('unavailable', 'the object is still being recovered: try again'),
      );
      timer = timers.after(placement.timeoutMs, refuse);
    };
    let timer = timers.after(placement.timeoutMs, refuse);
    try {
      return await acquired;
    } finally {
      timer.cancel();
    }
  }

  /** A newer owner is found by looking again. Else whoever has the state takes over, or who comes next. */
  async #onNotAcquired(entry: Entry, epoch: Epoch, cause: ActivationCause, error: unknown) {
    const { coordinator, placement } = this.#options;
    const { object, home } = entry;
    const taker = placement.taker(object.id, home, storeAhead(error));
    if (taker && (await coordinator.transfer(object, epoch, taker).catch(() => false))) {
      placement.learn(object.id, taker.node, epochAfter(epoch));
      this.#sendOn(entry, taker.node);
      return;
    }
    this.#releaseLease(object, epoch);
    if (error instanceof HomingError && error.code === 'fenced') this.#place(entry, cause);
    else this.#give(entry, error);
  }

  #start(entry: Entry, log: OwnedLog, cause: ActivationCause): void {
    entry.log = log;
    entry.guard = new ReadGuard(log);
    entry.groupsBefore = 0;
    entry.folded = 0;
    entry.foldNeeded = 0;
    entry.alarms = [];
    this.#options.takeSockets(entry.object);
    const region = log.isEmpty ? this.#firstRegion(entry) : undefined;
    if (region === undefined) this.#wake(entry, cause);
    else void this.#moveFirst(entry, region);
  }

  /** Where an object that holds nothing would rather be, which has not run here. */
  #firstRegion({ object, home, waiting, leave }: Entry): string | undefined {
    if (home === undefined || leave !== undefined || waiting.length === 0) return undefined;
    return this.#options.firstRegion(object, home, waiting.first?.from);
  }

  /** What waits is delivered there, or here where it could not be moved. */
  async #moveFirst(entry: Entry, region: string): Promise<void> {
    const { id } = entry.object;
    entry.state = 'asleep';
    await this.#options.moveFirst(id, region);
    if (this.#entries.get(id) !== entry || entry.state !== 'asleep') return;
    if (entry.leave === undefined) this.#afterDrain(entry);
  }

  /** The log is here and settled: all that is missing is an executor. */
  #wake(entry: Entry, cause: ActivationCause): void {
    this.#asleep.delete(entry);
    entry.isKept = false;
    entry.state = 'placing';
    this.#options.whenExecutor((executor) => {
      if (entry.log === undefined || entry.log.isOver) this.#afterDrain(entry);
      else this.#activate(entry, entry.log, executor, cause);
    });
  }

  #activate(entry: Entry, log: OwnedLog, executor: Executor, cause: ActivationCause): void {
    const { sockets, metrics, store } = this.#options;
    const { epoch } = log;
    const number = this.#nextActivation++;
    const name = entry.object.name ?? store.head(entry.object.id)?.name;
    if (name !== undefined) entry.object = { ...entry.object, name };
    entry.activation = { number, executor, epoch };
    entry.resetBy = undefined;
    entry.state = 'active';
    executor.load++;
    this.#byActivation.set(number, entry);
    this.#options.held.begin(number, executor);
    metrics.increment('activations_total', { cause });
    executor.post({
      type: 'activate',
      activation: number,
      object: entry.object,
      epoch,
      ...sockets.snapshot(entry.object.id),
    });
    if (entry.leave === undefined) this.#flush(entry);
    else this.#leave(entry);
  }

  #flush(entry: Entry): void {
    for (const delivery of entry.waiting.take()) {
      if (entry.state === 'active' && entry.activation !== undefined) {
        delivery.deliver(entry.activation);
      } else {
        entry.waiting.push(delivery);
      }
    }
  }

  // ── The log's events ───────────────────────────────────────────────────────────────────────

  #onCommitted(entry: Entry, count: number): void {
    const { activation, groupsBefore } = entry;
    const own = count - groupsBefore;
    if (own > 0 && activation !== undefined) this.#options.held.committed(activation.number, own);
    if (entry.leave !== undefined || entry.folded < entry.foldNeeded) this.#foldSoon(entry);
  }

  /** Somebody waits for what is written to be folded in, which else comes with the next record, or later. */
  #foldSoon({ log }: Entry): void {
    void log?.settled();
  }

  #onFolded(entry: Entry, count: number): void {
    while (entry.alarms.length > 0 && (entry.alarms[0]?.group ?? 0) <= count) {
      const alarm = entry.alarms.shift();
      if (alarm !== undefined) this.#options.alarmChanged(entry.object.id, alarm.dueMs);
    }
    const { activation, leave } = entry;
    const own = count - entry.groupsBefore;
    if (own > 0 && activation !== undefined) {
      this.#options.held.folded(activation.number, own, leave !== undefined);
    }
    entry.folded = count;
  }

  #onLost(entry: Entry, error: HomingError): void {
    if (error.code === 'corruption') this.#options.storeFailed(error);
    // This node's store is to hold it no more: others claim it, once it is nobody's.
    if (error.code === 'unavailable' && entry.log !== undefined) {
      this.#releaseLease(entry.object, entry.log.epoch);
    }
    if (entry.activation !== undefined) this.#reset(entry, error);
    else if (entry.state === 'asleep') this.#forget(entry);
  }

  /**
   * What runs fails; the log goes on trying, and the object with it once it succeeds. After a while
   * it is given up, for another node may reach the majority that this one does not.
   */
  #onStalled(entry: Entry, error: HomingError): void {
    const { log } = entry;
    this.#reset(entry, error);
    const giveUp = () => {
      if (entry.log !== log || log === undefined) return;
      if (entry.state === 'leaving') {
        // Its executor has not answered yet.
        this.#options.timers.after(this.#options.stalledReleaseMs, giveUp);
        return;
      }
      if (entry.state !== 'draining') return;
      // Events wait on: they go back to their clients' nodes once these know that the object has left.
      entry.waiting.refuseCalls(
        new HomingError('unavailable', 'no majority of the object’s replicas'),
      );
      const { coordinator, timers, stalledReleaseMs } = this.#options;
      // Where the coordinator is away too, nobody else could claim it: this node keeps it.
      coordinator.release(entry.object, log.epoch).then(
        () => {
          // Nothing that waits claims it here again, where no majority is reached.
          if (entry.log === log && entry.state === 'draining') this.#forget(entry);
        },
        () => timers.after(stalledReleaseMs, giveUp),
      );
    };
    this.#options.timers.after(this.#options.stalledReleaseMs, giveUp);
  }

  /** Ends the activation: what it runs fails with `error`. */
  #reset(entry: Entry, error: HomingError): void {
    const { activation } = entry;
    if (activation === undefined || entry.resetBy !== undefined) return;
    entry.resetBy = error;
    entry.state = 'leaving';
    this.#options.held.end(activation.number);
    activation.executor.post({
      type: 'reset',
      activation: activation.number,
      error: errorToData(error),
    });
  }

  // ── Leaving ────────────────────────────────────────────────────────────────────────────────

  #end(entry: Entry): void {
    const { activation, log } = entry;
    if (activation === undefined || log === undefined) return;
    this.#byActivation.delete(activation.number);
    this.#options.held.end(activation.number);
    activation.executor.load--;
    entry.activation = undefined;
    entry.state = 'draining';
    this.#options.sockets.activationLost(activation.number);
    this.#options.activationEnded(activation.number);
    void log.settled().then(() => this.#afterDrain(entry));
  }

  #afterDrain(entry: Entry): void {
    const { clock } = this.#options;
    const { log } = entry;
    entry.since = clock.monotonicMs();
    if (log === undefined || log.isOver) {
      this.#forget(entry);
      return;
    }
    entry.groupsBefore = entry.folded;
    entry.state = 'asleep';
    if (entry.leave !== undefined) entry.leave();
    else if (entry.waiting.length > 0) this.#wake(entry, 'request');
    else this.#asleep.add(entry);
  }

  /**
   * The entry goes. Calls that wait in it look for the object anew. What clients have sent goes back: it may
   * not be run behind newer frames, which another owner may have had meanwhile.
   */
  #forget(entry: Entry): void {
    if (!this.#remove(entry)) return;
    const waiting = entry.waiting.take();
    this.#options.left(entry.object);
    for (const delivery of waiting) {
      if (delivery.left === undefined) this.deliver(entry.object, 'request', delivery);
      else delivery.left();
    }
  }

  #releaseLease(object: ObjectRef, epoch: Epoch): void {
    this.#options.coordinator.release(object, epoch).catch((error: unknown) => {
      this.#options.logger.warn('an object could not be released', { error: String(error) });
    });
  }

  #leave(entry: Entry): void {
    if (entry.state === 'asleep') entry.leave?.();
    else if (entry.state === 'active' && entry.activation !== undefined) {
      entry.state = 'leaving';
      entry.activation.executor.post({ type: 'evict', activation: entry.activation.number });
    }
  }

  /** An object that is being placed yet has no home. */
  #mayOwn({ home, object }: Entry, { storeId }: NodeInfo): boolean {
    return home !== undefined && this.#options.placement.mayOwn(home, object.id, storeId);
  }

  /**
   * Makes `to` the owner of the object that was frozen with this log, at home elsewhere where `move` says so. `given`: what waits
   * goes there. `kept`: nothing has changed, and it is still frozen. `unknown`: its log is over, and
   * whoever needs the object claims it, which rules out that it is given later.
   */
  async handOver(
    id: ObjectIdHex,
    log: OwnedLog,
    to: NodeInfo | undefined,
    move?: MoveHome,
  ): Promise<'given' | 'kept' | 'unknown'> {
    const { coordinator, placement, logger } = this.#options;
    const entry = this.#entries.get(id);
    if (entry?.log !== log || log.isOver) return 'unknown';
    // What it has read may still wait for a majority, and would be refused once the log is over.
    await entry.guard?.empty();
    if (this.#entries.get(id) !== entry || entry.log !== log || log.isOver) return 'unknown';
    const { object } = entry;
    // Its replica set may have changed while it came to rest.
    if (to !== undefined && move === undefined && !this.#mayOwn(entry, to)) return 'kept';
    let outcome: 'given' | 'kept' | 'unknown' = 'given';
    try {
      if (to === undefined) await coordinator.release(object, log.epoch);
      else if (!(await coordinator.transfer(object, log.epoch, to, move))) {
        // It may have been released by a request whose answer was lost: it could never be given then.
        const { ownership } = await coordinator.locate(object);
        outcome = ownership?.epoch === log.epoch ? 'kept' : 'unknown';
      }
    } catch (error) {
      logger.warn('an object could not be handed over', { error: String(error) });
      outcome = 'unknown';
    }
    if (this.#entries.get(id) !== entry || outcome === 'kept') return outcome;
    if (outcome === 'unknown') {
      log.release();
      entry.leave = undefined;
      this.#afterDrain(entry);
      return outcome;
    }
    if (move !== undefined && this.#options.bugs?.['acts-after-switch'] === true) {
      this.#thaw(entry);
      return outcome;
    }
    if (to !== undefined) placement.learn(id, to.node, epochAfter(log.epoch));
    this.#forget(entry);
    return outcome;
  }

  #sendOn(entry: Entry, node: string): void {
    if (!this.#remove(entry)) return;
    this.#options.left(entry.object);
    for (const delivery of entry.waiting.take()) delivery.forward(node);
  }

  /** False where another entry has taken its place: then there is nothing left to do. */
  #remove(entry: Entry): boolean {
    if (this.#entries.get(entry.object.id) !== entry) return false;
    entry.log?.release();
    entry.log = undefined;
    this.#asleep.delete(entry);
    this.#entries.delete(entry.object.id);
    entry.leave?.();
    return true;
  }

  /** There will be no activation for what waits. */
  #give(entry: Entry, error: unknown): void {
    if (!this.#remove(entry)) return;
    this.#options.left(entry.object);
    for (const delivery of entry.waiting.take()) delivery.refuse(error);
  }
}
