/** The protocol's state machines: no clock, socket, disk or random source. */
export { type AssignmentInput, planAssignments, shardKey } from './assignment.ts';
export { CallerCounts, type CallerShare, RegionNumbers, turnsPerWindow } from './caller-counts.ts';
export type { DeliberateBug, DeliberateBugs } from './deliberate-bugs.ts';
export { type ForcedSet, type ForcedSets, planForcedSets } from './forced-sets.ts';
export {
  defaultHome,
  mayLiveIn,
  nextRegions,
  noRegionPlan,
  type RegionPlan,
} from './homes.ts';
export { Lane, type LaneGreeting } from './lane.ts';
export { Leftovers, type LeftoverVerdict } from './leftovers.ts';
export {
  Migration,
  type MigrationEffect,
  type MigrationInput,
} from './migration.ts';
export {
  arrived,
  decideMove,
  type Homes,
  type MigrationRules,
  type MoveDecision,
  moved,
  type Stay,
  stayMs,
  turned,
} from './migration-policy.ts';
export {
  type OwnerEffect,
  type OwnerInput,
  OwnerLog,
  type OwnerLogOptions,
  type OwnerPhase,
} from './owner-log.ts';
export { type FoundCopy, type Promotion, type Promotions, planPromotion } from './promotion.ts';
export {
  type Holder,
  PromiseGrants,
  PromisesHeld,
  type PromiseTimes,
  type Taking,
} from './read-promises.ts';
export {
  type AskedStores,
  type HeldCopy,
  type RegionCopies,
  recoveredHome,
} from './recovered-homes.ts';
export { type DistanceRow, RegionDistances } from './region-distances.ts';
export {
  isChanging,
  isQuorum,
  ownersOf,
  type ReplicaSet,
  type Standing,
  shardOf,
  storesOf,
  votersOf,
} from './replica-set.ts';
export {
  type CopyLag,
  StagedCopy,
  type StagedEffect,
  type StagedInput,
} from './staged-copy.ts';
export { type ListedHead, type ListedPage, type Need, Survey } from './survey.ts';
