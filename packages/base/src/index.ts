/** The vocabulary that every package shares. */
export { stateIsAt, storeAhead } from './ahead.ts';
export { AssertionFailed, assert, unreachable } from './assert.ts';
export { Chain, type Link } from './chain.ts';
export { damagedObject, damagedObjectOf } from './damage.ts';
export type {
  Dispatcher,
  FramePort,
  FrameSink,
  SocketPort,
  SocketSink,
  Target,
} from './dispatch.ts';
export {
  compareRecordNames,
  type Epoch,
  epochAfter,
  epochRevision,
  makeEpoch,
  noRecord,
  type RecordName,
} from './epoch.ts';
export { errorFromData, errorToData } from './error-data.ts';
export {
  type ErrorCode,
  type Executed,
  errorCodes,
  HomingError,
  type HomingErrorOptions,
  isHomingError,
  messageOf,
} from './errors.ts';
export type {
  AlarmOutcome,
  AutoResponsePair,
  CallReport,
  ErrorData,
  ExecutorEvents,
  ExecutorFactory,
  ExecutorLink,
  FromExecutor,
  SocketEvent,
  SocketSide,
  SocketState,
  ToExecutor,
  UnmarkedMessage,
  WorkerExports,
} from './executor-port.ts';
export { type HiddenSlot, hiddenSlot } from './hidden-slot.ts';
export {
  currentContext,
  currentFrame,
  type EntryKind,
  type IoContext,
  type IoFrame,
  runInFrame,
  type Scope,
} from './io-context.ts';
export type { LogEvents, ObjectLogs, OwnedLog, Staging } from './log-port.ts';
export { NumberTable } from './number-table.ts';
export {
  checkObjectId,
  namedObjectId,
  type ObjectIdHex,
  type ObjectIdPlacement,
  type ObjectIdProblem,
  objectIdBytes,
  objectIdPlacement,
  placementTag,
  uniqueObjectId,
} from './object-id.ts';
export {
  type AppendRequest,
  type ClaimAt,
  type ClaimResult,
  type Clock,
  type Coordinator,
  type CoordinatorEvent,
  type DueAlarm,
  type EncodedRecord,
  type InstallRequest,
  type LinkPurpose,
  type ListRange,
  type Located,
  type LogFields,
  type Logger,
  type LogRecord,
  type MetricLabels,
  type Metrics,
  type MonotonicMs,
  type MoveHome,
  type Network,
  type NetworkHandler,
  type NodeInfo,
  type ObjectHead,
  type ObjectRef,
  type Ownership,
  type PeerRun,
  type QuarantinedObject,
  type Random,
  type ReaderHandle,
  type RecordOperation,
  type RegionList,
  type RegionOrder,
  type Rehoming,
  type ShardAssignment,
  type Snapshot,
  type Space,
  type StateEntry,
  type StateReader,
  type Store,
  spaces,
  type Timer,
  type Timers,
  type VersionedRegions,
  type VersionedShard,
  type WallMs,
  type Whereabouts,
} from './ports.ts';
export {
  bodyBytes,
  bodyOfSealed,
  decodeBody,
  decodeRecord,
  encodeBody,
  encodeRecord,
  OperationCursor,
  operationTypes,
  readUint64,
  sealBody,
  sealedBytesAt,
  unsealBody,
  writeBody,
  writeUint64,
} from './record-codec.ts';
export {
  acquireWriter,
  frameOf,
  releaseWriter,
  WireError,
  WireReader,
  WireWriter,
} from './wire.ts';
export { putEpoch, putObjectId, takeEpoch, takeObjectId } from './wire-names.ts';
