/**
 * Copies of objects on their way to other stores: pages are read when there is room for them, a few
 * of each copy are under way, and few copies at the same time; the others wait. Copies of one object that
 * nobody waits for and that are begun in one turn are read once, and go at the pace of the slowest store, but
 * not of one that answers nothing.
 *
 * Invariant: each copy ends with exactly one call of `done` or `failed`, unless it was cancelled.
 *
 * Called by the owner of an object whose replica is far behind, and by a replica that an owner
 * recovers from.
 */
import {
  type Clock,
  compareRecordNames,
  type Epoch,
  isOverloaded,
  type ObjectIdHex,
  type ObjectRef,
  type RecordName,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import { CopyPace } from './copy-pace.ts';
import type { ReplicationLimits } from './limits.ts';
import type { LogAnswer, LogMessage } from './messages.ts';
import { type SharedPage, SharedPages } from './shared-pages.ts';

export interface CopyOrder {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  readonly home: string;
  /** Of the replica set, as it is when a page leaves. */
  readonly generation: () => number;
  /** The node to send to. */
  readonly to: string;
  /** Nobody waits for it: it shares `rebuildBytesPerSecond` with others of its kind. */
  readonly isPaced?: boolean;
  /** It gives way where the node is busy, as long as this is false. Without it never: a set lacks a copy. */
  readonly isUrgent?: () => boolean;
  /** The state is on the other's disk as of this record. */
  done(applied: RecordName): void;
  failed(): void;
}

interface Copy {
  readonly order: CopyOrder;
  readonly pages: SharedPages;
  readonly beganMs: number;
  sent: number;
  taken: number;
  isAllSent: boolean;
  /** It comes back by a timer, when the link may have room. */
  isWaiting: boolean;
  /** It waits for stores that are too far behind, but not for ever. */
  held: Timer | undefined;
  /** Gives the copy up: an answer may be lost with a link's buffer. */
  timer: Timer | undefined;
}

/** Pages of copies that were given up, whose answers are still to come. */
interface Unanswered {
  readonly epoch: Epoch;
  /** What the last of those copies was as of, and which pages of it were taken. */
  readonly applied: RecordName;
  readonly taken: number;
  count: number;
}

/** How long to wait for room in a link's buffer. */
const retryMs = 20;

export interface SnapshotSenderOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  /** As `ReplicationOptions` has it. */
  readonly utilisation: () => number;
  readonly send: (node: string, message: LogMessage) => boolean;
  /** What is held of an object is damaged. */
  readonly failed: (error: unknown) => void;
  readonly bugs: DeliberateBugs;
}

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #copies = new Map<string, Copy>();
  /** In the order in which they are to begin. */
  readonly #waiting = new Map<string, CopyOrder>();
  /** They come before others, or not at all. */
  readonly #unanswered = new Map<string, Unanswered>();
  readonly #pace: CopyPace;
  /** Of those that nobody waits for: whose next page may leave when its turn comes, in this order. */
  readonly #turns = new Set<Copy>();
  #isTurnDue = false;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
    this.#pace = new CopyPace(options.limits, options.utilisation);
  }

  /** A copy of the same object to the same node that is under way is given up. */
  start(order: CopyOrder): void {
    const key = keyOf(order.to, order.object.id);
    this.#drop(key);
    this.#waiting.delete(key);
    this.#waiting.set(key, order);
    // Those to other stores, which are read with it, may be started in this very turn.
    if (order.isPaced === true) queueMicrotask(() => this.#startNext());
    else this.#startNext();
  }

  isUnderWay(node: string, id: ObjectIdHex): boolean {
    const key = keyOf(node, id);
    return this.#copies.has(key) || this.#waiting.has(key);
  }

  taken(
    node: string,
    { id, epoch, applied, index }: Extract<LogAnswer, { type: 'page-taken' }>,
  ): void {
    const copy = this.#find(node, id, epoch);
    if (copy !== undefined) this.#dropOvertaken(copy, applied, index);
    if (this.#isOfEarlier(node, id, epoch)) return;
    if (copy === undefined || index !== copy.taken) return;
    // Of one whose time was up, which the store answers after all.
    if (compareRecordNames(applied, copy.pages.head.applied) !== 0) return;
    copy.taken += 1;
    this.#watch(copy);
    if (copy.isAllSent && copy.taken === copy.sent) {
      this.#drop(keyOf(node, id));
      copy.order.done(copy.pages.head.applied);
      this.#startNext();
    } else this.#fill(copy);
  }

  refused(node: string, id: ObjectIdHex, epoch: Epoch): void {
    if (this.#isOfEarlier(node, id, epoch)) return;
    const copy = this.#find(node, id, epoch);
    if (copy !== undefined) this.#fail(copy);
  }

  /** The link is gone, and with it what was under way. */
  down(node: string): void {
    const prefix = keyOf(node, '');
    for (const key of this.#unanswered.keys()) {
      if (key.startsWith(prefix)) this.#unanswered.delete(key);
    }
    const waiting = [...this.#waiting.values()].filter((order) => order.to === node);
    for (const { object } of waiting) this.#waiting.delete(keyOf(node, object.id));
    for (const copy of [...this.#copies.values()]) if (copy.order.to === node) this.#fail(copy);
    for (const order of waiting) order.failed();
  }

  /** Gives up copies of an object that is owned no more; nobody is told. */
  cancel(id: ObjectIdHex, epoch: Epoch): void {
    const isMeant = (order: CopyOrder) => order.object.id === id && order.epoch === epoch;
    for (const [key, order] of this.#waiting) if (isMeant(order)) this.#waiting.delete(key);
    for (const [key, copy] of this.#copies) if (isMeant(copy.order)) this.#drop(key);
    for (const [key, earlier] of this.#unanswered) {
      if (earlier.epoch === epoch && key.endsWith(id)) this.#unanswered.delete(key);
    }
    this.#startNext();
  }

  /** The same for one copy; another one to that node may follow under this epoch. */
  giveUp(node: string, id: ObjectIdHex, epoch: Epoch): void {
    const key = keyOf(node, id);
    if (this.#waiting.get(key)?.epoch === epoch) this.#waiting.delete(key);
    const copy = this.#find(node, id, epoch);
    if (copy !== undefined) {
      const earlier = this.#unanswered.get(key);
      const before = earlier?.epoch === epoch ? earlier.count : 0;
      const count = before + copy.sent - copy.taken;
      const { applied } = copy.pages.head;
      const { taken } = copy;
      if (count > 0) this.#unanswered.set(key, { epoch, applied, taken, count });
      this.#drop(key);
    }
    this.#startNext();
  }

  #find(node: string, id: ObjectIdHex, epoch: Epoch): Copy | undefined {
    const copy = this.#copies.get(keyOf(node, id));
    return copy?.order.epoch === epoch ? copy : undefined;
  }

  #drop(key: string): void {
    const copy = this.#copies.get(key);
    if (copy === undefined) return;
    copy.timer?.cancel();
    copy.held?.cancel();
    this.#copies.delete(key);
    this.#turns.delete(copy);
    copy.pages.leave(copy);
    this.#release(copy.pages);
  }

  /**
   * A store that has begun the copy under way answers nothing of an earlier one any more: pages of that
   * which waited there are gone. Told where the answer can be of no other copy.
   */
  #dropOvertaken({ order, pages }: Copy, applied: RecordName, index: number): void {
    const key = keyOf(order.to, order.object.id);
    const earlier = this.#unanswered.get(key);
    if (earlier?.epoch !== order.epoch) return;
    if (compareRecordNames(applied, pages.head.applied) !== 0) return;
    const isOther = compareRecordNames(applied, earlier.applied) !== 0;
    if (isOther || index < earlier.taken) this.#unanswered.delete(key);
  }

  /** An answer to a page of a copy that was given up says nothing of the one under way. */
  #isOfEarlier(node: string, id: ObjectIdHex, epoch: Epoch): boolean {
    const key = keyOf(node, id);
    const earlier = this.#unanswered.get(key);
    if (earlier?.epoch !== epoch) return false;
    earlier.count -= 1;
    if (earlier.count === 0) this.#unanswered.delete(key);
    return true;
  }

  #watch(copy: Copy): void {
    const { timers, limits } = this.#options;
    copy.timer?.cancel();
    copy.timer = timers.after(limits.pageTimeoutMs, () => {
      this.#fail(copy);
      // What has not been answered by now is taken for lost.
      this.#unanswered.delete(keyOf(copy.order.to, copy.order.object.id));
    });
  }

  #fail(copy: Copy): void {
    this.#drop(keyOf(copy.order.to, copy.order.object.id));
    copy.order.failed();
    this.#startNext();
  }

  #startNext(): void {
    const begun: Copy[] = [];
    for (;;) {
      const order = this.#nextWaiting();
      if (order === undefined) break;
      this.#waiting.delete(keyOf(order.to, order.object.id));
      const copy = this.#begin(order);
      if (copy === undefined) {
        order.failed();
        continue;
      }
      this.#copies.set(keyOf(order.to, order.object.id), copy);
      this.#watch(copy);
      begun.push(copy);
    }
    for (const copy of begun) if (this.#isCurrent(copy)) this.#fill(copy);
  }

  #nextWaiting(): CopyOrder | undefined {
    const rooms = new Map([true, false].map((isPaced) => [isPaced, this.#hasRoom({ isPaced })]));
    for (const order of this.#waiting.values()) if (rooms.get(order.isPaced ?? false)) return order;
    return undefined;
  }

  /** Those that nobody waits for keep no others from beginning. */
  #hasRoom({ isPaced = false }: Pick<CopyOrder, 'isPaced'>): boolean {
    let count = 0;
    for (const { order } of this.#copies.values())
      if ((order.isPaced ?? false) === isPaced) count += 1;
    return count < this.#options.limits.copiesMax;
  }

  #isCurrent(copy: Copy): boolean {
    return this.#copies.get(keyOf(copy.order.to, copy.order.object.id)) === copy;
  }

  #begin(order: CopyOrder): Copy | undefined {
    try {
      const pages = this.#shared(order) ?? this.#pagesOf(order);
      if (pages === undefined) return undefined;
      const copy: Copy = {
        order,
        pages,
        beganMs: this.#options.clock.monotonicMs(),
        sent: 0,
        taken: 0,
        isAllSent: false,
        isWaiting: false,
        held: undefined,
        timer: undefined,
      };
      pages.join(copy);
      return copy;
    } catch (error) {
      this.#options.failed(error);
      return undefined;
    }
  }

  /** The pages of a copy that began in this turn. */
  #shared({ object, epoch, home, isPaced }: CopyOrder): SharedPages | undefined {
    for (const { order, pages } of this.#copies.values()) {
      const isSame = order.object.id === object.id && order.epoch === epoch && order.home === home;
      if (isSame && order.isPaced === isPaced && pages.isFresh) return pages;
    }
    return undefined;
  }

  #pagesOf(order: CopyOrder): SharedPages | undefined {
    const { bugs, limits } = this.#options;
    const snapshot = this.#open(order);
    if (snapshot === undefined) return undefined;
    // With a bug on purpose a page is of the present, and not of the copy's moment.
    const torn = (index: number) => {
      const present = this.#open(order);
      for (let page = 0; page < index; page++) present?.next(limits.pageBytes);
      return present?.next(limits.pageBytes);
    };
    return new SharedPages({
      snapshot,
      pagesMax: limits.pagesKeptMax,
      pageBytes: limits.pageBytes,
      torn: bugs['torn-copy'] === true ? torn : undefined,
    });
  }

  /** Undefined also where the object is written to too fast to be read as of one moment. */
  #open({ object }: CopyOrder) {
    try {
      return this.#options.store.snapshot(object.id);
    } catch (error) {
      if (isOverloaded(error)) return undefined;
      throw error;
    }
  }

  /** Takes the page's share of the bytes in a second, or waits for its turn. */
  #hasToWait(copy: Copy, bytes: number): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const delayMs = this.#pace.ask(nowMs, bytes, this.#isUrgent(copy, nowMs));
    if (delayMs === 0) {
      this.#watch(copy);
      return false;
    }
    if (copy.sent === copy.taken) copy.timer?.cancel();
    this.#turns.add(copy);
    this.#turnLater(delayMs);
    return true;
  }

  #isUrgent({ order, beganMs }: Copy, nowMs: number): boolean {
    return nowMs - beganMs > this.#options.limits.rebuildYieldMs || order.isUrgent?.() !== false;
  }

  #turnLater(delayMs: number): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    const { clock, timers } = this.#options;
    // A clock may not tell apart what is less than that.
    const waitMs = Math.max(1, delayMs);
    timers.after(waitMs, () => {
      this.#isTurnDue = false;
      this.#pace.cameBack(clock.monotonicMs());
      for (const copy of [...this.#turns]) {
        // The turn is taken, and whoever waits comes back with the next one.
        if (this.#isTurnDue) return;
        if (this.#turns.delete(copy)) this.#fill(copy);
      }
    });
  }

  #fillLater(copy: Copy): void {
    if (copy.isWaiting) return;
    copy.isWaiting = true;
    this.#options.timers.after(retryMs, () => {
      copy.isWaiting = false;
      if (this.#isCurrent(copy)) this.#fill(copy);
    });
  }

  #fill(copy: Copy): void {
    const { limits, send } = this.#options;
    const { order, pages } = copy;
    while (!copy.isAllSent && copy.sent - copy.taken < limits.pagesInFlightMax) {
      const page = this.#read(copy);
      if (page === undefined) return;
      if (order.isPaced === true && this.#hasToWait(copy, page.bytes.length)) return;
      if (!send(order.to, messageOf(copy, page))) {
        // The link takes no more for now; where it is gone, `down` ends the copy.
        this.#fillLater(copy);
        return;
      }
      copy.sent += 1;
      copy.isAllSent = page.isLast;
      pages.passed(copy);
      this.#release(pages);
    }
  }

  /** Undefined where the copy has failed, or waits for others. */
  #read(copy: Copy): SharedPage | undefined {
    try {
      const page = copy.pages.page(copy);
      if (page === undefined) this.#hold(copy);
      return page;
    } catch (error) {
      this.#options.failed(error);
      this.#fail(copy);
      return undefined;
    }
  }

  /** It waits for stores that are behind, and no longer than `laggardMs` for one that answers nothing. */
  #hold(copy: Copy): void {
    if (copy.held !== undefined) return;
    const { timers, limits } = this.#options;
    // Nothing is awaited of its own store.
    if (copy.sent === copy.taken) copy.timer?.cancel();
    const taken = new Map(this.#laggards(copy.pages).map((other) => [other, other.taken]));
    copy.held = timers.after(limits.laggardMs, () => {
      copy.held = undefined;
      const isStuck = (other: Copy) =>
        taken.get(other) === other.taken && other.sent - other.taken >= limits.pagesInFlightMax;
      for (const other of this.#laggards(copy.pages)) if (isStuck(other)) this.#fail(other);
      if (this.#isCurrent(copy)) this.#fill(copy);
    });
  }

  #laggards(pages: SharedPages): Copy[] {
    return [...this.#copies.values()].filter(
      (copy) => copy.pages === pages && pages.isBehind(copy),
    );
  }

  /** Those that waited for others go on, if they can. */
  #release(pages: SharedPages): void {
    if (pages.isFull) return;
    for (const copy of [...this.#copies.values()]) {
      if (copy.pages !== pages || copy.held === undefined) continue;
      copy.held.cancel();
      copy.held = undefined;
      this.#watch(copy);
      this.#fill(copy);
    }
  }
}

/** The same message for all stores, where the set is the same: it is encoded once. */
function messageOf({ order, pages, sent }: Copy, page: SharedPage): LogMessage {
  const generation = order.generation();
  if (page.message?.generation === generation) return page.message;
  const { applied, alarmMs, name } = pages.head;
  page.message = {
    type: 'page',
    object: name === undefined ? order.object : { ...order.object, name },
    epoch: order.epoch,
    home: order.home,
    generation,
    applied,
    alarmMs,
    index: sent,
    isLast: page.isLast,
    page: page.bytes,
  };
  return page.message;
}

function keyOf(node: string, id: string): string {
  return `${node}\0${id}`;
}
