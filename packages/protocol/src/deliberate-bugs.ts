/**
 * Mistakes that the simulator and tests make on purpose, one at a time, to see that their checks notice
 * them: each takes one rule of the protocol away. Nothing but tests passes any.
 */
export type DeliberateBug =
  /** Recovery serves what it found without a record of its own epoch above it. */
  | 'no-barrier'
  /** Copies of records of older epochs count as commits. */
  | 'older-epochs-count'
  /** An owner counts a promise from when it heard of it, not from when it asked. */
  | 'promise-from-receipt'
  /** A seal is answered whatever was promised to the object's holder. */
  | 'seals-ignore-promises'
  /** A restarted replica answers seals at once. */
  | 'no-silence'
  /** Answers to heartbeats do not name lost objects. */
  | 'lost-not-named'
  /** The pages of a copy are of different moments. */
  | 'torn-copy'
  /** An object is forgotten before every member has the record that emptied it. */
  | 'forgets-early'
  /** A quarantined replica answers seals, with the little that it holds. */
  | 'quarantined-votes'
  /** A damaged replica answers as if it were whole, until its disk has taken down that it is not. */
  | 'damaged-votes'
  /** While a replica set changes, a majority of the new list alone decides. */
  | 'one-list'
  /** Those that are to join a replica set have a vote before they have its state. */
  | 'learners-vote'
  /** A replica takes messages of the generation before its own. */
  | 'one-behind'
  /** A store says that it is complete before it has looked. */
  | 'complete-early'
  /** A change is finished though nobody has adopted it, or promises given before may stand. */
  | 'finish-early'
  /** A copy goes to a store that has but one fewer. */
  | 'restless'
  /** A move to another region goes on while the object runs. */
  | 'no-freeze'
  /** The record is switched to the other region before the copy there has all there is. */
  | 'switch-before-settle'
  /** What lies at the other region is taken for a copy of the object as it is. */
  | 'stale-staged-copy'
  /** An owner goes on with an object that it has moved to another region. */
  | 'acts-after-switch'
  /** A home that is better at all is worth a move. */
  | 'no-hysteresis'
  /** An object may move again at once. */
  | 'no-minimum-stay'
  /** Records go to a copy in another region before they are committed. */
  | 'copies-uncommitted'
  /** A copy that an object left behind is erased though the object has come back to it. */
  | 'erases-what-came-back'
  /** What an object sends ahead of its writes is not held until they are committed. */
  | 'leaves-before-commit'
  /** What a broken link had on it is not sent again. */
  | 'lane-forgets'
  /** What the other end has taken of it is sent again. */
  | 'lane-doubles';

export type DeliberateBugs = Readonly<Partial<Record<DeliberateBug, true>>>;
