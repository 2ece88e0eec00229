/** The protocol's state machines: no clock, socket, disk or random source. */
export { type AssignmentInput, planAssignments, shardKey } from './assignment.ts';
export type { DeliberateBug, DeliberateBugs } from './deliberate-bugs.ts';
export {
  type OwnerEffect,
  type OwnerInput,
  OwnerLog,
  type OwnerLogOptions,
  type OwnerPhase,
} from './owner-log.ts';
export { type Holder, PromiseGrants, PromisesHeld, type PromiseTimes } from './read-promises.ts';
export { isQuorum, type ReplicaSet, shardOf, storesOf } from './replica-set.ts';
