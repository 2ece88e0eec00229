/**
 * Executors of the simulator: `ListObject`s behind the same messages as in production, with a hop of
 * some time between the two ends, as between threads. They end when they are told to, or crash.
 */
import {
  type ErrorData,
  type ExecutorEvents,
  type ExecutorFactory,
  type ExecutorLink,
  errorToData,
  HomingError,
  type ObjectRef,
  type SocketState,
  type StateReader,
  type ToExecutor,
  type UnmarkedMessage,
} from '@homing/base';
import type { Command, Reply } from './history.ts';
import { ListObject } from './list-object.ts';
import type { SeededRandom } from './random.ts';
import { answerOf, frameOf } from './socket-frames.ts';
import type { Process } from './world.ts';

export interface SimExecutorOptions {
  readonly process: Process;
  readonly random: SeededRandom;
  readonly reader: () => StateReader;
  /** An object begins to run. */
  readonly activated: (object: ObjectRef, epoch: bigint) => void;
  /** One is ended that was not asked whether it may. */
  readonly interrupted: (object: ObjectRef) => void;
  /** What the names of its sockets begin with. */
  readonly socketPrefix: string;
  readonly sockets: { next: number };
  /** User code found its state damaged. */
  readonly damaged: (object: ObjectRef, error: unknown) => void;
  /** How long an object is idle until it is offered for eviction. */
  readonly idleMs: readonly [number, number];
  readonly isResultApart: boolean;
}

interface Hosted {
  readonly ref: ObjectRef;
  readonly object: ListObject;
  readonly sessions: Set<number>;
  /** What was said on each hibernatable socket. */
  readonly sockets: Map<string, number>;
  /** Changes with everything that happens to the object. */
  turn: number;
}

/** Messages one way, in order, some time later. */
class Lane {
  readonly #process: Process;
  readonly #random: SeededRandom;
  #queue: (() => void)[] = [];

  constructor(process: Process, random: SeededRandom) {
    this.#process = process;
    this.#random = random;
  }

  push(what: () => void): void {
    this.#queue.push(what);
    if (this.#queue.length > 1) return;
    this.#process.timers.after(this.#random.between(0, 2), () => {
      const queue = this.#queue;
      this.#queue = [];
      for (const run of queue) run();
    });
  }
}

class SimExecutor implements ExecutorLink {
  readonly #options: SimExecutorOptions;
  readonly #events: ExecutorEvents;
  readonly #in: Lane;
  readonly #out: Lane;
  readonly #hosted = new Map<number, Hosted>();
  readonly #sessions = new Map<number, number>();
  #mark: { readonly activation: number; readonly group: number } | undefined;
  #isOver = false;

  constructor(options: SimExecutorOptions, events: ExecutorEvents) {
    this.#options = options;
    this.#events = events;
    this.#in = new Lane(options.process, options.random);
    this.#out = new Lane(options.process, options.random);
    const exports = { objects: ['List'], entrypoints: [] };
    this.#out.push(() => this.#events.message({ type: 'ready', exports }));
  }

  post(message: ToExecutor): void {
    this.#in.push(() => {
      if (!this.#isOver) this.#take(message);
    });
  }

  async stop(): Promise<void> {
    this.end('it was stopped');
  }

  end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const { ref } of this.#hosted.values()) this.#options.interrupted(ref);
    this.#out.push(() => this.#events.ended(reason));
  }

  /** Of all executors of the process: names are used once. */
  #nextSocket(): number {
    return this.#options.sockets.next++;
  }

  #say(message: UnmarkedMessage): void {
    const mark = this.#mark;
    const marked = mark === undefined ? message : { type: 'after' as const, ...mark, message };
    this.#out.push(() => this.#events.message(marked));
  }

  /** What `send` says is held by the node. */
  #sayAhead(activation: number, group: number, send: () => void): void {
    this.#mark = { activation, group };
    send();
    this.#mark = undefined;
  }

  #take(message: ToExecutor): void {
    switch (message.type) {
      case 'activate':
        this.#activate(message);
        return;
      case 'open': {
        const number = 'activation' in message.to ? message.to.activation : -1;
        const hosted = this.#hosted.get(number);
        if (hosted === undefined) {
          const error = new HomingError('unavailable', 'no such activation', { executed: 'no' });
          this.#say({ type: 'closed', session: message.session, error: errorToData(error) });
          return;
        }
        hosted.sessions.add(message.session);
        this.#sessions.set(message.session, number);
        return;
      }
      case 'frame':
        this.#onFrame(message.session, message.frame);
        return;
      case 'closed': {
        const number = this.#sessions.get(message.session);
        this.#sessions.delete(message.session);
        if (number !== undefined) this.#hosted.get(number)?.sessions.delete(message.session);
        return;
      }
      case 'committed':
        this.#hosted.get(message.activation)?.object.committed(message.count);
        return;
      case 'appended': {
        const hosted = this.#hosted.get(message.activation);
        hosted?.object.folded(message.count);
        if (hosted !== undefined) this.#watchIdle(message.activation, hosted);
        return;
      }
      case 'alarm': {
        const { activation } = message;
        this.#hosted.get(activation)?.object.ring((outcome) => {
          this.#say({ type: 'alarm-done', activation, outcome });
        });
        return;
      }
      case 'object-socket':
        this.#onSocket(message);
        return;
      case 'adopt-sockets': {
        const hosted = this.#hosted.get(message.activation);
        for (const state of message.sockets) hosted?.sockets.set(state.socket, saidOn(state));
        return;
      }
      case 'evict': {
        const hosted = this.#hosted.get(message.activation);
        if (hosted === undefined) return;
        if (hosted.object.isIdle) this.#end(message.activation, hosted, 'evicted', evicted);
        else this.#say({ type: 'busy', activation: message.activation });
        return;
      }
      case 'reset': {
        const hosted = this.#hosted.get(message.activation);
        if (hosted !== undefined) this.#end(message.activation, hosted, 'broken', message.error);
        return;
      }
      default:
    }
  }

  #activate(message: Extract<ToExecutor, { type: 'activate' }>): void {
    const { activation, object, epoch, sockets } = message;
    const { activated, damaged, reader, process, random, isResultApart } = this.#options;
    // Either way is an object's in production.
    const goesAhead = random.chance(0.6);
    activated(object, epoch);
    try {
      const hosted: Hosted = {
        ref: object,
        object: new ListObject({
          id: object.id,
          reader: reader(),
          wallMs: () => process.clock.wallMs(),
          append: (operations) => this.#say({ type: 'append', activation, operations }),
          ahead: goesAhead ? (group, send) => this.#sayAhead(activation, group, send) : undefined,
          awaits: (group) => this.#say({ type: 'awaits', activation, group }),
          isResultApart,
        }),
        sessions: new Set(),
        sockets: new Map(sockets.map((state) => [state.socket, saidOn(state)])),
        turn: 0,
      };
      this.#hosted.set(activation, hosted);
      this.#say({ type: 'activated', activation });
      this.#watchIdle(activation, hosted);
    } catch (error) {
      damaged(object, error);
      this.#options.interrupted(object);
      this.#say({ type: 'ended', activation, cause: 'broken', error: errorToData(error) });
    }
  }

  #onFrame(session: number, frame: Uint8Array): void {
    const number = this.#sessions.get(session);
    const hosted = number === undefined ? undefined : this.#hosted.get(number);
    if (number === undefined || hosted === undefined) return;
    const command = JSON.parse(Buffer.from(frame).toString()) as Command;
    if (command.kind === 'connect') {
      const socket = `${this.#options.socketPrefix}.${this.#nextSocket()}`;
      hosted.sockets.set(socket, 0);
      this.#say({ type: 'accept-socket', activation: number, socket, tags: [] });
      const reply: Reply = { list: [], isDone: true, socket };
      this.#say({ type: 'frame', session, frame: Buffer.from(JSON.stringify(reply)) });
      return;
    }
    hosted.object.run(command, (reply) => {
      const answer = new Uint8Array(Buffer.from(JSON.stringify(reply)));
      this.#say({ type: 'frame', session, frame: answer });
    });
    this.#watchIdle(number, hosted);
  }

  /** What it says is numbered, and the number kept with the socket, before it is said. */
  #onSocket(message: Extract<ToExecutor, { type: 'object-socket' }>): void {
    const { activation, socket, event } = message;
    const hosted = this.#hosted.get(activation);
    if (hosted === undefined) return;
    if (event.type === 'close') {
      hosted.sockets.delete(socket);
      return;
    }
    const frame = frameOf(event.data);
    hosted.object.run(frame.command, (reply) => {
      const count = (hosted.sockets.get(socket) ?? 0) + 1;
      hosted.sockets.set(socket, count);
      const attachment = new Uint8Array(Buffer.from(String(count)));
      this.#say({ type: 'socket-attachment', socket, attachment });
      const data = answerOf(count, frame, reply);
      this.#say({ type: 'socket', socket, side: 'object', event: { type: 'message', data } });
    });
    this.#watchIdle(activation, hosted);
  }

  #end(activation: number, hosted: Hosted, cause: 'evicted' | 'broken', error: ErrorData): void {
    this.#hosted.delete(activation);
    if (cause === 'broken') this.#options.interrupted(hosted.ref);
    for (const session of hosted.sessions) {
      this.#sessions.delete(session);
      this.#say({ type: 'closed', session, error });
    }
    this.#say({
      type: 'ended',
      activation,
      cause,
      error: cause === 'evicted' ? undefined : error,
    });
  }

  #watchIdle(activation: number, hosted: Hosted): void {
    const turn = ++hosted.turn;
    const { process, random, idleMs } = this.#options;
    process.timers.after(random.between(...idleMs), () => {
      if (this.#isOver || this.#hosted.get(activation) !== hosted || hosted.turn !== turn) return;
      if (hosted.object.isIdle) this.#say({ type: 'evictable', activation });
    });
  }
}

function saidOn({ attachment }: SocketState): number {
  return Number(Buffer.from(attachment ?? []).toString() || 0);
}

const evicted = errorToData(
  new HomingError('unavailable', 'the object was evicted from memory: try again'),
);

/** Executors of one process. */
export class SimExecutors implements ExecutorFactory {
  readonly #options: SimExecutorOptions;
  readonly #running = new Set<SimExecutor>();

  constructor(options: SimExecutorOptions) {
    this.#options = options;
  }

  start(events: ExecutorEvents): ExecutorLink {
    const executor = new SimExecutor(this.#options, {
      message: (message) => events.message(message),
      ended: (reason) => {
        this.#running.delete(executor);
        events.ended(reason);
      },
    });
    this.#running.add(executor);
    return executor;
  }

  /** All of them are gone at once, with what they had not said. */
  crash(): void {
    for (const executor of this.#running) executor.end('it crashed');
  }
}
