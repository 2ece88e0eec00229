/**
 * Faults that follow each other in an order which chance hardly hits, each in the way of one rule of the
 * protocol: what must hold holds whatever happens, and here just that happens which the rule is for. Who
 * suffers is drawn: an object's owner, and the others of its replica set.
 *
 * Invariant: one plot at a time. Once all is healed it goes no further.
 *
 * Called by `Nemesis`.
 */
import type { ObjectRef } from '@homing/base';
import { shardKey, shardOf } from '@homing/protocol';
import type { PlotKind } from './plot-kinds.ts';
import type { Profile } from './profile.ts';
import type { SeededRandom } from './random.ts';
import type { SimCluster } from './sim-cluster.ts';
import type { World } from './world.ts';

export interface PlotOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly cluster: SimCluster;
  readonly profile: Profile;
  readonly isOver: () => boolean;
  readonly trace: (text: string) => void;
}

/** An object's owner, and the other two of its replica set. */
interface Cast {
  readonly object: ObjectRef;
  readonly owner: string;
  readonly one: string;
  readonly other: string;
}

/** How long a plot waits for what is to come. */
const patienceMs = 8000;

/** Thrown where everything was healed meanwhile, or what was to come did not. */
class Abandoned extends Error {}

export class Plots {
  readonly #options: PlotOptions;
  #isBusy = false;

  constructor(options: PlotOptions) {
    this.#options = options;
  }

  begin(kind: PlotKind): void {
    const cast = this.#draw();
    if (this.#isBusy || cast === undefined) return;
    const { trace } = this.#options;
    trace(`${kind} ${cast.object.name}: ${cast.owner} owns it; ${cast.one} ${cast.other}`);
    this.#isBusy = true;
    this.#play(kind, cast)
      .then(
        () => trace(`${kind} is over`),
        (error: unknown) => {
          if (!(error instanceof Abandoned)) throw error;
          trace(`${kind} came to nothing`);
        },
      )
      .finally(() => {
        this.#isBusy = false;
        if (!this.#options.isOver()) this.#tidyUp();
      });
  }

  #play(kind: PlotKind, cast: Cast): Promise<void> {
    switch (kind) {
      case 'plot-go-between':
        return this.#goBetween(cast);
      case 'plot-forgetful':
        return this.#forgetful(cast);
      case 'plot-late-answer':
        return this.#lateAnswer(cast);
      case 'plot-replaced':
        return this.#replaced(cast);
      case 'plot-busy-owner':
        return this.#busyOwner(cast);
      case 'plot-three-owners':
        return this.#threeOwners(cast);
      case 'plot-unaware-owner':
        return this.#unawareOwner(cast);
      case 'plot-full-disk':
        return this.#fullDisk(cast);
    }
  }

  /** A store is linked to the owner and to whoever claims the object, who do not hear each other. */
  async #goBetween({ owner, other }: Cast): Promise<void> {
    this.#part(owner, [other]);
    this.#endSession(owner);
    await this.#pass(3 * this.#promiseMs);
  }

  /** The one store that has promised the owner anything is restarted, while the owner is cut off. */
  async #forgetful({ owner, one, other }: Cast): Promise<void> {
    this.#part(owner, [other]);
    await this.#pass(1.2 * this.#promiseMs);
    this.#partFromAll(owner);
    this.#endSession(owner);
    this.#restart(one);
    await this.#pass(2 * this.#promiseMs);
  }

  /** An owner stops while a promise is on its way to it, and reads that once the promise is over. */
  async #lateAnswer({ owner, other }: Cast): Promise<void> {
    const { cluster, random } = this.#options;
    this.#part(owner, [other]);
    await this.#pass(this.#linksEndMs + random.between(0, this.#promiseMs / 2));
    const node = cluster.node(owner);
    if (node === undefined) throw new Abandoned();
    const { process } = node;
    process.pause();
    this.#endSession(owner);
    await this.#pass(1.5 * this.#promiseMs + 2000);
    process.resume();
    await this.#pass(2000);
  }

  /** An owner whose store another takes the place of has the promise of one store of both lists. */
  async #replaced({ object, owner, one }: Cast): Promise<void> {
    const { cluster } = this.#options;
    const others = cluster.names.filter((name) => name !== owner && name !== one);
    this.#part(owner, others);
    await this.#pass(1.2 * this.#promiseMs);
    this.#partFromAll(owner);
    this.#endSession(owner);
    const { storeId } = cluster.disk(owner);
    await this.#until(() => !cluster.isMember(storeId, object));
    await this.#pass(this.#promiseMs);
  }

  /**
   * The set is to have two new stores, and the owner's disk is too busy to note it, so that it goes by the
   * generation before. It dies with the old stores, once the new ones have all there was.
   */
  async #busyOwner({ object, owner, one, other }: Cast): Promise<void> {
    const { cluster } = this.#options;
    const before = cluster.setOf(object)?.generation ?? 0;
    for (const name of [one, other]) this.#endSession(name);
    await this.#until(() => this.#generationAt(owner, object) > before);
    cluster.disk(owner).slowMs = 100_000;
    const joiners = () => {
      const set = cluster.setOf(object);
      return set?.next?.filter((store) => !set.members.includes(store)) ?? [];
    };
    await this.#until(
      () => joiners().length === 2 && joiners().every((store) => this.#isComplete(store, object)),
    );
    this.#part(
      owner,
      cluster.names.filter((name) => joiners().includes(cluster.disk(name).storeId)),
    );
    await this.#pass(1.5 * this.#promiseMs + 500);
    for (const name of [owner, one, other]) cluster.kill(name);
    cluster.expireSession(owner);
    await this.#pass(4000);
  }

  /**
   * Two owners die with a record that nobody else has. A third one finds the older of them, gives it to
   * another store, and dies before it has given anything else; then the second is back.
   */
  async #threeOwners({ object, owner, one, other }: Cast): Promise<void> {
    const { cluster } = this.#options;
    this.#part(owner, [one, other]);
    const known = () => Math.max(this.#lastAt(one, object), this.#lastAt(other, object));
    await this.#until(() => this.#lastAt(owner, object) > known());
    const knownLsn = known();
    this.#dies(owner);
    await this.#until(() => [one, other].some((name) => this.#hasClaimed(name, object)));
    const second = this.#hasClaimed(one, object) ? one : other;
    const witness = second === one ? other : one;
    cluster.network.cut(second, witness);
    const claimed = this.#headAt(second, object)?.promised;
    await this.#until(() => this.#headAt(second, object)?.last.epoch === claimed);
    this.#dies(second);
    // What was on its way is lost with the links.
    cluster.node(witness)?.way.cut();
    await this.#pass(this.#linksEndMs);
    this.#mend();
    cluster.start(owner);
    await this.#until(() => this.#lastAt(witness, object) > knownLsn);
    cluster.network.cut(owner, witness);
    await this.#pass(200);
    this.#dies(owner);
    cluster.node(witness)?.way.mend();
    await this.#pass(this.#linksEndMs);
    this.#mend();
    cluster.start(second);
    await this.#pass(4000);
  }

  /** Gateways reach an owner that nobody else reaches, for long: it does not hear that it is none. */
  async #unawareOwner({ owner, one, other }: Cast): Promise<void> {
    this.#part(owner, [one, other]);
    this.#endSession(owner);
    await this.#pass(15_000);
    this.#mend();
    await this.#pass(4000);
  }

  /** What the owner holds is damaged, and its disk has no room to take that down for a while. */
  async #fullDisk({ object, owner }: Cast): Promise<void> {
    const { cluster } = this.#options;
    const disk = cluster.disk(owner);
    disk.isFull = true;
    disk.damage(object.id, 'state');
    // The next activation reads.
    cluster.node(owner)?.crashExecutors();
    await this.#pass(3000);
    disk.isFull = false;
    await this.#pass(4000);
  }

  // ── What plots are made of ─────────────────────────────────────────────────────────────────

  #draw(): Cast | undefined {
    const { cluster, random } = this.#options;
    const object = random.pick(cluster.objects);
    const owner = this.#ownerOf(object);
    const set = cluster.setOf(object);
    if (owner === undefined || set === undefined || set.next !== undefined) return undefined;
    const members = cluster.names.filter((name) => {
      const isMember = set.members.includes(cluster.disk(name).storeId);
      return isMember && cluster.node(name)?.isServing === true;
    });
    const first = random.pick([0, 1]);
    const others = members.filter((name) => name !== owner);
    const [one, other] = first === 0 ? others : others.toReversed();
    if (members.length !== 3 || one === undefined || other === undefined) return undefined;
    return others.length === 2 ? { object, owner, one, other } : undefined;
  }

  #ownerOf({ id }: ObjectRef): string | undefined {
    const { nodes } = this.#options.cluster;
    return nodes.find((node) => node.isServing && node.owned().includes(id))?.self.node;
  }

  get #promiseMs(): number {
    return this.#options.profile.limits.promiseMs;
  }

  get #linksEndMs(): number {
    return 1.3 * this.#options.profile.network.keepaliveMs;
  }

  #part(name: string, others: readonly string[]): void {
    const { network } = this.#options.cluster;
    for (const other of others) {
      network.cut(name, other);
      network.cut(other, name);
    }
  }

  #partFromAll(name: string): void {
    const { names } = this.#options.cluster;
    this.#part(
      name,
      names.filter((other) => other !== name),
    );
  }

  /** The node does not hear of it. */
  #endSession(name: string): void {
    const { cluster } = this.#options;
    cluster.node(name)?.way.cut();
    cluster.expireSession(name);
  }

  #restart(name: string): void {
    this.#options.cluster.kill(name);
    this.#options.cluster.start(name);
  }

  #dies(name: string): void {
    this.#options.cluster.kill(name);
    this.#options.cluster.expireSession(name);
  }

  #mend(): void {
    const { network, names } = this.#options.cluster;
    for (const name of names) for (const other of names) network.mend(name, other);
  }

  #tidyUp(): void {
    const { cluster } = this.#options;
    this.#mend();
    for (const name of cluster.names) {
      if (!cluster.hasStarted(name)) continue;
      cluster.disk(name).slowMs = undefined;
      cluster.disk(name).isFull = false;
      cluster.node(name)?.process.resume();
      cluster.node(name)?.way.mend();
      cluster.start(name);
    }
  }

  #headAt(name: string, { id }: ObjectRef) {
    return this.#options.cluster.disk(name).contents.head(id);
  }

  #lastAt(name: string, object: ObjectRef): number {
    return this.#headAt(name, object)?.last.lsn ?? 0;
  }

  /** It has the vow of the other member, or is about to hear of it. */
  #hasClaimed(name: string, object: ObjectRef): boolean {
    const { cluster } = this.#options;
    const owns = cluster.node(name)?.owned().includes(object.id) === true;
    const promised = this.#headAt(name, object)?.promised ?? 0n;
    const last = this.#headAt(name, object)?.last.epoch ?? 0n;
    const vows = cluster.names.filter((each) => this.#headAt(each, object)?.promised === promised);
    return owns && promised > last && vows.length > 1;
  }

  #generationAt(name: string, object: ObjectRef): number {
    const { cluster } = this.#options;
    const home = cluster.homeOf(object) ?? '';
    return cluster.node(name)?.setOf(home, object.id)?.generation ?? 0;
  }

  #isComplete(store: string, object: ObjectRef): boolean {
    const { cluster, profile } = this.#options;
    const key = shardKey(cluster.homeOf(object) ?? '', shardOf(object.id, profile.shards));
    const node = cluster.nodes.find(({ disk }) => disk.storeId === store);
    return node?.isComplete(key) === true;
  }

  /** Time goes by. */
  async #pass(ms: number): Promise<void> {
    const { world, isOver } = this.#options;
    await new Promise<void>((resolve) => world.at(ms, () => resolve()));
    if (isOver()) throw new Abandoned();
  }

  async #until(isSo: () => boolean): Promise<void> {
    const { world } = this.#options;
    const untilMs = world.nowMs + patienceMs;
    while (!isSo()) {
      if (world.nowMs >= untilMs) throw new Abandoned();
      await this.#pass(1);
    }
  }
}
