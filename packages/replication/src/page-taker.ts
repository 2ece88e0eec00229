/**
 * Copies of objects that come to this store, in pages: which of two copies of an object is taken, and what
 * becomes of a page that the disk has no room for. Such a page is kept and tried again; from then on those
 * of its copy are written one after the other.
 *
 * Invariants: a store takes one copy of an object at a time. Each page is answered once, taken or refused,
 * unless its link is gone or another copy has begun. Pages kept are those that a sender has under way. None
 * of them is tried under another replica set than the store goes by.
 *
 * Used by `Replica`.
 */
import {
  type Clock,
  compareRecordNames,
  type Epoch,
  isHomingError,
  isOverloaded,
  type ObjectIdHex,
  type PeerRun,
  type RecordName,
  type Store,
  type Timers,
} from '@homing/base';
import type { LogAnswer, LogRequest } from './messages.ts';

type Page = Extract<LogRequest, { type: 'page' }>;

export interface PageTakerOptions {
  readonly store: Pick<Store, 'install'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly answer: (node: string, message: LogAnswer) => void;
  /** This node has asked that store for the object's state. */
  readonly isPulled: (id: ObjectIdHex, from: string) => boolean;
  /** The store still goes by the set under which the page was sent. */
  readonly isCurrent: (page: Page) => boolean;
  /** How long a copy whose next page does not come counts as under way, and a page is tried again. */
  readonly pageTimeoutMs: number;
  /** The store refused a page for a reason that concerns more than its copy. */
  readonly refused: (from: PeerRun, page: Page, error: unknown) => void;
}

/** A copy of which a page found no room. */
interface Slow {
  readonly node: string;
  readonly id: ObjectIdHex;
  readonly epoch: Epoch;
  readonly applied: RecordName;
  readonly waiting: Map<number, Page>;
  next: number;
  untilMs: number;
  isBusy: boolean;
}

/** How soon a page is tried again. */
const retryMs = 50;

export class PageTaker {
  readonly #options: PageTakerOptions;
  /** Objects whose state is coming: from which node, and when the last page came. */
  readonly #arriving = new Map<ObjectIdHex, { readonly node: string; readonly atMs: number }>();
  readonly #slow = new Map<ObjectIdHex, Slow>();

  constructor(options: PageTakerOptions) {
    this.#options = options;
  }

  take(from: PeerRun, page: Page): void {
    const { id } = page.object;
    if (this.#isInTheWay(from, page)) {
      this.#answerRefused(from, page);
      return;
    }
    if (page.index === 0) this.#slow.delete(id);
    const slow = this.#slowOf(from, page);
    if (slow === undefined) this.#install(from, page);
    else this.#keep(from, slow, page);
  }

  /** The link to the node is gone. */
  down(node: string): void {
    for (const copies of [this.#arriving, this.#slow]) {
      for (const [id, copy] of copies) if (copy.node === node) copies.delete(id);
    }
  }

  #install(from: PeerRun, page: Page): void {
    this.#options.store.install(page).then(
      () => this.#answerTaken(from, page),
      (error: unknown) => {
        const slow = this.#slowOf(from, page) ?? this.#slowed(from, page, error);
        // One that came after a page for which there was no room does not continue what is there.
        const isEarly = slow !== undefined && (isOverloaded(error) || isGap(error));
        if (isEarly && page.index >= slow.next) this.#keep(from, slow, page);
        else this.#refuse(from, page, error);
      },
    );
  }

  /** The copy is one of which pages wait, from now on. */
  #slowed(from: PeerRun, page: Page, error: unknown): Slow | undefined {
    const { clock, pageTimeoutMs } = this.#options;
    const { epoch, applied, object } = page;
    const { id } = object;
    // Of another copy than the last one that began here.
    if (!isOverloaded(error) || this.#slow.has(id)) return undefined;
    const slow: Slow = {
      node: from.node,
      id,
      epoch,
      applied,
      waiting: new Map(),
      next: page.index,
      untilMs: clock.monotonicMs() + pageTimeoutMs,
      isBusy: false,
    };
    this.#slow.set(id, slow);
    return slow;
  }

  #slowOf(from: PeerRun, { object, epoch, applied }: Page): Slow | undefined {
    const slow = this.#slow.get(object.id);
    const isSame =
      slow?.node === from.node &&
      slow.epoch === epoch &&
      compareRecordNames(slow.applied, applied) === 0;
    return isSame ? slow : undefined;
  }

  #keep(from: PeerRun, slow: Slow, page: Page): void {
    slow.waiting.set(page.index, page);
    if (!slow.isBusy) this.#later(from, slow);
  }

  #later(from: PeerRun, slow: Slow): void {
    slow.isBusy = true;
    this.#options.timers.after(retryMs, () => this.#tryNext(from, slow));
  }

  #tryNext(from: PeerRun, slow: Slow): void {
    const { store, clock, isCurrent, pageTimeoutMs } = this.#options;
    const { id } = slow;
    const page = slow.waiting.get(slow.next);
    slow.isBusy = page !== undefined && this.#slow.get(id) === slow;
    if (page === undefined) this.#dropLater(slow);
    if (page === undefined || !slow.isBusy) return;
    if (!isCurrent(page)) {
      this.#refuseCopy(from, page);
      return;
    }
    store.install(page).then(
      () => {
        if (this.#slow.get(id) !== slow) return;
        slow.waiting.delete(slow.next);
        slow.next += 1;
        slow.untilMs = clock.monotonicMs() + pageTimeoutMs;
        if (page.isLast) this.#slow.delete(id);
        this.#answerTaken(from, page);
        this.#tryNext(from, slow);
      },
      (error: unknown) => {
        if (this.#slow.get(id) !== slow) return;
        if (isOverloaded(error) && clock.monotonicMs() < slow.untilMs) this.#later(from, slow);
        else this.#refuse(from, page, error);
      },
    );
  }

  /** A sender may give a copy up without a word. */
  #dropLater(slow: Slow): void {
    const { timers, clock, pageTimeoutMs } = this.#options;
    timers.after(pageTimeoutMs + retryMs, () => {
      const isLate = !slow.isBusy && clock.monotonicMs() >= slow.untilMs;
      if (isLate && this.#slow.get(slow.id) === slow) this.#slow.delete(slow.id);
    });
  }

  #answerTaken(from: PeerRun, { object, epoch, applied, index }: Page): void {
    this.#options.answer(from.node, { type: 'page-taken', id: object.id, epoch, applied, index });
  }

  #answerRefused(from: PeerRun, { object, epoch }: Page): void {
    this.#options.answer(from.node, { type: 'page-refused', id: object.id, epoch });
  }

  #refuse(from: PeerRun, page: Page, error: unknown): void {
    this.#refuseCopy(from, page);
    if (!isHomingError(error) || !isGap(error)) this.#options.refused(from, page, error);
  }

  /** The page, and with it the rest of its copy. */
  #refuseCopy(from: PeerRun, page: Page): void {
    const { id } = page.object;
    const slow = this.#slowOf(from, page);
    if (slow !== undefined) this.#slow.delete(id);
    if (this.#arriving.get(id)?.node === from.node) this.#arriving.delete(id);
    const waiting = new Map(slow?.waiting).set(page.index, page);
    for (const each of waiting.values()) this.#answerRefused(from, each);
  }

  /**
   * The first page of another copy ends the one under way: two senders would end each other's for ever.
   * What was asked for gives way to what an owner sends unasked.
   */
  #isInTheWay({ node, storeId }: PeerRun, { object, isLast }: Page): boolean {
    const { clock, isPulled, pageTimeoutMs } = this.#options;
    const { id } = object;
    const arriving = this.#arriving.get(id);
    const nowMs = clock.monotonicMs();
    if (isPulled(id, storeId)) {
      const isUnderWay = arriving !== undefined && nowMs - arriving.atMs <= pageTimeoutMs;
      return isUnderWay && arriving.node !== node;
    }
    if (isLast) this.#arriving.delete(id);
    else this.#arriving.set(id, { node, atMs: nowMs });
    return false;
  }
}

function isGap(error: unknown): boolean {
  return isHomingError(error) && error.code === 'invalid_argument';
}
