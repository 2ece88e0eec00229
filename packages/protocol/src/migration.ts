/**
 * The move of one object to another region: what is to be done next, from what has happened. Pure.
 *
 *   copying ──near──▶ freezing ──frozen──▶ settling ──settled──▶ switching ──▶ moved, stayed or unknown
 *      └───────── anything that goes wrong before the switch ─────────▶ stayed
 *
 * Invariants
 * 1. The switch is asked for only while the object is frozen, and once all that it ever wrote is on disk
 *    and known committed at a majority of the other region's set.
 * 2. From the moment that the switch is asked for the object is thawed here only when it surely did not
 *    happen. Where that is not known the log ends: only a claim of the object tells who owns it.
 * 3. A move ends once, and leaves the object frozen only where it is another's.
 *
 * Driven by the node, whose `Mover` carries out the effects.
 */
import type { DeliberateBugs } from './deliberate-bugs.ts';

export type MigrationInput =
  /** The copy has caught up but for a tail. */
  | { readonly type: 'near' }
  /** Nothing runs any more, and nothing new is delivered. */
  | { readonly type: 'frozen' }
  /** What runs did not end in time. */
  | { readonly type: 'busy' }
  /** The copy has all there is. */
  | { readonly type: 'settled' }
  | { readonly type: 'switched' }
  /** The record, the target or its shard's assignment is not as supposed: nothing has changed. */
  | { readonly type: 'not-switched' }
  | { readonly type: 'switch-unknown' }
  /** The copy, or the object's log here, will not come to an end. */
  | { readonly type: 'failed'; readonly why: string };

export type MigrationEffect =
  | { readonly type: 'freeze' }
  | { readonly type: 'settle' }
  | { readonly type: 'switch' }
  /** Gives the copy up. */
  | { readonly type: 'unstage' }
  /** The object goes on here. */
  | { readonly type: 'thaw' }
  /** It is the other node's: what waits goes there. */
  | { readonly type: 'leave' }
  /** It may be: the log ends, and whoever needs the object claims it. */
  | { readonly type: 'let-go' }
  | {
      readonly type: 'end';
      readonly outcome: 'moved' | 'stayed' | 'unknown';
      readonly why: string | undefined;
    };

export type MigrationPhase = 'copying' | 'freezing' | 'settling' | 'switching' | 'over';

export class Migration {
  readonly #bugs: DeliberateBugs;
  #phase: MigrationPhase = 'copying';
  /** From before the copy, as an object that was never used. */
  #isFrozen: boolean;

  constructor(options: { readonly isFrozen: boolean; readonly bugs?: DeliberateBugs | undefined }) {
    this.#isFrozen = options.isFrozen;
    this.#bugs = options.bugs ?? {};
  }

  get phase(): MigrationPhase {
    return this.#phase;
  }

  step(input: MigrationInput): readonly MigrationEffect[] {
    switch (this.#phase) {
      case 'copying':
        return input.type === 'near' ? this.#freeze() : this.#callOff(input);
      case 'freezing':
        if (input.type !== 'frozen') return this.#callOff(input);
        this.#isFrozen = true;
        return this.#settle();
      case 'settling':
        return input.type === 'settled' ? this.#switch() : this.#callOff(input);
      case 'switching':
        return this.#switched(input);
      case 'over':
        return [];
    }
  }

  #freeze(): readonly MigrationEffect[] {
    if (this.#isFrozen || this.#bugs['no-freeze'] === true) return this.#settle();
    this.#phase = 'freezing';
    return [{ type: 'freeze' }];
  }

  #settle(): readonly MigrationEffect[] {
    if (this.#bugs['switch-before-settle'] === true) return this.#switch();
    this.#phase = 'settling';
    return [{ type: 'settle' }];
  }

  #switch(): readonly MigrationEffect[] {
    this.#phase = 'switching';
    return [{ type: 'switch' }];
  }

  #switched(input: MigrationInput): readonly MigrationEffect[] {
    switch (input.type) {
      case 'switched':
        return this.#end('moved', undefined, [{ type: 'leave' }]);
      case 'not-switched':
        return this.#end('stayed', 'the object’s record, its target or replica set has changed', [
          { type: 'unstage' },
          { type: 'thaw' },
        ]);
      case 'switch-unknown':
        return this.#end('unknown', 'the coordinator did not say whether it moved', [
          { type: 'let-go' },
        ]);
      default:
        // What becomes of the copy does not matter any more.
        return [];
    }
  }

  /** Before the switch anything may go wrong at no cost. */
  #callOff(input: MigrationInput): readonly MigrationEffect[] {
    const isThawed = this.#phase === 'settling' || this.#isFrozen;
    const effects: MigrationEffect[] = isThawed
      ? [{ type: 'unstage' }, { type: 'thaw' }]
      : [{ type: 'unstage' }];
    if (input.type === 'busy') {
      return this.#end('stayed', 'what the object runs did not end in time', effects);
    }
    return input.type === 'failed' ? this.#end('stayed', input.why, effects) : [];
  }

  #end(
    outcome: 'moved' | 'stayed' | 'unknown',
    why: string | undefined,
    effects: readonly MigrationEffect[],
  ): readonly MigrationEffect[] {
    this.#phase = 'over';
    return [...effects, { type: 'end', outcome, why }];
  }
}
