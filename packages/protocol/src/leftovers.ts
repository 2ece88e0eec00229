/**
 * Copies of objects that a store holds and nobody needs: of a move that went away from here, or of one
 * that was to come here and was called off. Decides what a store that looks through its copies does
 * about each. Pure.
 *
 * A copy is a leftover when the object is at home, by the coordinator's record, where this store holds
 * none of it, and when it stays so for a while. What then makes it safe to erase:
 *
 *   promised < epoch of the record   no copy on its way here is under an older epoch than the record's:
 *                                    whoever brings the object back seals, or stages, under that one or
 *                                    a later one. The store compares again when it erases, in one step.
 *   promised = epoch of the record   the present owner staged it. It alone knows whether it still
 *                                    counts on it: it is asked, and orders it away or is silent.
 *   promised is a later attempt of   a floor, under which nobody owns or stages anything: the copy was
 *   the record's epoch               brought here anew after an owner had ordered it away.
 *   promised > epoch of the record   otherwise, the record was read too early.
 *
 * Invariant: what is erased leaves the epoch of the record as the floor, so that a store which erased a
 * copy refuses its earlier owners as before.
 *
 * Driven by the replication package (`Sweeper`).
 */
import {
  type Epoch,
  epochAfter,
  epochRevision,
  type MonotonicMs,
  type ObjectIdHex,
} from '@homing/base';
import type { DeliberateBugs } from './deliberate-bugs.ts';

export interface LeftoverView {
  /** By this store. */
  readonly promised: Epoch;
  /** Of the coordinator's record; where there is none, of the moment it was looked for. */
  readonly recordEpoch: Epoch;
  /** The object is at home, or may be, where this store is in its replica set; or is to have a copy here. */
  readonly isNeeded: boolean;
  /** A node that lives owns it. */
  readonly isOwned: boolean;
}

export type LeftoverVerdict =
  | { readonly type: 'keep' }
  /** Unless it has promised this epoch, or a later one, by then. */
  | { readonly type: 'erase'; readonly below: Epoch }
  /** Whether it needs the copy. */
  | { readonly type: 'ask-owner' };

interface Suspect {
  readonly promised: Epoch;
  readonly sinceMs: MonotonicMs;
  /** Looked at in this round. */
  isSeen: boolean;
}

export interface LeftoverOptions {
  /** How long a copy that nobody needs is kept all the same. */
  readonly delayMs: number;
  /** Copies that wait for that time; more begin to wait when others are gone. */
  readonly suspectsMax: number;
  readonly bugs?: DeliberateBugs | undefined;
}

const keep: LeftoverVerdict = { type: 'keep' };

export class Leftovers {
  readonly #options: LeftoverOptions;
  readonly #suspects = new Map<ObjectIdHex, Suspect>();

  constructor(options: LeftoverOptions) {
    this.#options = options;
  }

  look(id: ObjectIdHex, view: LeftoverView, nowMs: MonotonicMs): LeftoverVerdict {
    const { delayMs, suspectsMax, bugs } = this.#options;
    const { promised } = view;
    const suspect = this.#suspects.get(id);
    if (bugs?.['erases-what-came-back'] === true && suspect !== undefined) {
      // A mistake on purpose: what was found at first is still believed.
      suspect.isSeen = true;
      if (nowMs - suspect.sinceMs < delayMs) return keep;
      this.#suspects.delete(id);
      return { type: 'erase', below: epochAfter(promised) };
    }
    if (!isLeftover(view)) {
      this.#suspects.delete(id);
      return keep;
    }
    if (suspect?.promised !== promised) {
      // It has been here meanwhile, or was never looked at.
      if (suspect !== undefined || this.#suspects.size < suspectsMax) {
        this.#suspects.set(id, { promised, sinceMs: nowMs, isSeen: true });
      }
      return keep;
    }
    suspect.isSeen = true;
    if (nowMs - suspect.sinceMs < delayMs) return keep;
    if (promised === view.recordEpoch) return { type: 'ask-owner' };
    return { type: 'erase', below: laterOf(epochAfter(promised), view.recordEpoch) };
  }

  /** All copies were looked at: what was not among them is gone. */
  roundOver(): void {
    for (const [id, suspect] of this.#suspects) {
      if (!suspect.isSeen) this.#suspects.delete(id);
      suspect.isSeen = false;
    }
  }
}

function isLeftover({ promised, recordEpoch, isNeeded, isOwned }: LeftoverView): boolean {
  if (isNeeded) return false;
  if (promised === recordEpoch) return isOwned;
  return promised < recordEpoch || epochRevision(promised) === epochRevision(recordEpoch);
}

function laterOf(one: Epoch, other: Epoch): Epoch {
  return one > other ? one : other;
}
