/** Replicas of one object on simulated disks and links, and who owns it: what tests step through. */
import {
  type Epoch,
  type LogEvents,
  type Logger,
  makeEpoch,
  type ObjectIdHex,
  type OwnedLog,
  type RecordName,
  type ShardAssignment,
  spaces,
} from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import { Replication, type ReplicationLimits, replicationLimits } from '@homing/replication';
import { Disk } from '../src/disk.ts';
import { SimNetwork } from '../src/network.ts';
import { SeededRandom } from '../src/random.ts';
import { Process, World } from '../src/world.ts';

const silent: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => silent,
};
export const id = 'ab'.repeat(32) as ObjectIdHex;
const object = { namespace: 'w/C', id };
const shard = { region: 'main', shard: 0 };
export const epochOf = (revision: number): Epoch => makeEpoch(BigInt(revision), 0);

/** Sooner than in production: what all replicas have in the end is soon there. */
const noticeMs = 500;

export class Replicas {
  readonly world = new World();
  readonly random = new SeededRandom(1);
  readonly network = new SimNetwork(this.world, this.random.child('network'), {
    delayMs: [1, 5],
    keepaliveMs: 1000,
    reconnectMs: [5, 50],
  });
  readonly disks: Disk[];
  readonly nodes: { replication: Replication; process: Process }[] = [];
  readonly set: ShardAssignment;
  readonly #bugs: DeliberateBugs;
  readonly #limits: ReplicationLimits;
  #runs = 0;

  /** Nodes past the third hold nothing at first. */
  constructor(
    bugs: DeliberateBugs = {},
    limits: Partial<ReplicationLimits> = {},
    names: readonly string[] = ['a', 'b', 'c'],
  ) {
    this.#bugs = bugs;
    this.#limits = { ...replicationLimits, noticeMs, ...limits };
    this.disks = names.map(
      (name) => new Disk(this.world, `store-${name}`, this.random.child(name), { fsyncMs: [1, 4] }),
    );
    this.set = { ...shard, generation: 1, members: this.stores(0, 1, 2) };
    for (const index of names.keys()) this.start(index);
  }

  stores(...indexes: number[]): string[] {
    return indexes.map((index) => (this.disks[index] as Disk).storeId);
  }

  replication(index: number): Replication {
    return (this.nodes[index] as { replication: Replication }).replication;
  }

  /** What the node's coordinator tells it. */
  tell(index: number, set: Omit<ShardAssignment, 'region' | 'shard'>): void {
    this.replication(index).adopt([{ ...shard, ...set }]);
  }

  start(index: number): void {
    const process = new Process(this.world, 1);
    const disk = this.disks[index] as Disk;
    const store = disk.open(process);
    const self = { node: `n${index}`, storeId: disk.storeId, run: `run${this.#runs++}` };
    const replication = new Replication({
      self,
      store,
      network: this.network.join(self, process),
      clock: process.clock,
      timers: process.timers,
      logger: silent,
      limits: this.#limits,
      cluster: 'test',
      keyOf: (home) => `${home}/0`,
      failed: (error) => {
        throw error;
      },
      bugs: this.#bugs,
    });
    replication.adopt([this.set]);
    this.nodes[index] = { replication, process };
  }

  kill(index: number): void {
    this.nodes[index]?.process.kill();
    this.network.leave(`n${index}`);
  }

  async acquire(index: number, epoch: Epoch, waitMs = 20_000, isPromoted = false) {
    const heard: string[] = [];
    const events: LogEvents = {
      committed: (count) => heard.push(`committed ${count}`),
      folded: () => {},
      lost: (error) => heard.push(`lost ${error.code}`),
      stalled: () => heard.push('stalled'),
    };
    let log: OwnedLog | undefined;
    let failure: unknown;
    this.nodes[index]?.replication.acquire(object, epoch, 'main', events, isPromoted).then(
      (acquired) => {
        log = acquired;
      },
      (error: unknown) => {
        failure = error;
      },
    );
    const until = this.world.nowMs + waitMs;
    await this.world.run(until, () => log !== undefined || failure !== undefined);
    if (log === undefined) throw failure ?? new Error('neither acquired nor refused');
    return { log, heard };
  }

  /** The newest record on a disk. */
  last(index: number): RecordName | undefined {
    return this.disks[index]?.contents.head(id)?.last;
  }

  run(ms: number): Promise<boolean> {
    return this.world.run(this.world.nowMs + ms);
  }

  value(index: number, key: string): string | undefined {
    const reader = (this.disks[index] as Disk).contents.reader();
    const [value] = reader.get(id, spaces.kv, [Buffer.from(key)]);
    return value === undefined ? undefined : Buffer.from(value).toString();
  }
}

export const put = (key: string, value: string) => ({
  type: 'put' as const,
  space: spaces.kv,
  key: Buffer.from(key),
  value: Buffer.from(value),
});
