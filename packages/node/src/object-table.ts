/**
 * The objects that this node runs, from claim to release: one entry per object that is being
 * placed, active, or on its way out. Whatever is meant for an object waits in its entry until there
 * is an activation to take it.
 *
 *   placing ──granted, executor picked──▶ active ──evict──▶ leaving ──ended──▶ (gone, or placing)
 *                                            └──broken, executor lost──▶ draining ──▶ (same)
 *
 * Invariants: at most one activation of an object exists at any time, in one executor; a new one
 * starts only after everything the last one appended is durable or known failed, because it reads
 * state from disk; each activation has an epoch greater than the one before it.
 *
 * Called by the node on its thread. Knows executors, the coordinator and the store by their ports.
 */
import {
  assert,
  type Clock,
  type Coordinator,
  type Epoch,
  type ErrorData,
  errorToData,
  HomingError,
  type Logger,
  type Metrics,
  type MonotonicMs,
  type ObjectIdHex,
  type ObjectRef,
  type RecordOperation,
  type Store,
  type WallMs,
} from '@homing/base';
import type { Executor, ExecutorPool } from './executor-pool.ts';
import { Journal } from './journal.ts';
import type { SocketTable } from './socket-table.ts';

/** A running instance of an object. */
export interface Activation {
  readonly number: number;
  readonly executor: Executor;
  readonly epoch: Epoch;
}

export type ActivationCause = 'request' | 'alarm' | 'socket';

/** Something for an object: given the activation that takes it, or why none ever will. */
export interface Delivery {
  deliver(activation: Activation): void;
  refuse(error: unknown): void;
}

interface Entry {
  object: ObjectRef;
  state: 'placing' | 'active' | 'leaving' | 'draining';
  activation: Activation | undefined;
  journal: Journal | undefined;
  epoch: Epoch | undefined;
  waiting: Delivery[];
  /** For the duration metric. */
  since: MonotonicMs;
}

export interface ObjectTableOptions {
  readonly store: Store;
  readonly coordinator: Coordinator;
  readonly pool: () => ExecutorPool;
  readonly sockets: SocketTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** A namespace's name for metrics and logs. */
  readonly namespaceName: (namespace: string) => string;
  /** Deliveries that wait for one object's activation; past it they are refused as overloaded. */
  readonly waitingMax: number;
  readonly alarmChanged: (id: ObjectIdHex, dueMs: WallMs | null) => void;
  /** An activation is gone: running calls and alarms on it end with `error`. */
  readonly activationEnded: (activation: number, object: ObjectRef, error: ErrorData) => void;
  /** A record could not be made durable: the process must end. */
  readonly storeFailed: (error: unknown) => void;
}

/** What `homing objects` and `describe` show of one object in memory. */
export interface ObjectStatus {
  readonly object: ObjectRef;
  readonly state: Entry['state'];
  readonly epoch: Epoch | undefined;
  readonly executor: number | undefined;
}

export class ObjectTable {
  readonly #options: ObjectTableOptions;
  readonly #entries = new Map<ObjectIdHex, Entry>();
  readonly #byActivation = new Map<number, Entry>();
  #nextActivation = 1;

  constructor(options: ObjectTableOptions) {
    this.#options = options;
  }

  /** Objects owned here: placed or being placed. */
  get size(): number {
    return this.#entries.size;
  }

  /** Activations by namespace key. */
  activeByNamespace(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const entry of this.#byActivation.values()) {
      const namespace = entry.object.namespace;
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
    return counts;
  }

  status(id: ObjectIdHex): ObjectStatus | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    return {
      object: entry.object,
      state: entry.state,
      epoch: entry.epoch,
      executor: entry.activation?.executor.id,
    };
  }

  /** The live activation of an object, for events that must not wake it. */
  active(id: ObjectIdHex): Activation | undefined {
    const entry = this.#entries.get(id);
    return entry?.state === 'active' ? entry.activation : undefined;
  }

  /** The object of a live activation. */
  objectOf(activation: number): ObjectRef | undefined {
    return this.#byActivation.get(activation)?.object;
  }

  /** Hands `delivery` to the object's activation, making one if there is none. */
  deliver(object: ObjectRef, cause: ActivationCause, delivery: Delivery): void {
    const entry = this.#entries.get(object.id);
    if (entry === undefined) {
      this.#place(this.#enter(object, delivery), cause);
      return;
    }
    if (entry.object.name === undefined && object.name !== undefined) entry.object = object;
    if (entry.state === 'active') {
      assert(entry.activation !== undefined, 'object table: active without an activation');
      delivery.deliver(entry.activation);
    } else if (entry.waiting.length >= this.#options.waitingMax) {
      delivery.refuse(
        new HomingError('overloaded', 'Durable Object is overloaded. Too many requests queued.'),
      );
    } else {
      entry.waiting.push(delivery);
    }
  }

  /** The executor asks to let an idle activation go. */
  onEvictable(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry?.state !== 'active') return;
    entry.state = 'leaving';
    entry.activation?.executor.post({ type: 'evict', activation: number });
  }

  /** The activation got work before the eviction reached it. */
  onBusy(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry?.state !== 'leaving') return;
    entry.state = 'active';
    this.#flush(entry);
  }

  onActivated(number: number): void {
    const entry = this.#byActivation.get(number);
    if (entry === undefined) return;
    const { clock, metrics } = this.#options;
    metrics.observe('activation_duration_seconds', (clock.monotonicMs() - entry.since) / 1000);
  }

  onAppend(number: number, operations: readonly RecordOperation[]): void {
    this.#byActivation.get(number)?.journal?.append(operations);
  }

  /** The executor let the activation go, or it broke. */
  onEnded(number: number, error: ErrorData): void {
    const entry = this.#byActivation.get(number);
    if (entry !== undefined) this.#end(entry, error);
  }

  /** Everything an executor ran is gone. */
  onExecutorEnded(executor: Executor, error: ErrorData): void {
    for (const entry of [...this.#byActivation.values()]) {
      if (entry.activation?.executor === executor) this.#end(entry, error);
    }
  }

  /** Ends every activation in memory, as at shutdown; waiting deliveries are refused. */
  async close(error: HomingError): Promise<void> {
    const journals: Promise<void>[] = [];
    for (const entry of this.#entries.values()) {
      for (const delivery of entry.waiting) delivery.refuse(error);
      entry.waiting = [];
      if (entry.journal !== undefined) journals.push(entry.journal.drained());
    }
    await Promise.all(journals);
  }

  #enter(object: ObjectRef, first: Delivery): Entry {
    const entry: Entry = {
      object,
      state: 'placing',
      activation: undefined,
      journal: undefined,
      epoch: undefined,
      waiting: [first],
      since: this.#options.clock.monotonicMs(),
    };
    this.#entries.set(object.id, entry);
    return entry;
  }

  #place(entry: Entry, cause: ActivationCause): void {
    const { coordinator, metrics } = this.#options;
    coordinator.claim(entry.object).then(
      (claim) => {
        metrics.increment('placement_claims_total', { outcome: claim.outcome });
        if (claim.outcome === 'held') {
          this.#give(entry, notOwner(claim.ownership.owner.node));
        } else {
          this.#options.pool().whenReady((executor) => {
            this.#activate(entry, claim.ownership.epoch, executor, cause);
          }, 'least-loaded');
        }
      },
      (error: unknown) => {
        metrics.increment('placement_claims_total', { outcome: 'error' });
        this.#give(entry, error);
      },
    );
  }

  #activate(entry: Entry, epoch: Epoch, executor: Executor, cause: ActivationCause): void {
    const { sockets, metrics, store } = this.#options;
    const number = this.#nextActivation++;
    const name = entry.object.name ?? store.head(entry.object.id)?.name;
    if (name !== undefined) entry.object = { ...entry.object, name };
    entry.activation = { number, executor, epoch };
    entry.epoch = epoch;
    entry.journal = this.#journal(entry, number, executor, epoch);
    entry.state = 'active';
    executor.load++;
    this.#byActivation.set(number, entry);
    metrics.increment('activations_total', { cause });
    executor.post({
      type: 'activate',
      activation: number,
      object: entry.object,
      epoch,
      ...sockets.snapshot(entry.object.id),
    });
    this.#flush(entry);
  }

  #journal(entry: Entry, number: number, executor: Executor, epoch: Epoch): Journal {
    return new Journal(this.#options.store, entry.object, epoch, {
      durable: (count) => executor.post({ type: 'appended', activation: number, count }),
      alarm: (dueMs) => this.#options.alarmChanged(entry.object.id, dueMs),
      failed: (error) => {
        executor.post({ type: 'append-failed', activation: number, error: errorToData(error) });
        if (!(error instanceof HomingError) || error.code !== 'fenced') {
          this.#options.storeFailed(error);
        }
      },
    });
  }

  #flush(entry: Entry): void {
    const waiting = entry.waiting;
    entry.waiting = [];
    for (const delivery of waiting) {
      if (entry.state === 'active' && entry.activation !== undefined) {
        delivery.deliver(entry.activation);
      } else {
        entry.waiting.push(delivery);
      }
    }
  }

  #end(entry: Entry, error: ErrorData): void {
    const { activation, journal } = entry;
    if (activation === undefined || journal === undefined) return;
    this.#byActivation.delete(activation.number);
    activation.executor.load--;
    entry.activation = undefined;
    entry.state = 'draining';
    this.#options.sockets.activationLost(activation.number);
    this.#options.activationEnded(activation.number, entry.object, error);
    void journal.drained().then(() => this.#afterDrain(entry, activation.epoch));
  }

  #afterDrain(entry: Entry, epoch: Epoch): void {
    const { coordinator, sockets, clock, logger } = this.#options;
    entry.journal = undefined;
    entry.epoch = undefined;
    if (entry.waiting.length > 0) {
      entry.state = 'placing';
      entry.since = clock.monotonicMs();
      this.#place(entry, 'request');
      return;
    }
    this.#entries.delete(entry.object.id);
    sockets.forget(entry.object.id);
    coordinator.release(entry.object, epoch).catch((error: unknown) => {
      logger.warn('an object could not be released', { error: String(error) });
    });
  }

  /** There will be no activation for what waits. */
  #give(entry: Entry, error: unknown): void {
    this.#entries.delete(entry.object.id);
    for (const delivery of entry.waiting) delivery.refuse(error);
  }
}

function notOwner(owner: string): HomingError {
  return new HomingError('not_owner', `the object is on node ${owner}`, { details: { owner } });
}
