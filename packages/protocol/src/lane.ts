/**
 * What one node says to one process of another about sockets, both ways, across the breaks of their
 * link: each message is kept by its sender until the other end has it, and what a broken link had on it
 * is sent again by the next one. Pure; each end has one of these.
 *
 *   down ──link up, greet──▶ greeting ──greeted in the same life──▶ standing ──link down──▶ down
 *
 * A *life* of a lane is the time over which nothing is lost. An end that gives up, because the other was
 * away for too long, or too much is kept for it, begins the next life; the greater one counts for both.
 * An end stands once it has heard a greeting of its own life: what came before, on the same link, was of
 * an earlier one. A link carries messages in order, so that counting them is enough.
 *
 * Invariants
 * 1. Within a life each message is taken once, in the order in which it was put.
 * 2. What was not put on any link is never counted as taken.
 *
 * Driven by `SocketLanes` of the node package.
 */
import { assert } from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';

/** The first that each end says on a link, and whenever it begins a life. */
export interface LaneGreeting {
  readonly life: number;
  /** Messages that the sender has taken in it. */
  readonly taken: number;
}

/** What comes of a greeting. */
export type LaneGreeted =
  /** The lane stands, and goes on where the other end was. */
  | 'resumed'
  /** The lane stands, empty: the other end began a new life. It is to be greeted once more. */
  | 'renewed'
  /** The greeting of an earlier life: another one follows. */
  | 'ignored'
  /** The other end says what cannot be: a new life is to be begun. */
  | 'broken';

interface Kept {
  readonly message: Uint8Array;
  /** Whose bytes they are counted as while the lane does not stand. */
  readonly socket: string | undefined;
}

/** Kept messages that are done with are cut off the list in lots. */
const doneMax = 1024;

export class Lane {
  readonly #bugs: DeliberateBugs | undefined;
  #life = 1;
  #state: 'down' | 'greeting' | 'standing' = 'down';
  /** Messages put in this life that the other end is known to have taken. */
  #acknowledged = 0;
  /** From `#done` on, those that it is not known to have taken. */
  #kept: Kept[] = [];
  #done = 0;
  /** In `#kept`: the next that the link is to take. */
  #next = 0;
  #keptBytes = 0;
  /** Bytes by socket of what was put or kept since the lane last stood. */
  readonly #waiting = new Map<string, number>();
  #taken = 0;
  #untold = 0;
  #untoldBytes = 0;

  constructor(bugs?: DeliberateBugs) {
    this.#bugs = bugs;
  }

  get state(): 'down' | 'greeting' | 'standing' {
    return this.#state;
  }

  /** Bytes of messages that the other end is not known to have taken. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Bytes that wait for the lane to stand, of one socket. */
  waitingBytes(socket: string): number {
    return this.#waiting.get(socket) ?? 0;
  }

  /** How far the other end's messages were taken, and what is to be said of it. */
  get greeting(): LaneGreeting {
    return { life: this.#life, taken: this.#taken };
  }

  /** A link stands: `greeting` is to be the first that is said on it. */
  up(): void {
    assert(this.#state === 'down', 'lane: a second link');
    this.#state = 'greeting';
  }

  down(): void {
    this.#state = 'down';
    this.#waiting.clear();
    for (let index = this.#done; index < this.#kept.length; index++) {
      const { socket, message } = this.#kept[index] as Kept;
      this.#wait(socket, message);
    }
  }

  /** Gives up what is kept, and the other end's word. Where there is a link it is to be greeted again. */
  renew(): void {
    this.#begin(this.#life + 1);
    if (this.#state === 'standing') this.#state = 'greeting';
  }

  greeted({ life, taken }: LaneGreeting): LaneGreeted {
    if (life > this.#life) {
      this.#begin(life);
      this.#stand();
      return 'renewed';
    }
    if (life < this.#life || this.#state !== 'greeting') return 'ignored';
    const isDoubling = this.#bugs?.['lane-doubles'] === true;
    if (!isDoubling && !this.acknowledge(life, taken)) return 'broken';
    if (this.#bugs?.['lane-forgets'] !== true) this.#next = this.#done;
    this.#stand();
    return 'resumed';
  }

  /** The other end has taken so many in all. False for what cannot be. */
  acknowledge(life: number, taken: number): boolean {
    if (life !== this.#life) return true;
    const isPossible =
      taken >= this.#acknowledged && taken - this.#acknowledged <= this.#kept.length - this.#done;
    if (!isPossible) return false;
    for (; this.#acknowledged < taken; this.#acknowledged++) {
      this.#keptBytes -= (this.#kept[this.#done] as Kept).message.length;
      this.#done += 1;
    }
    this.#next = Math.max(this.#next, this.#done);
    if (this.#done >= doneMax || this.#done === this.#kept.length) {
      this.#kept.splice(0, this.#done);
      this.#next -= this.#done;
      this.#done = 0;
    }
    return true;
  }

  // ── To the other end ───────────────────────────────────────────────────────────────────────

  /** Puts a message behind all others. */
  put(message: Uint8Array, socket?: string): void {
    this.#kept.push({ message, socket });
    this.#keptBytes += message.length;
    if (this.#state !== 'standing') this.#wait(socket, message);
  }

  /** What the link is to take next; undefined where there is nothing, or the lane does not stand. */
  next(): Uint8Array | undefined {
    return this.#state === 'standing' ? this.#kept[this.#next]?.message : undefined;
  }

  /** The link has taken it. */
  sent(): void {
    assert(this.#next < this.#kept.length, 'lane: sent what was not put');
    this.#next += 1;
  }

  // ── From the other end ─────────────────────────────────────────────────────────────────────

  /** Whether a message that came is to be taken; else it is of an earlier life. */
  take(bytes: number): boolean {
    if (this.#state !== 'standing') return false;
    this.#taken += 1;
    this.#untold += 1;
    this.#untoldBytes += bytes;
    return true;
  }

  /** Messages, and bytes of them, that were taken since the other end was told. */
  get untold(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#untold, bytes: this.#untoldBytes };
  }

  told(): void {
    this.#untold = 0;
    this.#untoldBytes = 0;
  }

  #begin(life: number): void {
    this.#life = life;
    this.#acknowledged = 0;
    this.#kept = [];
    this.#done = 0;
    this.#next = 0;
    this.#keptBytes = 0;
    this.#waiting.clear();
    this.#taken = 0;
    this.told();
  }

  #stand(): void {
    this.#state = 'standing';
    this.#waiting.clear();
    this.told();
  }

  #wait(socket: string | undefined, { length }: Uint8Array): void {
    if (socket !== undefined) this.#waiting.set(socket, this.waitingBytes(socket) + length);
  }
}
