/**
 * Clients with a hibernatable socket each, open for long while its object moves and its owners die. Each is
 * connected to one node, its gateway, until that dies, the cluster closes the socket, or it has had enough;
 * then it connects anew, to whichever.
 */
import type { ObjectRef, SocketPort } from '@homing/base';
import type { SeenSocket, SocketChecks } from './check-sockets.ts';
import type { Operation, SocketAnswer, SocketFrame } from './history.ts';
import type { Profile } from './profile.ts';
import type { SeededRandom } from './random.ts';
import type { SimCluster } from './sim-cluster.ts';
import type { CallOutcome, SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface TalkersOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly cluster: SimCluster;
  readonly profile: Profile;
  readonly checks: SocketChecks;
  readonly trace: (text: string) => void;
  readonly begin: (client: string, object: number) => Operation;
  readonly end: (operation: Operation, outcome: CallOutcome) => void;
}

/** Frames that are sent at once, now and then. */
const burst = 10;
const lookMs = 50;

interface Talking {
  readonly node: SimNode;
  readonly seen: SeenSocket;
  port: SocketPort | undefined;
  /** The gateway is gone. */
  readonly died: () => void;
}

export class Talkers {
  readonly #options: TalkersOptions;
  readonly #talking = new Map<string, Talking>();
  #sockets = 0;
  #isOver = false;

  constructor(options: TalkersOptions) {
    this.#options = options;
  }

  start(): void {
    const { profile, random } = this.#options;
    for (let talker = 0; talker < profile.talkers; talker++) {
      const name = `t${talker}`;
      this.#connectLater(name, random.child(name));
    }
    if (profile.talkers > 0) this.#lookForInterruptions();
  }

  /** No new sockets, and no more is said on those there are. */
  stop(): void {
    this.#isOver = true;
  }

  /** All clients close. */
  close(): void {
    for (const name of [...this.#talking.keys()]) this.#close(name);
  }

  /** While a process has no session, others may take it for dead, and drop what is under way to it. */
  #lookForInterruptions(): void {
    const { world, cluster, checks } = this.#options;
    world.at(lookMs, () => {
      const { members } = cluster;
      const isAny = cluster.nodes.some(({ self }) => !members.includes(self.node));
      if (isAny) checks.interrupted(world.nowMs);
      this.#lookForInterruptions();
    });
  }

  #connectLater(name: string, random: SeededRandom): void {
    this.#options.world.at(random.between(50, 1000), () => {
      if (!this.#isOver) this.#connect(name, random);
    });
  }

  #connect(name: string, random: SeededRandom): void {
    const { world, cluster, profile } = this.#options;
    const serving = cluster.nodes.filter((node) => node.isServing);
    const again = () => this.#connectLater(name, random);
    if (serving.length === 0) {
      again();
      return;
    }
    const node = random.pick(serving);
    const index = random.between(0, profile.objects - 1);
    const object = cluster.objects[index] as ObjectRef;
    let isHeard = false;
    const heard = (outcome: CallOutcome) => {
      if (isHeard) return;
      isHeard = true;
      timer.cancel();
      node.calls.delete(lost);
      const socket = outcome.outcome === 'ok' ? outcome.reply.socket : undefined;
      if (socket === undefined || this.#isOver) again();
      else this.#attach(name, random, { node, index, socket });
    };
    const lost = () => heard({ outcome: 'unknown', error: 'the node died' });
    const timer = world.at(10_000, () => heard({ outcome: 'unknown', error: 'no answer' }));
    node.calls.add(lost);
    node.process.run(() => {
      if (!isHeard) node.call(object, { kind: 'connect', value: 0 }, heard);
    });
  }

  #attach(
    name: string,
    random: SeededRandom,
    at: { readonly node: SimNode; readonly index: number; readonly socket: string },
  ): void {
    const { world, checks, trace } = this.#options;
    const { node, index } = at;
    const label = `${name}.${++this.#sockets}`;
    const seen = checks.opened(`${label} of o${index}`, index, world.nowMs);
    const over = () => {
      node.calls.delete(talking.died);
      if (this.#talking.get(name) === talking) this.#talking.delete(name);
      this.#connectLater(name, random);
    };
    const talking: Talking = {
      node,
      seen,
      port: undefined,
      died: () => {
        checks.over(seen, 'gone', world.nowMs);
        over();
      },
    };
    const ended = (code: number | undefined) => {
      if (seen.end !== 'open') return;
      trace(`${label} is closed with ${code}`);
      checks.ended(seen, code, world.nowMs);
      over();
    };
    try {
      talking.port = node.attach(at.socket, {
        send: (data) => {
          if (seen.end === 'open') this.#hear(seen, String(data));
        },
        close: (code) => {
          ended(code);
          // The client's part of the closing handshake.
          talking.port?.closed(code ?? 1005, '', true);
        },
      });
    } catch {
      this.#connectLater(name, random);
      return;
    }
    trace(`${label} talks to o${index} through ${node.self.run}`);
    this.#talking.set(name, talking);
    node.calls.add(talking.died);
    this.#sayLater(name, random, talking);
  }

  #hear(seen: SeenSocket, data: string): void {
    const { world, checks, end } = this.#options;
    const { count, frame, reply } = JSON.parse(data) as SocketAnswer;
    checks.answered(seen, count, frame, world.nowMs);
    const operation = seen.frames[frame - 1]?.operation;
    if (operation?.outcome === 'unknown') end(operation, { outcome: 'ok', reply });
  }

  #sayLater(name: string, random: SeededRandom, talking: Talking): void {
    const { world, profile } = this.#options;
    world.at(random.between(...profile.talkMs), () => {
      if (this.#isOver || this.#talking.get(name) !== talking) return;
      if (random.chance(0.01)) {
        this.#close(name);
        this.#connectLater(name, random);
        return;
      }
      const count = random.chance(0.03) ? burst : 1;
      for (let frame = 0; frame < count; frame++) this.#say(name, talking);
      this.#sayLater(name, random, talking);
    });
  }

  #say(name: string, { node, seen, port }: Talking): void {
    const operation = this.#options.begin(name, seen.object);
    const number = seen.frames.length + 1;
    seen.frames.push({ operation, number });
    const frame: SocketFrame = { frame: number, command: operation.command };
    node.process.run(() => port?.message(JSON.stringify(frame)));
  }

  #close(name: string): void {
    const { world, checks } = this.#options;
    const talking = this.#talking.get(name);
    if (talking === undefined) return;
    this.#talking.delete(name);
    talking.node.calls.delete(talking.died);
    checks.over(talking.seen, 'closed', world.nowMs);
    talking.node.process.run(() => talking.port?.closed(1000, '', true));
  }
}
