/**
 * What nodes say to each other about logs, as bytes. A message names its object and the epoch of the
 * owner it is from or for, so neither side keeps a list of what it has asked.
 *
 * Every message begins with its type. Epochs are 8 bytes, names 8 + varint, ids 32. Types are never
 * used again for something else; a reader that does not know one ignores it, so that a newer node
 * may say more.
 */
import {
  type EncodedRecord,
  type Epoch,
  type ObjectIdHex,
  type ObjectRef,
  pooledFrameOf,
  putEpoch,
  putObjectId,
  type RecordName,
  type ShardAssignment,
  takeEpoch,
  takeObjectId,
  type WallMs,
  WireReader,
  type WireWriter,
} from '@homing/base';
import type { ListedHead, ListedPage, Standing } from '@homing/protocol';
import type { RemoteReport } from './remote-reports.ts';

export interface ShardGeneration {
  readonly region: string;
  readonly shard: number;
  readonly generation: number;
}

export interface ShardStanding extends ShardGeneration, Standing {}

/** To a replica. */
export type LogRequest =
  | {
      readonly type: 'seal';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      /** The region whose set of the object's shard is meant; likewise below. */
      readonly home: string;
      readonly generation: number;
    }
  | {
      readonly type: 'append';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
      /** For a copy at another region's stores, which promise the owner nothing. */
      readonly isStaged: boolean;
      readonly previous: RecordName;
      readonly committed: RecordName;
      readonly records: readonly EncodedRecord[];
      /** Kept once it was made: the same append may go to several stores. */
      encoded?: Uint8Array | undefined;
    }
  /** Is this epoch still the newest you promised? */
  | {
      readonly type: 'confirm';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
      readonly round: number;
    }
  /** Bring me to your `applied`, then send me your tail. */
  | {
      readonly type: 'fetch';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
      /** What the asking store has folded in. */
      readonly applied: RecordName;
    }
  | {
      readonly type: 'page';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
      readonly applied: RecordName;
      readonly alarmMs: WallMs | null;
      readonly index: number;
      readonly isLast: boolean;
      readonly page: Uint8Array;
      /** Kept once it was made: the same page may go to several stores. */
      encoded?: Uint8Array | undefined;
    }
  /** Forget it, unless you have promised this epoch or a newer one. */
  | {
      readonly type: 'forget';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
      readonly below: Epoch;
    }
  /** To an owner: I hold what you staged here under this epoch. Do you need it? Otherwise order it away. */
  | { readonly type: 'leftover'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  /** I know that these are not mine any more. */
  | { readonly type: 'released'; readonly ids: readonly ObjectIdHex[] }
  /** What is the digest of your state, if it is as of this record? */
  | { readonly type: 'digest'; readonly id: ObjectIdHex; readonly applied: RecordName }
  /** To owners: my replicas of these were damaged, and I hold nothing of them. */
  | { readonly type: 'blank'; readonly ids: readonly ObjectIdHex[] }
  /** To owners: some store holds a record of these that may never have been committed. Write one above it. */
  | { readonly type: 'unsettled'; readonly ids: readonly ObjectIdHex[] }
  | { readonly type: 'heartbeat'; readonly sentMs: number }
  /** How far the copies that I keep at your region's stores are behind. */
  | { readonly type: 'remote-report'; readonly report: RemoteReport }
  /**
   * Replica sets that I have adopted. A link carries each before any other message that follows its
   * adoption, so that the others need no more than a generation.
   */
  | { readonly type: 'sets'; readonly sets: readonly ShardAssignment[] }
  /** How far I am with changes of replica sets. */
  | { readonly type: 'standings'; readonly standings: readonly ShardStanding[] }
  /** Which objects of these shards do you hold, from this id on? At most `limit` are looked at. */
  | {
      readonly type: 'list';
      readonly round: number;
      readonly from: ObjectIdHex;
      readonly limit: number;
      readonly region: string;
      readonly shards: readonly Omit<ShardGeneration, 'region'>[];
    }
  /** Send me the state that you have folded in; the epoch is what I promised. */
  | {
      readonly type: 'pull';
      readonly object: ObjectRef;
      readonly epoch: Epoch;
      readonly home: string;
      readonly generation: number;
    };

/** From a replica. */
export type LogAnswer =
  | {
      readonly type: 'sealed';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      /** As in the request; likewise below. */
      readonly generation: number;
      readonly last: RecordName;
      readonly applied: RecordName;
    }
  /** Vowed, and has lost what it held: it cannot tell of any log. */
  | {
      readonly type: 'sealed-blank';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly generation: number;
    }
  | { readonly type: 'refused'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  /** The request's generation is an old one; the set that the replica knows came before this. */
  | { readonly type: 'stale-generation'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  | {
      readonly type: 'acked';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly generation: number;
      readonly lsn: number;
      readonly committed: number;
    }
  | {
      readonly type: 'gap';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly generation: number;
      readonly last: RecordName;
      readonly applied: RecordName;
    }
  | {
      readonly type: 'confirmed';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly generation: number;
      readonly round: number;
    }
  | {
      readonly type: 'fetched';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      readonly generation: number;
      readonly applied: RecordName;
      readonly records: readonly EncodedRecord[];
    }
  | { readonly type: 'fetch-failed'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  | {
      readonly type: 'page-taken';
      readonly id: ObjectIdHex;
      readonly epoch: Epoch;
      /** What the page's snapshot is as of: a copy that was given up may have sent it. */
      readonly applied: RecordName;
      readonly index: number;
    }
  /** It is forgotten here, or not to be. */
  | { readonly type: 'forgotten'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  /** Empty where the state is as of another record. */
  | {
      readonly type: 'digested';
      readonly id: ObjectIdHex;
      readonly applied: RecordName;
      readonly digest: Uint8Array;
    }
  | { readonly type: 'page-refused'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  | {
      readonly type: 'listed';
      readonly round: number;
      readonly page: ListedPage;
    }
  /** The state is on your disk, or could not be sent: look, and ask again. */
  | { readonly type: 'pulled'; readonly id: ObjectIdHex; readonly epoch: Epoch }
  | {
      readonly type: 'heartbeat-answer';
      readonly sentMs: number;
      /** Undefined where there is no promise. */
      readonly lost: readonly ObjectIdHex[] | undefined;
    };

export type LogMessage = LogRequest | LogAnswer;

const types = {
  seal: 1,
  append: 2,
  confirm: 3,
  fetch: 4,
  page: 5,
  released: 6,
  heartbeat: 7,
  sets: 8,
  forget: 9,
  standings: 10,
  list: 11,
  pull: 12,
  blank: 13,
  digest: 14,
  leftover: 15,
  unsettled: 16,
  'remote-report': 17,
  sealed: 33,
  refused: 34,
  acked: 35,
  gap: 36,
  confirmed: 37,
  fetched: 38,
  'fetch-failed': 39,
  'page-taken': 40,
  'page-refused': 41,
  'heartbeat-answer': 42,
  'stale-generation': 43,
  forgotten: 44,
  listed: 45,
  pulled: 46,
  'sealed-blank': 47,
  digested: 48,
} as const satisfies Record<LogMessage['type'], number>;

const typeNames = new Map<number, LogMessage['type']>(
  Object.entries(types).map(([name, number]) => [number, name as LogMessage['type']]),
);

const noAlarm = -1;

function putName(writer: WireWriter, name: RecordName): void {
  putEpoch(writer, name.epoch);
  writer.varint(name.lsn);
}

function putObject(writer: WireWriter, object: ObjectRef): void {
  putObjectId(writer, object.id);
  writer.string(object.namespace);
  writer.u8(object.name === undefined ? 0 : 1);
  if (object.name !== undefined) writer.string(object.name);
}

/** The names are in the bodies too, but a body is not read before it is needed. */
function putRecords(writer: WireWriter, records: readonly EncodedRecord[]): void {
  writer.varint(records.length);
  for (const { name, body } of records) {
    putName(writer, name);
    writer.bytes(body);
  }
}

function putIds(writer: WireWriter, ids: readonly ObjectIdHex[]): void {
  writer.varint(ids.length);
  for (const id of ids) putObjectId(writer, id);
}

function putStores(writer: WireWriter, stores: readonly string[]): void {
  writer.varint(stores.length);
  for (const store of stores) writer.string(store);
}

function putSets(writer: WireWriter, sets: readonly ShardAssignment[]): void {
  writer.varint(sets.length);
  for (const { region, shard, generation, members, next } of sets) {
    writer.string(region);
    writer.varint(shard);
    writer.varint(generation);
    putStores(writer, members);
    writer.u8(next === undefined ? 0 : 1);
    if (next !== undefined) putStores(writer, next);
  }
  // Apart, for those who know of no such list.
  for (const [index, { coming }] of sets.entries()) {
    if (coming === undefined) continue;
    writer.varint(index);
    putStores(writer, coming);
  }
}

function putShard(writer: WireWriter, { region, shard, generation }: ShardGeneration): void {
  writer.string(region);
  writer.varint(shard);
  writer.varint(generation);
}

function putList(writer: WireWriter, message: Extract<LogMessage, { type: 'list' }>): void {
  const { round, from, limit, region, shards } = message;
  writer.varint(round);
  putObjectId(writer, from);
  writer.varint(limit);
  writer.string(region);
  writer.varint(shards.length);
  for (const { shard, generation } of shards) {
    writer.varint(shard);
    writer.varint(generation);
  }
}

function putListed(writer: WireWriter, message: Extract<LogMessage, { type: 'listed' }>): void {
  const { current, heads, floors, until } = message.page;
  writer.varint(message.round);
  putStores(writer, current);
  writer.varint(floors.length);
  for (const floor of floors) putEpoch(writer, floor);
  writer.u8(until === undefined ? 0 : 1);
  if (until !== undefined) putObjectId(writer, until);
  writer.varint(heads.length);
  for (const { object, promised, last, applied, isBlank } of heads) {
    putObject(writer, object);
    putEpoch(writer, promised);
    putName(writer, last);
    putName(writer, applied);
    writer.u8(isBlank ? 1 : 0);
  }
}

function putReport(writer: WireWriter, { atMs, newest, seconds, behind }: RemoteReport): void {
  writer.double(atMs);
  putEpoch(writer, newest);
  writer.double(seconds);
  writer.varint(behind.length);
  for (const one of behind) {
    putObjectId(writer, one.id);
    writer.double(one.seconds);
  }
}

function takeReport(reader: WireReader): RemoteReport {
  const atMs = reader.double() as WallMs;
  const newest = takeEpoch(reader);
  const seconds = reader.double();
  const behind: { id: ObjectIdHex; seconds: number }[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    behind.push({ id: takeObjectId(reader), seconds: reader.double() });
  }
  return { atMs, newest, seconds, behind };
}

function put(writer: WireWriter, message: LogMessage): void {
  writer.u8(types[message.type]);
  switch (message.type) {
    case 'heartbeat':
      writer.double(message.sentMs);
      return;
    case 'heartbeat-answer':
      writer.double(message.sentMs);
      writer.u8(message.lost === undefined ? 0 : 1);
      putIds(writer, message.lost ?? []);
      return;
    case 'released':
    case 'blank':
    case 'unsettled':
      putIds(writer, message.ids);
      return;
    case 'digest':
    case 'digested':
      putObjectId(writer, message.id);
      putName(writer, message.applied);
      if (message.type === 'digested') writer.bytes(message.digest);
      return;
    case 'sets':
      putSets(writer, message.sets);
      return;
    case 'remote-report':
      putReport(writer, message.report);
      return;
    case 'standings':
      writer.varint(message.standings.length);
      for (const standing of message.standings) {
        putShard(writer, standing);
        writer.u8(
          (standing.isSettled ? 1 : 0) +
            (standing.isComplete ? 2 : 0) +
            (standing.isVacated ? 4 : 0),
        );
      }
      return;
    case 'list':
      putList(writer, message);
      return;
    case 'listed':
      putListed(writer, message);
      return;
    case 'seal':
    case 'append':
    case 'fetch':
    case 'pull':
    case 'page':
    case 'forget':
      putObject(writer, message.object);
      break;
    default:
      putObjectId(writer, message.id);
  }
  putEpoch(writer, message.epoch);
  putRest(writer, message);
}

type OfEpoch = Extract<LogMessage, { readonly epoch: Epoch }>;

function putRest(writer: WireWriter, message: OfEpoch): void {
  if ('home' in message) writer.string(message.home);
  if ('generation' in message) writer.varint(message.generation);
  switch (message.type) {
    case 'append':
      writer.u8(message.isStaged ? 1 : 0);
      putName(writer, message.previous);
      putName(writer, message.committed);
      putRecords(writer, message.records);
      return;
    case 'confirm':
    case 'confirmed':
      writer.varint(message.round);
      return;
    case 'fetch':
      putName(writer, message.applied);
      return;
    case 'forget':
      putEpoch(writer, message.below);
      return;
    case 'page':
      putName(writer, message.applied);
      writer.double(message.alarmMs ?? noAlarm);
      writer.varint(message.index);
      writer.u8(message.isLast ? 1 : 0);
      writer.bytes(message.page);
      return;
    case 'sealed':
    case 'gap':
      putName(writer, message.last);
      putName(writer, message.applied);
      return;
    case 'acked':
      writer.varint(message.lsn);
      writer.varint(message.committed);
      return;
    case 'fetched':
      putName(writer, message.applied);
      putRecords(writer, message.records);
      return;
    case 'page-taken':
      putName(writer, message.applied);
      writer.varint(message.index);
      return;
    default:
  }
}

/** The bytes of a message, the same ones each time for one append, or page. */
export function encodeMessage(message: LogMessage): Uint8Array {
  if (message.type !== 'append' && message.type !== 'page') {
    return pooledFrameOf((writer) => put(writer, message));
  }
  message.encoded ??= pooledFrameOf((writer) => put(writer, message));
  return message.encoded;
}

function takeName(reader: WireReader): RecordName {
  return { epoch: takeEpoch(reader), lsn: reader.varint() };
}

function takeObject(reader: WireReader): ObjectRef {
  const id = takeObjectId(reader);
  const namespace = reader.string();
  return reader.u8() === 0 ? { namespace, id } : { namespace, id, name: reader.string() };
}

function takeRecords(reader: WireReader): EncodedRecord[] {
  const records: EncodedRecord[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    records.push({ name: takeName(reader), body: reader.raw(reader.varint()) });
  }
  return records;
}

function takeIds(reader: WireReader): ObjectIdHex[] {
  const ids: ObjectIdHex[] = [];
  for (let left = reader.varint(); left > 0; left--) ids.push(takeObjectId(reader));
  return ids;
}

function takeStores(reader: WireReader): string[] {
  const stores: string[] = [];
  for (let left = reader.varint(); left > 0; left--) stores.push(reader.string());
  return stores;
}

function takeSets(reader: WireReader): ShardAssignment[] {
  const sets: ShardAssignment[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const region = reader.string();
    const shard = reader.varint();
    const generation = reader.varint();
    const members = takeStores(reader);
    const next = reader.u8() === 1 ? takeStores(reader) : undefined;
    sets.push({ region, shard, generation, members, next });
  }
  while (reader.remaining > 0) {
    const index = reader.varint();
    const set = sets[index];
    const coming = takeStores(reader);
    if (set !== undefined) sets[index] = { ...set, coming };
  }
  return sets;
}

function takeShard(reader: WireReader): ShardGeneration {
  return { region: reader.string(), shard: reader.varint(), generation: reader.varint() };
}

function takeStandings(reader: WireReader): ShardStanding[] {
  const standings: ShardStanding[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const shard = takeShard(reader);
    const bits = reader.u8();
    standings.push({
      ...shard,
      isSettled: (bits & 1) !== 0,
      isComplete: (bits & 2) !== 0,
      isVacated: (bits & 4) !== 0,
    });
  }
  return standings;
}

function takeList(reader: WireReader): LogMessage {
  const round = reader.varint();
  const from = takeObjectId(reader);
  const limit = reader.varint();
  const region = reader.string();
  const shards: Omit<ShardGeneration, 'region'>[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    shards.push({ shard: reader.varint(), generation: reader.varint() });
  }
  return { type: 'list', round, from, limit, region, shards };
}

function takeListed(reader: WireReader): LogMessage {
  const round = reader.varint();
  const current = takeStores(reader);
  const floors: Epoch[] = [];
  for (let left = reader.varint(); left > 0; left--) floors.push(takeEpoch(reader));
  const until = reader.u8() === 1 ? takeObjectId(reader) : undefined;
  const heads: ListedHead[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    heads.push({
      object: takeObject(reader),
      promised: takeEpoch(reader),
      last: takeName(reader),
      applied: takeName(reader),
      isBlank: reader.u8() === 1,
    });
  }
  return { type: 'listed', round, page: { current, heads, floors, until } };
}

/**
 * The message in `bytes`, whose records and pages are views of them. Undefined for a type this
 * version does not know. Throws `WireError` for what is damaged.
 */
export function decodeMessage(bytes: Uint8Array): LogMessage | undefined {
  const reader = new WireReader(bytes);
  const type = typeNames.get(reader.u8());
  switch (type) {
    case undefined:
      return undefined;
    case 'heartbeat':
      return { type, sentMs: reader.double() };
    case 'heartbeat-answer': {
      const sentMs = reader.double();
      const isPromise = reader.u8() === 1;
      const lost = takeIds(reader);
      return { type, sentMs, lost: isPromise ? lost : undefined };
    }
    case 'released':
    case 'blank':
    case 'unsettled':
      return { type, ids: takeIds(reader) };
    case 'digest':
      return { type, id: takeObjectId(reader), applied: takeName(reader) };
    case 'digested': {
      const of = { id: takeObjectId(reader), applied: takeName(reader) };
      return { type, ...of, digest: reader.raw(reader.varint()) };
    }
    case 'sets':
      return { type, sets: takeSets(reader) };
    case 'remote-report':
      return { type, report: takeReport(reader) };
    case 'standings':
      return { type, standings: takeStandings(reader) };
    case 'list':
      return takeList(reader);
    case 'listed':
      return takeListed(reader);
    case 'seal':
    case 'append':
    case 'fetch':
    case 'pull':
    case 'page':
    case 'forget':
      return takeRequest(reader, type);
    default:
      return takeAnswer(reader, type);
  }
}

function takeRequest(
  reader: WireReader,
  type: 'seal' | 'append' | 'fetch' | 'pull' | 'page' | 'forget',
): LogMessage | undefined {
  const object = takeObject(reader);
  const epoch = takeEpoch(reader);
  const home = reader.string();
  const of = { object, epoch, home, generation: reader.varint() };
  switch (type) {
    case 'seal':
    case 'pull':
      return { type, ...of };
    case 'append': {
      const isStaged = reader.u8() === 1;
      const previous = takeName(reader);
      const committed = takeName(reader);
      return { type, ...of, isStaged, previous, committed, records: takeRecords(reader) };
    }
    case 'fetch':
      return { type, ...of, applied: takeName(reader) };
    case 'forget':
      return { type, ...of, below: takeEpoch(reader) };
    case 'page': {
      const applied = takeName(reader);
      const alarm = reader.double();
      const index = reader.varint();
      const isLast = reader.u8() === 1;
      return {
        type,
        ...of,
        applied,
        alarmMs: alarm === noAlarm ? null : (alarm as WallMs),
        index,
        isLast,
        page: reader.raw(reader.varint()),
      };
    }
  }
}

type AnswerType = Exclude<
  Extract<LogMessage, { readonly id: ObjectIdHex }>['type'],
  'digest' | 'digested' | 'seal' | 'append' | 'fetch' | 'pull' | 'page' | 'forget'
>;

function takeAnswer(reader: WireReader, type: AnswerType): LogMessage {
  const id = takeObjectId(reader);
  const epoch = takeEpoch(reader);
  switch (type) {
    case 'page-taken':
      return { type, id, epoch, applied: takeName(reader), index: reader.varint() };
    case 'pulled':
    case 'stale-generation':
    case 'refused':
    case 'fetch-failed':
    case 'page-refused':
    case 'forgotten':
    case 'leftover':
      return { type, id, epoch };
    default:
  }
  if (type === 'confirm') {
    const home = reader.string();
    return { type, id, epoch, home, generation: reader.varint(), round: reader.varint() };
  }
  const of = { id, epoch, generation: reader.varint() };
  switch (type) {
    case 'sealed':
    case 'gap':
      return { type, ...of, last: takeName(reader), applied: takeName(reader) };
    case 'sealed-blank':
      return { type, ...of };
    case 'acked':
      return { type, ...of, lsn: reader.varint(), committed: reader.varint() };
    case 'confirmed':
      return { type, ...of, round: reader.varint() };
    case 'fetched':
      return { type, ...of, applied: takeName(reader), records: takeRecords(reader) };
  }
}
