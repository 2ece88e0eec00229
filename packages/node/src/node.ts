/**
 * One node: joins the edges, the executors, the coordinator and the store. It runs no user code,
 * knows no adapter, and never waits for a disk.
 *
 * What it does lies in its parts, each of which owns one table: `ObjectTable` (what is owned here),
 * `Placement` (what is owned where), `SessionRouter` (who talks to whom), `SocketTable` (which socket
 * belongs to whom), `AlarmClock` (who wants to be woken), `ExecutorPool` (where code runs), and the
 * `PeerLinks` to other nodes. This file passes messages between them, and replaces one version of the
 * worker's code by another.
 */
import {
  type AlarmOutcome,
  type CallReport,
  type Clock,
  type Coordinator,
  type Dispatcher,
  type DueAlarm,
  type Epoch,
  type ErrorData,
  type ExecutorFactory,
  errorToData,
  type FramePort,
  type FrameSink,
  type FromExecutor,
  HomingError,
  type Logger,
  type Metrics,
  type NodeInfo,
  type ObjectHead,
  type ObjectIdHex,
  type ObjectLogs,
  type ObjectRef,
  type SocketPort,
  type SocketSink,
  type Store,
  type Target,
  type Timers,
  type Whereabouts,
  type WorkerExports,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import { AlarmClock } from './alarm-clock.ts';
import { Callers, type CallersView } from './callers.ts';
import { ClientEnds, type ConnectWebSocket } from './client-ends.ts';
import {
  type Executor,
  type ExecutorChoice,
  type ExecutorMessage,
  ExecutorPool,
  executorEnded,
} from './executor-pool.ts';
import { HeldOutput } from './held-output.ts';
import { type MigrationOptions, Migrator } from './migrator.ts';
import { Mover } from './mover.ts';
import type { MoveLimits, MoveOutcome, MoveReason, MoveTarget } from './moves.ts';
import type { ObjectStatus } from './object-entry.ts';
import { ObjectTable } from './object-table.ts';
import { PeerLinks } from './peer-links.ts';
import { Placement, type PlacementCluster } from './placement.ts';
import { SessionRouter } from './session-router.ts';
import { deliverSocketEvent, type SocketMessage } from './socket-events.ts';
import { SocketTable } from './socket-table.ts';

export interface NodeLimits extends MoveLimits {
  /** Executor threads. */
  readonly executors: number;
  /** Events that wait for one object's activation. */
  readonly objectQueueMax: number;
  /** Bytes of frames that wait for one session's object to be placed. */
  readonly sessionWaitingBytesMax: number;
  /** Requests that wait for an executor to start. */
  readonly sessionsWaitingMax: number;
  /** Bytes an object may send on a socket before its client is attached. */
  readonly socketWaitingBytesMax: number;
  /** Bytes of socket events that wait for one object to start; past it sockets are closed. */
  readonly socketEventBytesMax: number;
  /** Bytes said about sockets that are kept for one other node, until it has them. */
  readonly laneKeptBytesMax: number;
  /** Alarms running at the same time. */
  readonly alarmsMax: number;
  /** Delay before an alarm whose object could not start is tried again; doubles up to the max. */
  readonly alarmRetryDelayMs: number;
  readonly alarmRetryDelayMaxMs: number;
  /** How long an executor may be told late that writes are folded in which nothing there waits for. */
  readonly noticeDelayMs: number;
  readonly executorRestartDelayMs: number;
  readonly executorRestartDelayMaxMs: number;
  /** How long a call waits for an object whose owner cannot be reached. */
  readonly placementTimeoutMs: number;
  /** Owners on other nodes that are remembered. */
  readonly ownersMax: number;
  /** Objects owned and not in memory. */
  readonly asleepMax: number;
  /** How long an object is out of memory before it is forgotten, if it is empty. */
  readonly forgetAfterMs: number;
  /** How long an object whose writes find no majority is kept for it to come back. */
  readonly stalledReleaseMs: number;
  /** How long an object that leaves the node may take to end what it runs. */
  readonly leaveTimeoutMs: number;
  /** How long an object that starts waits for other nodes to name its sockets. */
  readonly gatherTimeoutMs: number;
  /** How long sockets wait for their object to have an owner again. */
  readonly socketSeekTimeoutMs: number;
  /** How long a due alarm is left to the node that owns its object, for each place in the list. */
  readonly alarmGraceMs: number;
  /** How often the alarms of objects that others own are looked at. */
  readonly alarmPollMs: number;
}

export const nodeLimits: NodeLimits = {
  regionMovesMax: 32,
  firstMovesMax: 1000,
  moveCopyTimeoutMs: 1_800_000,
  moveFreezeTimeoutMs: 2000,
  moveSettleTimeoutMs: 2000,
  executors: 1,
  objectQueueMax: 1000,
  sessionWaitingBytesMax: 64 * 1024 * 1024,
  sessionsWaitingMax: 10_000,
  socketWaitingBytesMax: 1024 * 1024,
  socketEventBytesMax: 64 * 1024 * 1024,
  laneKeptBytesMax: 64 * 1024 * 1024,
  alarmsMax: 100,
  alarmRetryDelayMs: 2000,
  alarmRetryDelayMaxMs: 60_000,
  noticeDelayMs: 10,
  executorRestartDelayMs: 100,
  executorRestartDelayMaxMs: 10_000,
  placementTimeoutMs: 15_000,
  ownersMax: 100_000,
  asleepMax: 10_000,
  forgetAfterMs: 60_000,
  stalledReleaseMs: 6000,
  leaveTimeoutMs: 10_000,
  gatherTimeoutMs: 1000,
  socketSeekTimeoutMs: 60_000,
  alarmGraceMs: 2000,
  alarmPollMs: 1000,
};

export interface WorkerLog {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly label: string;
  readonly message: string;
}

/** The other nodes, where there are any. */
export interface NodeCluster extends PlacementCluster {
  /** The place of this node in the list of those that may own the object; 0 is the first. */
  readonly rankOf: (id: ObjectIdHex) => number | undefined;
}

export interface NodeOptions {
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
  readonly store: Store;
  readonly logs: ObjectLogs;
  /** Undefined for a node of its own. */
  readonly cluster?: NodeCluster | undefined;
  /** How objects move toward their callers; without it none does. */
  readonly migration?: MigrationOptions | undefined;
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: NodeLimits;
  /** A namespace's name for metrics and logs. */
  readonly namespaceName: (namespace: string) => string;
  /** What user code wrote with `console`. */
  readonly workerLog: (line: WorkerLog) => void;
  /** Opens outgoing WebSockets; without it `fetch` with `Upgrade: websocket` fails. */
  readonly connect?: ConnectWebSocket;
  /** The store failed: what is on disk is not known any more, and the process must end. */
  readonly fatal: (error: unknown) => void;
}

/** Who is to have an object that is at home in that region, as far as it is known yet. */
export type ChooseNode = (id: ObjectIdHex, home: string | undefined) => NodeInfo | undefined;

/** How often a drain looks for objects that came while it moved others. */
const drainRounds = 10;

export interface Location {
  readonly node: string;
  readonly region: string;
  /** 0 for an object that is not active. */
  readonly epoch: Epoch;
}

export class HomingNode implements Dispatcher {
  readonly #options: NodeOptions;
  readonly #objects: ObjectTable;
  readonly #sessions: SessionRouter;
  readonly #sockets: SocketTable;
  readonly #alarms: AlarmClock;
  readonly #mover: Mover;
  readonly #callers: Callers | undefined;
  readonly #migrator: Migrator | undefined;
  readonly #placement: Placement;
  readonly #links: PeerLinks | undefined;
  /** Alarms on their way, by activation; each ends with `alarm-done` or the activation's end. */
  readonly #ringing = new Map<number, DueAlarm>();
  readonly #executors = new Map<number, Executor>();
  readonly #clientEnds: ClientEnds;
  /** What waits for the first version of the worker; each belongs to a session or an object. */
  readonly #early: {
    readonly callback: (executor: Executor) => void;
    readonly choice: ExecutorChoice;
  }[] = [];
  readonly #held: HeldOutput;
  #nextExecutor = 0;
  #pool: ExecutorPool | undefined;
  #closing = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    const { store, coordinator, clock, timers, logger, metrics, limits, migration } = options;
    this.#callers = migration && new Callers({ region: migration.region, coordinator, clock });
    this.#sockets = new SocketTable({
      clock,
      unattachedBytesMax: limits.socketWaitingBytesMax,
      events: {
        objectEvent: (object, socket, event) => {
          const to = { objects: this.#objects, links: this.#links, sockets: this.#sockets, logger };
          deliverSocketEvent(to, object, socket, event);
        },
        memoryEvent: (executor, socket, event) => {
          this.#executors.get(executor)?.post({ type: 'socket', socket, side: 'object', event });
        },
        autoResponded: (object, socket, atMs) => {
          const active = this.#objects.active(object.id);
          active?.executor.post({
            type: 'auto-responded',
            activation: active.number,
            socket,
            atMs,
          });
        },
        counted: (object, node, bytes) => this.#callers?.frame(object, node, bytes),
      },
    });
    const { cluster } = options;
    const { placementTimeoutMs, ownersMax } = limits;
    this.#placement = new Placement({
      coordinator,
      clock,
      timers,
      metrics,
      placementTimeoutMs,
      ownersMax,
      cluster,
    });
    this.#links =
      cluster === undefined
        ? undefined
        : new PeerLinks({
            network: cluster.network,
            placement: this.#placement,
            coordinator,
            sockets: this.#sockets,
            clock,
            timers,
            logger,
            metrics,
            limits,
            objects: () => this.#objects,
            open: (object, sink, accepted, node) => {
              const origin = { kind: 'peer', node, accepted } as const;
              return this.#sessions.open({ kind: 'object', object }, sink, origin);
            },
            needed: (object) => this.#onNeeded(object),
            bugs: options.bugs,
            migration: migration && this.#callers && { ...migration, callers: this.#callers },
          });
    this.#held = new HeldOutput({
      pass: (executor, message) => this.#onMessage(executor, message),
      timers,
      noticeDelayMs: limits.noticeDelayMs,
      bugs: options.bugs,
    });
    this.#objects = new ObjectTable({
      store,
      logs: options.logs,
      coordinator,
      placement: this.#placement,
      whenExecutor: (callback) => this.#whenExecutor(callback, 'least-loaded'),
      sockets: this.#sockets,
      held: this.#held,
      clock,
      timers,
      logger,
      metrics,
      waitingMax: { calls: limits.objectQueueMax, eventBytes: limits.socketEventBytesMax },
      asleepMax: limits.asleepMax,
      bugs: options.bugs,
      forgetAfterMs: limits.forgetAfterMs,
      stalledReleaseMs: limits.stalledReleaseMs,
      leaveTimeoutMs: limits.leaveTimeoutMs,
      firstRegion: (object, home, from) => this.#placement.firstRegion(object, home, from),
      moveFirst: (id, region) => this.migrate(id, { region }, 'first_use'),
      gatherSockets: async (object, epoch) => this.#links?.gatherSockets(object, epoch),
      takeSockets: (object) => this.#links?.takeSockets(object),
      left: (object) => this.#left(object),
      alarmChanged: (id, dueMs) => this.#alarms.set(id, dueMs),
      activationEnded: (activation) => this.#alarmEnded(activation, 'failed'),
      storeFailed: options.fatal,
    });
    this.#sessions = new SessionRouter({
      deliver: (object, delivery) => this.#objects.deliver(object, 'request', delivery),
      output: (activation, pass, refuse) => this.#objects.output(activation, pass, refuse),
      remote: this.#links?.sessions,
      callers: this.#callers,
      clock,
      timers,
      placementTimeoutMs,
      whenExecutor: (callback) => this.#whenExecutor(callback, 'next'),
      waitingMax: limits.sessionsWaitingMax,
      waitingBytesMax: limits.sessionWaitingBytesMax,
    });
    this.#clientEnds = new ClientEnds({
      sockets: this.#sockets,
      attach: (socket, sink) => this.attach(socket, sink),
      output: (activation, pass, refuse) => this.#objects.output(activation, pass, refuse),
      connect: options.connect,
    });
    this.#alarms = new AlarmClock({
      store,
      clock,
      timers,
      delayOf: (alarm) => this.#alarmDelay(alarm),
      wake: (alarm) => this.#ring(alarm),
      concurrencyMax: limits.alarmsMax,
      retryDelayMs: limits.alarmRetryDelayMs,
      retryDelayMaxMs: limits.alarmRetryDelayMaxMs,
      pollMs: cluster === undefined ? undefined : limits.alarmPollMs,
    });
    this.#mover = new Mover({
      coordinator,
      cluster,
      timers,
      metrics,
      objects: this.#objects,
      limits,
      bugs: options.bugs,
    });
    const distances = this.#links?.distances;
    if (migration !== undefined && this.#callers !== undefined && distances !== undefined) {
      this.#migrator = new Migrator({
        ...migration,
        callers: this.#callers,
        distances,
        clock,
        timers,
        logger,
        migrate: (id, region) => this.migrate(id, { region }, 'callers'),
        bugs: options.bugs,
      });
    }
    coordinator.watch((event) => {
      if (event.type === 'session') this.#objects.sessionChanged();
    });
    if (cluster !== undefined) this.#watchReplicas();
  }

  #watchReplicas(): void {
    if (this.#closing) return;
    const { timers, limits } = this.#options;
    this.#objects.releaseUnreachable();
    this.#objects.lookAtAsleep();
    timers.after(limits.stalledReleaseMs / 4, () => this.#watchReplicas());
  }

  /**
   * Loads the worker and starts to serve. Resolves with what it exports, or with the error that
   * kept it from loading, in which case the node serves nothing.
   */
  async start(factory: ExecutorFactory): Promise<WorkerExports | ErrorData> {
    const result = await this.replaceWorker(factory);
    if ('objects' in result) this.#alarms.start();
    return result;
  }

  /**
   * Replaces the running worker by another version. The new one is loaded first: when that fails
   * the old one goes on serving, and the error is returned. Objects of the old one are reset.
   */
  async replaceWorker(factory: ExecutorFactory): Promise<WorkerExports | ErrorData> {
    const pool = this.#newPool(factory);
    const result = await pool.start();
    if (!('objects' in result)) return result;
    const previous = this.#pool;
    this.#pool = pool;
    for (const { callback, choice } of this.#early.splice(0)) pool.whenReady(callback, choice);
    await previous?.stop('its code was updated');
    return result;
  }

  open(target: Target, sink: FrameSink): FramePort {
    return this.#sessions.open(target, sink);
  }

  attach(socket: string, sink: SocketSink): SocketPort {
    return this.#links?.attach(socket, sink) ?? this.#sockets.attach(socket, sink);
  }

  /** Who runs the object, as far as this node knows without asking; this node where nobody does. */
  locate(object: ObjectRef): Location {
    const { coordinator } = this.#options;
    const { self } = coordinator;
    const status = this.#objects.status(object.id);
    const known = status === undefined ? this.#placement.remembered(object.id) : undefined;
    const node = known?.node ?? self?.node ?? '';
    const info = coordinator.nodes().find((other) => other.node === node);
    return {
      node,
      region: info?.region ?? self?.region ?? '',
      epoch: status?.epoch ?? known?.epoch ?? (0n as Epoch),
    };
  }

  /** Ids of the objects owned here. */
  owned(): readonly ObjectIdHex[] {
    return this.#objects.ids();
  }

  /**
   * Moves an object of this node to another one, at once where it is idle; what comes meanwhile
   * waits and is answered there. What it runs is given a while to end, and is cut off only where
   * `isForced`. Never rejects.
   */
  migrate(
    id: ObjectIdHex,
    target: MoveTarget,
    reason: MoveReason,
    isForced = false,
  ): Promise<MoveOutcome> {
    return this.#mover.migrate(id, target, reason, isForced);
  }

  /** Who calls an object of this node; undefined where it is not here, or nothing is known. */
  callersOf(id: ObjectIdHex): CallersView | undefined {
    return this.#callers?.view(id);
  }

  /** Round trips from this node to the regions that it knows, in milliseconds. */
  distances(): ReadonlyMap<string, number> {
    return this.#links?.distances?.regions.row() ?? new Map();
  }

  /** As `Mover.vacate`. */
  vacate(id: ObjectIdHex, stores: readonly string[]): Promise<void> {
    return this.#mover.vacate(id, stores);
  }

  /** Moves toward callers that are under way. */
  get moving(): number {
    return this.#migrator?.moving ?? 0;
  }

  /**
   * Gives all objects away, to the nodes that `choose` names (to whoever needs one next, where it
   * names none), `movesMax` at a time; nothing new is placed here. Resolves when none is left.
   */
  async drain(choose: ChooseNode, movesMax: number): Promise<void> {
    this.#placement.drain();
    this.#alarms.stop();
    // What was being placed when it began is found by looking again.
    for (let round = 0; round < drainRounds && this.#objects.size > 0; round++) {
      await this.#moveAll(choose, movesMax);
    }
  }

  async #moveAll(choose: ChooseNode, movesMax: number): Promise<void> {
    const ids = [...this.#objects.ids()];
    const move = async () => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        const isMoved = await this.#objects.move(id, choose(id, this.#objects.status(id)?.home));
        const outcome = isMoved ? 'moved' : 'stayed';
        this.#options.metrics.increment('migrations_total', { reason: 'drain', outcome });
      }
    };
    await Promise.all(Array.from({ length: movesMax }, move));
  }

  /** An object as this node knows it, in memory and on disk. */
  describe(object: ObjectRef): { status: ObjectStatus | undefined; head: ObjectHead | undefined } {
    return {
      status: this.#objects.status(object.id),
      head: this.#options.store.head(object.id),
    };
  }

  /** True while requests can be served. */
  get ready(): boolean {
    return (
      !this.#closing &&
      (this.#pool?.readyCount ?? 0) > 0 &&
      this.#options.coordinator.self !== undefined
    );
  }

  get socketCount(): number {
    return this.#links?.socketCount ?? this.#sockets.size;
  }

  get ownedCount(): number {
    return this.#objects.size;
  }

  /** Active objects by namespace key. */
  activeByNamespace(): Map<string, number> {
    return this.#objects.activeByNamespace();
  }

  /** Stops executors and waits until what was appended is durable. The store stays open. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#alarms.stop();
    this.#migrator?.stop();
    this.#links?.distances?.stop();
    await this.#links?.leave();
    await this.#pool?.stop('the node is shutting down');
    await this.#objects.close(new HomingError('unavailable', 'the node is shutting down'));
  }

  #newPool(factory: ExecutorFactory): ExecutorPool {
    const { limits, timers, logger } = this.#options;
    return new ExecutorPool({
      factory,
      count: limits.executors,
      timers,
      logger,
      nextId: () => this.#nextExecutor++,
      restartDelayMs: limits.executorRestartDelayMs,
      restartDelayMaxMs: limits.executorRestartDelayMaxMs,
      events: {
        started: (executor) => this.#executors.set(executor.id, executor),
        message: (executor, message) => this.#onMessage(executor, message),
        ended: (executor, reason) => this.#onExecutorEnded(executor, reason),
      },
    });
  }

  /** Peers may call before the worker is loaded. */
  #whenExecutor(callback: (executor: Executor) => void, choice: ExecutorChoice): void {
    if (this.#pool === undefined) this.#early.push({ callback, choice });
    else this.#pool.whenReady(callback, choice);
  }

  #onMessage(executor: Executor, message: ExecutorMessage): void {
    switch (message.type) {
      case 'frame':
        this.#sessions.onFrame(executor, message.session, message.frame);
        return;
      case 'open':
        this.#sessions.openFrom(executor, message.session, message.target, message.activation);
        return;
      case 'closed':
        this.#sessions.onClosed(executor, message.session, message.error);
        return;
      case 'after':
        this.#held.hold(executor, message.activation, message.group, message.message);
        return;
      case 'awaits':
        this.#held.awaits(message.activation, message.group);
        return;
      case 'needs-folded':
        this.#objects.onNeedsFolded(message.activation, message.group);
        return;
      case 'append':
        this.#objects.onAppend(message.activation, message.operations);
        return;
      case 'activated':
        this.#objects.onActivated(message.activation);
        return;
      case 'ended':
        this.#objects.onEnded(message.activation);
        return;
      case 'damaged':
        this.#options.logs.damaged?.(message.id, message.reason);
        return;
      case 'busy':
        this.#objects.onBusy(message.activation);
        return;
      case 'evictable':
        this.#objects.onEvictable(message.activation);
        return;
      case 'alarm-done':
        this.#options.metrics.increment('alarms_total', { outcome: message.outcome });
        this.#alarmEnded(message.activation, message.outcome);
        return;
      case 'log':
        this.#options.workerLog(message);
        return;
      case 'report':
        this.#report(message.calls);
        return;
      case 'permit':
        this.#permit(executor, message);
        return;
      case 'connect':
        this.#clientEnds.connect(executor, message);
        return;
      default:
        this.#onSocketMessage(executor, message);
    }
  }

  #onSocketMessage(executor: Executor, message: SocketMessage): void {
    switch (message.type) {
      case 'accept-socket': {
        const object = this.#objects.objectOf(message.activation);
        if (object !== undefined) {
          this.#sockets.add(message.socket, { kind: 'object', object }, message.tags);
        }
        return;
      }
      case 'export-socket':
        this.#sockets.add(message.socket, {
          kind: 'memory',
          executor: executor.id,
          activation: message.activation,
        });
        return;
      case 'attach-socket':
        this.#clientEnds.attach(executor, message);
        return;
      case 'socket':
        this.#onSocketEvent(executor, message);
        return;
      case 'socket-attachment':
        this.#sockets.setAttachment(message.socket, message.attachment);
        return;
      case 'auto-response': {
        const object = this.#objects.objectOf(message.activation);
        if (object !== undefined) this.#sockets.setAutoResponse(object.id, message.pair);
      }
    }
  }

  #onSocketEvent(executor: Executor, message: Extract<SocketMessage, { type: 'socket' }>): void {
    const { socket, side, event } = message;
    if (side === 'object') {
      const pass = () => {
        if (event.type === 'message') this.#sockets.send(socket, event.data);
        else this.#sockets.close(socket, event.code, event.reason);
      };
      this.#outputOfSocket(socket, pass);
      return;
    }
    this.#clientEnds.onEvent(executor, message);
  }

  /** What an object sends on a socket is only as good as its lease, as any answer of it. */
  #outputOfSocket(socket: string, pass: () => void): void {
    const home = this.#sockets.homeOf(socket);
    // Where a frame is left out the rest must not follow; a newer owner has the socket by then.
    const refuse = (error: HomingError) => {
      if (error.code !== 'fenced') this.#sockets.close(socket, 1013, 'the object is unavailable');
    };
    if (home?.kind === 'object') this.#objects.outputOf(home.object.id, pass, refuse);
    else if (home?.kind === 'memory' && home.activation !== undefined) {
      this.#objects.output(home.activation, pass, refuse);
    } else pass();
  }

  #permit(
    executor: Executor,
    { activation, request }: Extract<FromExecutor, { type: 'permit' }>,
  ): void {
    const answer = (error: ErrorData | undefined) =>
      executor.post({ type: 'permitted', request, error });
    this.#objects.output(
      activation,
      () => answer(undefined),
      (error) => answer(errorToData(error)),
    );
  }

  #onExecutorEnded(executor: Executor, reason: string): void {
    const error = executorEnded(reason);
    this.#executors.delete(executor.id);
    this.#clientEnds.executorEnded(executor);
    this.#sockets.executorLost(executor.id);
    this.#sessions.onExecutorEnded(executor, error);
    this.#objects.onExecutorEnded(executor);
  }

  /**
   * Has the object recovered by its owner, this node where there is none: what its last owner left is
   * then committed or dropped. Resolves with false where the object is not at home in the region: what
   * was left of it there counts for nothing. Rejects with `unavailable` where that is not known.
   */
  async settle(object: ObjectRef, region: string): Promise<boolean> {
    if ((await this.whereabouts(object)).home !== region) return false;
    this.#need(object, false, () => {});
    return true;
  }

  /** Sees to it that the object has an owner, and that this knows of it. */
  #need(object: ObjectRef, isForwarded: boolean, deliver: () => void): void {
    const forward = (node: string) => this.#links?.wake(node, object);
    this.#objects.deliver(object, 'recovery', { isForwarded, deliver, forward, refuse: () => {} });
  }

  /** Has the object claimed and recovered. Resolves with whether this node owns it then. */
  take(object: ObjectRef): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const deliver = () => resolve(true);
      const forward = () => resolve(false);
      const delivery = { isForwarded: true, deliver, forward, refuse: reject };
      this.#objects.deliver(object, 'recovery', delivery);
    });
  }

  /** Has an object of this node claimed anew when it is next needed, once it is at rest. */
  reclaim(id: ObjectIdHex): void {
    void this.#mover.renew(id);
  }

  /** Rejects with `unavailable` where that is not known. */
  whereabouts(object: ObjectRef): Promise<Whereabouts> {
    return this.#placement.whereabouts(object);
  }

  /** What the object's sockets carried stays with its clients, who look for its next owner. */
  #left(object: ObjectRef): void {
    // Known of what was owned here only, and not of what was sent on.
    const carried = this.#callers?.carried(object.id);
    const next = this.#placement.remembered(object.id)?.node;
    if (next !== undefined && carried !== undefined) this.#links?.hand(next, object, carried);
    if (this.#sockets.hasSockets(object.id)) this.#links?.left(object);
    this.#callers?.forget(object.id);
    this.#sockets.forget(object.id);
  }

  /** The owner sees to an alarm; only when it does not, the others do, one after the other. */
  #alarmDelay(alarm: DueAlarm): number {
    const { cluster, limits } = this.#options;
    if (cluster === undefined || this.#objects.owns(alarm.id)) return 0;
    const rank = cluster.rankOf(alarm.id);
    return rank === undefined ? Number.POSITIVE_INFINITY : limits.alarmGraceMs * (rank + 1);
  }

  /**
   * Another node takes this one for the owner of an object whose alarm is due, or whose log is to be
   * settled. It may be that by the coordinator's record alone, and may own it no more.
   */
  #onNeeded(object: ObjectRef): void {
    const { id } = object;
    if (!this.#objects.owns(id)) this.#need(object, true, () => this.#onNeeded(object));
    const alarmMs = this.#options.store.head(id)?.alarmMs ?? undefined;
    if (alarmMs !== undefined) this.#alarms.set(id, alarmMs);
  }

  #ring(alarm: DueAlarm): void {
    const object = { namespace: alarm.namespace, id: alarm.id };
    this.#objects.deliver(object, 'alarm', {
      // A remembered owner may hold the object no more, and would not say so.
      isForwarded: true,
      deliver: ({ executor, number }) => {
        this.#ringing.set(number, alarm);
        executor.post({ type: 'alarm', activation: number });
      },
      forward: (node) => {
        this.#links?.wake(node, object);
        this.#alarms.settled(alarm.id, 'failed');
      },
      refuse: (error) => {
        this.#options.logger.warn('an alarm found no object', { error: String(error) });
        this.#alarms.settled(alarm.id, 'failed');
      },
    });
  }

  #alarmEnded(activation: number, outcome: AlarmOutcome): void {
    const alarm = this.#ringing.get(activation);
    if (alarm === undefined) return;
    this.#ringing.delete(activation);
    const hasRun = outcome !== 'stale' && outcome !== 'failed';
    this.#alarms.settled(alarm.id, hasRun ? 'ran' : 'failed');
  }

  #report(calls: readonly CallReport[]): void {
    const { metrics, namespaceName } = this.#options;
    for (const { namespace, kind, outcome, durationsMs } of calls) {
      const labels = { namespace: namespaceName(namespace), kind };
      metrics.increment('requests_total', { ...labels, outcome }, durationsMs.length);
      for (const durationMs of durationsMs) {
        metrics.observe('request_duration_seconds', durationMs / 1000, labels);
      }
      if (outcome === 'overloaded') {
        const by = durationsMs.length;
        metrics.increment('overload_rejections_total', { namespace: labels.namespace }, by);
      }
    }
  }
}
