/**
 * The nodes of one run with their disks, and what may be done to them. A node's process comes and
 * goes; its disk stays, unless it is replaced by an empty one, which is another store.
 */
import {
  type LinkPurpose,
  namedObjectId,
  type ObjectRef,
  type ShardAssignment,
} from '@homing/base';
import { type MemoryCluster, memoryCluster } from '@homing/coordinator';
import {
  defaultHome,
  isChanging,
  type Promotion,
  planPromotion,
  type ReplicaSet,
  shardKey,
  shardOf,
  storesOf,
} from '@homing/protocol';
import { decodeMessage } from '@homing/replication';
import { unrestOf } from './check-rest.ts';
import { Disk, type DiskFaults, type DiskObserver } from './disk.ts';
import { SimNetwork } from './network.ts';
import type { Profile } from './profile.ts';
import type { SeededRandom } from './random.ts';
import { type SimBugs, SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface ClusterOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly profile: Profile;
  readonly observer: DiskObserver;
  /** What ran of the object was ended amid it, or of all objects where none is named. */
  readonly interrupted?: (object: ObjectRef | undefined) => void;
  readonly bugs: SimBugs & Partial<DiskFaults>;
  readonly trace: (text: string, detail?: () => string) => void;
  readonly broken: (rule: string, message: string) => void;
}

const namespace = 'sim/List';

interface Slot {
  readonly name: string;
  disk: Disk;
  node: SimNode | undefined;
  hasStarted: boolean;
}

export class SimCluster {
  readonly network: SimNetwork;
  readonly objects: readonly ObjectRef[];
  /** Every disk there ever was. */
  readonly disks = new Map<string, Disk>();
  readonly #options: ClusterOptions;
  readonly #coordinators: MemoryCluster;
  readonly #slots: readonly Slot[];
  /** Which run each epoch of an object belongs to. */
  readonly #runs = new Map<string, string>();
  #nextRun = 1;

  constructor(options: ClusterOptions) {
    const { world, random, profile, trace } = options;
    this.#options = options;
    this.#coordinators = memoryCluster({ sessionTtlMs: profile.sessionTtlMs });
    this.network = new SimNetwork(
      world,
      random.child('network'),
      profile.network,
      (from, to, purpose, message) => {
        if (message === undefined) trace(`${from}>${to} ${purpose} down`);
        else if (message.length === 0) trace(`${from}>${to} ${purpose} up`);
        else {
          const detail = () => describeMessage(purpose, message);
          trace(`${from}>${to} ${purpose} ${message[0]} ${message.length}`, detail);
        }
      },
      (from, to) => {
        const isFar = this.regionOf(from) !== this.regionOf(to);
        return isFar ? (profile.migration?.apartMs ?? 0) : 0;
      },
    );
    this.objects = Array.from({ length: profile.objects }, (_, index) => {
      const name = `o${index}`;
      return { namespace, id: namedObjectId(namespace, name), name };
    });
    const count = profile.nodes + profile.spares;
    this.#slots = Array.from({ length: count }, (_, index) => ({
      name: `n${index}`,
      disk: this.#newDisk(`s${index}`),
      node: undefined,
      hasStarted: false,
    }));
    for (const slot of this.#slots.slice(0, profile.firstNodes)) this.start(slot.name);
  }

  get names(): readonly string[] {
    return this.#slots.map(({ name }) => name);
  }

  /** Live processes. */
  get nodes(): readonly SimNode[] {
    return this.#slots.flatMap(({ node }) => (node === undefined ? [] : [node]));
  }

  /** That of the object's home, as the coordinator has it; undefined until it was assigned. */
  setOf(object: ObjectRef): ReplicaSet | undefined {
    const home = this.homeOf(object);
    if (home === undefined) return undefined;
    const key = shardKey(home, shardOf(object.id, this.#options.profile.shards));
    return this.#coordinators.shards().get(key)?.assignment;
  }

  /** The stores whose majority has what was acknowledged: while a set changes, those of the old list. */
  holdersOf(object: ObjectRef): readonly string[] {
    return this.setOf(object)?.members ?? [];
  }

  /**
   * Whether every replica set could lose any one disk: none changes, and each of their stores is there
   * and has all it must.
   */
  get isWhole(): boolean {
    // One that is yet to be made may be given a store that is gone by then.
    if (!this.isAssigned) return false;
    return [...this.#coordinators.shards()].every(([key, { assignment }]) => {
      const { members } = assignment;
      const nodes = members.map((store) => this.nodes.find(({ disk }) => disk.storeId === store));
      const isWhole = nodes.every((node) => node?.isServing === true && node.isComplete(key));
      return !isChanging(assignment) && members.length > 2 && isWhole;
    });
  }

  /** Every region's shards have replica sets. */
  get isAssigned(): boolean {
    const { regions, shards } = this.#options.profile;
    return this.sets.length === regions.length * shards;
  }

  /** All sets, as the coordinator has them. */
  get sets(): readonly ShardAssignment[] {
    return [...this.#coordinators.shards().values()].map(({ assignment }) => assignment);
  }

  /** What is not as it should be of the sets, though nothing is amiss. */
  get unrest(): string | undefined {
    const { factor, controller } = this.#options.profile;
    const stores = this.nodes.map(({ self, disk }) => ({
      store: disk.storeId,
      region: this.regionOf(self.node),
      zone: this.#zoneOf(self.node),
    }));
    return unrestOf({ sets: this.sets, stores, factor, percent: controller.balancePercent });
  }

  /** As the coordinator has it, whether or not it is away; undefined until then. */
  homeOf(object: ObjectRef): string | undefined {
    const list = this.#coordinators.regions();
    const home = this.#coordinators.homeOf(object);
    return home ?? (list && defaultHome(object.id, list));
  }

  #zoneOf(name: string): string {
    const { zones, regions } = this.#options.profile;
    const index = this.#slots.findIndex((slot) => slot.name === name);
    const place = Math.max(0, Math.floor(index / regions.length) - 1);
    return zones === 0 ? name : `z${place % zones}`;
  }

  regionOf(name: string): string {
    const { regions } = this.#options.profile;
    const index = this.#slots.findIndex((slot) => slot.name === name);
    return regions[index % regions.length] as string;
  }

  /** The set that is to have a copy of the object beside that of its home. */
  remoteSetOf(object: ObjectRef): ShardAssignment | undefined {
    const { isRemote, regions, shards } = this.#options.profile;
    const home = this.homeOf(object);
    const remote = isRemote ? regions.find((region) => region !== home) : undefined;
    if (remote === undefined) return undefined;
    return this.#coordinators.shards().get(shardKey(remote, shardOf(object.id, shards)))
      ?.assignment;
  }

  /** Nodes whose sessions stand. */
  get members(): readonly string[] {
    return this.#coordinators.sessions();
  }

  /** What is found of the object in its remote region, and what every quorum there has at least. */
  promotionOf(object: ObjectRef): Promotion | undefined {
    const set = this.remoteSetOf(object);
    if (set === undefined) return undefined;
    const copies = storesOf(set).flatMap((store) => {
      const head = this.disks.get(store)?.contents.head(object.id);
      if (head === undefined || head.isQuarantined === true) return [];
      const { promised, last } = head;
      return [{ id: object.id, store, region: set.region, promised, last, recordEpoch: promised }];
    });
    const { promoted, kept } = planPromotion(copies, () => set);
    return [...promoted, ...kept][0];
  }

  isMember(storeId: string, object: ObjectRef): boolean {
    const set = this.setOf(object);
    return set !== undefined && storesOf(set).includes(storeId);
  }

  /** Whether the node was ever there. */
  hasStarted(name: string): boolean {
    return this.#slot(name).hasStarted;
  }

  node(name: string): SimNode | undefined {
    return this.#slot(name).node;
  }

  disk(name: string): Disk {
    return this.#slot(name).disk;
  }

  start(name: string): void {
    const slot = this.#slot(name);
    if (slot.node !== undefined) return;
    slot.hasStarted = true;
    const { world, random, profile, bugs, trace, broken } = this.#options;
    const run = `${name}.${this.#nextRun++}`;
    trace(`start ${run} on ${slot.disk.storeId}`);
    slot.node = new SimNode({
      world,
      random: random.child(run),
      network: this.network,
      coordinators: this.#coordinators,
      coordinatorFaults: profile.coordinator,
      disk: slot.disk,
      self: { node: name, storeId: slot.disk.storeId, run },
      rate: 1 + (random.number() * 2 - 1) * profile.drift,
      shardCount: profile.shards,
      factor: profile.factor,
      controller: profile.controller,
      region: this.regionOf(name),
      zone: this.#zoneOf(name),
      regions: profile.regions,
      isRemote: profile.isRemote,
      migration: profile.migration,
      limits: profile.limits,
      idleMs: profile.idleMs,
      asleepMax: profile.asleepMax,
      socketBytesMax: profile.socketBytesMax,
      bugs,
      trace,
      activated: (object, epoch) => this.#activated(object, epoch, run),
      interrupted: (object) => this.#options.interrupted?.(object),
      broken,
    });
  }

  kill(name: string): void {
    const slot = this.#slot(name);
    if (slot.node === undefined) return;
    this.#options.trace(`kill ${name}`);
    slot.node.kill();
    this.#options.interrupted?.(undefined);
    slot.node = undefined;
  }

  /** The node's process must be dead. */
  replaceDisk(name: string): void {
    const slot = this.#slot(name);
    slot.disk = this.#newDisk(`${slot.disk.storeId}+`);
  }

  pause(name: string): void {
    this.#options.trace(`pause ${name}`);
    this.node(name)?.process.pause();
    if (this.#options.random.chance(0.5)) this.network.silence(name);
  }

  resume(name: string): void {
    this.#options.trace(`resume ${name}`);
    this.node(name)?.process.resume();
  }

  setCoordinatorAway(isAway: boolean): void {
    this.#coordinators.setAway(isAway);
  }

  expireSession(name: string): void {
    this.#coordinators.expire(name);
    this.#options.interrupted?.(undefined);
  }

  #slot(name: string): Slot {
    return this.#slots.find((slot) => slot.name === name) as Slot;
  }

  #newDisk(storeId: string): Disk {
    const { world, random, profile, bugs, observer } = this.#options;
    const { fsyncMs, overloadedShare } = profile;
    const faults = { ...bugs, fsyncMs, overloadedShare };
    const disk = new Disk(world, storeId, random.child(storeId), faults, observer);
    this.disks.set(storeId, disk);
    return disk;
  }

  #activated({ id, name }: ObjectRef, epoch: bigint, run: string): void {
    this.#options.trace(`activate ${name} epoch ${epoch} on ${run}`);
    const key = `${id}/${epoch}`;
    const before = this.#runs.get(key);
    if (before !== undefined && before !== run) {
      this.#options.broken('epoch', `${name}: epoch ${epoch} ran on ${before} and on ${run}`);
    }
    this.#runs.set(key, run);
  }
}

function describeMessage(purpose: LinkPurpose, message: Uint8Array): string {
  if (purpose === 'call') return '';
  const decoded = decodeMessage(message);
  return JSON.stringify(decoded, (key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    if (value instanceof Uint8Array) return value.length;
    return key === 'id' ? String(value).slice(0, 4) : value;
  });
}
