/**
 * Clients that append to lists and write registers through all nodes, and record what they are told.
 *
 * Each client has one operation at a time, asks a node chosen anew each time, and never repeats a
 * request. Values are unique in the workload. An object is exchanged for a fresh one when it has
 * had `operationsPerObject` answers, which bounds the size of lists and of searches; `slot` names
 * the place that one object after another takes. All choices come from the seed; their timing does
 * not. Called by `run.ts`, `drain.ts` and tests.
 */
import type { Finished, History, Operation, Value } from './history.ts';
import { type Answer, HttpClient } from './http-client.ts';
import { SeededRandom } from './random.ts';

/** Where clients reach a node. */
export interface NodeAddress {
  readonly node: string;
  /** `http://host:port` of the worker. */
  readonly http: string;
}

export interface WorkloadOptions {
  readonly nodes: readonly NodeAddress[];
  readonly history: History;
  readonly seed: number;
  /** Default 8. */
  readonly clients?: number;
  /** Lists, and as many registers, at a time. Default 8. */
  readonly objects?: number;
  /** All clients together; 0 for no limit. Default 400. */
  readonly operationsPerSecond?: number;
  /** Default 300. */
  readonly operationsPerObject?: number;
  /** Default 10,000. */
  readonly requestTimeoutMs?: number;
  /** Begins the names of objects, so that runs on one cluster do not meet. Default the seed. */
  readonly prefix?: string;
}

interface Slot {
  readonly name: string;
  readonly kind: 'list' | 'register';
  object: string;
  generation: number;
  answers: number;
  /** Last content of the register that somebody saw. */
  content: Value | null;
}

/** A request and how its answer reads as an operation. */
interface Plan {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly finish: (answer: Answer, common: Common) => Finished;
}

type Common = Pick<
  Operation,
  'client' | 'object' | 'node' | 'invokedNs' | 'returnedNs' | 'outcome' | 'error'
>;

export class Workload {
  readonly #options: Required<WorkloadOptions>;
  readonly #http = new HttpClient();
  readonly #slots: Slot[];
  readonly #objects = new Map<string, Slot['kind']>();
  #nextValue: Value = 1;
  #running: Promise<unknown> | undefined;
  #stopped = false;

  constructor(options: WorkloadOptions) {
    this.#options = {
      clients: 8,
      objects: 8,
      operationsPerSecond: 400,
      operationsPerObject: 300,
      requestTimeoutMs: 10_000,
      prefix: String(options.seed),
      ...options,
    };
    this.#slots = (['list', 'register'] as const).flatMap((kind) =>
      Array.from({ length: this.#options.objects }, (_, index) => ({
        name: `${this.#options.prefix}-${kind}-${index}`,
        kind,
        object: '',
        generation: 0,
        answers: 0,
        content: null,
      })),
    );
    for (const slot of this.#slots) this.#renew(slot);
  }

  /** Starts the clients; `stop` ends them. */
  start(): void {
    const { clients, seed } = this.#options;
    this.#running ??= Promise.all(
      Array.from({ length: clients }, (_, client) =>
        this.#client(client, new SeededRandom(seed, client + 1)),
      ),
    );
  }

  /** Resolves when the last operation has ended. Rejects with what broke a client. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /**
   * Reads every object once through every node, each until it answers, and records the answers.
   * Resolves with the reads that had none before `timeoutMs` was over.
   */
  async readAll(timeoutMs: number): Promise<readonly string[]> {
    const { nodes, clients } = this.#options;
    const deadline = performance.now() + timeoutMs;
    const left = [...this.#objects].flatMap(([object, kind]) =>
      nodes.map((node) => ({ object, kind, node })),
    );
    const unanswered: string[] = [];
    const reader = async (client: number) => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const plan = readPlan(next.kind, next.object);
        let outcome: string;
        do {
          ({ outcome } = await this.#perform(client, next.object, next.node, plan));
          if (outcome !== 'ok') await pause(100);
        } while (outcome !== 'ok' && performance.now() < deadline);
        if (outcome !== 'ok') unanswered.push(`${next.object} through ${next.node.node}`);
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, index) => reader(clients + index)));
    return unanswered;
  }

  /** The objects that are in use now. */
  get objects(): readonly string[] {
    return this.#slots.map(({ object }) => object);
  }

  /** Hangs up; clients that were not stopped end with the operation they are at. */
  close(): void {
    this.#stopped = true;
    this.#http.close();
  }

  async #client(client: number, random: SeededRandom): Promise<void> {
    const { nodes, clients, operationsPerSecond, operationsPerObject } = this.#options;
    const intervalMs = operationsPerSecond === 0 ? 0 : (1000 * clients) / operationsPerSecond;
    while (!this.#stopped) {
      const startedMs = performance.now();
      const slot = random.pick(this.#slots);
      const node = random.pick(nodes);
      const plan =
        slot.kind === 'list' ? this.#planList(slot, random) : this.#planRegister(slot, random);
      const { object } = slot;
      const operation = await this.#perform(client, object, node, plan);
      if (operation.outcome === 'ok' && slot.object === object) {
        slot.content = contentAfter(operation, slot.content);
        slot.answers += 1;
        if (slot.answers >= operationsPerObject) this.#renew(slot);
      }
      // A node that refuses connections answers at once; the client must not spin on it.
      const restMs = intervalMs * random.between(0.5, 1.5) - (performance.now() - startedMs);
      if (restMs > 0 || operation.outcome === 'fail') await pause(Math.max(restMs, 1));
    }
  }

  #renew(slot: Slot): void {
    slot.object = `${slot.name}-${slot.generation}`;
    slot.generation += 1;
    slot.answers = 0;
    slot.content = null;
    this.#objects.set(slot.object, slot.kind);
  }

  #planList({ object }: Slot, random: SeededRandom): Plan {
    if (random.number() < 0.3) return readPlan('list', object);
    const input = this.#nextValue++;
    return {
      method: 'POST',
      path: `/list/${object}`,
      body: { value: input },
      finish: (answer, common) => ({ ...common, kind: 'append', input, ...listIn(answer) }),
    };
  }

  #planRegister({ object, content }: Slot, random: SeededRandom): Plan {
    const path = `/register/${object}`;
    const choice = random.number();
    if (choice < 0.4) return readPlan('register', object);
    const input = this.#nextValue++;
    if (choice < 0.6) {
      return {
        method: 'PUT',
        path,
        body: { value: input },
        finish: (_answer, common) => ({ ...common, kind: 'write', input }),
      };
    }
    return {
      method: 'POST',
      path: `${path}/cas`,
      body: { expected: content, value: input },
      finish: (answer, common) => ({
        ...common,
        kind: 'cas',
        expected: content,
        input,
        output: (answer.body as { set: boolean } | undefined)?.set,
      }),
    };
  }

  async #perform(client: number, object: string, to: NodeAddress, plan: Plan): Promise<Operation> {
    const { history, requestTimeoutMs } = this.#options;
    const { method, path, body } = plan;
    const invokedNs = history.now();
    const answer = await this.#http.send({
      url: to.http,
      method,
      path,
      body,
      timeoutMs: requestTimeoutMs,
    });
    const { outcome, error } = answer;
    const returnedNs = history.now();
    const common = { client, object, node: to.node, invokedNs, returnedNs, outcome, error };
    return history.record(plan.finish(answer, common));
  }
}

function readPlan(kind: Slot['kind'], object: string): Plan {
  const method = 'GET';
  const path = `/${kind}/${object}`;
  if (kind === 'list') {
    return {
      method,
      path,
      finish: (answer, common) => ({ ...common, kind: 'list', ...listIn(answer) }),
    };
  }
  return {
    method,
    path,
    finish: (answer, common) => ({
      ...common,
      kind: 'read',
      output: (answer.body as { value: Value | null } | undefined)?.value,
    }),
  };
}

function listIn({ body }: Answer): { output?: Value[]; anomaly?: string } {
  if (body === undefined) return {};
  const { list, length } = body as { list: Value[]; length: number };
  if (list.length === length) return { output: list };
  const anomaly = `an atomic write was torn: ${list.length} values, and a length of ${length}`;
  return { output: list, anomaly };
}

function contentAfter(operation: Operation, before: Value | null): Value | null {
  if (operation.kind === 'read') return operation.output ?? null;
  if (operation.kind === 'write') return operation.input;
  if (operation.kind === 'cas' && operation.output === true) return operation.input;
  return before;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
