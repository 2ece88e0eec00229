/**
 * What goes wrong in a run, drawn from its seed: one fault after the other, each for a while, so that
 * several last at the same time. `heal` ends them all.
 */
import { isPlot } from './plot-kinds.ts';
import { Plots } from './plots.ts';
import type { FaultKind, Profile } from './profile.ts';
import type { SeededRandom } from './random.ts';
import type { SimCluster } from './sim-cluster.ts';
import type { World } from './world.ts';

export interface NemesisOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly cluster: SimCluster;
  readonly profile: Profile;
  readonly trace: (text: string) => void;
}

type Disturbance = Extract<
  FaultKind,
  'move' | 'move-home' | 'move-broken' | 'drain' | 'executor-crash'
>;

/** Within which time of a move's beginning it is broken: all its steps lie in there. */
const moveStepsMs = 600;

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly #damages: SeededRandom;
  readonly #plots: Plots;
  #isOver = false;

  constructor(options: NemesisOptions) {
    this.#options = options;
    const { random } = options;
    this.#damages = random.child('damages');
    this.#plots = new Plots({
      ...options,
      random: random.child('plots'),
      isOver: () => this.#isOver,
    });
  }

  start(): void {
    const { profile } = this.#options;
    if (profile.kinds.length > 0) this.#next();
    if (profile.isDamaging) this.#damageNext();
  }

  /** Everything works from now on; nodes that drained are started anew. */
  heal(): void {
    this.#isOver = true;
    const { cluster, trace } = this.#options;
    trace('heal');
    cluster.network.heal();
    cluster.setCoordinatorAway(false);
    for (const name of cluster.names) {
      cluster.disk(name).slowMs = undefined;
      cluster.disk(name).keepsUp = true;
      const node = cluster.node(name);
      node?.process.resume();
      if (node?.isDraining === true) cluster.kill(name);
      cluster.start(name);
      cluster.node(name)?.way.heal();
    }
  }

  #next(): void {
    const { world, random, profile } = this.#options;
    world.at(random.between(...profile.faultEveryMs), () => {
      if (this.#isOver) return;
      this.#strike(random.pick(profile.kinds));
      this.#next();
    });
  }

  #damageNext(): void {
    const { world } = this.#options;
    world.at(this.#damages.between(500, 8000), () => {
      if (this.#isOver) return;
      this.#damage();
      this.#damageNext();
    });
  }

  /** Of one replica at a time, and only while every replica set can do without any of its disks. */
  #damage(): void {
    const { cluster, trace } = this.#options;
    const object = this.#damages.pick(cluster.objects);
    const disk = cluster.disk(this.#damages.pick(cluster.names));
    const damage = this.#damages.pick(['state', 'log'] as const);
    const isMember = cluster.isMember(disk.storeId, object);
    if (!isMember || !cluster.isWhole || this.#isAnyDamaged) return;
    trace(`damage ${damage} of ${object.name} on ${disk.storeId}`);
    disk.damage(object.id, damage);
  }

  get #isAnyDamaged(): boolean {
    const { cluster } = this.#options;
    return cluster.objects.some((object) =>
      [...cluster.disks.values()].some(
        (disk) => cluster.isMember(disk.storeId, object) && disk.isDamaged(object.id),
      ),
    );
  }

  /** Ends a fault, unless all are over by then. */
  #later(end: () => void): void {
    const { world, random, profile } = this.#options;
    world.at(random.between(...profile.faultMs), () => {
      if (!this.#isOver) end();
    });
  }

  #strike(kind: FaultKind): void {
    const { random, cluster, trace } = this.#options;
    const name = random.pick(cluster.names);
    const other = random.pick(cluster.names.filter((candidate) => candidate !== name));
    trace(`fault ${kind} ${name} ${other}`);
    switch (kind) {
      case 'cut-one-way':
        this.#cut([[name, other]]);
        return;
      case 'cut-both-ways':
        this.#cut([
          [name, other],
          [other, name],
        ]);
        return;
      case 'isolate':
        this.#isolate(name);
        return;
      case 'crash':
        this.#restartLater(name);
        return;
      case 'crash-all':
        for (const each of cluster.names) this.#restartLater(each);
        return;
      case 'wipe':
        this.#wipe(name);
        return;
      case 'join': {
        const spare = cluster.names.find((each) => !cluster.hasStarted(each));
        if (spare !== undefined) cluster.start(spare);
        return;
      }
      case 'pause':
        cluster.pause(name);
        this.#later(() => cluster.resume(name));
        return;
      case 'slow-disk': {
        const disk = cluster.disk(name);
        disk.slowMs = random.pick([100, 1000, 4000]);
        this.#later(() => {
          disk.slowMs = undefined;
        });
        return;
      }
      case 'coordinator-away':
        cluster.setCoordinatorAway(true);
        this.#later(() => cluster.setCoordinatorAway(false));
        return;
      case 'coordinator-cut': {
        const node = cluster.node(name);
        node?.way.cut();
        this.#later(() => node?.way.mend());
        return;
      }
      case 'cut-off':
        this.#cutOff(name);
        return;
      case 'session-expires':
        cluster.expireSession(name);
        return;
      default:
        if (isPlot(kind)) this.#plots.begin(kind);
        else this.#disturb(kind, name, other);
    }
  }

  #disturb(kind: Disturbance, name: string, other: string): void {
    const { random, cluster } = this.#options;
    const node = cluster.node(name);
    if (node?.isServing !== true) return;
    if (kind === 'executor-crash') {
      node.crashExecutors();
      return;
    }
    if (kind === 'move-home') {
      const { id } = random.pick(cluster.objects);
      const owner = cluster.nodes.find((each) => each.isServing && each.owned().includes(id));
      void owner?.moveHome(id, cluster.regionOf(other));
      return;
    }
    if (kind === 'move-broken') {
      this.#breakMove(other);
      return;
    }
    if (kind === 'move') {
      const { id } = random.pick(cluster.objects);
      const owner = cluster.nodes.find((each) => each.isServing && each.owned().includes(id));
      // A node that holds no replica is to be refused.
      void owner?.move(id, other);
      return;
    }
    if (node.isDraining) return;
    void node.drain();
    this.#later(() => {
      if (cluster.node(name) === node) this.#restartLater(name);
    });
  }

  /** The owner dies, or the node that may become it, or the coordinator goes away, at whatever step. */
  #breakMove(to: string): void {
    const { random, cluster, world } = this.#options;
    const { id } = random.pick(cluster.objects);
    const owner = cluster.nodes.find((each) => each.isServing && each.owned().includes(id));
    if (owner === undefined) return;
    void owner.moveHome(id, cluster.regionOf(to));
    const victim = random.pick(['owner', 'target', 'coordinator']);
    world.at(random.between(0, moveStepsMs), () => {
      if (this.#isOver) return;
      if (victim === 'coordinator') {
        cluster.setCoordinatorAway(true);
        this.#later(() => cluster.setCoordinatorAway(false));
      } else this.#restartLater(victim === 'owner' ? owner.self.node : to);
    });
  }

  #cut(directions: readonly (readonly [string, string])[], mended: () => void = () => {}): void {
    const { network } = this.#options.cluster;
    for (const [from, to] of directions) network.cut(from, to);
    this.#later(() => {
      for (const [from, to] of directions) network.mend(from, to);
      mended();
    });
  }

  /** From all other nodes and from the coordinator, whose session ends; clients stay. */
  #cutOff(name: string): void {
    const { cluster } = this.#options;
    const node = cluster.node(name);
    node?.way.cut();
    const others = cluster.names.filter((other) => other !== name);
    this.#cut(
      others.flatMap((other) => [
        [name, other],
        [other, name],
      ]),
      () => node?.way.mend(),
    );
  }

  /** Nothing comes in, nothing goes out, or neither. */
  #isolate(name: string): void {
    const { random, cluster } = this.#options;
    const ways = random.pick(['in', 'out', 'both']);
    const directions: [string, string][] = [];
    for (const other of cluster.names) {
      if (other === name) continue;
      if (ways !== 'out') directions.push([other, name]);
      if (ways !== 'in') directions.push([name, other]);
    }
    this.#cut(directions);
  }

  #restartLater(name: string): void {
    const { random, cluster } = this.#options;
    cluster.kill(name);
    if (random.chance(0.3)) cluster.start(name);
    else this.#later(() => cluster.start(name));
  }

  /** One that every replica set can do without; the next one once what was lost is made good. */
  #wipe(name: string): void {
    const { cluster } = this.#options;
    if (!cluster.isWhole || this.#isAnyDamaged) return;
    cluster.kill(name);
    cluster.replaceDisk(name);
    this.#later(() => cluster.start(name));
  }
}
