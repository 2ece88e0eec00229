/**
 * Replication of one node: the logs of the objects it owns, its store as a replica of others', and
 * the heartbeats between nodes that carry read promises. One `log` link to each peer carries all.
 *
 * Invariants
 * 1. At most one log exists for an object here; a newer epoch ends it, on whichever way it comes.
 * 2. A heartbeat's promise counts only after the lost objects its answer names were dropped, and the
 *    replica sets that came before it adopted.
 * 3. A link carries every set adopted here before any message that goes by it.
 *
 * Made by the server (and the simulator) and given to the object table as `ObjectLogs`.
 */
import {
  type Clock,
  compareRecordNames,
  damagedObjectOf,
  type Epoch,
  HomingError,
  type LogEvents,
  type Logger,
  messageOf,
  type Network,
  type ObjectIdHex,
  type ObjectLogs,
  type ObjectRef,
  type OwnedLog,
  type PeerRun,
  type ShardAssignment,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';
import {
  type DeliberateBugs,
  isQuorum,
  PromiseGrants,
  PromisesHeld,
  type ReplicaSet,
  type Standing,
  storesOf,
  votersOf,
} from '@homing/protocol';
import { AdoptedSets } from './adopted-sets.ts';
import { Completion, type Settle } from './completion.ts';
import { Departures } from './departures.ts';
import type { ReplicationLimits } from './limits.ts';
import type { LogContext, OpenLog } from './log-context.ts';
import { decodeMessage, encodeMessage, type LogAnswer, type LogMessage } from './messages.ts';
import { Quarantines } from './quarantines.ts';
import { RemoteCopies, type RemoteOf } from './remote-copies.ts';
import { RemoteReports } from './remote-reports.ts';
import { Replica } from './replica.ts';
import { ReplicatedLog } from './replicated-log.ts';
import { Scrubber } from './scrubber.ts';
import { SetLinks } from './set-links.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { Standings } from './standings.ts';
import { Digester } from './state-digest.ts';
import { type Locate, Sweeper } from './sweeper.ts';
import { type Vacate, Vacating } from './vacating.ts';

export interface ReplicationOptions {
  readonly self: PeerRun;
  readonly store: Store;
  readonly network: Network;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly limits: ReplicationLimits;
  /**
   * The share, 0 to 1, of the time since it was last asked in which this node's thread was at work: where it is
   * large, copies give way. By default 0.
   */
  readonly utilisation?: (() => number) | undefined;
  /** Which cluster this node is of: it goes by the replica sets of no other. */
  readonly cluster: string;
  /** The shard that holds an object which is at home in the region: `<region>/<shard>`. */
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
  /** Which objects are to have a copy in a second region; by default none. */
  readonly remoteOf?: RemoteOf | undefined;
  /** The store failed: what is on disk is not known, and the process must end. */
  readonly failed: (error: unknown) => void;
  /** Tests only. */
  readonly bugs?: DeliberateBugs | undefined;
}

const noDigest = new Uint8Array();
/** Read in one go for a digest: well under a millisecond. */
const digestPageBytes = 64 * 1024;

/** How long a promise of this store holds, in milliseconds; for its next run. */
const promiseNote = 'promise-ms';

/** What a store answers after it began to hold the object for who asked. */
const holdingAnswers: ReadonlySet<string> = new Set(['sealed', 'sealed-blank', 'acked']);

export class Replication implements ObjectLogs {
  readonly #options: ReplicationOptions;
  readonly #grants: PromiseGrants;
  readonly #held: PromisesHeld;
  readonly #sets: AdoptedSets;
  readonly #links: SetLinks;
  readonly #standings: Standings;
  readonly #completion: Completion;
  readonly #departures: Departures;
  readonly #vacating: Vacating;
  readonly #replica: Replica;
  readonly #copies: SnapshotSender;
  readonly #context: LogContext;
  readonly #quarantines: Quarantines;
  readonly #digester: Digester;
  readonly #sweeper: Sweeper;
  readonly remotes: RemoteCopies;
  readonly remoteReports: RemoteReports;
  #scrubber: Scrubber | undefined;
  readonly #logs = new Map<ObjectIdHex, ReplicatedLog>();
  /** Logs that `tick` has to look at. */
  readonly #changed = new Set<OpenLog>();
  /** Those whose stores are to answer, and when they should have; the first first. */
  readonly #looksAtMs = new Map<OpenLog, number>();
  /** Those that have only notices to send, and when; the first first. */
  readonly #noticesAtMs = new Map<OpenLog, number>();
  #blocked: { readonly log: OpenLog; readonly store: string }[] = [];
  readonly #peers = new Map<string, PeerRun>();
  #tickTimer: Timer | undefined;
  #heartbeatTimer: Timer | undefined;
  #changedSets: () => void = () => {};
  #settle: Settle = async () => true;
  #vacate: Vacate = async () => {};
  #locate: Locate | undefined;
  #erased: () => void = () => {};
  #reclaim: (id: ObjectIdHex) => void = () => {};
  #mayPromise = false;
  #isClosed = false;

  constructor(options: ReplicationOptions) {
    const { self, store, network, clock, timers, limits, failed } = options;
    this.#options = options;
    const times = { promiseMs: limits.promiseMs, drift: limits.drift };
    // The promises of an earlier run are forgotten, and were of the length that was in force then.
    const earlierMs = Number(Buffer.from(store.note(promiseNote) ?? []).toString() || 0);
    const bugs = options.bugs ?? {};
    const hasPromised = store.starts > 1 && bugs['no-silence'] !== true;
    const silenceMs = hasPromised ? Math.max(limits.promiseMs, earlierMs) : 0;
    this.#grants = new PromiseGrants(times, clock.monotonicMs(), silenceMs, bugs);
    this.#grants.up(self);
    store.putNote(promiseNote, Buffer.from(String(limits.promiseMs))).then(
      () => {
        this.#mayPromise = true;
      },
      (error: unknown) => {
        if (!this.#isClosed) failed(error);
      },
    );
    this.#held = new PromisesHeld(times);
    this.#sets = new AdoptedSets({
      store,
      timers,
      cluster: options.cluster,
      retryMs: limits.tickMs,
      changed: (key) => this.#onAdopted(key),
      failed: (error) => {
        if (!this.#isClosed) failed(error);
      },
    });
    this.#links = new SetLinks(this.#sets, {
      send: (node, message) => network.send(node, 'log', encodeMessage(message)),
      sendOrEnd: (node, message) => network.sendOrEnd(node, 'log', encodeMessage(message)),
    });
    const send = (node: string, message: LogMessage) => this.#links.send(node, message);
    const onFailure = (error: unknown) => this.#onFailure(error);
    this.#copies = new SnapshotSender({
      store,
      clock,
      timers,
      limits,
      utilisation: options.utilisation ?? (() => 0),
      send,
      bugs,
      failed: onFailure,
    });
    const settledMs = Math.max(limits.promiseMs, earlierMs) * (1 + 2 * limits.drift);
    this.#standings = new Standings({
      self: self.storeId,
      timers,
      promiseMs: settledMs,
      nodes: () => [...this.#peers.values()].map(({ node }) => node),
      send,
      changed: () => {
        this.#vacating.look();
        this.#changedSets();
      },
    });
    this.#replica = new Replica({
      store,
      grants: this.#grants,
      clock,
      timers,
      copies: this.#copies,
      lostMax: limits.lostMax,
      mayPromise: () => this.#mayPromise,
      send,
      answer: (node, message) => this.#links.sendOrEnd(node, message),
      sets: this.#sets,
      keyOf: options.keyOf,
      standings: this.#standings,
      tellSet: (node, key) => this.#links.tell(node, key),
      bugs,
      isPulled: (id, peer) => this.#completion.isPulled(id, peer),
      isDamaged: (id) => this.#quarantines.isPending(id),
      givenUp: (id) => this.#quarantines.settled(id),
      pageTimeoutMs: limits.pageTimeoutMs,
      forgot: (id) => this.#sweeper.ordered(id),
      superseded: (id, epoch) => this.#superseded(id, epoch),
      failed: onFailure,
    });
    const sendTo = (peer: string, message: LogMessage) => {
      const node = this.#peers.get(peer)?.node;
      return node !== undefined && send(node, message);
    };
    this.#completion = new Completion({
      self: self.storeId,
      store,
      timers,
      limits,
      sets: this.#sets,
      replica: this.#replica,
      keyOf: options.keyOf,
      send: sendTo,
      settle: (object, region) => this.#settle(object, region),
      tellUnsettled: (id, stores) => {
        this.#logs.get(id)?.settle();
        for (const peer of stores) sendTo(peer, { type: 'unsettled', ids: [id] });
      },
      completed: (key, generation) => this.#standings.complete(key, generation),
      failed: onFailure,
      bugs,
    });
    this.#vacating = new Vacating({
      self: self.storeId,
      timers,
      limits,
      sets: this.#sets,
      standingOf: (shard, peer, generation) => this.#standings.of(shard, peer, generation),
      owned: (shard) => this.#ownedOf(shard),
      vacate: (id, stores) => this.#vacate(id, stores),
      vacated: (shard, generation) => this.#standings.vacated(shard, generation),
      failed: onFailure,
    });
    for (const set of this.#sets.all().values()) this.#standings.adopted(set);
    this.#vacating.look();
    this.#departures = new Departures({
      self: self.storeId,
      store,
      timers,
      limits,
      sets: this.#sets,
      keyOf: options.keyOf,
      failed: (error) => {
        if (!this.#isClosed) failed(error);
      },
    });
    this.#context = {
      self,
      store,
      clock,
      timers,
      limits,
      bugs,
      replica: this.#replica,
      copies: this.#copies,
      promises: this.#held,
      peers: {
        stores: () => this.#peers.keys(),
        nodeOf: (peer) => this.#peers.get(peer)?.node,
        send: sendTo,
      },
      changed: (log) => {
        this.#looksAtMs.delete(log);
        this.#noticesAtMs.delete(log);
        this.#changed.add(log);
        this.#armTick();
      },
      appended: (log) => {
        if (this.#changed.has(log) || this.#looksAtMs.has(log)) return;
        this.#noticesAtMs.delete(log);
        this.#looksAtMs.set(log, clock.monotonicMs() + limits.lookMs);
        this.#armTick();
      },
      blocked: (log, peer) => {
        this.#blocked.push({ log, store: peer });
        this.#armTick();
      },
      closed: (log) => this.#onClosed(log),
      renew: (id) => this.#reclaim(id),
      failed: onFailure,
      isClosing: () => this.#isClosed,
    };
    this.#quarantines = new Quarantines({
      store,
      timers,
      logger: options.logger,
      everyMs: limits.quarantineLookMs,
      retryMs: limits.tickMs,
      atOnceMax: limits.quarantinesMax,
      // Joiners need not hold anything yet.
      isAlone: (id) => this.#setsHolding(id).some(({ members }) => members.length === 1),
      lose: (id) => this.#logs.get(id)?.lose(),
      tell: (ids) => {
        for (const peer of this.#peers.values()) this.#send(peer, { type: 'blank', ids });
      },
      wake: (head) => {
        for (const { region } of this.#setsHolding(head.id)) {
          // Where it is not at home nobody needs it; where that is not known it is tried again.
          this.#settle(head, region).catch(() => undefined);
        }
        // What was held here may be newer than all that was ever committed.
        for (const peer of this.#peers.values()) {
          this.#send(peer, { type: 'unsettled', ids: [head.id] });
        }
      },
      failed: onFailure,
    });
    this.#digester = new Digester({
      store,
      timers,
      bytesPerSecond: Math.max(1, limits.scrubBytesPerSecond),
      pageBytes: Math.min(limits.pageBytes, digestPageBytes),
      waitingMax: limits.digestsMax,
      failed: onFailure,
    });
    this.#sweeper = this.#startSweeper(bugs);
    this.remotes = new RemoteCopies({
      clock,
      timers,
      limits,
      remoteOf: options.remoteOf ?? (() => undefined),
      setOf: (home, id) => this.setOf(home, id),
      reclaim: (id) => this.#reclaim(id),
      report: (to, report) => this.#context.peers.send(to, { type: 'remote-report', report }),
    });
    this.remoteReports = new RemoteReports({
      store,
      clock,
      noteMs: limits.remoteNoteMs,
      failed: onFailure,
    });
    if (limits.scrubBytesPerSecond > 0) this.#scrubber = this.#startScrubber();
    network.serve('log', {
      up: (peer) => this.#onUp(peer),
      down: (peer) => this.#onDown(peer),
      message: (peer, bytes) => this.#onMessage(peer, bytes),
    });
    this.#heartbeat();
  }

  async acquire(
    object: ObjectRef,
    epoch: Epoch,
    home: string,
    events: LogEvents,
    isPromoted = false,
  ): Promise<OwnedLog> {
    const { self } = this.#options;
    const set = this.setOf(home, object.id);
    if (set === undefined) {
      throw new HomingError('unavailable', 'the cluster has not assigned replicas yet: try again');
    }
    if (!votersOf(set).includes(self.storeId)) {
      throw new HomingError('unavailable', 'this node holds no replica of the object');
    }
    this.#logs.get(object.id)?.lose();
    const log = new ReplicatedLog(this.#context, { object, epoch, home, set, events, isPromoted });
    this.#logs.set(object.id, log);
    // From now on this node speaks of it, if only to say that it does not know.
    this.remotes.opened(log);
    await log.start();
    return log;
  }

  /** Others are to have a copy in a second region than before. */
  reconsiderRemotes(): void {
    for (const log of this.#logs.values()) if (!log.isOver) this.remotes.reconsider(log);
  }

  /** What is held of the object here cannot be read: another replica has to stand in for it. */
  damaged(id: ObjectIdHex, reason: string): void {
    if (!this.#isClosed) this.#quarantines.damaged(id, reason);
  }

  #onFailure(error: unknown): void {
    if (this.#isClosed) return;
    const id = damagedObjectOf(error);
    if (id === undefined) this.#options.failed(error);
    else this.damaged(id, messageOf(error));
  }

  #startSweeper(bugs: DeliberateBugs): Sweeper {
    const { store, clock, timers, limits, self, keyOf } = this.#options;
    return new Sweeper({
      self: self.storeId,
      store,
      clock,
      timers,
      limits,
      locate: () => this.#locate,
      regions: () => this.#sets.regions(),
      setOf: (home, id) =>
        this.#sets.isPending(keyOf(home, id)) ? undefined : this.setOf(home, id),
      isRemote: (object, home) => {
        const region = this.#options.remoteOf?.(object, home);
        const set = region === undefined ? undefined : this.setOf(region, object.id);
        return set !== undefined && storesOf(set).includes(self.storeId);
      },
      isOwnedHere: (id) => this.#logs.has(id),
      erased: () => this.#erased(),
      askOwner: (owner, id, epoch) =>
        this.#context.peers.send(owner, { type: 'leftover', id, epoch }),
      failed: (error) => this.#onFailure(error),
      bugs,
    });
  }

  #startScrubber(): Scrubber {
    const { store, timers, logger, limits, self } = this.#options;
    return new Scrubber({
      self: self.storeId,
      store,
      timers,
      logger,
      digester: this.#digester,
      pauseMs: limits.scrubPauseMs,
      answerTimeoutMs: limits.scrubAnswerMs,
      setOf: (id) => {
        const [set, ...others] = this.#setsHolding(id);
        return others.length === 0 ? set : undefined;
      },
      ask: (to, id, applied) => this.#context.peers.send(to, { type: 'digest', id, applied }),
      damaged: (id, reason) => this.damaged(id, reason),
      failed: (error) => this.#onFailure(error),
    });
  }

  #onDigest(peer: PeerRun, { id, applied }: Extract<LogMessage, { type: 'digest' }>): void {
    const answer = (digest: Uint8Array) =>
      this.#send(peer, { type: 'digested', id, applied, digest });
    const head = this.#options.store.head(id);
    const isOfSame = head !== undefined && compareRecordNames(head.applied, applied) === 0;
    if (!isOfSame || head.isQuarantined === true || this.#quarantines.isPending(id)) {
      answer(noDigest);
      return;
    }
    this.#digester.digest(id, (own) => {
      const isStill = own !== undefined && compareRecordNames(own.applied, applied) === 0;
      answer(isStill ? own.digest : noDigest);
    });
  }

  /** In whichever region the object is at home. */
  #setsHolding(id: ObjectIdHex): readonly ShardAssignment[] {
    const regions = new Set([...this.#sets.all().values()].map(({ region }) => region));
    return [...regions]
      .flatMap((home) => this.setOf(home, id) ?? [])
      .filter((set) => storesOf(set).includes(this.#options.self.storeId));
  }

  /** What the coordinator says; older ones than are known change nothing. */
  adopt(sets: Iterable<ShardAssignment>): void {
    if (!this.#isClosed) this.#sets.adopt(sets);
  }

  /** The set that holds an object at home in the region; undefined while its shard is not assigned. */
  setOf(home: string, id: ObjectIdHex): ShardAssignment | undefined {
    return this.#sets.get(this.#options.keyOf(home, id));
  }

  /** All sets that this node goes by, by shard. */
  sets(): ReadonlyMap<string, ShardAssignment> {
    return this.#sets.all();
  }

  /** How far a store is said to be with a change of the shard's set. */
  standingOf(shard: string, store: string, generation: number): Standing {
    return this.#standings.of(shard, store, generation);
  }

  /** Whether this store was made complete under the shard's present generation, in this run. */
  isComplete(shard: string): boolean {
    return this.#completion.isDone(shard);
  }

  /**
   * `changed` is called when a set was adopted, or a store got further with one, `erased` when a copy
   * that an object left behind is gone, `reclaim` when an object needs a newer epoch, once it is at rest;
   * the others as their types say.
   */
  follow(hooks: {
    changed?: () => void;
    settle?: Settle;
    vacate?: Vacate;
    locate?: Locate;
    erased?: () => void;
    reclaim?: (id: ObjectIdHex) => void;
  }): void {
    if (hooks.changed !== undefined) this.#changedSets = hooks.changed;
    if (hooks.settle !== undefined) this.#settle = hooks.settle;
    if (hooks.vacate !== undefined) this.#vacate = hooks.vacate;
    if (hooks.locate !== undefined) this.#locate = hooks.locate;
    if (hooks.erased !== undefined) this.#erased = hooks.erased;
    if (hooks.reclaim !== undefined) this.#reclaim = hooks.reclaim;
  }

  #ownedOf(shard: string): readonly ObjectIdHex[] {
    const { keyOf } = this.#options;
    const logs = [...this.#logs.values()];
    return logs
      .filter((log) => keyOf(log.home, log.object.id) === shard)
      .map(({ object }) => object.id);
  }

  #onAdopted(key: string): void {
    const set = this.#sets.get(key);
    if (this.#isClosed || set === undefined) return;
    // Before any promise that follows: whoever counts it must know.
    this.#links.tellAll(key);
    for (const log of [...this.#logs.values()]) {
      if (this.#options.keyOf(log.home, log.object.id) === key) log.setChanged(set);
    }
    this.#standings.adopted(set);
    this.#completion.look();
    this.#vacating.look();
    if (!storesOf(set).includes(this.#options.self.storeId)) {
      this.#departures.look();
    }
    this.#changedSets();
  }

  /** Whether a majority of the object's replicas can be reached. */
  isReachable(set: ReplicaSet): boolean {
    const { storeId } = this.#options.self;
    return isQuorum(set, (store) => store === storeId || this.#peers.has(store));
  }

  /** Copies that nobody needs may soon be needed: resolves when none is erased any more, for a while. */
  holdLeftovers(): Promise<void> {
    return this.#sweeper.hold();
  }

  /** Objects that this store holds for owners: what its promises cover. */
  get held(): number {
    return this.#grants.size;
  }

  /** Records that each peer's store is behind, over all objects owned here. */
  lag(): Map<string, number> {
    const lag = new Map<string, number>();
    for (const { node, storeId } of this.#peers.values()) {
      let records = 0;
      for (const log of this.#changed) records += log.lagOf(storeId);
      for (const log of this.#looksAtMs.keys()) records += log.lagOf(storeId);
      for (const log of this.#noticesAtMs.keys()) records += log.lagOf(storeId);
      lag.set(node, records);
    }
    return lag;
  }

  close(): void {
    this.#isClosed = true;
    this.#tickTimer?.cancel();
    this.#heartbeatTimer?.cancel();
    this.#replica.stop();
    this.#completion.stop();
    this.#vacating.stop();
    this.#departures.stop();
    this.#quarantines.stop();
    this.#scrubber?.stop();
    this.#digester.stop();
    this.#sweeper.stop();
    this.remotes.stop();
    for (const log of [...this.#logs.values()]) log.release();
  }

  #onUp(peer: PeerRun): void {
    const before = this.#peers.get(peer.storeId);
    if (before !== undefined && before.run !== peer.run) this.#held.dropped(peer.storeId);
    this.#peers.set(peer.storeId, peer);
    this.#links.up(peer.node);
    this.#replica.up(peer);
    this.#standings.up(peer.node);
    this.#completion.look();
    for (const log of this.#logs.values()) log.up(peer.storeId);
    this.#beat(peer);
  }

  #onDown(peer: PeerRun): void {
    if (this.#peers.get(peer.storeId)?.run === peer.run) this.#peers.delete(peer.storeId);
    // Its promise stands, but it may come back as another process.
    this.#held.dropped(peer.storeId);
    this.#links.down(peer.node);
    this.#completion.down(peer.storeId);
    this.#replica.down(peer);
    this.#copies.down(peer.node);
    for (const log of this.#logs.values()) log.down(peer.storeId);
  }

  #onMessage(peer: PeerRun, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    let message: LogMessage | undefined;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      this.#options.logger.error('a peer sent a damaged message', {
        peer: peer.node,
        error: String(error),
      });
      return;
    }
    if (message === undefined) return;
    switch (message.type) {
      case 'seal':
      case 'append':
      case 'confirm':
      case 'fetch':
      case 'page':
      case 'forget':
      case 'released':
      case 'heartbeat':
      case 'sets':
      case 'standings':
      case 'list':
      case 'pull':
        this.#replica.onRequest(peer, message);
        return;
      case 'digest':
        this.#onDigest(peer, message);
        return;
      case 'remote-report':
        this.remoteReports.heard(peer.node, message.report);
        return;
      case 'leftover': {
        const log = this.#logs.get(message.id);
        if (log?.epoch === message.epoch) log.orderAway(peer.storeId);
        return;
      }
      case 'blank':
        for (const id of message.ids) this.#logs.get(id)?.up(peer.storeId);
        return;
      case 'unsettled':
        for (const id of message.ids) this.#logs.get(id)?.settle();
        return;
      default:
        this.#onAnswer(peer, message);
    }
  }

  #onAnswer(peer: PeerRun, answer: LogAnswer): void {
    if (answer.type === 'heartbeat-answer') {
      this.#onHeartbeatAnswer(peer, answer);
      return;
    }
    if (answer.type === 'listed') {
      this.#completion.listed(peer.storeId, answer.round, answer.page);
      return;
    }
    if (answer.type === 'digested') {
      this.#scrubber?.answered(peer.storeId, answer.id, answer.applied, answer.digest);
      return;
    }
    const { id, epoch } = answer;
    if (answer.type === 'page-taken') this.#copies.taken(peer.node, answer);
    if (answer.type === 'pulled') this.#completion.pulled(id);
    if (answer.type === 'page-refused') this.#copies.refused(peer.node, id, epoch);
    const log = this.#logs.get(id);
    if (log?.epoch === epoch) log.onAnswer(peer.storeId, answer);
    // What was asked for has been given up meanwhile, and would be held for ever.
    if (log === undefined && holdingAnswers.has(answer.type)) {
      this.#links.sendOrEnd(peer.node, { type: 'released', ids: [id] });
    }
  }

  #onHeartbeatAnswer(
    peer: PeerRun,
    { sentMs, lost }: Extract<LogAnswer, { type: 'heartbeat-answer' }>,
  ): void {
    if (lost === undefined) return;
    // Of a log whose epoch the store has not acknowledged yet an earlier one was lost: nothing that
    // the store promises counts for it. To say `released` could undo an acknowledgement under way.
    const known = lost.filter((id) => this.#logs.get(id)?.isAckedBy(peer.storeId) !== false);
    for (const id of known) this.#logs.get(id)?.lose();
    if (known.length > 0) this.#send(peer, { type: 'released', ids: known });
    const { clock, bugs } = this.#options;
    const isLate = bugs?.['promise-from-receipt'] === true;
    const fromMs = isLate ? clock.monotonicMs() : (sentMs as ReturnType<Clock['monotonicMs']>);
    this.#sets.whenAllAdopted(() => {
      // A promise of a run that has ended meanwhile says nothing.
      if (this.#peers.get(peer.storeId)?.run === peer.run)
        this.#held.answered(peer.storeId, fromMs);
    });
  }

  #superseded(id: ObjectIdHex, epoch: Epoch): void {
    const log = this.#logs.get(id);
    if (log !== undefined && log.epoch < epoch) log.lose();
  }

  /** Whoever holds the object for us need not wait for the promises it made. */
  #onClosed(log: OpenLog): void {
    const { id } = log.object;
    this.#changed.delete(log);
    this.#looksAtMs.delete(log);
    this.#noticesAtMs.delete(log);
    this.remotes.closed(log);
    this.#copies.cancel(id, log.epoch);
    if (this.#logs.get(id) !== log) return;
    this.#logs.delete(id);
    for (const { node } of this.#peers.values()) {
      this.#links.sendOrEnd(node, { type: 'released', ids: [id] });
    }
    this.#replica.released([id], this.#options.self);
  }

  /** What may be left out: the next heartbeat follows, and its answer names again what was lost. */
  #send(peer: PeerRun, message: LogMessage): void {
    this.#links.send(peer.node, message);
  }

  #beat(peer: PeerRun): void {
    this.#send(peer, { type: 'heartbeat', sentMs: this.#options.clock.monotonicMs() });
  }

  #heartbeat(): void {
    if (this.#isClosed) return;
    const { timers, limits } = this.#options;
    for (const peer of this.#peers.values()) this.#beat(peer);
    this.#grants.sweep(this.#options.clock.monotonicMs());
    this.#standings.repeat();
    this.#heartbeatTimer = timers.after(limits.promiseMs / 3, () => this.#heartbeat());
  }

  #armTick(): void {
    if (this.#tickTimer !== undefined || this.#isClosed) return;
    const { timers, limits } = this.#options;
    this.#tickTimer = timers.after(limits.tickMs, () => {
      this.#tickTimer = undefined;
      this.#tick();
    });
  }

  #tick(): void {
    const blocked = this.#blocked;
    this.#blocked = [];
    const { self } = this.#options;
    for (const { log, store } of blocked) {
      if (!log.isOver && (store === self.storeId || this.#peers.has(store))) log.up(store);
    }
    const nowMs = this.#options.clock.monotonicMs();
    for (const waiting of [this.#looksAtMs, this.#noticesAtMs]) {
      for (const [log, atMs] of waiting) {
        if (atMs > nowMs) break;
        this.#changed.add(log);
        waiting.delete(log);
      }
    }
    for (const log of [...this.#changed]) this.#look(log, nowMs);
    const left =
      this.#changed.size + this.#looksAtMs.size + this.#noticesAtMs.size + this.#blocked.length;
    if (left > 0) this.#armTick();
  }

  #look(log: OpenLog, nowMs: number): void {
    const outstanding = log.tick();
    if (outstanding === 'soon') return;
    this.#changed.delete(log);
    if (outstanding === 'nothing' || log.isOver) return;
    const { lookMs, noticeMs } = this.#options.limits;
    if (outstanding === 'later') this.#looksAtMs.set(log, nowMs + lookMs);
    // Not before, counted from its last append: then it does send them.
    else this.#noticesAtMs.set(log, nowMs + noticeMs);
  }
}
