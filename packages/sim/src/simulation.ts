/**
 * One run from one seed: a cluster under load and faults for a while, then healed, from when on it
 * has to make progress in a bounded time; then everything that was seen is checked.
 */
import { compareRecordNames, noRecord, type ObjectRef } from '@homing/base';
import { type ReplicaSet, storesOf } from '@homing/protocol';
import { DiskChecks } from './check-disks.ts';
import { checkHistory } from './check-history.ts';
import { lookMs, MoveChecks } from './check-moves.ts';
import { SocketChecks } from './check-sockets.ts';
import type { DiskFaults } from './disk.ts';
import type { Violation } from './history.ts';
import { readState } from './list-object.ts';
import { forbidMachineTime } from './machine-time.ts';
import { Nemesis } from './nemesis.ts';
import { drawProfile, neverMs, type Profile } from './profile.ts';
import { SeededRandom } from './random.ts';
import { SimCluster } from './sim-cluster.ts';
import type { SimBugs } from './sim-node.ts';
import { Talkers } from './talkers.ts';
import { Trace } from './trace.ts';
import { Workload } from './workload.ts';
import { World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Ends the load and the faults early, after so many steps. */
  readonly stepsMax?: number | undefined;
  /** Gets every line of the trace. */
  readonly keep?: ((line: string) => void) | undefined;
  readonly bugs?: (SimBugs & Partial<DiskFaults>) | undefined;
  /** In place of what the seed would draw. */
  readonly profile?: Partial<Profile> | undefined;
}

export interface Verdict {
  readonly seed: number;
  readonly steps: number;
  readonly operations: number;
  /** Operations that were answered. */
  readonly answered: number;
  /** Frames that clients sent on sockets, answers that came, and sockets that the cluster closed. */
  readonly frames: { readonly sent: number; readonly answered: number; readonly dropped: number };
  /** Moves of objects toward their callers. */
  readonly moves: number;
  readonly virtualMs: number;
  readonly traceHash: string;
  readonly violations: readonly Violation[];
}

/** In virtual time: for sockets to be gone whose clients have closed them; for an object to follow its callers; to start; to answer again once healed; for alarms to ring; for replicas to agree; for damage to be mended; for replica sets to come to rest, and how long they must stay so; for what objects left behind to be erased; for copies elsewhere to have all; for a lost region's sessions to end, and its objects to have another home. */
const bounds = {
  socketsMs: 60_000,
  followMs: 600_000,
  startMs: 30_000,
  progressMs: 90_000,
  alarmsMs: 240_000,
  agreeMs: 60_000,
  mendMs: 60_000,
  restMs: 120_000,
  stillMs: 5000,
  sweptMs: 60_000,
  remotesMs: 60_000,
  lostMs: 60_000,
};
/** Copies that are begun anew: for what was written meanwhile, a set that changed, another owner. */
const copiesAnew = 3;
const violationsMax = 20;
const lookEveryMs = 250;
const callAgainMs = 5000;
/** How often an object is called that is to follow its callers. */
const followEveryMs = 100;

export async function runSimulation(options: SimulationOptions): Promise<Verdict> {
  const restore = forbidMachineTime();
  const violations: Violation[] = [];
  const broken = (rule: string, message: string) => {
    if (violations.length < violationsMax) violations.push({ rule, message });
  };
  const rejected = (error: unknown) => {
    broken('rejection', error instanceof Error ? (error.stack ?? error.message) : String(error));
  };
  process.on('unhandledRejection', rejected);
  const run = new Run(options, broken);
  try {
    await run.go();
  } catch (error) {
    rejected(error);
  } finally {
    process.off('unhandledRejection', rejected);
    restore();
  }
  return run.verdict(violations);
}

class Run {
  readonly #seed: number;
  readonly #stepsMax: number;
  readonly #world = new World();
  readonly #trace: Trace;
  readonly #broken: (rule: string, message: string) => void;
  readonly #profile: Profile;
  readonly #disks: DiskChecks;
  readonly #cluster: SimCluster;
  readonly #workload: Workload;
  readonly #nemesis: Nemesis;
  readonly #moves: MoveChecks | undefined;
  readonly #sockets: SocketChecks;
  readonly #talkers: Talkers;
  #callAgainMs = 0;
  #isLosing = false;

  constructor(options: SimulationOptions, broken: (rule: string, message: string) => void) {
    const { seed, stepsMax, keep, bugs } = options;
    this.#seed = seed;
    this.#stepsMax = stepsMax ?? Number.POSITIVE_INFINITY;
    this.#trace = new Trace(() => this.#world.nowMs, keep);
    const trace = (text: string, detail?: () => string) => this.#trace.line(text, detail);
    this.#broken = (rule, message) => {
      trace(`BROKEN ${rule}: ${message}`);
      broken(rule, message);
    };
    const random = new SeededRandom(seed);
    const world = this.#world;
    const drawn = drawProfile(random.child('profile'));
    // What a test sets up has of these what it says.
    const apart = { migration: undefined, talkers: 0, socketBytesMax: 1_000_000 };
    const given = options.profile && { ...apart, ...options.profile };
    const profile = { ...drawn, ...given };
    this.#profile = profile;
    trace(`seed ${seed} ${JSON.stringify(profile)}`);
    this.#disks = new DiskChecks(this.#broken);
    this.#sockets = new SocketChecks(this.#broken, profile.network.keepaliveMs);
    this.#cluster = new SimCluster({
      world,
      random: random.child('cluster'),
      profile,
      observer: this.#disks,
      interrupted: (object) => {
        const index = object && this.#cluster.objects.findIndex(({ id }) => id === object.id);
        this.#sockets.interrupted(world.nowMs, index);
      },
      bugs: bugs ?? {},
      trace,
      broken: this.#broken,
    });
    const cluster = this.#cluster;
    this.#workload = new Workload({
      world,
      random: random.child('workload'),
      cluster,
      profile,
      trace,
      acknowledged: (object, value, isCleared) => {
        this.#disks.acknowledged(cluster, object, value, isCleared);
      },
    });
    this.#moves = this.#newMoveChecks();
    this.#talkers = new Talkers({
      world,
      random: random.child('talkers'),
      cluster,
      profile,
      checks: this.#sockets,
      trace,
      begin: (client, object) => this.#workload.beginFrame(client, object),
      end: (operation, outcome) => this.#workload.endFrame(operation, outcome),
    });
    this.#nemesis = new Nemesis({
      world,
      random: random.child('nemesis'),
      cluster,
      profile,
      trace,
    });
  }

  async go(): Promise<void> {
    const world = this.#world;
    const cluster = this.#cluster;
    const isAssigned = () => cluster.objects.every((object) => cluster.setOf(object) !== undefined);
    if (!(await world.run(bounds.startMs, isAssigned))) {
      this.#broken('progress', 'no replica sets were assigned');
      return;
    }
    this.#workload.start();
    this.#talkers.start();
    this.#nemesis.start();
    this.#watchMoves();
    await world.run(world.nowMs + this.#profile.loadMs, () => world.steps >= this.#stepsMax);
    this.#workload.stop();
    this.#talkers.stop();
    this.#nemesis.heal();
    await this.#demandProgress(cluster.names);
    await this.#demandSockets();
    await this.#demandFollowed();
    await this.#demandAlarms();
    await this.#demandAgreement();
    await this.#demandMended();
    await this.#demandSets();
    await this.#demandRest();
    await this.#demandSwept();
    await this.#demandRemotes();
    if (this.#profile.isRegionLost) await this.#loseRegion();
    for (const [index, object] of cluster.objects.entries()) {
      const { name } = object;
      const operations = this.#workload.history.filter(({ object }) => object === index);
      for (const { rule, message } of checkHistory(name ?? '', operations)) {
        this.#broken(rule, message);
      }
      // What was cleared is not there to be seen.
      if (this.#profile.clearShare > 0) continue;
      this.#sockets.check(index, this.#newest(object).list, this.#world.nowMs);
    }
  }

  /** Clients close: what they sent has come, and nothing is kept of their sockets. */
  async #demandSockets(): Promise<void> {
    if (this.#profile.talkers === 0) return;
    const cluster = this.#cluster;
    this.#talkers.close();
    const left = () => cluster.nodes.filter(({ socketCount }) => socketCount > 0);
    if (!(await this.#within(bounds.socketsMs, () => left().length === 0))) {
      this.#broken('socket', `left on ${left().map(({ self }) => self.node)}`);
    }
  }

  #newMoveChecks(): MoveChecks | undefined {
    const { migration, kinds, isDamaging, drift, network } = this.#profile;
    if (migration === undefined) return undefined;
    const { pull, movesMax, rules } = migration;
    const { overloadedShare, coordinator } = this.#profile;
    const failing = [
      network.slowShare ?? 0,
      overloadedShare,
      coordinator.lostShare,
      coordinator.unknownShare,
    ];
    const isCalm = kinds.length === 0 && !isDamaging && failing.every((share) => share === 0);
    const { minimumStayMs } = rules;
    return new MoveChecks({ minimumStayMs, movesMax, pull, isCalm, drift }, this.#broken);
  }

  /** Until objects change their homes for other reasons. */
  #watchMoves(): void {
    const moves = this.#moves;
    if (moves === undefined) return;
    this.#world.at(lookMs, () => {
      if (this.#isLosing) return;
      for (const [index, object] of this.#cluster.objects.entries()) {
        const home = this.#cluster.homeOf(object);
        // One that holds nothing goes to its first caller's region at once.
        const isUsed = this.#workload.isUsed(index);
        if (isUsed && home !== undefined) moves.saw(object.name ?? '', home, this.#world.nowMs);
      }
      this.#watchMoves();
    });
  }

  /** An object that is called from one region only comes to be there, unless none may move. */
  async #demandFollowed(): Promise<void> {
    const { migration, regions } = this.#profile;
    if (migration === undefined || migration.movesMax === 0) return;
    this.#moves?.pulled();
    const cluster = this.#cluster;
    const world = this.#world;
    const goals = cluster.objects.map((object) => {
      const home = cluster.homeOf(object);
      return regions.find((region) => region !== home) ?? '';
    });
    const left = () =>
      cluster.objects.filter((object, index) => cluster.homeOf(object) !== goals[index]);
    const call = () => {
      for (const object of left()) {
        const index = cluster.objects.indexOf(object);
        const near = cluster.nodes.find(
          ({ self, isServing }) => isServing && cluster.regionOf(self.node) === goals[index],
        );
        if (near !== undefined) void this.#workload.once('follower', near, index, 'read');
      }
    };
    const untilMs = world.nowMs + bounds.followMs;
    while (left().length > 0) {
      if (world.nowMs >= untilMs) {
        this.#broken('followed', `${left().map(({ name }) => name)} did not go to their callers`);
        return;
      }
      call();
      await world.run(world.nowMs + followEveryMs);
    }
  }

  verdict(violations: readonly Violation[]): Verdict {
    const { history } = this.#workload;
    return {
      seed: this.#seed,
      steps: this.#world.steps,
      operations: history.length,
      answered: history.filter(({ outcome }) => outcome === 'ok').length,
      frames: this.#sockets.counts,
      moves: this.#moves?.moves ?? 0,
      virtualMs: Math.round(this.#world.nowMs),
      traceHash: this.#trace.digest(),
      violations,
    };
  }

  /** Every object takes an append, and shows it through every node. */
  async #demandProgress(names: readonly string[]): Promise<void> {
    const world = this.#world;
    const left = new Set<string>();
    const demand = async (object: number, name: string, kind: 'append' | 'read') => {
      const task = `${kind} of o${object} through ${name}`;
      left.add(task);
      for (;;) {
        const node = this.#cluster.node(name);
        if (node?.isServing && (await this.#workload.once('healed', node, object, kind))) break;
        await new Promise<void>((resolve) => world.at(200, () => resolve()));
      }
      left.delete(task);
    };
    const untilMs = world.nowMs + bounds.progressMs;
    for (const kind of ['append', 'read'] as const) {
      for (const object of this.#cluster.objects.keys()) {
        for (const name of names) void demand(object, name, kind);
      }
      if (await world.run(untilMs, () => left.size === 0)) continue;
      this.#broken('progress', `not answered after healing: ${[...left].join(', ')}`);
      return;
    }
  }

  /** Every alarm that was set has rung, exactly once as its record tells, or was replaced. */
  async #demandAlarms(): Promise<void> {
    const pending = () => this.#cluster.objects.filter((object) => this.#hasAlarm(object));
    if (!(await this.#within(bounds.alarmsMs, () => pending().length === 0))) {
      this.#broken('alarm', `${pending().map(({ name }) => name)} did not ring`);
    }
    for (const [index, object] of this.#cluster.objects.entries()) {
      const { list, fired } = this.#newest(object);
      const set = new Set(
        this.#workload.history
          .filter((operation) => operation.object === index)
          .filter(({ command }) => command.alarmMs !== undefined)
          .map(({ command }) => command.value),
      );
      const last = list.findLast((value) => set.has(value));
      if (last !== undefined && !fired.has(last)) {
        this.#broken('alarm', `${object.name}: alarm ${last} never rang`);
      }
      for (const [token, times] of fired) {
        if (times !== 1 || !set.has(token)) {
          this.#broken('alarm', `${object.name}: alarm ${token} rang ${times} times`);
        }
      }
    }
  }

  #callAgain(objects: readonly ObjectRef[]): void {
    const { objects: all, nodes } = this.#cluster;
    this.#callAgainMs = this.#world.nowMs + callAgainMs;
    const [node] = nodes.filter(({ isServing }) => isServing);
    if (node === undefined) return;
    for (const object of objects) {
      void this.#workload.once('healed', node, all.indexOf(object), 'read');
    }
  }

  /** Looks now and then, since looking costs more than running. */
  async #within(boundMs: number, isDone: () => boolean): Promise<boolean> {
    const world = this.#world;
    const untilMs = world.nowMs + boundMs;
    while (!isDone()) {
      if (world.nowMs >= untilMs) return false;
      await world.run(world.nowMs + lookEveryMs);
    }
    return true;
  }

  #hasAlarm(object: ObjectRef): boolean {
    return this.#newest(object).alarm !== undefined;
  }

  /** The state of the member that has folded in the most. */
  #newest(object: ObjectRef) {
    const disks = [...this.#cluster.disks.values()].filter((disk) =>
      this.#cluster.isMember(disk.storeId, object),
    );
    const appliedOf = (disk: (typeof disks)[number]) =>
      disk.contents.head(object.id)?.applied ?? noRecord;
    const [newest] = disks.sort((a, b) => compareRecordNames(appliedOf(b), appliedOf(a)));
    if (newest === undefined) throw new Error('no replica');
    return readState(newest.contents.reader(), object.id);
  }

  /** Whatever was damaged has been found, and made anew. */
  async #demandMended(): Promise<void> {
    const bad = () =>
      this.#cluster.objects.filter((object) =>
        this.#cluster.names.some((name) => {
          const disk = this.#cluster.disk(name);
          return this.#cluster.isMember(disk.storeId, object) && disk.isDamaged(object.id);
        }),
      );
    if (await this.#within(this.#withCopies(bounds.mendMs), () => bad().length === 0)) return;
    this.#broken('mended', `${bad().map(({ name }) => name)} is still damaged`);
  }

  /** Each region has its replica sets, also one whose nodes came and went until now. */
  async #demandSets(): Promise<void> {
    if (await this.#within(bounds.startMs, () => this.#cluster.isAssigned)) return;
    this.#broken('sets', 'not every shard of each region has a replica set');
  }

  /** Replica sets are whole and even, and from then on they stay as they are. */
  async #demandRest(): Promise<void> {
    const cluster = this.#cluster;
    // Where a disk that was lost is never replaced in its sets, nothing else is to be moved.
    if (this.#profile.controller.rebuildDelayMs >= neverMs) return;
    const isAtRest = () => cluster.unrest === undefined;
    if (!(await this.#within(this.#withCopies(bounds.restMs), isAtRest))) {
      this.#broken('rest', cluster.unrest ?? '');
      return;
    }
    const generations = () => cluster.sets.map(({ generation }) => generation).join();
    const before = generations();
    await this.#world.run(this.#world.nowMs + bounds.stillMs);
    if (generations() !== before) this.#broken('rest', 'replica sets go on changing');
  }

  /** What is to have a copy elsewhere has it, whole and as new as the object. */
  async #demandRemotes(): Promise<void> {
    const cluster = this.#cluster;
    // A disk that was lost has nothing, and may stay in its sets for ever.
    const isThere = (store: string) =>
      cluster.names.some((name) => cluster.disk(name).storeId === store);
    const copies = () =>
      cluster.objects.flatMap((object) =>
        (cluster.remoteSetOf(object)?.members ?? [])
          .filter(isThere)
          .map((store) => ({ object, store })),
      );
    const behind = () =>
      copies().filter(({ object, store }) => {
        const newest = this.#headOf(object, cluster.setOf(object));
        return cluster.disks.get(store)?.contents.head(object.id)?.applied.lsn !== newest;
      });
    const isWhole = await this.#within(this.#withCopies(bounds.remotesMs), () => {
      const left = behind().map(({ object }) => object);
      // As above: an object that nobody has claimed yet needs a call.
      if (left.length > 0 && this.#world.nowMs >= this.#callAgainMs) this.#callAgain(left);
      return left.length === 0;
    });
    if (!isWhole) {
      const names = behind().map(({ object, store }) => `${object.name} on ${store}`);
      this.#broken('remote', `copies in another region stay behind: ${names.join(', ')}`);
    }
    for (const { object, store } of copies()) {
      const disk = cluster.disks.get(store);
      if (disk !== undefined) this.#disks.compare(disk, object.id);
    }
  }

  /**
   * A region whose objects all have whole copies elsewhere is gone for good: they come up there with all
   * that was acknowledged. Then it is back after all, and has no say in them.
   */
  async #loseRegion(): Promise<void> {
    this.#isLosing = true;
    const cluster = this.#cluster;
    const [first] = cluster.objects;
    const lost = first && cluster.homeOf(first);
    const gone = cluster.names.filter((name) => cluster.regionOf(name) === lost);
    const left = cluster.names.filter((name) => !gone.includes(name));
    if (lost === undefined) return;
    for (const name of gone) cluster.kill(name);
    const isOver = () => !cluster.members.some((name) => gone.includes(name));
    if (!(await this.#within(bounds.lostMs, isOver))) {
      this.#broken('lost', `region ${lost} still has sessions`);
      return;
    }
    const waiting = () => cluster.objects.filter((object) => cluster.homeOf(object) === lost);
    for (const object of waiting()) {
      const found = cluster.promotionOf(object);
      if (found === undefined || found.copy.lsn === 0) {
        this.#broken('promoted', `${object.name} has no copy beyond region ${lost}`);
      } else void this.#promote(object, lost, found.to, left);
    }
    if (!(await this.#within(bounds.lostMs, () => waiting().length === 0))) {
      this.#broken('promoted', `${waiting().map(({ name }) => name)} stay in region ${lost}`);
      return;
    }
    await this.#demandProgress(left);
    for (const name of gone) cluster.start(name);
    await this.#demandProgress(cluster.names);
    await this.#demandAgreement();
    await this.#demandSwept();
    await this.#demandRemotes();
  }

  async #promote(
    object: ObjectRef,
    lost: string,
    to: string,
    left: readonly string[],
  ): Promise<void> {
    while (this.#cluster.homeOf(object) === lost) {
      const [node] = left.flatMap((name) => this.#cluster.node(name) ?? []);
      await node?.promote(object, lost, to).catch(() => false);
      await new Promise<void>((resolve) => this.#world.at(200, () => resolve()));
    }
  }

  /**
   * With the time that copies of whole objects take on the links and disks of this run, where nothing is
   * amiss: some send hundreds of small pages, each of which waits for the answer to the last, and one copy
   * after the other. At worst one node sends all objects to all others.
   */
  #withCopies(boundMs: number): number {
    const { network, migration, fsyncMs, limits } = this.#profile;
    const oneWayMs = network.delayMs[1] + (migration?.apartMs ?? 0);
    const pageMs = 2 * oneWayMs + fsyncMs[1];
    const { disks, objects, names } = this.#cluster;
    const pages = [...disks.values()].flatMap(({ contents }) =>
      objects.map(({ id }) => {
        const snapshot = contents.snapshot(id);
        let count = 0;
        while (snapshot?.next(limits.pageBytes) !== undefined) count += 1;
        return count;
      }),
    );
    const copyMs = (Math.max(...pages) * pageMs) / limits.pagesInFlightMax;
    const copiesInTurn = Math.ceil((objects.length * (names.length - 1)) / limits.copiesMax);
    return boundMs + (copiesInTurn + copiesAnew) * copyMs;
  }

  /** The newest record that is folded in anywhere. */
  #headOf({ id }: ObjectRef, set: ReplicaSet | undefined): number {
    const { disks } = this.#cluster;
    const lsns = (set?.members ?? []).map(
      (store) => disks.get(store)?.contents.head(id)?.applied.lsn ?? 0,
    );
    return Math.max(0, ...lsns);
  }

  /** No store keeps anything of an object that is at home elsewhere. */
  async #demandSwept(): Promise<void> {
    const cluster = this.#cluster;
    const left = () =>
      cluster.objects.flatMap((object) =>
        cluster.names
          .map((name) => cluster.disk(name))
          .filter(({ storeId, contents }) => {
            const remote = cluster.remoteSetOf(object);
            const isRemote = remote !== undefined && storesOf(remote).includes(storeId);
            const isMember = cluster.isMember(storeId, object);
            return !isMember && !isRemote && contents.head(object.id) !== undefined;
          })
          .map(({ storeId }) => ({ object, storeId })),
      );
    // One that was handed over and that nobody has called since needs a call: none but its next owner,
    // once it has claimed it, can tell that a copy of the same epoch is not needed.
    const isSwept = await this.#within(bounds.sweptMs, () => {
      const objects = left().map(({ object }) => object);
      if (objects.length > 0 && this.#world.nowMs >= this.#callAgainMs) this.#callAgain(objects);
      return objects.length === 0;
    });
    if (isSwept) return;
    const names = left().map(({ object, storeId }) => `${object.name} on ${storeId}`);
    this.#broken('swept', `copies that nobody needs are left: ${names.join(', ')}`);
  }

  /** Every member that is left has applied all there is, and has the same state. */
  async #demandAgreement(): Promise<void> {
    const disks = this.#cluster.names.map((name) => this.#cluster.disk(name));
    const differing = () =>
      this.#cluster.objects.filter((object) => {
        const { id } = object;
        const members = disks.filter(({ storeId }) => this.#cluster.isMember(storeId, object));
        const names = members.map(({ contents }) => {
          const head = contents.head(id);
          return `${head?.last.epoch}/${head?.last.lsn} ${head?.applied.lsn}`;
        });
        const [first] = names;
        const isSettled = first?.split(/[/ ]/)[1] === first?.split(/[/ ]/)[2];
        return !isSettled || names.some((name) => name !== first);
      });
    // Replicas are told of the last commit by the owner a while later, if there is one: an object
    // that its owner gave up meanwhile needs a call.
    const isAgreed = await this.#within(this.#withCopies(bounds.agreeMs), () => {
      const left = differing();
      if (left.length > 0 && this.#world.nowMs >= this.#callAgainMs) this.#callAgain(left);
      return left.length === 0;
    });
    if (!isAgreed) {
      const names = differing().map(({ name, id }) => {
        const heads = disks.map(({ storeId, contents }) => {
          const head = contents.head(id);
          return `${storeId} ${head?.last.epoch}/${head?.last.lsn}/${head?.applied.lsn}`;
        });
        return `${name} (${heads.join(', ')})`;
      });
      this.#broken('agreement', `replicas differ after healing: ${names.join('; ')}`);
    }
    for (const disk of disks) {
      for (const object of this.#cluster.objects) {
        if (this.#cluster.isMember(disk.storeId, object)) this.#disks.compare(disk, object.id);
      }
    }
  }
}
