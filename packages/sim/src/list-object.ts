/**
 * The user's code of the simulator: a list of numbers that is appended to, read, appended to on
 * condition of its last value, and cleared. It keeps its state under several keys that have to agree, so that a
 * state put together from two moments is noticed when it is read.
 *
 * As in production, what it answers waits for every group it had written by then.
 */
import type { ObjectIdHex, RecordOperation, StateReader, WallMs } from '@homing/base';
import { spaces } from '@homing/base';
import type { Command, Reply } from './history.ts';

export interface ListState {
  readonly list: readonly number[];
  readonly last: number;
  readonly count: number;
  readonly alarm: { readonly token: number; readonly dueMs: number } | undefined;
  /** How often each alarm rang. */
  readonly fired: ReadonlyMap<number, number>;
  /** Answers kept for retries, by request id. */
  readonly results: ReadonlyMap<string, Reply>;
}

export interface ListObjectOptions {
  readonly id: ObjectIdHex;
  readonly reader: StateReader;
  readonly wallMs: () => WallMs;
  /** Appends one group. */
  readonly append: (operations: readonly RecordOperation[]) => void;
  /** What it sends is held by the node until the group is durable, and waits here only where undefined. */
  readonly ahead: ((group: number, send: () => void) => void) | undefined;
  /** Something waits here for the group. */
  readonly awaits: (group: number) => void;
  /** Test only: writes the result of a request apart from what it did. */
  readonly isResultApart: boolean;
}

interface Waiting {
  readonly group: number;
  readonly send: () => void;
}

export class ListObject {
  readonly #options: ListObjectOptions;
  readonly #list: number[];
  readonly #fired: Map<number, number>;
  readonly #results: Map<string, Reply>;
  #alarm: ListState['alarm'];
  #groups = 0;
  #durable = 0;
  #folded = 0;
  #waiting: Waiting[] = [];

  constructor(options: ListObjectOptions) {
    this.#options = options;
    const state = readState(options.reader, options.id);
    const problem = problemOf(state);
    if (problem !== undefined) throw new Error(`torn state: ${problem}`);
    this.#list = [...state.list];
    this.#fired = new Map(state.fired);
    this.#results = new Map(state.results);
    this.#alarm = state.alarm;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#folded === this.#groups;
  }

  run(command: Command, answer: (reply: Reply) => void): void {
    const reply = this.#reply(command);
    this.#output(() => answer(reply));
  }

  /** Rings; `stale` where no alarm is due. */
  ring(done: (outcome: 'done' | 'stale') => void): void {
    const alarm = this.#alarm;
    if (alarm === undefined || alarm.dueMs > this.#options.wallMs()) {
      this.#output(() => done('stale'));
      return;
    }
    const times = (this.#fired.get(alarm.token) ?? 0) + 1;
    this.#fired.set(alarm.token, times);
    this.#alarm = undefined;
    this.#write([
      put(`fired:${alarm.token}`, String(times)),
      { type: 'delete', space: spaces.kv, key: Buffer.from('alarm') },
      { type: 'alarm', dueMs: null },
    ]);
    this.#output(() => done('done'));
  }

  /** Groups up to the `count`-th are durable: what waited for them leaves. */
  committed(count: number): void {
    this.#durable = Math.max(this.#durable, count);
    while ((this.#waiting[0]?.group ?? Number.POSITIVE_INFINITY) <= this.#durable) {
      this.#waiting.shift()?.send();
    }
  }

  /** Groups up to the `count`-th are part of the state. */
  folded(count: number): void {
    this.#folded = count;
    this.committed(count);
  }

  #reply(command: Command): Reply {
    const { kind, value, after, request } = command;
    if (kind === 'read') return this.#see(false);
    if (kind === 'clear') return this.#clear();
    if (kind === 'cas' && (this.#list.at(-1) ?? 0) !== after) return this.#see(false);
    const kept = request === undefined ? undefined : this.#results.get(request);
    if (kept !== undefined) return kept;
    this.#list.push(value);
    const operations = [
      put(keyOf(this.#list.length), String(value)),
      put('count', String(this.#list.length)),
      put('last', String(value)),
      ...this.#setAlarm(command),
    ];
    const reply = this.#see(true);
    if (request !== undefined) {
      this.#results.set(request, reply);
      const key = Buffer.from(`result:${request}`);
      const value = Buffer.from(JSON.stringify(reply.list));
      const result = { type: 'put' as const, space: spaces.system, key, value };
      if (this.#options.isResultApart) {
        this.#write(operations);
        this.#write([result]);
        return reply;
      }
      operations.push(result);
    }
    this.#write(operations);
    return reply;
  }

  #clear(): Reply {
    const reply = this.#see(true);
    this.#list.length = 0;
    this.#fired.clear();
    this.#alarm = undefined;
    this.#write([
      { type: 'clear', space: spaces.kv },
      { type: 'alarm', dueMs: null },
    ]);
    return reply;
  }

  #setAlarm({ alarmMs, value }: Command): RecordOperation[] {
    if (alarmMs === undefined) return [];
    const dueMs = (this.#options.wallMs() + alarmMs) as WallMs;
    this.#alarm = { token: value, dueMs };
    return [put('alarm', `${value}/${dueMs}`), { type: 'alarm', dueMs }];
  }

  #see(isDone: boolean): Reply {
    return { list: [...this.#list], isDone };
  }

  #write(operations: readonly RecordOperation[]): void {
    this.#groups += 1;
    this.#options.append(operations);
  }

  #output(send: () => void): void {
    if (this.#groups <= this.#durable && this.#waiting.length === 0) send();
    else if (this.#options.ahead !== undefined) this.#options.ahead(this.#groups, send);
    else {
      this.#waiting.push({ group: this.#groups, send });
      this.#options.awaits(this.#groups);
    }
  }
}

function put(key: string, value: string): RecordOperation {
  return { type: 'put', space: spaces.kv, key: Buffer.from(key), value: Buffer.from(value) };
}

/** Of the `position`-th value, counted from 1. */
function keyOf(position: number): string {
  return `v:${String(position).padStart(6, '0')}`;
}

/** What a replica has folded in. */
export function readState(reader: StateReader, id: ObjectIdHex): ListState {
  const list: number[] = [];
  const fired = new Map<number, number>();
  const results = new Map<string, Reply>();
  let alarm: ListState['alarm'];
  let last = 0;
  let count = 0;
  for (const { key, value } of reader.list(id, spaces.kv, {})) {
    const [name = '', rest = ''] = text(key).split(':');
    const content = text(value);
    if (name === 'v') list.push(Number(content));
    else if (name === 'count') count = Number(content);
    else if (name === 'last') last = Number(content);
    else if (name === 'fired') fired.set(Number(rest), Number(content));
    else if (name === 'alarm') {
      const [token, dueMs] = content.split('/').map(Number);
      alarm = { token: token ?? 0, dueMs: dueMs ?? 0 };
    }
  }
  for (const { key, value } of reader.list(id, spaces.system, {})) {
    const reply = { list: JSON.parse(text(value)) as number[], isDone: true };
    results.set(text(key).slice('result:'.length), reply);
  }
  return { list, last, count, alarm, fired, results };
}

/** What does not agree in a state, if anything. */
export function problemOf({ list, last, count }: ListState): string | undefined {
  if (count !== list.length) return `${list.length} values, and a count of ${count}`;
  return last === (list.at(-1) ?? 0) ? undefined : `${list.at(-1)} at the end, not ${last}`;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
