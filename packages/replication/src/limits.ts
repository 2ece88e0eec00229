/** How replication behaves, and its bounds. Changed by configuration; the defaults are for a few nodes in one region. */
export interface ReplicationLimits {
  /** How long a read promise holds. No longer than the session. */
  readonly promiseMs: number;
  /** Ask a majority before every read, on machines whose clocks may stop with them. */
  readonly confirmsReads: boolean;
  /** Largest difference of two machines' clock rates, as a share. */
  readonly drift: number;
  /** How long recovery may take that brings nobody further. */
  readonly acquireTimeoutMs: number;
  /** How long a record may wait for a majority before its callers are told that it is unknown. */
  readonly commitTimeoutMs: number;
  /** How long a confirmation of the epoch may take. */
  readonly confirmTimeoutMs: number;
  /** How often logs are looked at that have something outstanding. */
  readonly tickMs: number;
  /** How long after a record was sent its log is looked at, and again while stores have not answered. */
  readonly lookMs: number;
  /**
   * How long a store that nothing else is sent to waits to hear what is committed. Whoever recovers
   * the object meanwhile writes a record more.
   */
  readonly noticeMs: number;
  /** How long a store may leave something unanswered before it is sent again. */
  readonly resendMs: number;
  /** Bytes of one group of writes: it travels in one message. */
  readonly groupBytesMax: number;
  /** Bytes of one object sent to one store and not acknowledged. */
  readonly inFlightBytesMax: number;
  /** Bytes of committed records of one object kept for stores that are behind. */
  readonly windowBytesMax: number;
  /** Bytes of one object that wait for a majority. */
  readonly uncommittedBytesMax: number;
  /** Bytes of one page of a snapshot. */
  readonly pageBytes: number;
  /** Pages of one snapshot under way. */
  readonly pagesInFlightMax: number;
  /** How long a store may leave the pages of a snapshot unanswered before it is sent anew. */
  readonly pageTimeoutMs: number;
  /** Snapshots being sent at the same time; so many again of those that nobody waits for. */
  readonly copiesMax: number;
  /** Pages kept of a state that is sent to several stores, for the one that is furthest behind. */
  readonly pagesKeptMax: number;
  /** How long a store that is so far behind may leave pages unanswered: then it is sent the state anew. */
  readonly laggardMs: number;
  /** Bytes in a second that this node sends of copies which nobody waits for. */
  readonly rebuildBytesPerSecond: number;
  /** The same where the node is busy. */
  readonly rebuildBusyBytesPerSecond: number;
  /** It is busy when its thread is at work for more than so much of the time. */
  readonly rebuildBusyPercent: number;
  /** How long one copy gives way to what keeps the node busy. */
  readonly rebuildYieldMs: number;
  /** Objects that are looked at in one page, when a store finds out what it lacks. */
  readonly passHeads: number;
  /** Between one such page and the next. */
  readonly passPauseMs: number;
  /** How long stores may leave such a page unanswered; and until something that failed is tried anew. */
  readonly passRetryMs: number;
  /** How often one object is tried before its shard waits for the next pass. */
  readonly passAttemptsMax: number;
  /** Objects whose state is brought here at the same time. */
  readonly pullsMax: number;
  /** How long one of them may take. */
  readonly pullTimeoutMs: number;
  /** Objects handed over at the same time by a store that is to leave their sets. */
  readonly vacatesMax: number;
  /** Bytes of objects read per second to find damage, at most; 0: none. */
  readonly scrubBytesPerSecond: number;
  /** Between one round through all objects and the next. */
  readonly scrubPauseMs: number;
  /** How long to wait for other stores' digests of an object. */
  readonly scrubAnswerMs: number;
  /** Digests asked for by others that wait. */
  readonly digestsMax: number;
  /** Between looks at objects whose replica here is damaged. */
  readonly quarantineLookMs: number;
  /** Damaged objects seen to in one look. */
  readonly quarantinesMax: number;
  /** Lost objects named in one answer to a heartbeat. */
  readonly lostMax: number;
  /** Bytes of one object's records kept while its state is copied to another region. */
  readonly stagedBytesMax: number;
  /** How often a store is sent the state anew, in one move, before it is given up. */
  readonly stagedCopiesMax: number;
  /** How long a store of another region may leave something unanswered before it begins anew. */
  readonly stagedAnswerMs: number;
  /** Bytes of one object's records kept for stores of its remote copy that cannot be reached. */
  readonly remoteKeptBytesMax: number;
  /** Bytes of records kept for all remote copies: past it the one furthest behind is copied anew, later. */
  readonly remoteBytesMax: number;
  /** Objects whose remote copy is being caught up at a time. */
  readonly remoteStartsMax: number;
  /** How often remote copies are looked at; one that failed is begun anew at a later look. */
  readonly remoteLookMs: number;
  /** How often a store writes down at most how far an owner's node says its remote copies are behind. */
  readonly remoteNoteMs: number;
  /** Between one look through this store's copies for those that nobody needs, and the next. */
  readonly leftoverSweepMs: number;
  /** How long a copy that nobody needs is kept all the same. */
  readonly leftoverDelayMs: number;
  /** How long nothing is erased once an operator has asked what copies there are, to bring them up. */
  readonly leftoverHoldMs: number;
  /** Records of objects that the coordinator is asked for in a second, on such a look. */
  readonly leftoverLooksPerSecond: number;
  /** Copies that wait at a time until they may be erased. */
  readonly leftoversMax: number;
}

export const replicationLimits: ReplicationLimits = {
  promiseMs: 3000,
  confirmsReads: false,
  drift: 0.01,
  acquireTimeoutMs: 10_000,
  commitTimeoutMs: 5000,
  confirmTimeoutMs: 2000,
  tickMs: 50,
  lookMs: 500,
  noticeMs: 5000,
  resendMs: 1000,
  groupBytesMax: 16 * 1024 * 1024,
  inFlightBytesMax: 4 * 1024 * 1024,
  windowBytesMax: 256 * 1024,
  uncommittedBytesMax: 24 * 1024 * 1024,
  pageBytes: 256 * 1024,
  pagesInFlightMax: 4,
  pageTimeoutMs: 10_000,
  copiesMax: 8,
  pagesKeptMax: 16,
  laggardMs: 2000,
  rebuildBytesPerSecond: 32 * 1024 * 1024,
  rebuildBusyBytesPerSecond: 8 * 1024 * 1024,
  rebuildBusyPercent: 40,
  rebuildYieldMs: 300_000,
  passHeads: 1000,
  passPauseMs: 5,
  passRetryMs: 1000,
  passAttemptsMax: 60,
  pullsMax: 4,
  pullTimeoutMs: 600_000,
  vacatesMax: 32,
  scrubBytesPerSecond: 1024 * 1024,
  scrubPauseMs: 3_600_000,
  scrubAnswerMs: 10_000,
  digestsMax: 64,
  quarantineLookMs: 5000,
  quarantinesMax: 64,
  lostMax: 10_000,
  stagedBytesMax: 64 * 1024 * 1024,
  stagedCopiesMax: 5,
  stagedAnswerMs: 5000,
  remoteKeptBytesMax: 64 * 1024,
  remoteBytesMax: 128 * 1024 * 1024,
  remoteStartsMax: 64,
  remoteLookMs: 1000,
  remoteNoteMs: 10_000,
  leftoverSweepMs: 600_000,
  leftoverDelayMs: 600_000,
  leftoverHoldMs: 600_000,
  leftoverLooksPerSecond: 50,
  leftoversMax: 10_000,
};
