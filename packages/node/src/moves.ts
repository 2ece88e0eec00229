/** What it is to move an object to another node: why, where to, how it ended, and within which bounds. */

/** Why an object moves; a label of `homing_migrations_total`. */
export type MoveReason = 'operator' | 'callers' | 'first_use' | 'drain';

/** To that node, or to whichever node of the region is best. */
export type MoveTarget = { readonly node: string } | { readonly region: string };

export interface MoveOutcome {
  /**
   * moved: another node owns the object; stayed: it was called off, and the object goes on here;
   * unknown: it may be there or here, and the next call finds out; refused: it was not tried.
   */
  readonly outcome: 'moved' | 'stayed' | 'unknown' | 'refused';
  /** The node it was moved to. */
  readonly node?: string | undefined;
  /** For people: why it was not moved. */
  readonly why?: string | undefined;
}

/** How moves between regions behave, and their bounds. */
export interface MoveLimits {
  /** Objects on their way to other regions at a time, but for those that were never used. */
  readonly regionMovesMax: number;
  /** The same for objects that go to their first user's region. */
  readonly firstMovesMax: number;
  /** How long the state may take to be copied, while the object goes on. */
  readonly moveCopyTimeoutMs: number;
  /** How long an object may take to end what it runs, before the move is called off. */
  readonly moveFreezeTimeoutMs: number;
  /** How long the last records may take to reach the other region, while the object waits; and the empty copy of one that was never used. */
  readonly moveSettleTimeoutMs: number;
}
