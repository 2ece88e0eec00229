/**
 * One process of a simulated node: the production `HomingNode`, `Replication` and placement, on
 * simulated time, disk, links and coordinator. It is made when the process starts, and left behind
 * when that is killed.
 */
import {
  type Coordinator,
  damagedObjectOf,
  type FramePort,
  isHomingError,
  type Logger,
  type Metrics,
  type ObjectIdHex,
  type ObjectLogs,
  type ObjectRef,
  type PeerRun,
  type SocketPort,
  type SocketSink,
} from '@homing/base';
import type { MemoryCluster, MemoryCoordinator } from '@homing/coordinator';
import { type ChooseNode, HomingNode, type MigrationOptions, nodeLimits } from '@homing/node';
import {
  type DeliberateBugs,
  mayLiveIn,
  ownersOf,
  type ReplicaSet,
  shardKey,
  shardOf,
} from '@homing/protocol';
import {
  Controller,
  type ControllerLimits,
  RegionKeeper,
  Replication,
  type ReplicationLimits,
} from '@homing/replication';
import type { Disk } from './disk.ts';
import { type CoordinatorFaults, CoordinatorWay, FlakyCoordinator } from './flaky-coordinator.ts';
import type { Command, Reply } from './history.ts';
import type { SimNetwork } from './network.ts';
import type { MigrationProfile } from './profile.ts';
import type { SeededRandom } from './random.ts';
import { SimExecutors } from './sim-executor.ts';
import { Process, type World } from './world.ts';

/** Bugs on purpose, to see that they are noticed. */
export interface SimBugs {
  readonly protocol?: DeliberateBugs;
  readonly isReadUncovered?: boolean;
  readonly isResultApart?: boolean;
}

export interface SimNodeOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly network: SimNetwork;
  readonly coordinators: MemoryCluster;
  readonly coordinatorFaults: CoordinatorFaults;
  readonly disk: Disk;
  readonly self: PeerRun;
  /** Of its clock against the world's. */
  readonly rate: number;
  readonly shardCount: number;
  readonly factor: number;
  readonly zone: string;
  readonly controller: ControllerLimits;
  readonly region: string;
  /** Of the whole cluster. */
  readonly regions: readonly string[];
  /** Objects have a copy in another region. */
  readonly isRemote: boolean;
  /** Objects move toward their callers. */
  readonly migration: MigrationProfile | undefined;
  readonly limits: ReplicationLimits;
  readonly idleMs: readonly [number, number];
  /** Objects out of memory that the node goes on owning. */
  readonly asleepMax: number;
  /** Kept of a client's frames whose object is away. */
  readonly socketBytesMax: number;
  readonly bugs: SimBugs;
  readonly trace: (text: string) => void;
  readonly activated: (object: ObjectRef, epoch: bigint) => void;
  /** What ran of the object was ended amid it, or of all objects where none is named. */
  readonly interrupted: (object: ObjectRef | undefined) => void;
  /** What must never happen. */
  readonly broken: (rule: string, message: string) => void;
}

export type CallOutcome =
  | { readonly outcome: 'ok'; readonly reply: Reply }
  | { readonly outcome: 'fail' | 'unknown'; readonly error: string };

const noMetrics: Metrics = { increment: () => {}, observe: () => {}, set: () => {} };

export class SimNode {
  readonly self: PeerRun;
  readonly process: Process;
  readonly disk: Disk;
  readonly way: CoordinatorWay;
  /** Calls whose client is connected to this process. */
  readonly calls = new Set<() => void>();
  readonly #options: SimNodeOptions;
  readonly #memory: MemoryCoordinator;
  readonly #coordinator: Coordinator;
  readonly #replication: Replication;
  readonly #node: HomingNode;
  readonly #executors: SimExecutors;
  #isStarted = false;
  isDraining = false;

  constructor(options: SimNodeOptions) {
    const { world, random, network, coordinators, disk, self, rate } = options;
    this.#options = options;
    this.self = self;
    this.disk = disk;
    const process = new Process(world, rate);
    this.process = process;
    const { clock, timers } = process;
    const store = disk.open(process);
    const links = network.join(self, process);
    this.way = new CoordinatorWay(process);
    this.#memory = coordinators.node({
      node: self.node,
      storeId: disk.storeId,
      region: options.region,
      zone: options.zone,
      clock,
      timers: this.way.timers,
    });
    this.#coordinator = new FlakyCoordinator(
      this.#memory,
      this.way,
      process,
      random.child('coordinator'),
      options.coordinatorFaults,
    );
    const logger = this.#logger();
    const failed = (error: unknown) => {
      if (process.isAlive) options.broken('store', `${self.node} gave up: ${String(error)}`);
    };
    this.#replication = new Replication({
      self,
      store,
      network: links,
      clock,
      timers,
      logger,
      limits: options.limits,
      cluster: 'sim',
      keyOf: (home, id) => shardKey(home, shardOf(id, options.shardCount)),
      remoteOf: (_object, home) =>
        options.isRemote ? options.regions.find((region) => region !== home) : undefined,
      failed,
      bugs: options.bugs.protocol,
    });
    const follow = () => {
      const shards = [...this.#coordinator.shards().values()];
      this.#replication.adopt(shards.map(({ assignment }) => assignment));
    };
    this.#coordinator.watch(({ type }) => {
      if (type === 'shards') follow();
    });
    follow();
    new RegionKeeper({
      coordinator: this.#coordinator,
      timers,
      logger,
      plan: { regions: options.regions, jurisdictions: {} },
      settleMs: 0,
      remembered: () => undefined,
    });
    const controller = new Controller({
      coordinator: this.#coordinator,
      replication: this.#replication,
      clock,
      timers,
      logger,
      regions: () => this.#coordinator.regions()?.list.regions ?? [],
      shardCount: options.shardCount,
      factor: options.factor,
      limits: options.controller,
      bugs: options.bugs.protocol,
    });
    this.#replication.follow({
      changed: () => controller.look(),
      settle: async (object, region) => !this.#isStarted || this.#node.settle(object, region),
      vacate: (id, stores) => this.#node.vacate(id, stores),
      locate: (object) => this.#node.whereabouts(object),
      reclaim: (id) => this.#node.reclaim(id),
    });
    const candidates = (home: string, id: ObjectIdHex) => {
      const set = this.#replication.setOf(home, id);
      return set === undefined ? undefined : ownersOf(set);
    };
    this.#node = new HomingNode({
      store,
      logs: this.#logs(),
      cluster: {
        network: links,
        locationHints: {},
        regions: () => this.#coordinator.regions()?.list,
        setOf: (home, id) => this.#replication.setOf(home, id),
        candidates,
        rankOf: (id) => {
          const rank = candidates(options.region, id)?.indexOf(store.storeId) ?? -1;
          return rank === -1 ? undefined : rank;
        },
      },
      coordinator: this.#coordinator,
      clock,
      timers,
      logger,
      metrics: noMetrics,
      limits: {
        ...nodeLimits,
        stalledReleaseMs: 2 * options.limits.promiseMs,
        forgetAfterMs: options.limits.promiseMs,
        asleepMax: options.asleepMax,
        socketWaitingBytesMax: options.socketBytesMax,
      },
      namespaceName: (namespace) => namespace,
      migration: this.#migration(),
      workerLog: () => {},
      fatal: failed,
      bugs: options.bugs.protocol,
    });
    this.#executors = new SimExecutors({
      process,
      random: random.child('executor'),
      reader: () => store.reader(),
      activated: options.activated,
      interrupted: options.interrupted,
      socketPrefix: `${self.node}/${self.run}`,
      sockets: { next: 1 },
      damaged: (object, error) => {
        if (damagedObjectOf(error) === undefined) {
          options.broken('state', `${self.node} read ${object.name}: ${String(error)}`);
        } else this.#replication.damaged(object.id, String(error));
      },
      idleMs: options.idleMs,
      isResultApart: options.bugs.isResultApart === true,
    });
    void this.#node.start(this.#executors).then(() => {
      this.#isStarted = true;
    });
  }

  get isServing(): boolean {
    return this.#isStarted && this.process.isRunning;
  }

  setOf(home: string, id: ObjectIdHex): ReplicaSet | undefined {
    return this.#replication.setOf(home, id);
  }

  /** Whether this node's store has all that the shard's members must have, by its own account. */
  isComplete(shard: string): boolean {
    return this.#replication.isComplete(shard);
  }

  /** One call by a client of this node; `done` is called once, unless the process dies before. */
  call(object: ObjectRef, command: Command, done: (outcome: CallOutcome) => void): FramePort {
    let isOver = false;
    const finish = (outcome: CallOutcome) => {
      if (isOver) return;
      isOver = true;
      port.close();
      done(outcome);
    };
    const port = this.#node.open(
      { kind: 'object', object },
      {
        frame: (frame) => {
          const reply = JSON.parse(Buffer.from(frame).toString()) as Reply;
          finish({ outcome: 'ok', reply });
        },
        closed: (error) => {
          const isSure = isHomingError(error) && error.executed === 'no';
          finish({ outcome: isSure ? 'fail' : 'unknown', error: String(error) });
        },
      },
    );
    port.send(new Uint8Array(Buffer.from(JSON.stringify(command))));
    return port;
  }

  /** Attaches a client to a socket that an object has named. Throws where it is gone. */
  attach(socket: string, sink: SocketSink): SocketPort {
    return this.#node.attach(socket, sink);
  }

  /** Clients that are connected. */
  get socketCount(): number {
    return this.#node.socketCount;
  }

  /** Sends an object that is here to another region. */
  async moveHome(id: ObjectIdHex, region: string): Promise<void> {
    await this.#node.migrate(id, { region }, 'callers');
  }

  /** Offers an object that is here to another node, which may hold no replica of it. */
  async move(id: ObjectIdHex, to: string): Promise<void> {
    await this.#node.migrate(id, { node: to }, 'operator');
  }

  /** As an operator whose command asks this node. Resolves with whether the record was as expected. */
  async promote(object: ObjectRef, from: string, home: string): Promise<boolean> {
    const located = await this.#coordinator.locate(object);
    return this.#coordinator.rehome(object, { located, from, home, isForced: false });
  }

  owned(): readonly ObjectIdHex[] {
    return this.#node.owned();
  }

  /** Gives everything away, as before a stop. */
  async drain(): Promise<void> {
    this.isDraining = true;
    await this.#coordinator.setDraining(true).catch(() => {});
    let turn = 0;
    const choose: ChooseNode = (id, home) => {
      const set = home === undefined ? undefined : this.#replication.setOf(home, id);
      const stores = set === undefined ? [] : ownersOf(set);
      const others = this.#coordinator
        .nodes()
        .filter(
          ({ node, draining, storeId }) =>
            node !== this.self.node && draining !== true && stores.includes(storeId),
        );
      return others[turn++ % Math.max(1, others.length)];
    };
    await this.#node.drain(choose, 4);
  }

  crashExecutors(): void {
    this.#executors.crash();
    // Also what they had not begun yet.
    this.#options.interrupted(undefined);
  }

  kill(): void {
    this.process.kill();
    this.#memory.crash();
    this.#options.network.leave(this.self.node);
    for (const end of this.calls) end();
    this.calls.clear();
  }

  /** The owner's logs; with a bug on purpose, reads pass whatever was promised. */
  #logs(): ObjectLogs {
    if (this.#options.bugs.isReadUncovered !== true) return this.#replication;
    return {
      acquire: async (...of) => {
        const log = await this.#replication.acquire(...of);
        log.isCovered = () => true;
        return log;
      },
    };
  }

  /** As the server makes them of its configuration. */
  #migration(): MigrationOptions | undefined {
    const { migration, region } = this.#options;
    return (
      migration && {
        region,
        windowMs: migration.rules.windowMs,
        pingMs: migration.pingMs,
        rulesOf: () => migration.rules,
        movesMax: () => migration.movesMax,
        regionsOf: ({ id }) => {
          const list = this.#coordinator.regions()?.list;
          const nodes = this.#coordinator.nodes().filter(({ draining }) => draining !== true);
          const regions = [...new Set(nodes.map((node) => node.region))];
          return list === undefined ? [] : regions.filter((name) => mayLiveIn(id, name, list));
        },
      }
    );
  }

  #logger(): Logger {
    const { trace, self } = this.#options;
    const say = (level: string) => (message: string, fields?: unknown) => {
      trace(`${self.node} ${level}: ${message} ${JSON.stringify(fields ?? {})}`);
    };
    const logger: Logger = {
      error: say('error'),
      warn: say('warn'),
      info: say('info'),
      debug: () => {},
      child: () => logger,
    };
    return logger;
  }
}
