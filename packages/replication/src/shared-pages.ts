/**
 * The state of one object, read once for copies to several stores: pages are read as the first of the
 * copies needs them, and kept until the last has passed them.
 *
 * Invariants
 * 1. All readers see the same pages: of one moment, that of `head`.
 * 2. At most `pagesMax` pages are kept. A reader that is so far ahead of another waits.
 * 3. The snapshot is open as long as there are readers, and no longer.
 *
 * Used by `SnapshotSender`.
 */
import { assert, encodeBody, type ObjectHead, type Snapshot } from '@homing/base';
import type { LogMessage } from './messages.ts';

type PageMessage = Extract<LogMessage, { type: 'page' }>;

export interface SharedPage {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
  /** As it was sent last: the same to several stores, which is encoded once. */
  message?: PageMessage | undefined;
}

export interface SharedPagesOptions {
  readonly snapshot: Snapshot;
  readonly pagesMax: number;
  readonly pageBytes: number;
  /** Tests only: where the next page comes from instead. */
  readonly torn?: ((index: number) => Uint8Array | undefined) | undefined;
}

export class SharedPages {
  readonly head: ObjectHead;
  readonly #options: SharedPagesOptions;
  /** By reader, the page that it needs next. */
  readonly #readers = new Map<object, number>();
  readonly #kept: SharedPage[] = [];
  /** Number of the first page that is kept. */
  #first = 0;
  /** Read ahead, so that the last page is known as such. */
  #ahead: Uint8Array | undefined;
  #isBegun = false;

  constructor(options: SharedPagesOptions) {
    this.#options = options;
    this.head = options.snapshot.head;
  }

  /** No page has been read: whoever joins now misses none. */
  get isFresh(): boolean {
    return !this.#isBegun;
  }

  join(reader: object): void {
    assert(this.isFresh, 'shared pages: joined too late');
    this.#readers.set(reader, 0);
  }

  leave(reader: object): void {
    if (!this.#readers.delete(reader)) return;
    if (this.#readers.size === 0) this.#options.snapshot.close();
    else this.#trim();
  }

  /** The page that the reader needs next; undefined while others are too far behind. Throws what the snapshot does. */
  page(reader: object): SharedPage | undefined {
    const index = this.#indexOf(reader);
    const kept = this.#kept[index - this.#first];
    if (kept !== undefined) return kept;
    assert(index === this.#first + this.#kept.length, 'shared pages: a page is skipped');
    if (this.isFull) return undefined;
    const page = this.#read(index);
    this.#kept.push(page);
    return page;
  }

  passed(reader: object): void {
    this.#readers.set(reader, this.#indexOf(reader) + 1);
    this.#trim();
  }

  /** Nothing more is read until the last reader has gone on. */
  get isFull(): boolean {
    return this.#kept.length >= this.#options.pagesMax;
  }

  /** Of the readers that are furthest behind. */
  isBehind(reader: object): boolean {
    return this.#readers.get(reader) === this.#first;
  }

  #read(index: number): SharedPage {
    const { applied } = this.head;
    const bytes = this.#isBegun
      ? this.#ahead
      : (this.#next(0) ?? encodeBody({ name: applied, operations: [] }));
    this.#isBegun = true;
    assert(bytes !== undefined, 'shared pages: read past the last one');
    this.#ahead = this.#next(index + 1);
    return { bytes, isLast: this.#ahead === undefined };
  }

  #next(index: number): Uint8Array | undefined {
    const { snapshot, pageBytes, torn } = this.#options;
    return index > 1 && torn !== undefined ? torn(index) : snapshot.next(pageBytes);
  }

  #trim(): void {
    const least = Math.min(...this.#readers.values());
    const count = Math.max(0, least - this.#first);
    this.#kept.splice(0, count);
    this.#first += count;
  }

  #indexOf(reader: object): number {
    const index = this.#readers.get(reader);
    assert(index !== undefined, 'shared pages: not a reader');
    return index;
  }
}
