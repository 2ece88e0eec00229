/**
 * The clients of a run. Each is connected to one node after the other, has one call under way, gives
 * up after a time, and notes what it was told. A call with a request id is sent again, through
 * whichever node, until something is known of it.
 */
import type { ObjectRef } from '@homing/base';
import type { Command, Operation, Reply } from './history.ts';
import type { Profile } from './profile.ts';
import { pullOf } from './pull.ts';
import type { SeededRandom } from './random.ts';
import type { SimCluster } from './sim-cluster.ts';
import type { CallOutcome, SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface WorkloadOptions {
  readonly world: World;
  readonly random: SeededRandom;
  readonly cluster: SimCluster;
  readonly profile: Profile;
  readonly trace: (text: string) => void;
  /** An append was acknowledged just now. */
  readonly acknowledged: (object: ObjectRef, value: number, isCleared: boolean) => void;
}

const attemptsMax = 6;

export class Workload {
  readonly history: Operation[] = [];
  readonly #options: WorkloadOptions;
  /** Until when each object is left alone: it was cleared, and is to be forgotten. */
  readonly #restsUntilMs = new Map<number, number>();
  /** Calls of each object. */
  readonly #calls = new Map<number, number>();
  readonly #used = new Set<number>();
  #nextValue = 1;
  #isOver = false;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  start(): void {
    const { profile, random } = this.#options;
    for (let client = 0; client < profile.clients; client++) {
      this.#next(`c${client}`, random.child(`client ${client}`));
    }
  }

  /** No new calls. */
  stop(): void {
    this.#isOver = true;
  }

  /** Something was appended to the object. */
  isUsed(object: number): boolean {
    return this.#used.has(object);
  }

  /** One call through a given node; resolves with whether it succeeded. */
  once(client: string, node: SimNode, object: number, kind: 'append' | 'read'): Promise<boolean> {
    const value = kind === 'append' ? this.#nextValue++ : 0;
    const operation = this.#begin(client, object, { kind, value });
    return new Promise((resolve) => {
      this.#attempt(operation, node, 20_000, (outcome) => {
        this.#end(operation, outcome);
        resolve(operation.outcome === 'ok');
      });
    });
  }

  #next(client: string, random: SeededRandom): void {
    const { world, profile } = this.#options;
    world.at(random.between(...profile.thinkMs), () => {
      if (this.#isOver) return;
      const object = random.between(0, profile.objects - 1);
      if ((this.#restsUntilMs.get(object) ?? 0) > world.nowMs) {
        this.#next(client, random);
        return;
      }
      const operation = this.#begin(client, object, this.#draw(object, random));
      this.#run(operation, random, 1, () => this.#next(client, random));
    });
  }

  #draw(object: number, random: SeededRandom): Command {
    const { readShare, casShare, alarmShare, requestShare, clearShare } = this.#options.profile;
    if (random.chance(readShare)) return { kind: 'read', value: 0 };
    if (clearShare > 0 && random.chance(clearShare)) return { kind: 'clear', value: 0 };
    const value = this.#nextValue++;
    if (random.chance(casShare)) return { kind: 'cas', value, after: this.#lastSeen(object) };
    const alarmMs = random.chance(alarmShare) ? random.between(0, 10_000) : undefined;
    const request = random.chance(requestShare) ? `r${value}` : undefined;
    return { kind: 'append', value, alarmMs, request };
  }

  #lastSeen(object: number): number {
    const answered = this.history.findLast(
      (operation) => operation.object === object && operation.reply !== undefined,
    );
    return answered?.command.kind === 'clear' ? 0 : (answered?.reply?.list.at(-1) ?? 0);
  }

  /** It may be so that what was appended has been cleared since. */
  #isCleared(object: number): boolean {
    return this.history.some(
      (operation) => operation.object === object && operation.command.kind === 'clear',
    );
  }

  #run(operation: Operation, random: SeededRandom, attempt: number, done: () => void): void {
    const { profile, world } = this.#options;
    const serving = this.#reachable(operation.object);
    const mayRetry = operation.command.request !== undefined && attempt < attemptsMax;
    const again = () => this.#run(operation, random, attempt + 1, done);
    if (serving.length === 0) {
      if (mayRetry) world.at(500, again);
      else {
        this.#end(operation, { outcome: 'fail', error: 'no node answers' });
        world.at(500, done);
      }
      return;
    }
    const timeoutMs = random.between(...profile.callTimeoutMs);
    this.#attempt(operation, random.pick(serving), timeoutMs, (outcome) => {
      this.#end(operation, outcome);
      if (operation.command.kind === 'clear') {
        const untilMs = world.nowMs + random.between(...profile.restMs);
        this.#restsUntilMs.set(operation.object, untilMs);
      }
      if (mayRetry && outcome.outcome !== 'ok') world.at(random.between(0, 300), again);
      else done();
    });
  }

  /** The nodes that a client is connected to, for a call of the object: in the region that calls it now. */
  #reachable(object: number): readonly SimNode[] {
    const { cluster, profile, world } = this.#options;
    const serving = cluster.nodes.filter((node) => node.isServing);
    const { migration, regions } = profile;
    if (migration === undefined) return serving;
    const number = this.#calls.get(object) ?? 0;
    this.#calls.set(object, number + 1);
    const { pull, spellMs } = migration;
    const region = pullOf(pull, regions, { number, nowMs: world.nowMs, spellMs });
    const near = serving.filter(({ self }) => cluster.regionOf(self.node) === region);
    return near.length > 0 ? near : serving;
  }

  #attempt(
    operation: Operation,
    node: SimNode,
    timeoutMs: number,
    done: (outcome: CallOutcome) => void,
  ): void {
    const { world, cluster } = this.#options;
    let close = () => {};
    let isOver = false;
    const finish = (outcome: CallOutcome) => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      node.calls.delete(lost);
      close();
      done(outcome);
    };
    const lost = () => finish({ outcome: 'unknown', error: 'the node died' });
    const timer = world.at(timeoutMs, () => finish({ outcome: 'unknown', error: 'no answer' }));
    node.calls.add(lost);
    const object = cluster.objects[operation.object] as ObjectRef;
    node.process.run(() => {
      if (isOver) return;
      const port = node.call(object, operation.command, finish);
      close = () => node.process.run(() => port.close());
    });
  }

  /** An append that a socket's client has sent. */
  beginFrame(client: string, object: number): Operation {
    return this.#begin(client, object, { kind: 'append', value: this.#nextValue++ });
  }

  /** What became of it. */
  endFrame(operation: Operation, outcome: CallOutcome): void {
    this.#end(operation, outcome);
  }

  #begin(client: string, object: number, command: Command): Operation {
    const operation: Operation = {
      client,
      object,
      command,
      startMs: this.#options.world.nowMs,
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'unknown',
      reply: undefined,
    };
    this.history.push(operation);
    this.#options.trace(`${client} asks o${object} ${JSON.stringify(command)}`);
    return operation;
  }

  /** What an earlier attempt left unknown stays so unless a later one succeeds. */
  #end(operation: Operation, outcome: CallOutcome): void {
    const { trace, world, acknowledged, cluster } = this.#options;
    const { client, object, command } = operation;
    const said = outcome.outcome === 'ok' ? describe(outcome.reply) : outcome.error;
    trace(`${client} hears ${outcome.outcome} of ${command.kind} ${command.value}: ${said}`);
    if (outcome.outcome === 'ok') {
      operation.outcome = 'ok';
      operation.endMs = world.nowMs;
      operation.reply = outcome.reply;
      if (outcome.reply.isDone && command.kind !== 'clear') {
        this.#used.add(object);
        acknowledged(cluster.objects[object] as ObjectRef, command.value, this.#isCleared(object));
      }
    } else if (outcome.outcome === 'fail' && !operation.isDoubtful) operation.outcome = 'fail';
    else {
      operation.outcome = 'unknown';
      operation.isDoubtful = true;
    }
  }
}

function describe({ list, isDone }: Reply): string {
  return `${isDone ? 'done' : 'seen'} ${list.length} …${list.slice(-3).join(' ')}`;
}
