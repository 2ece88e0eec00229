import type {
  Clock,
  Coordinator,
  Logger,
  MonotonicMs,
  NodeInfo,
  ObjectIdHex,
  ObjectRef,
  Timers,
} from '@homing/base';
import { type MigrationRules, RegionDistances } from '@homing/protocol';
import { beforeEach, expect, test } from 'vitest';
import { Callers } from './callers.ts';
import type { Distances } from './distances.ts';
import { Migrator } from './migrator.ts';
import type { MoveOutcome } from './moves.ts';

const rules: MigrationRules = {
  windowMs: 6000,
  minimumStayMs: 6000,
  hysteresis: 0.25,
  tripsMin: 5,
};
const turnMs = 1000;

function object(number: number, namespace = 'w/Room'): ObjectRef {
  return { namespace, id: String(number).padStart(64, '0') as ObjectIdHex };
}

/** A node in eu with a peer in us, whose time passes turn by turn. */
class World {
  nowMs = 0;
  #due: (() => void) | undefined;
  readonly asked: string[] = [];
  readonly pending: ((outcome: MoveOutcome) => void)[] = [];
  movesMax = 10;
  readonly callers: Callers;
  readonly migrator: Migrator;

  constructor() {
    const clock: Clock = {
      monotonicMs: () => this.nowMs as MonotonicMs,
      wallMs: () => {
        throw new Error('no wall clock here');
      },
    };
    const timers: Timers = {
      after: (_delayMs, callback) => {
        this.#due = callback;
        return { cancel: () => {} };
      },
    };
    const nodes = [
      { node: 'e1', region: 'eu' },
      { node: 'u1', region: 'us' },
    ] as NodeInfo[];
    const coordinator = {
      nodes: () => nodes,
      watch: () => ({ stop() {} }),
    } as unknown as Coordinator;
    const regions = new RegionDistances('eu');
    regions.measured('u1', 'us', 80);
    this.callers = new Callers({ region: 'eu', coordinator, clock });
    this.migrator = new Migrator({
      region: 'eu',
      windowMs: rules.windowMs,
      pingMs: 1000,
      rulesOf: (namespace) => (namespace === 'w/Still' ? undefined : rules),
      movesMax: () => this.movesMax,
      regionsOf: () => ['eu', 'us'],
      callers: this.callers,
      distances: { regions } as unknown as Distances,
      clock,
      timers,
      logger: { info() {} } as unknown as Logger,
      migrate: (id, region) => {
        this.asked.push(`${Number(id)} to ${region}`);
        return new Promise((resolve) => this.pending.push(resolve));
      },
    });
  }

  /** So many turns, in each of which `u1` calls every object so often. */
  turns(count: number, calls: ReadonlyMap<ObjectRef, number>): void {
    for (let turn = 0; turn < count; turn++) {
      for (const [one, times] of calls) {
        for (let call = 0; call < times; call++) this.callers.call(one, 'u1');
      }
      this.nowMs += turnMs;
      this.#due?.();
    }
  }

  async end(outcome: MoveOutcome['outcome']): Promise<void> {
    this.pending.shift()?.({ outcome });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

let world: World;

beforeEach(() => {
  world = new World();
});

test('asks for the move of an object that another region calls, once', () => {
  world.turns(20, new Map([[object(1), 10]]));
  expect(world.asked).toEqual(['1 to us']);
  expect(world.migrator.moving).toBe(1);
});

test('moves those first that save most, and no more at a time than it may', async () => {
  world.movesMax = 1;
  const calls = new Map([
    [object(1), 10],
    [object(2), 30],
    [object(3), 20],
  ]);
  world.turns(10, calls);
  expect(world.asked).toEqual(['2 to us']);
  world.callers.forget(object(2).id);
  await world.end('moved');
  world.turns(1, new Map([...calls].filter(([one]) => one.id !== object(2).id)));
  expect(world.asked).toEqual(['2 to us', '3 to us']);
});

test('a cap of 0 moves nothing, as does a namespace without rules', () => {
  world.movesMax = 0;
  world.turns(20, new Map([[object(1), 10]]));
  world.movesMax = 10;
  world.turns(20, new Map([[object(2, 'w/Still'), 10]]));
  expect(world.asked).toEqual([]);
});

test('a move that did not come about is tried again after another minimum stay', async () => {
  const calls = new Map([[object(1), 10]]);
  world.turns(7, calls);
  expect(world.asked.length).toBe(1);
  await world.end('refused');
  world.turns(5, calls);
  expect(world.asked.length).toBe(1);
  world.turns(2, calls);
  expect(world.asked.length).toBe(2);
});

test('what is known of callers goes along: the next stay is longer after a short one', () => {
  world.turns(7, new Map([[object(1), 10]]));
  const carried = world.callers.carried(object(1).id);
  if (carried === undefined) throw new Error('nothing is known of it');
  expect(carried).toMatchObject({ home: 'eu', bounces: 1 });
  expect(carried.shares[0]).toMatchObject({ region: 'us' });
  // As the next owner: it has the counts, and a stay that begins.
  const next = new World();
  next.callers.expect(object(1).id, carried);
  next.nowMs = 3000;
  next.callers.call(object(1), undefined);
  const view = next.callers.view(object(1).id);
  expect(view).toMatchObject({ bounces: 1 });
  expect(view?.shares.find(({ region }) => region === 'us')?.calls).toBeGreaterThan(10);
});

test('an object that has left is forgotten', () => {
  world.turns(1, new Map([[object(1), 10]]));
  world.callers.forget(object(1).id);
  expect(world.callers.view(object(1).id)).toBeUndefined();
  world.turns(20, new Map());
  expect(world.asked).toEqual([]);
});
