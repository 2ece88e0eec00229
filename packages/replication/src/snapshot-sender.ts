/**
 * Copies of objects on their way to other stores: pages are read when there is room for them, a few
 * of each copy are under way, and few copies at the same time; the others wait.
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
  encodeBody,
  isOverloaded,
  type ObjectIdHex,
  type ObjectRef,
  type RecordName,
  type Snapshot,
  type Store,
  type Timer,
  type Timers,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import type { ReplicationLimits } from './limits.ts';
import type { LogAnswer, LogMessage } from './messages.ts';

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
  /** The state is on the other's disk as of this record. */
  done(applied: RecordName): void;
  failed(): void;
}

interface Copy {
  readonly order: CopyOrder;
  readonly snapshot: Snapshot;
  page: Uint8Array;
  /** Read ahead, so that the last page is known as such. */
  following: Uint8Array | undefined;
  sent: number;
  taken: number;
  isAllSent: boolean;
  /** It comes back by a timer. */
  isWaiting: boolean;
  /** Gives the copy up: an answer may be lost with a link's buffer. */
  timer: Timer | undefined;
}

/** How long to wait for room in a link's buffer. */
const retryMs = 20;

export interface SnapshotSenderOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly limits: ReplicationLimits;
  readonly send: (node: string, message: LogMessage) => boolean;
  /** What is held of an object is damaged. */
  readonly failed: (error: unknown) => void;
  readonly bugs: DeliberateBugs;
}

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #copies = new Map<string, Copy>();
  #waiting: CopyOrder[] = [];
  /** Pages of copies that were given up, whose answers are still to come: they come before others. */
  readonly #unanswered = new Map<string, { readonly epoch: Epoch; count: number }>();
  /** When the next page may leave of a copy that nobody waits for. */
  #pacedUntilMs = 0;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** A copy of the same object to the same node that is under way is given up. */
  start(order: CopyOrder): void {
    const key = keyOf(order.to, order.object.id);
    this.#drop(key);
    this.#waiting = this.#waiting.filter((other) => keyOf(other.to, other.object.id) !== key);
    this.#waiting.push(order);
    this.#startNext();
  }

  isUnderWay(node: string, id: ObjectIdHex): boolean {
    const isMeant = (order: CopyOrder) => order.to === node && order.object.id === id;
    return this.#copies.has(keyOf(node, id)) || this.#waiting.some(isMeant);
  }

  taken(
    node: string,
    { id, epoch, applied, index }: Extract<LogAnswer, { type: 'page-taken' }>,
  ): void {
    if (this.#isOfEarlier(node, id, epoch)) return;
    const copy = this.#find(node, id, epoch);
    if (copy === undefined || index !== copy.taken) return;
    // Of one whose time was up, which the store answers after all.
    if (compareRecordNames(applied, copy.snapshot.head.applied) !== 0) return;
    copy.taken += 1;
    this.#watch(copy);
    if (copy.isAllSent && copy.taken === copy.sent) {
      this.#drop(keyOf(node, id));
      copy.order.done(copy.snapshot.head.applied);
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
    const waiting = this.#waiting.filter((order) => order.to === node);
    this.#waiting = this.#waiting.filter((order) => order.to !== node);
    for (const copy of [...this.#copies.values()]) if (copy.order.to === node) this.#fail(copy);
    for (const order of waiting) order.failed();
  }

  /** Gives up copies of an object that is owned no more; nobody is told. */
  cancel(id: ObjectIdHex, epoch: Epoch): void {
    const isMeant = (order: CopyOrder) => order.object.id === id && order.epoch === epoch;
    this.#waiting = this.#waiting.filter((order) => !isMeant(order));
    for (const [key, copy] of this.#copies) if (isMeant(copy.order)) this.#drop(key);
    for (const [key, earlier] of this.#unanswered) {
      if (earlier.epoch === epoch && key.endsWith(id)) this.#unanswered.delete(key);
    }
    this.#startNext();
  }

  /** The same for one copy; another one to that node may follow under this epoch. */
  giveUp(node: string, id: ObjectIdHex, epoch: Epoch): void {
    const isMeant = (order: CopyOrder) =>
      order.to === node && order.object.id === id && order.epoch === epoch;
    this.#waiting = this.#waiting.filter((order) => !isMeant(order));
    const copy = this.#find(node, id, epoch);
    if (copy !== undefined) {
      const key = keyOf(node, id);
      const earlier = this.#unanswered.get(key);
      const before = earlier?.epoch === epoch ? earlier.count : 0;
      const count = before + copy.sent - copy.taken;
      if (count > 0) this.#unanswered.set(key, { epoch, count });
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
    copy?.snapshot.close();
    copy?.timer?.cancel();
    this.#copies.delete(key);
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
    for (;;) {
      const at = this.#waiting.findIndex((order) => this.#hasRoom(order));
      const [order] = at === -1 ? [] : this.#waiting.splice(at, 1);
      if (order === undefined) return;
      const copy = this.#begin(order);
      if (copy === undefined) {
        order.failed();
        continue;
      }
      this.#copies.set(keyOf(order.to, order.object.id), copy);
      this.#watch(copy);
      this.#fill(copy);
    }
  }

  /** Those that nobody waits for keep no others from beginning. */
  #hasRoom({ isPaced = false }: CopyOrder): boolean {
    let count = 0;
    for (const { order } of this.#copies.values())
      if ((order.isPaced ?? false) === isPaced) count += 1;
    return count < this.#options.limits.copiesMax;
  }

  #begin(order: CopyOrder): Copy | undefined {
    try {
      const snapshot = this.#open(order);
      if (snapshot === undefined) return undefined;
      const { pageBytes } = this.#options.limits;
      const first = snapshot.next(pageBytes);
      return {
        order,
        snapshot,
        page: first ?? encodeBody({ name: snapshot.head.applied, operations: [] }),
        following: first === undefined ? undefined : snapshot.next(pageBytes),
        sent: 0,
        taken: 0,
        isAllSent: false,
        isWaiting: false,
        timer: undefined,
      };
    } catch (error) {
      this.#options.failed(error);
      return undefined;
    }
  }

  /** Undefined also where the object is written to too fast to be read as of one moment. */
  #open({ object }: CopyOrder): Snapshot | undefined {
    try {
      return this.#options.store.snapshot(object.id);
    } catch (error) {
      if (isOverloaded(error)) return undefined;
      throw error;
    }
  }

  /** With a bug on purpose the page is of the present, and not of the copy's moment. */
  #next({ order, snapshot, sent }: Copy): Uint8Array | undefined {
    const { bugs, limits } = this.#options;
    if (bugs['torn-copy'] !== true) return snapshot.next(limits.pageBytes);
    const present = this.#open(order);
    for (let page = 0; page <= sent; page++) present?.next(limits.pageBytes);
    return present?.next(limits.pageBytes);
  }

  /** Takes the page's share of the bytes in a second, or comes back for it. */
  #hasToWait(copy: Copy): boolean {
    const { clock, limits } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#pacedUntilMs) {
      if (copy.sent === copy.taken) copy.timer?.cancel();
      this.#fillLater(copy, this.#pacedUntilMs - nowMs);
      return true;
    }
    const shareMs = (copy.page.length / limits.rebuildBytesPerSecond) * 1000;
    this.#pacedUntilMs = Math.max(nowMs, this.#pacedUntilMs) + shareMs;
    this.#watch(copy);
    return false;
  }

  #fillLater(copy: Copy, delayMs: number): void {
    const key = keyOf(copy.order.to, copy.order.object.id);
    if (copy.isWaiting) return;
    copy.isWaiting = true;
    // A clock may not tell apart what is less than that.
    this.#options.timers.after(Math.max(1, delayMs), () => {
      copy.isWaiting = false;
      if (this.#copies.get(key) === copy) this.#fill(copy);
    });
  }

  #fill(copy: Copy): void {
    const { limits, send } = this.#options;
    const { order, snapshot } = copy;
    while (!copy.isAllSent && copy.sent - copy.taken < limits.pagesInFlightMax) {
      if (order.isPaced === true && this.#hasToWait(copy)) return;
      const { applied, alarmMs, name } = snapshot.head;
      const isSent = send(order.to, {
        type: 'page',
        object: name === undefined ? order.object : { ...order.object, name },
        epoch: order.epoch,
        home: order.home,
        generation: order.generation(),
        applied,
        alarmMs,
        index: copy.sent,
        isLast: copy.following === undefined,
        page: copy.page,
      });
      if (!isSent) {
        // The link takes no more for now; where it is gone, `down` ends the copy.
        this.#fillLater(copy, retryMs);
        return;
      }
      copy.sent += 1;
      if (copy.following === undefined) copy.isAllSent = true;
      else {
        copy.page = copy.following;
        try {
          copy.following = this.#next(copy);
        } catch (error) {
          this.#options.failed(error);
          this.#fail(copy);
          return;
        }
      }
    }
  }
}

function keyOf(node: string, id: string): string {
  return `${node}\0${id}`;
}
