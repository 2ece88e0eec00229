/**
 * What lies in etcd: the keys, and the JSON under them. Whatever comes from etcd is checked here, since
 * people and older versions write there too; a value that does not fit reads as undefined, and the
 * caller says which key it was.
 *
 * A node's incarnation is not in its value: it is the lease that holds the key, so the two cannot differ.
 */
import {
  HomingError,
  type NodeInfo,
  type ObjectRef,
  type RegionList,
  type RegionOrder,
  type ShardAssignment,
  type VersionedRegions,
  type VersionedShard,
} from '@homing/base';
import { type Past, pastOf } from '../grants.ts';
import type { ClusterFacts } from './facts.ts';
import type { KeyValue } from './transaction.ts';

/** Names of keys. Parts that people choose are URL-encoded, so that a `/` always ends a part. */
export class Keys {
  readonly nodes: string;
  readonly shards: string;
  readonly controller: string;
  readonly base: string;
  readonly cluster: string;
  readonly settings: string;
  readonly regions: string;
  readonly objects: string;
  readonly recovery: string;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix.endsWith('/') ? prefix : `${prefix}/`;
    this.nodes = `${this.#prefix}nodes/`;
    this.shards = `${this.#prefix}shards/`;
    this.controller = `${this.#prefix}controller`;
    this.base = `${this.#prefix}base`;
    this.cluster = `${this.#prefix}cluster`;
    this.settings = `${this.#prefix}settings/`;
    this.regions = `${this.#prefix}regions`;
    this.objects = `${this.#prefix}objects/`;
    this.recovery = `${this.#prefix}recovery`;
  }

  node(node: string): string {
    return this.nodes + encodeURIComponent(node);
  }

  setting(name: string): string {
    return this.settings + encodeURIComponent(name);
  }

  store(storeId: string): string {
    return `${this.#prefix}stores/${encodeURIComponent(storeId)}`;
  }

  witness(storeId: string): string {
    return `${this.#prefix}witnesses/${encodeURIComponent(storeId)}`;
  }

  shard(region: string, shard: number): string {
    return `${this.shards}${encodeURIComponent(region)}/${shard}`;
  }

  object(object: ObjectRef): string {
    return `${this.objects}${encodeURIComponent(object.namespace)}/${object.id}`;
  }
}

/** The object's record: where it is, and who owns it. Its epoch is the revision that wrote it. */
export interface ObjectRecord extends Past {
  /** Undefined where nobody does: the record keeps a home that is not the default one. */
  readonly owner: { readonly node: string; readonly incarnation: string } | undefined;
  readonly home: string;
}

export function encodeRecord({ owner, home, ...past }: ObjectRecord): Buffer {
  const held = owner === undefined ? {} : { owner: owner.node, incarnation: owner.incarnation };
  return encode({ ...held, home, ...pastOf(past) });
}

export function decodeRecord(kv: KeyValue): ObjectRecord | undefined {
  const { owner: node, incarnation, home, from, isPromoted } = decode(kv);
  if (!isText(home) || (from !== undefined && !isText(from))) return undefined;
  const rest = { home, ...pastOf({ from, isPromoted: isPromoted === true }) };
  if (node === undefined && incarnation === undefined) return { owner: undefined, ...rest };
  if (!isText(node) || !isText(incarnation)) return undefined;
  // It is compared with leases, which etcd takes as numbers.
  return /^\d{1,19}$/.test(incarnation) ? { owner: { node, incarnation }, ...rest } : undefined;
}

export function encodeNode(node: Omit<NodeInfo, 'node' | 'incarnation'>): Buffer {
  const { storeId, region, zone, addresses, draining } = node;
  return encode({ store: storeId, region, zone, addresses, ...(draining ? { draining } : {}) });
}

export function decodeNode(keys: Keys, kv: KeyValue): NodeInfo | undefined {
  const { store, region, zone, addresses, draining } = decode(kv);
  const node = decodePart(kv.key.slice(keys.nodes.length));
  if (node === undefined || kv.lease === noLease) return undefined;
  if (!isText(store) || !isText(region) || !isText(zone) || !isTextMap(addresses)) return undefined;
  return Object.freeze({
    node,
    incarnation: kv.lease,
    storeId: store,
    region,
    zone,
    addresses: Object.freeze({ ...addresses }),
    ...(draining === true ? { draining } : {}),
  });
}

export function encodeShard({ generation, members, next, coming }: ShardAssignment): Buffer {
  return encode({
    generation,
    members,
    ...(next === undefined ? {} : { next }),
    ...(coming === undefined ? {} : { coming }),
  });
}

export function decodeShard(keys: Keys, kv: KeyValue): VersionedShard | undefined {
  const { generation, members, next, coming } = decode(kv);
  const [part = '', number = '', ...rest] = kv.key.slice(keys.shards.length).split('/');
  const region = decodePart(part);
  if (region === undefined || !/^\d{1,9}$/.test(number) || rest.length > 0) return undefined;
  if (!isCount(generation) || !isTextList(members)) return undefined;
  if (next !== undefined && !isTextList(next)) return undefined;
  if (coming !== undefined && !isTextList(coming)) return undefined;
  const assignment = {
    region,
    shard: Number(number),
    generation,
    members: Object.freeze(members),
    ...(next === undefined ? {} : { next: Object.freeze(next) }),
    ...(coming === undefined ? {} : { coming: Object.freeze(coming) }),
  };
  return Object.freeze({ assignment: Object.freeze(assignment), revision: kv.modRevision });
}

export const encodeRegions = encode<RegionList>;

export function decodeRegions(kv: KeyValue): VersionedRegions | undefined {
  const { regions, named, jurisdictions } = decode(kv);
  const order = orderOf({ regions, named });
  if (order === undefined || typeof jurisdictions !== 'object' || jurisdictions === null) {
    return undefined;
  }
  const found: Record<string, RegionOrder> = {};
  for (const [name, value] of Object.entries(jurisdictions)) {
    const one = typeof value === 'object' && value !== null ? orderOf({ ...value }) : undefined;
    if (one === undefined) return undefined;
    found[name] = one;
  }
  const list = Object.freeze({ ...order, jurisdictions: Object.freeze(found) });
  return Object.freeze({ list, revision: kv.modRevision });
}

function orderOf({ regions, named }: Record<string, unknown>): RegionOrder | undefined {
  if (!isTextList(regions) || !isCount(named) || named < 1 || named > regions.length) {
    return undefined;
  }
  return Object.freeze({ regions: Object.freeze(regions), named });
}

/** How often a store has been opened. */
export const encodeStarts = (starts: number): Buffer => encode({ starts });

export function decodeStarts(kv: KeyValue): number | undefined {
  const { starts } = decode(kv);
  return isCount(starts) ? starts : undefined;
}

export const encodeSetting = (value: number | string): Buffer => encode({ value });

export function decodeSetting(kv: KeyValue): number | string | undefined {
  const { value } = decode(kv);
  return isCount(value) || isText(value) ? value : undefined;
}

/** See facts.ts. */
export const encodeFacts = encode<ClusterFacts>;

export function decodeFacts(kv: KeyValue): ClusterFacts | undefined {
  const facts = Object.entries(decode(kv));
  const counts = facts.flatMap(([name, value]) => (isCount(value) ? [[name, value] as const] : []));
  return counts.length > 0 && counts.length === facts.length
    ? Object.fromEntries(counts)
    : undefined;
}

/** See witness.ts. */
export const encodeWitness = (count: number): Buffer => encode({ count });

export function decodeWitness(kv: KeyValue): number | undefined {
  const { count } = decode(kv);
  return isCount(count) ? count : undefined;
}

/** What is added to etcd's revisions; text, since JSON's numbers end at 53 bits. */
export const encodeBase = (base: bigint): Buffer => encode({ base: String(base) });

export function decodeBase(kv: KeyValue): bigint | undefined {
  const { base } = decode(kv);
  return isText(base) && /^\d{1,15}$/.test(base) ? BigInt(base) : undefined;
}

/** For people who look into etcd: what counts is the revision of it. */
export const encodeRecovery = (highest: string): Buffer => encode({ highest });

/** For people who look into etcd: what counts is the lease. */
export const encodeController = (node: string): Buffer => encode({ node });

/** What to say of a value that does not decode. */
export function unreadable(kv: KeyValue): HomingError {
  return new HomingError(
    'corruption',
    `etcd's key ${kv.key} holds what homing cannot read: ${kv.value.toString().slice(0, 200)}`,
  );
}

/** What etcd says of a key that no lease holds. */
export const noLease = '0';

function encode<Value extends object>(value: Value): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function decode(kv: KeyValue): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(kv.value.toString());
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function decodePart(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}

function isTextMap(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null && Object.values(value).every(isText);
}
