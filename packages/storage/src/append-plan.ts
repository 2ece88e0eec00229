/**
 * What an append does to one object's log, decided from names alone: the rule that every `Store`
 * adapter shares. Pure; called once per request by the thread that writes.
 *
 * A log is its applied prefix (known by the name of its newest record only) and a tail of records
 * held beside the state. An append drops the part of the tail that it contradicts, adds its records,
 * and folds what is now known committed into the state.
 *
 * An object that was forgotten begins anew, from LSN 1. A store that did not hear of it holds a log of
 * the *former life* still: everything in it is older by epoch, whatever its LSNs.
 */
import {
  compareRecordNames,
  type Epoch,
  HomingError,
  noRecord,
  type RecordName,
} from '@homing/base';

export interface ObjectLog {
  readonly promised: Epoch;
  /** Newest record folded into the state. */
  readonly applied: RecordName;
  /** Records above `applied`, oldest first, without gaps. */
  readonly tail: readonly RecordName[];
}

export interface AppendPlan {
  readonly promised: Epoch;
  /** State and log are of a former life: all of it goes before anything else. */
  readonly isRestart: boolean;
  /** So many records at the head of the request are held already. */
  readonly skip: number;
  /** So many of the tail stay; those after are of a dead epoch and go. */
  readonly keep: number;
  /** So many of (kept tail, then new records) are folded into the state. */
  readonly fold: number;
}

function describe(name: RecordName): string {
  return `(epoch ${name.epoch}, LSN ${name.lsn})`;
}

function checkNames(names: readonly RecordName[]): void {
  for (let index = 0; index < names.length; index++) {
    const name = names[index] as RecordName;
    const previous = names[index - 1];
    if (!Number.isSafeInteger(name.lsn) || name.lsn < 1) {
      throw new TypeError(`a record's LSN must be a whole number >= 1: ${name.lsn}`);
    }
    if (previous && (name.lsn !== previous.lsn + 1 || name.epoch < previous.epoch)) {
      throw new TypeError(`${describe(name)} cannot follow ${describe(previous)} in one append`);
    }
  }
}

function refuse(log: ObjectLog, name: RecordName): HomingError {
  const last = log.tail.at(-1) ?? log.applied;
  return new HomingError(
    'invalid_argument',
    `record ${describe(name)} does not continue the log, which ends at ${describe(last)}`,
    { details: { lastEpoch: String(last.epoch), lastLsn: String(last.lsn) } },
  );
}

/** How many of (tail kept, new records) lie at or below `committed`, if that record is held. */
function foldCount(
  log: ObjectLog,
  keep: number,
  added: readonly RecordName[],
  committed: RecordName,
): number {
  const count = committed.lsn - log.applied.lsn;
  if (count <= 0 || count > keep + added.length) return 0;
  const held = count <= keep ? log.tail[count - 1] : added[count - keep - 1];
  return held?.epoch === committed.epoch ? count : 0;
}

export interface AppendNames {
  /** The sender's; by default that of the newest record. */
  readonly epoch?: Epoch | undefined;
  readonly previous?: RecordName | undefined;
  readonly names: readonly RecordName[];
  readonly committed: RecordName;
}

/** Throws `fenced` when a newer epoch than `epoch` was promised. */
export function checkPromise(promised: Epoch, epoch: Epoch): void {
  if (epoch >= promised) return;
  throw new HomingError('fenced', `epoch ${epoch} was superseded by ${promised}`, {
    executed: 'no',
    details: { epoch: String(promised) },
  });
}

/**
 * What lies below `applied` is held, whatever its epoch: it was committed. One of a greater epoch is
 * of a life that this log knows nothing of.
 */
function holds({ applied, tail }: ObjectLog, name: RecordName): boolean {
  if (name.lsn === 0) return true;
  if (name.lsn < applied.lsn) return name.epoch <= applied.epoch;
  if (name.lsn === applied.lsn) return name.epoch === applied.epoch;
  return tail[name.lsn - applied.lsn - 1]?.epoch === name.epoch;
}

/** The sender has the whole log, from its first record on, and what is applied here is not in it. */
function isFormerLife({ applied }: ObjectLog, { names, previous }: AppendNames): boolean {
  const [first] = names;
  if (first?.lsn !== 1 || previous?.lsn !== 0) return false;
  return applied.lsn > 0 && first.epoch > applied.epoch;
}

/**
 * Throws `fenced` when a newer epoch was promised, `invalid_argument` when the records do not follow
 * what is held, or contradict an applied record; `TypeError` when the records themselves are not a
 * sequence. Then nothing may be written.
 */
export function planAppend(held: ObjectLog, append: AppendNames): AppendPlan {
  const { names, previous, committed } = append;
  checkNames(names);
  const epoch = append.epoch ?? names.at(-1)?.epoch ?? held.promised;
  // Past this check it is the greater of the two.
  checkPromise(held.promised, epoch);
  const isRestart = isFormerLife(held, append);
  const log = isRestart ? { promised: held.promised, applied: noRecord, tail: [] } : held;
  if (previous !== undefined && !holds(log, previous)) throw refuse(log, previous);
  let skip = 0;
  let keep = log.tail.length;
  for (const name of names) {
    const index = name.lsn - log.applied.lsn - 1;
    if (index < 0) {
      if (compareRecordNames(name, log.applied) > 0) throw refuse(log, name);
    } else if (index > log.tail.length) {
      throw refuse(log, name);
    } else if (index === log.tail.length) {
      break;
    } else if (log.tail[index]?.epoch !== name.epoch) {
      keep = index;
      break;
    }
    skip += 1;
  }
  return {
    promised: epoch,
    isRestart,
    skip,
    keep,
    fold: foldCount(log, keep, skip === 0 ? names : names.slice(skip), committed),
  };
}

/** The error for an order to forget an object that has been promised to somebody since. */
export function stillPromised(promised: Epoch, epoch: Epoch): HomingError {
  return new HomingError('fenced', `the object is to be forgotten below epoch ${epoch}`, {
    executed: 'no',
    details: { epoch: String(promised) },
  });
}

/**
 * Whether a snapshot as of the record takes the place of what is held: where it is newer, unless a later
 * owner's records are held that it does not contain. Those may have been acknowledged: a state that they
 * do not continue is of a former life, or of a log that nobody has recovered from.
 * Throws `invalid_argument` for such a one: its sender is to find out where the log is.
 */
export function takesSnapshot({ applied, tail }: ObjectLog, name: RecordName): boolean {
  if (compareRecordNames(name, applied) <= 0) return false;
  const last = tail.at(-1);
  const isHeld = tail.some(({ lsn, epoch }) => lsn === name.lsn && epoch === name.epoch);
  if (last === undefined || last.epoch <= name.epoch || isHeld) return true;
  throw new HomingError(
    'invalid_argument',
    `a snapshot as of ${describe(name)} does not precede the log, which ends at ${describe(last)}`,
  );
}

/** A page of a snapshot that is not the one that follows: the sender begins anew. */
export function unexpectedPage(): HomingError {
  return new HomingError('invalid_argument', 'not the page of a snapshot that was expected');
}
