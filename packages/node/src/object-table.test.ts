import {
  type Epoch,
  HomingError,
  type LogEvents,
  type MonotonicMs,
  type ObjectIdHex,
  type ObjectRef,
  type ToExecutor,
} from '@homing/base';
import { expect, test } from 'vitest';
import type { Executor } from './executor-pool.ts';
import type { Delivery } from './object-entry.ts';
import { ObjectTable, type ObjectTableOptions } from './object-table.ts';

const object: ObjectRef = { namespace: 'w/Room', id: 'a'.repeat(64) as ObjectIdHex };
const stalledReleaseMs = 7;
const nothing = () => {};

/** Lets everything run that promises have made ready. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A table whose node finds no majority for what an object here has written. */
class World {
  readonly said: string[] = [];
  readonly posted: ToExecutor[] = [];
  readonly due: { readonly ms: number; readonly run: () => void }[] = [];
  readonly table: ObjectTable;
  events: LogEvents | undefined;
  isOver = false;
  asked = 0;
  readonly log;
  /** The ownership in the object’s record. */
  recorded: Epoch | undefined = 1n as Epoch;
  #settled: () => void = nothing;

  constructor() {
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    const world = this;
    const log = {
      epoch: 1n as Epoch,
      get isOver() {
        return world.isOver;
      },
      isEmpty: false,
      settled: () => {
        world.asked++;
        return settled;
      },
      release: () => {
        this.isOver = true;
        this.#settled();
      },
    };
    this.log = log;
    const executor = { load: 0, post: (message: ToExecutor) => this.posted.push(message) };
    const options = {
      store: { head: nothing },
      logs: {
        acquire: async (_object: ObjectRef, _epoch: Epoch, _home: string, events: LogEvents) => {
          this.events = events;
          this.isOver = false;
          return log;
        },
      },
      coordinator: {
        release: async () => this.said.push('released'),
        transfer: async () => false,
        locate: async () => ({ ownership: this.recorded && { epoch: this.recorded } }),
      },
      placement: {
        timeoutMs: 1000,
        elsewhere: nothing,
        place: async () => ({ here: true, ownership: { epoch: 1n, home: 'eu' } }),
      },
      whenExecutor: (callback: (executor: Executor) => void) =>
        callback(executor as unknown as Executor),
      sockets: { snapshot: () => ({ sockets: [] }), activationLost: nothing },
      held: { begin: nothing, end: nothing, awaits: nothing, committed: nothing, folded: nothing },
      clock: { monotonicMs: () => 0 as MonotonicMs },
      timers: {
        after: (ms: number, run: () => void) => {
          const timer = { ms, run };
          this.due.push(timer);
          return { cancel: () => void this.due.splice(this.due.indexOf(timer), 1) };
        },
      },
      metrics: { increment: nothing },
      waitingMax: { calls: 10, eventBytes: 1000 },
      stalledReleaseMs,
      gatherSockets: async () => {},
      takeSockets: nothing,
      firstRegion: nothing,
      activationEnded: nothing,
      left: () => this.said.push('left'),
    };
    this.table = new ObjectTable(options as unknown as ObjectTableOptions);
  }

  delivery(name: string, bytes?: number): Delivery {
    return {
      isForwarded: false,
      deliver: () => this.said.push(`${name} is delivered`),
      forward: (node) => this.said.push(`${name} goes to ${node}`),
      refuse: () => this.said.push(`${name} is refused`),
      ...(bytes !== undefined && { bytes, left: () => this.said.push(`${name} goes back`) }),
    };
  }
}

test('where there is no majority, calls that wait are refused, and clients’ events go back once the object has left', async () => {
  const world = new World();
  const { table, said, posted, due } = world;
  table.deliver(object, 'socket', world.delivery('an event', 10));
  await settle();
  expect(said.splice(0)).toEqual(['an event is delivered']);
  world.events?.stalled(new HomingError('unavailable', 'no majority'));
  table.deliver(object, 'socket', world.delivery('the next', 10));
  table.deliver(object, 'request', world.delivery('a call'));
  expect(posted.at(-1)).toMatchObject({ type: 'reset', activation: 1 });
  table.onEnded(1);
  due.find(({ ms }) => ms === stalledReleaseMs)?.run();
  await settle();
  expect(said).toEqual(['a call is refused', 'released', 'left', 'the next goes back']);
});

test('clients’ events that wait for an object that is lost go back: the next owner may have newer ones', async () => {
  const world = new World();
  const { table, said } = world;
  table.deliver(object, 'request', world.delivery('a call'));
  await settle();
  world.events?.lost(new HomingError('not_owner', 'another node has it'));
  table.deliver(object, 'socket', world.delivery('an event', 10));
  table.deliver(object, 'request', world.delivery('the next call'));
  expect(said.splice(0)).toEqual(['a call is delivered']);
  world.log.release();
  table.onEnded(1);
  await settle();
  expect(said).toEqual(['left', 'an event goes back', 'the next call is delivered']);
});

test('what an activation waits for to be folded in is folded in as soon as it is committed', async () => {
  const world = new World();
  world.table.deliver(object, 'socket', world.delivery('an event', 10));
  await settle();
  world.events?.committed(1);
  expect(world.asked).toBe(0);
  world.table.onNeedsFolded(1, 3);
  world.events?.committed(2);
  world.events?.folded(2);
  world.events?.committed(3);
  expect(world.asked).toBe(3);
  world.events?.folded(3);
  world.events?.committed(4);
  expect(world.asked).toBe(3);
});

test.each([
  ['kept', 1n],
  ['unknown', undefined],
  ['unknown', 2n],
] as const)(
  'an object that cannot be given away is %s where its record names the owner of epoch %s',
  async (outcome, epoch) => {
    const world = new World();
    const { table, log } = world;
    table.deliver(object, 'request', world.delivery('a call'));
    await settle();
    world.recorded = epoch as Epoch | undefined;
    const given = table.handOver(object.id, log as never, { node: 'n2' } as never, {} as never);
    expect(await given).toBe(outcome);
    // Whoever needs it next claims it.
    expect([world.isOver, table.status(object.id) === undefined]).toEqual(
      outcome === 'kept' ? [false, false] : [true, true],
    );
  },
);
