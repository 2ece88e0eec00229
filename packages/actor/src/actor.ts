/**
 * One activation: a live instance of an object's class, with the gates around it.
 *
 * Invariants: the instance runs one entry at a time (input gate); nothing it sends leaves before
 * what it wrote is durable (output gate); what it writes within one entry, up to the first wait for
 * anything but storage, is of one group, and entries of one turn of the event loop share theirs;
 * after its end nothing enters, leaves or is written.
 *
 * Made by the executor, which tells it of acknowledged groups and gives it what comes in.
 */
import {
  type AlarmOutcome,
  AssertionFailed,
  type AutoResponsePair,
  Chain,
  currentFrame,
  type EntryKind,
  type IoContext,
  runInFrame,
  type Scope,
  type SocketEvent,
  type SocketState,
} from '@homing/base';
import { Alarms } from './alarms.ts';
import { DurableObjectId } from './durable-object-id.ts';
import { DurableObjectState } from './durable-object-state.ts';
import { DurableObjectStorage } from './durable-object-storage.ts';
import { Hibernation } from './hibernation.ts';
import type { ActivationSpec, ActorHost, ActorLimits } from './host.ts';
import { InputGate } from './input-gate.ts';
import { OutputGate } from './output-gate.ts';
import { RequestResults } from './request-results.ts';
import { abortError, overloadedError, resetError, sectionTimeoutError } from './reset-errors.ts';
import { SocketQueue } from './socket-queue.ts';
import { StateCache } from './state-cache.ts';
import { StorageAccess } from './storage-access.ts';
import { valueBytesMax } from './stored-value.ts';

interface AlarmHandler {
  alarm?(info: object): unknown;
}

interface Entry {
  readonly refuse: (error: unknown) => void;
}

export class Actor implements IoContext {
  readonly label: string;
  readonly #spec: ActivationSpec;
  readonly #host: ActorHost;
  readonly #limits: ActorLimits;
  readonly #gate: InputGate;
  readonly #outputs: OutputGate;
  readonly #cache: StateCache;
  readonly #alarms: Alarms;
  readonly #hibernation: Hibernation;
  readonly #results: RequestResults;
  readonly #entries = new Chain<Entry>();
  readonly #undo = new Chain<(reason: unknown) => void>();
  #roomWaiters: (() => void)[] = [];
  #instance: object | undefined;
  #broken: { readonly reason: unknown } | undefined;
  #queued = 0;
  #running = 0;
  readonly #socketQueue: SocketQueue;
  #keepers = 0;
  #isIdle = false;
  /** Newest group that outputs wait for. */
  #gateGroup = 0;
  readonly #flush = (): void => {
    if (this.#broken !== undefined) return;
    const operations = this.#cache.takeGroup();
    if (operations !== undefined) this.#host.append(operations);
  };

  constructor(spec: ActivationSpec, host: ActorHost, limits: ActorLimits) {
    this.label = spec.label;
    this.#spec = spec;
    this.#host = host;
    this.#limits = limits;
    this.#outputs = new OutputGate(host);
    this.#gate = new InputGate(this, (turn) => host.macrotask(turn));
    this.#cache = new StateCache({
      reader: host.reader,
      id: spec.id,
      cleanBytesMax: limits.cacheBytes,
      onGroupBegun: () => host.macrotask(this.#flush),
    });
    this.#alarms = new Alarms({
      cache: this.#cache,
      clock: host.clock,
      random: host.random,
      hasHandler: () => typeof (this.#instance as AlarmHandler | undefined)?.alarm === 'function',
    });
    this.#hibernation = new Hibernation(
      this,
      {
        accept: (socket, tags) => host.acceptSocket(socket, tags),
        autoResponse: (pair) => host.setAutoResponse(pair),
      },
      spec.sockets,
      spec.autoResponse,
    );
    this.#socketQueue = new SocketQueue({
      bytesMax: limits.socketEventBytesMax,
      isFull: () => this.#isFull,
      take: (socket, event) => this.#takeSocketEvent(socket, event),
      cut: (socket) => this.#cutSocket(socket),
    });
    this.#results = new RequestResults({
      reader: host.reader,
      id: spec.id,
      clock: host.clock,
      limits: { countMax: limits.requestResultsMax, ageMs: limits.requestResultAgeMs },
      write: (operation) => {
        this.#cache.system(operation);
        this.#gateGroup = this.#cache.group;
      },
    });
  }

  /** Runs the constructor; entries wait until it and the sections it opened are done. */
  start(): void {
    this.#gate.hold();
    this.#gate.enter(() => {
      this.#host.activated();
      this.#checkIdle();
    });
    this.#host.macrotask(() => {
      if (this.#broken !== undefined) return;
      const ctx = this.#state();
      try {
        this.#instance = runInFrame(this.#gate.frame, () => this.#spec.construct(ctx));
      } catch (error) {
        this.#break(resetError(error));
        return;
      }
      this.#gate.release();
    });
  }

  get broken(): { readonly reason: unknown } | undefined {
    return this.#broken;
  }

  /** The user's instance; undefined before its constructor returned. */
  get instance(): object | undefined {
    return this.#instance;
  }

  /** True for an error that this activation ended with: callers see it as it is. */
  isOwnError(error: unknown): boolean {
    return this.#broken !== undefined && this.#broken.reason === error;
  }

  enter(kind: EntryKind, scope: Scope, run: () => unknown, refuse: (error: unknown) => void): void {
    if (this.#broken !== undefined) {
      refuse(this.#broken.reason);
      return;
    }
    const isEvent = kind === 'event';
    if (isEvent) {
      if (this.#isFull) {
        refuse(overloadedError());
        return;
      }
      this.#queued++;
      this.#busy();
    }
    const entry = this.#entries.add({ refuse });
    const gate = scope instanceof InputGate ? scope : this.#gate;
    gate.current.enter(() => {
      if (!entry.remove()) return;
      if (this.#cache.pendingBytes >= this.#limits.groupBytes) this.#flush();
      if (isEvent) {
        this.#queued--;
        this.#runEvent(gate, run);
        this.#socketQueue.more();
      } else {
        this.#run(gate, run);
      }
    });
  }

  output(send: () => void): void {
    if (this.#broken === undefined) this.#outputs.output(this.#gateGroup, send);
  }

  post(send: () => void): void {
    if (this.#broken === undefined) this.#outputs.post(this.#gateGroup, send);
  }

  outputOutside(send: () => void, refuse: (error: unknown) => void): void {
    const pass = () => {
      if (this.#broken === undefined) send();
    };
    const ask = () => this.#host.permit(pass, refuse);
    if (this.#host.asksPermits) this.post(ask);
    else this.output(ask);
  }

  scope(): Scope {
    const frame = currentFrame();
    return frame?.context === this ? frame.scope : undefined;
  }

  waitUntil(promise: Promise<unknown>): void {
    Promise.resolve(promise).catch((error: unknown) => {
      this.#host.logger.error('a promise given to waitUntil was rejected', { error });
    });
  }

  onEnd(undo: (reason: unknown) => void, keepsAlive = false): () => void {
    if (this.#broken !== undefined) {
      undo(this.#broken.reason);
      return () => {};
    }
    const place = this.#undo.add(undo);
    if (keepsAlive) {
      this.#keepers++;
      this.#busy();
    }
    return () => {
      if (!place.remove() || !keepsAlive) return;
      this.#keepers--;
      this.#checkIdle();
    };
  }

  /** Groups up to the `count`-th are durable. */
  committed(count: number): void {
    if (this.#broken !== undefined) return;
    this.#outputs.durable(count);
  }

  /** Groups up to the `count`-th are durable, and the reader sees them. */
  appended(count: number): void {
    if (this.#broken !== undefined) return;
    this.#cache.confirmed(count);
    this.#outputs.durable(count);
    if (this.#roomWaiters.length > 0 && this.#hasRoom) {
      const waiting = this.#roomWaiters;
      this.#roomWaiters = [];
      for (const resume of waiting) resume();
    }
    this.#checkIdle();
  }

  /** Ends the activation now; callers get `reason`. */
  reset(reason: unknown): void {
    this.#break(reason);
  }

  get holdsSockets(): boolean {
    return this.#hibernation.holdsSockets;
  }

  /** Ends the activation if nothing keeps it; false where something does. */
  evict(): boolean {
    if (this.#broken !== undefined || !this.#isIdle) return false;
    this.#end('evicted', new Error('The Durable Object was evicted from memory.'));
    return true;
  }

  /** The alarm rings. */
  alarm(): void {
    const failed = () => this.#host.alarmDone('failed');
    this.enter('event', undefined, () => this.#ring(), failed);
  }

  /** An event of a hibernatable socket: it waits where the object has too many. */
  socketEvent(socket: string, event: SocketEvent): void {
    if (this.#broken === undefined) this.#socketQueue.push(socket, event);
  }

  #takeSocketEvent(socket: string, event: SocketEvent): void {
    const { clock, logger } = this.#host;
    const deliver = async () => {
      const startMs = clock.monotonicMs();
      let outcome: 'ok' | 'error' = 'ok';
      try {
        await this.#hibernation.deliver(this.#instance as object, socket, event);
      } catch (error) {
        outcome = 'error';
        logger.error('a WebSocket handler threw', { error });
      }
      this.#host.measured('websocket', outcome, clock.monotonicMs() - startMs);
    };
    // What is refused is lost with the activation.
    this.enter('event', undefined, deliver, () => {});
  }

  #cutSocket(socket: string): void {
    this.#host.measured('websocket', 'overloaded', 0);
    this.#host.logger.warn('a WebSocket is closed: the object has too many events queued');
    this.#hibernation.cut(socket);
  }

  get #isFull(): boolean {
    return this.#queued >= this.#limits.queueMax || this.#running >= this.#limits.runningMax;
  }

  /** Sockets that another owner of the object had; known ones stay as they are. */
  adoptSockets(sockets: readonly SocketState[], autoResponse: AutoResponsePair | undefined): void {
    this.#hibernation.adopt(sockets, autoResponse);
  }

  autoResponded(socket: string, atMs: number): void {
    this.#hibernation.autoResponded(socket, atMs);
  }

  /** As `SessionHost.once`. */
  once(
    call: { readonly requestId: string; readonly elapsedMs: number },
    run: () => Promise<Uint8Array>,
  ): Promise<{ readonly result: Uint8Array; readonly replayed: boolean }> {
    return this.#results.once(call, run);
  }

  #state(): DurableObjectState {
    const { id, name, jurisdiction, storage: kind, exports, props } = this.#spec;
    const access = new StorageAccess({
      cache: this.#cache,
      alarms: this.#alarms,
      valueBytesMax: valueBytesMax[kind],
      check: () => {
        if (this.#broken !== undefined) throw this.#broken.reason;
      },
      written: (unconfirmed) => {
        // Some write nothing, as deleting an alarm that is not set: there is no group to wait for.
        const { hasPending, isInTransaction, group } = this.#cache;
        if (hasPending && !unconfirmed && !isInTransaction) this.#gateGroup = group;
      },
    });
    const storage = new DurableObjectStorage(access, {
      kind,
      room: () => this.#room(),
      durable: () => this.#durable(),
      exclusive: (run) => this.#section(run, false),
      begin: () => this.#cache.begin(),
      commit: () => this.#commit(),
      rollback: () => this.#cache.rollback(),
      undo: () => this.#cache.undo(),
    });
    return new DurableObjectState({
      id: new DurableObjectId({ id, name, jurisdiction }),
      storage,
      hibernation: this.#hibernation,
      exports,
      props,
      waitUntil: (promise) => this.waitUntil(promise),
      block: (run) => this.#section(run, true),
      abort: (reason) => {
        const error = abortError(reason);
        this.#break(error);
        throw error;
      },
    });
  }

  #commit(): void {
    this.#cache.commit();
    if (!this.#cache.isInTransaction && this.#cache.hasPending) this.#gateGroup = this.#cache.group;
  }

  #run(gate: InputGate, run: () => unknown): unknown {
    try {
      return runInFrame(gate.current.frame, run);
    } catch (error) {
      if (error instanceof AssertionFailed) throw error;
      this.#host.logger.error('a callback threw', { error });
      return undefined;
    }
  }

  #runEvent(gate: InputGate, run: () => unknown): void {
    this.#running++;
    const result = this.#run(gate, run);
    const done = () => {
      this.#running--;
      this.#socketQueue.more();
      this.#checkIdle();
    };
    if (result instanceof Promise) result.then(done, done);
    else done();
  }

  /**
   * Runs `run` with everything else kept out. When `run` throws, the returned promise is rejected,
   * and where `resets` the activation ends with that error.
   */
  #section<T>(run: () => Promise<T>, resets: boolean): Promise<T> {
    const scope = this.scope();
    const gate = scope instanceof InputGate ? scope.current : this.#gate;
    const result = new Promise<T>((resolve, reject) => {
      gate.section((section) => {
        if (this.#broken !== undefined) return;
        this.#flush();
        this.#running++;
        this.#busy();
        const timer = this.#host.timers.after(this.#limits.criticalSectionMs, () => {
          this.#break(sectionTimeoutError());
        });
        const over = () => {
          timer.cancel();
          this.#running--;
          section.end();
          this.#checkIdle();
        };
        const running = runInFrame(section.frame, async () => run());
        running.then(
          (value) => {
            over();
            resolve(value);
          },
          (error: unknown) => {
            over();
            if (resets) this.#break(resetError(error));
            reject(error);
          },
        );
      });
    });
    // Who does not wait for a section that resets the object learns of it by the reset.
    if (resets) result.catch(() => {});
    return result;
  }

  /** The newest that something was written in. */
  get #newestGroup(): number {
    const { group, hasPending } = this.#cache;
    return hasPending ? group : group - 1;
  }

  get #hasRoom(): boolean {
    return this.#cache.unconfirmedBytes <= this.#limits.unconfirmedBytesMax;
  }

  /** Too much is unconfirmed: holds the gate until it is not. */
  #room(): Promise<void> | undefined {
    if (this.#hasRoom) return undefined;
    const scope = this.scope();
    const gate = scope instanceof InputGate ? scope.current : this.#gate;
    gate.hold();
    this.#host.needsFolded(this.#newestGroup);
    return new Promise((resolve) => {
      this.#roomWaiters.push(() => {
        this.#host.macrotask(resolve);
        this.#host.macrotask(() => gate.release());
      });
    });
  }

  #durable(): Promise<void> {
    if (this.#cache.isConfirmed) return Promise.resolve();
    const scope = this.scope();
    return new Promise((resolve, reject) => {
      const forget = this.onEnd(reject);
      this.#outputs.output(this.#newestGroup, () => {
        forget();
        this.enter('answer', scope, () => resolve(), reject);
      });
    });
  }

  async #ring(): Promise<void> {
    const { clock, logger } = this.#host;
    const startMs = clock.monotonicMs();
    const info = this.#alarms.begin();
    if (info === undefined) {
      this.post(() => this.#host.alarmDone('stale'));
      return;
    }
    let succeeded = true;
    try {
      await this.#withinAlarmLimit((this.#instance as AlarmHandler).alarm?.(info));
    } catch (error) {
      succeeded = false;
      logger.error('alarm() threw', { error, retryCount: info.retryCount });
    }
    if (this.#broken !== undefined) return;
    const outcome: AlarmOutcome = this.#alarms.end(succeeded);
    this.#gateGroup = this.#cache.hasPending ? this.#cache.group : this.#gateGroup;
    this.#host.measured('alarm', succeeded ? 'ok' : 'error', clock.monotonicMs() - startMs);
    this.post(() => this.#host.alarmDone(outcome));
  }

  #withinAlarmLimit(handler: unknown): Promise<unknown> {
    const { alarmMs } = this.#limits;
    return new Promise((resolve, reject) => {
      const timer = this.#host.timers.after(alarmMs, () => {
        reject(new Error(`alarm() did not return within ${alarmMs} ms.`));
      });
      Promise.resolve(handler)
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }

  #busy(): void {
    if (!this.#isIdle) return;
    this.#isIdle = false;
    this.#host.idle(false);
  }

  #checkIdle(): void {
    if (this.#isIdle || this.#broken !== undefined || this.#instance === undefined) return;
    if (this.#queued + this.#running + this.#keepers + this.#entries.size > 0) return;
    if (!this.#socketQueue.isEmpty) return;
    if (!this.#cache.isConfirmed || !this.#outputs.isEmpty) return;
    this.#isIdle = true;
    this.#host.idle(true);
  }

  #break(reason: unknown): void {
    this.#end('broken', reason);
  }

  #end(cause: 'evicted' | 'broken', reason: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = { reason };
    this.#outputs.close();
    for (const { refuse } of this.#entries.drain()) refuse(reason);
    for (const run of this.#undo.drain()) run(reason);
    this.#host.ended(cause, reason);
  }
}
