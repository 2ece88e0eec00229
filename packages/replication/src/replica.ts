/**
 * This node's store as a replica: takes appends, seals and copies of objects that others own, and
 * answers when the disk has them. The rules for logs are the store's, those for promises the
 * protocol's; here they meet messages.
 *
 * Invariants
 * 1. No answer says more than what is on disk.
 * 2. A seal is answered only when no promise made to another covers the object any more; the vow
 *    itself is on disk before the object is marked lost for its old holder.
 * 3. Nothing of a generation below the one adopted is taken or answered, and nothing is taken while a
 *    newer one that was heard of is not yet on disk.
 * 4. What was found damaged is told to nobody, and no seal is answered before it is given up on disk.
 * 5. An owner on this node learns that it was superseded before the one who superseded it does.
 *
 * Called by `Replication` with messages of peers, and for the seals of this node itself.
 */
import {
  type Clock,
  compareRecordNames,
  type EncodedRecord,
  type Epoch,
  HomingError,
  isHomingError,
  noRecord,
  type ObjectIdHex,
  type ObjectRef,
  type PeerRun,
  type RecordName,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';
import type { DeliberateBugs, Holder, ListedPage, PromiseGrants, Taking } from '@homing/protocol';
import type { AdoptedSets } from './adopted-sets.ts';
import { type ListRequest, listPage } from './listing.ts';
import type { LogMessage, LogRequest } from './messages.ts';
import { PageTaker } from './page-taker.ts';
import type { SnapshotSender } from './snapshot-sender.ts';
import type { Standings } from './standings.ts';

export interface ReplicaOptions {
  readonly store: Store;
  readonly grants: PromiseGrants;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly copies: SnapshotSender;
  readonly lostMax: number;
  /** Once the disk knows for how long. */
  readonly mayPromise: () => boolean;
  /** Sends what may be left out. */
  readonly send: (node: string, message: LogMessage) => boolean;
  /** Sends what the peer waits for: where the link does not take it, the link ends. */
  readonly answer: (node: string, message: LogMessage) => void;
  readonly sets: AdoptedSets;
  /** Of the object's shard in the region. */
  readonly keyOf: (home: string, id: ObjectIdHex) => string;
  readonly standings: Standings;
  /** Says to the node which set it does not know: before the next message to it. */
  readonly tellSet: (node: string, key: string) => void;
  readonly bugs: DeliberateBugs;
  /** This node has asked that store for the object's state. */
  readonly isPulled: (id: ObjectIdHex, from: string) => boolean;
  /** What is held of the object was found damaged, and the disk does not know yet. */
  readonly isDamaged: (id: ObjectIdHex) => boolean;
  /** Resolves when it does. */
  readonly givenUp: (id: ObjectIdHex) => Promise<void>;
  /** How long a copy whose next page does not come counts as under way, and a page is tried again. */
  readonly pageTimeoutMs: number;
  /** An owner had the object forgotten here. */
  readonly forgot: (id: ObjectIdHex) => void;
  /** The object has an owner of this epoch or a later one: one here of an older epoch must stop. */
  readonly superseded: (id: ObjectIdHex, epoch: Epoch) => void;
  readonly failed: (error: unknown) => void;
}

type OfObject = Extract<LogRequest, { readonly object: ObjectRef }>;

interface WaitingSeal {
  readonly epoch: Epoch;
  readonly taking: Taking;
  readonly answer: () => void;
  readonly refuse: (error: HomingError) => void;
}

/** What a store tells of an object's log; an object never heard of has an empty one. */
export interface LogEnds {
  readonly last: RecordName;
  readonly applied: RecordName;
}

export class Replica {
  readonly #options: ReplicaOptions;
  /** Looked at by object: a node that ends leaves many of them at once. */
  readonly #waiting = new Map<ObjectIdHex, WaitingSeal[]>();
  readonly #pages: PageTaker;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#pages = new PageTaker({
      ...options,
      isCurrent: (page) => {
        const key = options.keyOf(page.home, page.object.id);
        return !options.sets.isPending(key) && this.#goesBy(key, page.generation);
      },
      refused: (from, { object, epoch }, error) => this.#refuse(from, object.id, epoch, error),
    });
  }

  onRequest(
    from: PeerRun,
    request: Exclude<
      LogRequest,
      { readonly type: 'blank' | 'digest' | 'leftover' | 'remote-report' | 'unsettled' }
    >,
  ): void {
    const { grants, clock, lostMax, send, sets } = this.#options;
    switch (request.type) {
      case 'seal':
      case 'append':
      case 'fetch':
      case 'pull':
      case 'page':
      case 'forget':
        this.#whenCurrent(from, request.object.id, request, () =>
          this.#onLogRequest(from, request),
        );
        return;
      case 'confirm':
        this.#whenCurrent(from, request.id, request, () => this.#onConfirm(from, request));
        return;
      case 'released':
        this.released(request.ids, from);
        return;
      case 'sets':
        sets.adopt(request.sets);
        return;
      case 'standings':
        this.#options.standings.heard(from.storeId, request.standings);
        return;
      case 'list':
        sets.whenAllAdopted(() => {
          send(from.node, { type: 'listed', round: request.round, page: this.list(request) });
        });
        return;
      case 'heartbeat': {
        const { mayPromise } = this.#options;
        const lost = mayPromise() ? grants.promise(from, clock.monotonicMs(), lostMax) : undefined;
        send(from.node, { type: 'heartbeat-answer', sentMs: request.sentMs, lost });
      }
    }
  }

  #onLogRequest(from: PeerRun, request: OfObject): void {
    switch (request.type) {
      case 'seal':
        this.#onSeal(from, request);
        return;
      case 'append':
        this.#onAppend(from, request);
        return;
      case 'fetch':
        this.#onFetch(from, request);
        return;
      case 'pull':
        this.#onPull(from, request);
        return;
      case 'page':
        this.#pages.take(from, request);
        return;
      case 'forget':
        this.#onForget(from, request);
    }
  }

  /** Runs `take` unless the sender goes by an older set than this store: then it is told so. */
  #whenCurrent(
    from: PeerRun,
    id: ObjectIdHex,
    request: Extract<LogRequest, { readonly home: string }>,
    take: () => void,
  ): void {
    const { epoch, home, generation } = request;
    const { sets, keyOf, tellSet, answer } = this.#options;
    const key = keyOf(home, id);
    sets.whenAdopted(key, () => {
      if (this.#goesBy(key, generation)) take();
      else if (generation < this.#generationOf(key)) {
        tellSet(from.node, key);
        answer(from.node, { type: 'stale-generation', id, epoch });
        // What is copied begins anew under the set that the sender hears of now, and not when its time is up.
        if (request.type === 'page') answer(from.node, { type: 'page-refused', id, epoch });
      }
    });
  }

  #generationOf(key: string): number {
    return this.#options.sets.get(key)?.generation ?? 0;
  }

  #goesBy(key: string, generation: number): boolean {
    const known = this.#generationOf(key);
    const isOneBehind = this.#options.bugs['one-behind'] === true && generation + 1 === known;
    return generation === known || isOneBehind;
  }

  /** Whoever promised no newer epoch has let no newer owner in: it need not have heard of this one. */
  #onConfirm(from: PeerRun, request: Extract<LogRequest, { type: 'confirm' }>): void {
    const { store, answer } = this.#options;
    const { id, epoch, generation, round } = request;
    const promised = store.head(id)?.promised ?? store.floor(id);
    if (promised > epoch) answer(from.node, { type: 'refused', id, epoch });
    else answer(from.node, { type: 'confirmed', id, epoch, generation, round });
  }

  /** As a seal by a peer; resolves when it may be counted. Rejects with `fenced`. */
  async seal(
    object: ObjectRef,
    epoch: Epoch,
    claimant: Holder,
  ): Promise<LogEnds & { readonly isVote: boolean }> {
    const { store, grants, superseded, givenUp, bugs } = this.#options;
    const taking = grants.take(object.id, claimant);
    try {
      await store.seal(object, epoch);
      superseded(object.id, epoch);
      if (bugs['damaged-votes'] !== true) await givenUp(object.id);
      await new Promise<void>((answer, refuse) => {
        const seals = this.#waiting.get(object.id) ?? [];
        seals.push({ epoch, taking, answer, refuse });
        this.#waiting.set(object.id, seals);
        this.#answerWaiting(object.id);
      });
    } finally {
      grants.taken(taking);
    }
    const isVote = !this.#isQuarantined(object.id) || bugs['quarantined-votes'] === true;
    return { ...pick(this.ends(object.id)), isVote };
  }

  #isQuarantined(id: ObjectIdHex): boolean {
    const { store, isDamaged, bugs } = this.#options;
    if (store.head(id)?.isQuarantined === true) return true;
    return bugs['damaged-votes'] !== true && isDamaged(id);
  }

  /** Vows as others of the set have. Resolves when that is on disk; rejects with `fenced`. */
  async raise(object: ObjectRef, epoch: Epoch): Promise<void> {
    const { store, superseded } = this.#options;
    await store.seal(object, epoch);
    superseded(object.id, epoch);
  }

  list(request: ListRequest): ListedPage {
    const { store, sets, keyOf } = this.#options;
    return listPage(store, sets, keyOf, request);
  }

  ends(id: ObjectIdHex): LogEnds {
    return this.#options.store.head(id) ?? { last: noRecord, applied: noRecord };
  }

  /** Promises made to a holder on this very node need no waiting for. */
  released(ids: readonly ObjectIdHex[], holder: Holder): void {
    this.#options.grants.released(ids, holder);
    for (const id of ids) this.#answerWaiting(id);
  }

  /** A link to the node stands. */
  up(peer: PeerRun): void {
    this.#options.grants.up(peer);
  }

  /** The link to the node is gone. */
  down(peer: PeerRun): void {
    this.#options.grants.down(peer);
    this.#pages.down(peer.node);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #onSeal(from: PeerRun, { object, epoch, generation }: Extract<LogRequest, { type: 'seal' }>) {
    const { id } = object;
    this.seal(object, epoch, from).then(
      ({ last, applied, isVote }) => {
        const { answer } = this.#options;
        if (isVote) answer(from.node, { type: 'sealed', id, epoch, generation, last, applied });
        else answer(from.node, { type: 'sealed-blank', id, epoch, generation });
      },
      (error: unknown) => this.#refuse(from, object.id, epoch, error),
    );
  }

  #onAppend(from: PeerRun, request: Extract<LogRequest, { type: 'append' }>): void {
    const { object, epoch, previous, records, committed, generation } = request;
    const { id } = object;
    const { store, grants, answer, superseded } = this.#options;
    // What is staged is held for nobody.
    const taking = request.isStaged ? undefined : grants.take(id, from);
    store.append({ object, epoch, previous, records, committed }).then(
      () => {
        superseded(id, epoch);
        if (taking !== undefined) {
          grants.hold(taking);
          grants.taken(taking);
        }
        const { lsn } = records.at(-1)?.name ?? previous;
        const committedLsn = committed.lsn;
        answer(from.node, { type: 'acked', id, epoch, generation, lsn, committed: committedLsn });
      },
      (error: unknown) => {
        if (taking !== undefined) grants.taken(taking);
        if (isHomingError(error) && isGap(error)) {
          answer(from.node, { type: 'gap', id, epoch, generation, ...pick(this.ends(id)) });
        } else this.#refuse(from, id, epoch, error);
      },
    );
  }

  #onFetch(from: PeerRun, request: Extract<LogRequest, { type: 'fetch' }>): void {
    const { store, copies, send, answer } = this.#options;
    const { object, epoch, home, generation } = request;
    const { id } = object;
    const head = store.head(id);
    const failed = () => answer(from.node, { type: 'fetch-failed', id, epoch });
    if (head !== undefined && (head.promised !== epoch || this.#isQuarantined(id))) {
      failed();
      return;
    }
    const sendTail = (applied: RecordName) => {
      const records = this.#tail(id);
      if (records === undefined) {
        failed();
        return;
      }
      const isSame = compareRecordNames(this.ends(id).applied, applied) === 0;
      const tail = { type: 'fetched', id, epoch, generation, applied, records } as const;
      // It may be long, and the link have no room: then the other asks again.
      if (!isSame || !send(from.node, tail)) failed();
    };
    if (head === undefined || compareRecordNames(head.applied, request.applied) <= 0) {
      sendTail(head?.applied ?? noRecord);
    } else {
      const order = { object, epoch, home, generation: () => generation, to: from.node };
      copies.start({ ...order, done: sendTail, failed });
    }
  }

  /** What is folded in was committed, whatever is promised meanwhile. */
  #onPull(from: PeerRun, request: Extract<LogRequest, { type: 'pull' }>): void {
    const { copies, answer } = this.#options;
    const { object, epoch, home, generation } = request;
    const { id } = object;
    const ended = () => answer(from.node, { type: 'pulled', id, epoch });
    if (copies.isUnderWay(from.node, id) || this.#isQuarantined(id)) {
      ended();
      return;
    }
    copies.start({
      object,
      epoch,
      home,
      generation: () => generation,
      to: from.node,
      isPaced: true,
      done: ended,
      failed: ended,
    });
  }

  /** Undefined where it is damaged. */
  #tail(id: ObjectIdHex): readonly EncodedRecord[] | undefined {
    try {
      return this.#options.store.tail(id);
    } catch (error) {
      this.#options.failed(error);
      return undefined;
    }
  }

  #onForget(from: PeerRun, request: Extract<LogRequest, { type: 'forget' }>): void {
    const { store, answer, failed, forgot } = this.#options;
    const { object, epoch, below } = request;
    const done = () => answer(from.node, { type: 'forgotten', id: object.id, epoch });
    const erased = () => {
      forgot(object.id);
      done();
    };
    store.forget(object.id, below).then(erased, (error: unknown) => {
      if (isHomingError(error) && error.code !== 'corruption') done();
      else failed(error);
    });
  }

  #refuse(from: PeerRun, id: ObjectIdHex, epoch: Epoch, error: unknown): void {
    const { answer, failed } = this.#options;
    if (isHomingError(error) && error.code === 'fenced') {
      answer(from.node, { type: 'refused', id, epoch });
    } else if (!isHomingError(error) || error.code === 'corruption') failed(error);
  }

  /**
   * Answers what no promise stands against any more, and comes back when the next one ends. A seal
   * that was superseded while it waited is refused: whoever superseded it would have to wait for
   * the promises that its holder would get.
   */
  #answerWaiting(id: ObjectIdHex): void {
    const seals = this.#waiting.get(id);
    if (seals === undefined) return;
    const { grants, clock, store } = this.#options;
    const nowMs = clock.monotonicMs();
    const promised = store.head(id)?.promised ?? store.floor(id);
    const still: WaitingSeal[] = [];
    for (const seal of seals) {
      if (promised > seal.epoch) {
        seal.refuse(new HomingError('fenced', `epoch ${seal.epoch} was superseded by ${promised}`));
        continue;
      }
      const atMs = grants.sealedAt(id, seal.taking.holder);
      if (atMs <= nowMs) {
        grants.hold(seal.taking);
        seal.answer();
      } else {
        still.push(seal);
        this.#lookAgainAt(atMs);
      }
    }
    if (still.length === 0) this.#waiting.delete(id);
    else this.#waiting.set(id, still);
  }

  #lookAgainAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    const { timers, clock } = this.#options;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = timers.after(atMs - clock.monotonicMs() + 1, () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      for (const id of [...this.#waiting.keys()]) this.#answerWaiting(id);
    });
  }
}

function isGap(error: HomingError): boolean {
  return error.code === 'invalid_argument';
}

function pick({ last, applied }: LogEnds): LogEnds {
  return { last, applied };
}
