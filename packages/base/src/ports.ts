/**
 * Every effect that the product has on the world outside its own memory, as narrow ports. Each has
 * one adapter for production and one for tests and the simulator; a conformance suite beside the
 * adapters holds both to the contract written here.
 */
import type { Epoch, RecordName } from './epoch.ts';
import type { ObjectIdHex } from './object-id.ts';

/** Milliseconds on a clock that never steps. Leases and timeouts use this one only. */
export type MonotonicMs = number & { readonly __brand: 'monotonic' };
/** Milliseconds since 1970. Alarms and what users see use this one. */
export type WallMs = number & { readonly __brand: 'wall' };

export interface Clock {
  monotonicMs(): MonotonicMs;
  wallMs(): WallMs;
}

export interface Timer {
  /** Idempotent; the callback does not run after this returns. */
  cancel(): void;
}

export interface Timers {
  /** Runs `callback` once, not before `delayMs` from now. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Random {
  /** `count` random bytes; unpredictable in production, seeded in the simulator. */
  bytes(count: number): Uint8Array;
  /** Uniform in [0, 1). */
  number(): number;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** error = a human must look; warn = unexpected but carried on; info = state change; debug = off. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** A logger whose every line carries `fields` too. */
  child(fields: LogFields): Logger;
}

export type MetricLabels = Readonly<Record<string, string>>;

/** Names are without the `homing_` prefix. An unknown name is an assertion failure. */
export interface Metrics {
  increment(name: string, labels?: MetricLabels, by?: number): void;
  observe(name: string, value: number, labels?: MetricLabels): void;
  set(name: string, value: number, labels?: MetricLabels): void;
}

/** Which object: its namespace's key and its id, and its name where the caller gave one. */
export interface ObjectRef {
  /** Key of the namespace (`<worker>/<class>`), not a binding's name. */
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly name?: string | undefined;
  /** Where the caller would have the object live, for its first activation only. */
  readonly locationHint?: string | undefined;
}

// ── Store ────────────────────────────────────────────────────────────────────────────────────

/**
 * What a record's operations act on. All operations of one record commit together, whatever their
 * space. `kv` is the user's key-value storage; `system` is homing's own per-object state (alarm,
 * name, results of requests). SQL pages get a space of their own when they come.
 */
export const spaces = { kv: 1, system: 2 } as const;
export type Space = (typeof spaces)[keyof typeof spaces];

export type RecordOperation =
  | {
      readonly type: 'put';
      readonly space: Space;
      readonly key: Uint8Array;
      readonly value: Uint8Array;
    }
  | { readonly type: 'delete'; readonly space: Space; readonly key: Uint8Array }
  /** Deletes every key of the space. Operations after it in the record act on the empty space. */
  | { readonly type: 'clear'; readonly space: Space }
  /** Sets the object's entry in the alarm index: the time to wake it, or none. */
  | { readonly type: 'alarm'; readonly dueMs: WallMs | null };

/** One atomic group of writes. */
export interface LogRecord {
  readonly name: RecordName;
  readonly operations: readonly RecordOperation[];
}

/** What a store knows of one object without reading its state. */
export interface ObjectHead {
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly name: string | undefined;
  /** Highest epoch this replica vowed to. */
  readonly promised: Epoch;
  /** Newest record held. */
  readonly last: RecordName;
  /** Newest record known committed and folded into the state. */
  readonly applied: RecordName;
  /** When the object wants to be woken. */
  readonly alarmMs: WallMs | null;
  /**
   * What was held of the object was damaged, and not all of it is here again: it must not say what it
   * holds to whoever recovers the object. `promised` is as good as ever.
   */
  readonly isQuarantined?: true | undefined;
}

/** An object whose replica here was damaged, and what this store had held of it. */
export interface QuarantinedObject {
  readonly id: ObjectIdHex;
  /** The newest record that this store has ever held: what it may have acknowledged. */
  readonly through: RecordName;
  readonly reason: string;
}

export interface DueAlarm {
  readonly namespace: string;
  readonly id: ObjectIdHex;
  readonly dueMs: WallMs;
}

export interface ListRange {
  /** Inclusive. */
  readonly start?: Uint8Array | undefined;
  /** Exclusive. */
  readonly end?: Uint8Array | undefined;
  readonly reverse?: boolean | undefined;
  /** At most this many entries; at least 1. */
  readonly limit?: number | undefined;
}

export interface StateEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Reads of committed state, synchronous and usable on any thread that holds one. A reader sees a
 * record from the moment `Store.append` for it resolved, perhaps earlier; the caller overlays what
 * it has written and not seen acknowledged. Returned buffers belong to the caller.
 */
export interface StateReader {
  /** The value of each key, or undefined, in the order asked. */
  get(id: ObjectIdHex, space: Space, keys: readonly Uint8Array[]): (Uint8Array | undefined)[];
  /** Entries in key order (bytes, unsigned), read lazily in pages; ends when the caller stops. */
  list(id: ObjectIdHex, space: Space, range: ListRange): IterableIterator<StateEntry>;
  /** Idempotent. Other readers of the same store are unaffected. */
  close(): void;
}

/** What another thread needs to open a `StateReader`; structured-cloneable. */
export interface ReaderHandle {
  readonly kind: 'rocks';
  readonly handle: bigint;
  /** Four bytes that the store makes non-zero when it closes: no native call may follow. */
  readonly closed?: SharedArrayBuffer | undefined;
}

/** A record whose operations are bytes: a body as in record-codec.ts, not sealed. */
export interface EncodedRecord {
  readonly name: RecordName;
  readonly body: Uint8Array;
}

export interface AppendRequest {
  readonly object: ObjectRef;
  /** The sender's epoch, where it is newer than the records'; by default that of the last record. */
  readonly epoch?: Epoch | undefined;
  /** The record before the first one. Where it is given, it must be held. */
  readonly previous?: RecordName | undefined;
  readonly records: readonly (LogRecord | EncodedRecord)[];
  /** Newest record known committed; those up to it are folded into the state. */
  readonly committed: RecordName;
}

/** A page of another replica's state, to take the place of what this one holds. */
export interface InstallRequest {
  readonly object: ObjectRef;
  readonly epoch: Epoch;
  /** Newest record folded into the state that the pages are of. */
  readonly applied: RecordName;
  readonly alarmMs: WallMs | null;
  /** Pages are numbered from 0, which begins anew. */
  readonly index: number;
  readonly isLast: boolean;
  /** Puts only, as a record's body. */
  readonly page: Uint8Array;
}

/** The committed state of one object as of one moment. */
export interface Snapshot {
  readonly head: ObjectHead;
  /** The next entries as a body of puts, of about `bytesMax`; undefined after the last. */
  next(bytesMax: number): Uint8Array | undefined;
  /** Idempotent; needed where not all pages were read. */
  close(): void;
}

/**
 * One formatted data directory: the replica's disk. Many objects share its fsyncs (group commit):
 * everything asked while one fsync runs goes into the next.
 *
 * Persistence failures are not survivable: a failed fsync rejects with `corruption` and the process
 * must end, since what the disk holds is no longer known. An error `corruption` that names an object
 * (`damagedObjectOf`) is another matter: what is held of that object cannot be read, nothing was
 * written, and all else goes on.
 */
export interface Store {
  /** Random id written when the directory was formatted. */
  readonly storeId: string;
  /** How often the directory has been opened, this time included: only grows. */
  readonly starts: number;
  /** Undefined where only this thread can read (memory). */
  readonly readerHandle: ReaderHandle | undefined;
  /** A reader for this thread. */
  reader(): StateReader;
  /**
   * Resolves when every record of the request is on disk (fsync) and those up to `committed` are
   * visible to readers. Appends of one object take effect in the order they were called; each
   * record is all there or not at all after any crash. Rejects with `fenced` when the object's
   * `promised` is newer than the request's epoch, with `invalid_argument` when the records do not
   * follow what is held (a gap); then nothing was written.
   */
  append(request: AppendRequest): Promise<void>;
  /**
   * Vows to take no append of an older epoch. Resolves when that is on disk: `head` then tells the
   * newest record. Rejects with `fenced` when a newer epoch was promised.
   */
  seal(object: ObjectRef, epoch: Epoch): Promise<void>;
  /**
   * Takes one page of a snapshot; the last one replaces the object's state by all pages in one
   * atomic step, and drops held records that do not follow it. Resolves when that is on disk.
   * Rejects with `fenced`, and with `invalid_argument` when a page is not the one expected.
   */
  install(request: InstallRequest): Promise<void>;
  /**
   * Gives up what is held of an object, since it is damaged, but for what it has promised: state and
   * log are empty then, as of no record, and `isQuarantined` in its head until as much is held again as
   * ever was. Resolves when that is on disk. Nothing happens to an object that is not known.
   */
  quarantine(id: ObjectIdHex, reason: string): Promise<void>;
  /** Objects that are quarantined, at most `limit`. Synchronous. */
  quarantined(limit: number): readonly QuarantinedObject[];
  /**
   * Forgets an object by order of whoever has the right to (docs/protocol.md, Deletion): erases all
   * that is held of it, where `promised` is older than `epoch`, and raises the floor to `epoch`.
   * Resolves when that is on disk; what was held is erased behind the caller's back. Rejects with
   * `fenced` when the object has promised `epoch` or a newer one: then nothing was done.
   */
  forget(id: ObjectIdHex, epoch: Epoch): Promise<void>;
  /**
   * Erases all that is held of objects, whatever they have promised, and leaves floors as they are:
   * for a store that is in the objects' replica set no more. Goes through the objects after `after`
   * in id order, looks at `limit` of them and erases those that `isMeant` accepts. Resolves, when that
   * is on disk, with the last one looked at, or undefined when there are no more.
   */
  erasePage(options: {
    readonly isMeant: (id: ObjectIdHex) => boolean;
    readonly after?: ObjectIdHex | undefined;
    readonly limit: number;
  }): Promise<ObjectIdHex | undefined>;
  /**
   * What an object that this store knows nothing of counts as having promised: the greatest epoch
   * under which any object of its bucket was forgotten. Synchronous, as `head`.
   */
  floor(id: ObjectIdHex): Epoch;
  /** The floors of all buckets, in a fixed order. Synchronous. */
  floors(): readonly Epoch[];
  /** Raises floors to another store's, bucket by bucket. Resolves when that is on disk. */
  raiseFloors(floors: readonly Epoch[]): Promise<void>;
  /** Records held above `applied`, oldest first; synchronous, as `head`. */
  tail(id: ObjectIdHex): readonly EncodedRecord[];
  /** Undefined for an object never written to. Pages are read when asked for, synchronously. */
  snapshot(id: ObjectIdHex): Snapshot | undefined;
  /** A small value of the node's own, by name; undefined where there is none. Synchronous. */
  note(name: string): Uint8Array | undefined;
  /** The notes whose names begin with `prefix`, in order of their names. Synchronous. */
  notes(prefix: string): readonly { readonly name: string; readonly value: Uint8Array }[];
  /** Resolves when the value, and all that was asked of the store before, is on disk. */
  putNote(name: string, value: Uint8Array): Promise<void>;
  /** Synchronous, from state that readers see; undefined for an object never written to. */
  head(id: ObjectIdHex): ObjectHead | undefined;
  /** Heads in id order after `after`, at most `limit`, of one namespace or of all. */
  heads(options: {
    readonly namespace?: string | undefined;
    readonly after?: ObjectIdHex | undefined;
    readonly limit: number;
  }): readonly ObjectHead[];
  /** Alarms in order of time: those due at or before `untilMs`, at most `limit`. */
  dueAlarms(options: { readonly untilMs: WallMs; readonly limit: number }): readonly DueAlarm[];
  /** Resolves when all appends are done and the directory is released. */
  close(): Promise<void>;
}

// ── Coordinator ──────────────────────────────────────────────────────────────────────────────

export interface NodeInfo {
  readonly node: string;
  /** The node's session: a restart is a new one, and so is a session made after the old expired. */
  readonly incarnation: string;
  readonly storeId: string;
  readonly region: string;
  readonly zone: string;
  /** Where peers and clients reach it (`http`, `grpc`, `peer`, `admin`); empty on a single node. */
  readonly addresses: Readonly<Record<string, string>>;
  /** True while the node gives its objects away: it is not given new ones. */
  readonly draining?: boolean | undefined;
}

/** The coordinator's record of one object: who may run it, under which epoch. */
export interface Ownership {
  readonly owner: NodeInfo;
  readonly epoch: Epoch;
  /** Region whose replica set holds the object. */
  readonly home: string;
  /** The region it was moved from last. */
  readonly from?: string | undefined;
  /** It was given its home by `rehome`: nobody had settled what is held of it there. */
  readonly isPromoted?: boolean | undefined;
}

/** In which region a claimant takes the object to be at home; it is to hold a replica there. */
export interface ClaimAt {
  readonly home: string;
  /** That is the object's default home: only there an object without a record can be claimed. */
  readonly isDefault: boolean;
}

export type ClaimResult =
  | { readonly outcome: 'granted'; readonly ownership: Ownership }
  | { readonly outcome: 'held'; readonly ownership: Ownership }
  /** Nobody owns it, and it is at home in another region; undefined: there is no record. */
  | { readonly outcome: 'elsewhere'; readonly home: string | undefined };

/** What the coordinator's record of an object says. */
export interface Located {
  /** Undefined where there is no record: the object is at its default home. */
  readonly home: string | undefined;
  /** Undefined where nobody that lives owns it. */
  readonly ownership: Ownership | undefined;
  /**
   * Of the record as it stands, owned or not; where there is none, of the moment it was looked for. All
   * that was granted before is older, and all that is granted after it is newer.
   */
  readonly epoch: Epoch;
  /** The node that the record names as owner, whether it lives or not. */
  readonly lastOwner?: string | undefined;
}

/** The same, with the home that follows from the id where there is no record. */
export interface Whereabouts extends Pick<Located, 'epoch'> {
  readonly home: string;
  /** The store of the node that owns it and lives. */
  readonly ownerStore: string | undefined;
}

/** Another home for an object whose own is lost. */
export interface Rehoming {
  /** What its record said. */
  readonly located: Pick<Located, 'home' | 'epoch'>;
  /** Where it was at home, by record or default. */
  readonly from: string;
  readonly home: string;
  /** Also where a node that lives owns it. */
  readonly isForced: boolean;
}

/** A move to another region, as part of a transfer. */
export interface MoveHome extends ClaimAt {
  /** The assignment that the object's copy was settled in: it must be in force still. */
  readonly shard: VersionedShard;
}

/** Regions in the order in which they came; none ever leaves the list. */
export interface RegionOrder {
  readonly regions: readonly string[];
  /** So many of the first are the default homes of names: fixed when the list was begun. */
  readonly named: number;
}

/** The regions of a cluster, and those of each jurisdiction. It only grows. */
export interface RegionList extends RegionOrder {
  readonly jurisdictions: Readonly<Record<string, RegionOrder>>;
}

/** With the coordinator's revision of it, for a conditional write. */
export interface VersionedRegions {
  readonly list: RegionList;
  readonly revision: bigint;
}

/** Which stores hold a shard's data. A change replaces the list through a joint step. */
export interface ShardAssignment {
  readonly region: string;
  readonly shard: number;
  /** Only grows. Messages carry it; replicas refuse a lower one. */
  readonly generation: number;
  /** Store ids. While the set changes, the old list. */
  readonly members: readonly string[];
  /** While the set changes, the new list: every quorum needs a majority of both. */
  readonly next?: readonly string[] | undefined;
  /**
   * Before that: the list that is to be the new one. Those of it that are no members are sent all that
   * members get, and have no vote. Never together with `next`.
   */
  readonly coming?: readonly string[] | undefined;
}

/** An assignment with the coordinator's revision of it, for conditional writes. */
export interface VersionedShard {
  readonly assignment: ShardAssignment;
  readonly revision: bigint;
}

/**
 * Who owns what. Never asked on the path of a request to an object that is already placed.
 *
 * The session stands for this process: when it is lost, every ownership granted under it can be
 * claimed by others. An unknown outcome is resolved inside the adapter by reading, never assumed:
 * a claim that rejects with `unavailable` may be repeated.
 */
export interface Coordinator {
  /** This process as others see it. Undefined while there is no live session. */
  readonly self: NodeInfo | undefined;
  /**
   * Asks for an object. `granted`: this node owns it under a fresh epoch, greater than any granted
   * before; also where the record names this node's live incarnation already. `held`: a live node
   * owns it. `elsewhere`: it could be claimed, but not there. Claims made together may share a transaction. Rejects with `unavailable` when the
   * coordinator cannot be reached or there is no session.
   */
  claim(object: ObjectRef, at: ClaimAt): Promise<ClaimResult>;
  /**
   * Gives an object up; resolves when others may claim it. Its home stays as it is. A stale epoch
   * changes nothing.
   */
  release(object: ObjectRef, epoch: Epoch): Promise<void>;
  /**
   * Makes the live node `to` the owner, in one transaction on the record under which this node owns
   * the object. The new owner learns its epoch by claiming. With `move` the object is at home in
   * another region from then on. Resolves with false when the record or the shard's assignment has
   * changed, or `to` is gone. Rejects with `unavailable` when the outcome is unknown: then only a
   * claim of one's own rules the transfer out.
   */
  transfer(object: ObjectRef, epoch: Epoch, to: NodeInfo, move?: MoveHome): Promise<boolean>;
  /** What the object's record says. May be stale by the time it is read. */
  locate(object: ObjectRef): Promise<Located>;
  /**
   * Gives an object whose home is lost another one, where nobody owns it until it is claimed. Resolves with
   * false, and nothing written, where its record is not as it was located, or its owner lives and
   * `isForced` is not set. Rejects with `unavailable`: the outcome is unknown.
   */
  rehome(object: ObjectRef, change: Rehoming): Promise<boolean>;
  /** As last seen; undefined while no controller has begun it. */
  regions(): VersionedRegions | undefined;
  /** Writes the list of regions, on the same conditions as `assign`. */
  setRegions(change: VersionedRegions): Promise<boolean>;
  /** Live nodes, self included. */
  nodes(): readonly NodeInfo[];
  /** Says to others whether this node is emptying itself. Rejects with `unavailable`. */
  setDraining(draining: boolean): Promise<void>;
  /** Assignments of all shards that have one, as last seen; by `<region>/<shard>`. */
  shards(): ReadonlyMap<string, VersionedShard>;
  /** True while this node is the elected controller, the only one that assigns shards. */
  readonly isController: boolean;
  /**
   * Writes assignments in one transaction, each on condition that its record still has `revision`
   * (0n: is absent) and that this node is still the controller. Resolves with false, and nothing
   * written, when one of these does not hold. Rejects with `unavailable`: the outcome is unknown.
   */
  assign(changes: readonly VersionedShard[]): Promise<boolean>;
  /** Calls back after something changed; what is to be read from the properties above. */
  watch(callback: (event: CoordinatorEvent) => void): { stop(): void };
  /** Ends the session, so that others need not wait for it to expire. */
  close(): Promise<void>;
}

export type CoordinatorEvent =
  | { readonly type: 'nodes' }
  | { readonly type: 'shards' }
  | { readonly type: 'regions' }
  | { readonly type: 'controller' }
  | { readonly type: 'session-lost' }
  | { readonly type: 'session'; readonly self: NodeInfo };

// ── Network ──────────────────────────────────────────────────────────────────────────────────

/** Each has a stream of its own between two nodes, so that replication never waits behind calls. */
export type LinkPurpose = 'log' | 'call';

/** A peer's process, as its handshake named it. */
export interface PeerRun {
  readonly node: string;
  readonly storeId: string;
  /** Differs from process to process: what a run promised dies with it. */
  readonly run: string;
}

export interface NetworkHandler {
  /** A link stands. Nothing sent on an earlier one will still arrive. */
  up(peer: PeerRun): void;
  /** The link is gone; what was sent and not answered may or may not have arrived. */
  down(peer: PeerRun): void;
  /** Messages of one link come in the order sent. The receiver owns the bytes. */
  message(peer: PeerRun, message: Uint8Array): void;
}

/**
 * Links to the other nodes: one for each pair and purpose, kept up by the adapter, messages batched.
 * Nothing is retried here: a message is lost only with its link, and `down` says so.
 */
export interface Network {
  /** Who takes messages of a purpose. Once for each purpose, before `setPeers`. */
  serve(purpose: LinkPurpose, handler: NetworkHandler): void;
  /** The nodes to keep links with; others are hung up on. An address may change. */
  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): void;
  /**
   * Hands a message to the link; from then on nobody changes the bytes. False when there is no
   * link, or it holds `linkBufferBytesMax` that the peer has not taken: then nothing was sent.
   */
  send(node: string, purpose: LinkPurpose, message: Uint8Array): boolean;
  /**
   * As `send`, for a small message that nobody would miss and that must not be left out: it may go
   * beyond the bound by `linkReserveBytes`. Where the link does not take it even so, the link ends in
   * this turn of the event loop, and takes nothing until then: both ends hear of it by `down`.
   */
  sendOrEnd(node: string, purpose: LinkPurpose, message: Uint8Array): void;
  /** The peer's process where a link stands. */
  peer(node: string, purpose: LinkPurpose): PeerRun | undefined;
  close(): Promise<void>;
}
