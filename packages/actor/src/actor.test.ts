import type { ObjectIdHex } from '@homing/base';
import { installSocketTransport } from '@homing/web';
import { describe, expect, test } from 'vitest';
import { Actor, actorLimits } from './index.ts';
import { settle, TestingHost } from './testing-host.ts';

installSocketTransport({} as never);

// biome-ignore lint/suspicious/noExplicitAny: what a test's object looks like is the test's business
type Any = any;

interface Bench {
  readonly actor: Actor;
  readonly host: TestingHost;
  readonly ctx: Any;
}

async function start(instance: (ctx: Any) => object = () => ({}), limits = {}): Promise<Bench> {
  const host = new TestingHost();
  let ctx: Any;
  const actor = new Actor(
    {
      label: 'Test',
      id: 'a'.repeat(64) as ObjectIdHex,
      name: 'test',
      jurisdiction: undefined,
      storage: 'sqlite',
      construct: (given) => {
        ctx = given;
        return instance(given);
      },
      exports: {},
      props: {},
      sockets: [],
      autoResponse: undefined,
    },
    host,
    { ...actorLimits, ...limits },
  );
  host.appended = (count) => actor.appended(count);
  actor.start();
  await settle();
  return {
    actor,
    host,
    get ctx() {
      return ctx;
    },
  };
}

/** Runs `run` as an event; resolves with what it gave, rejects with what refused it. */
function event<T>(actor: Actor, run: () => T): Promise<Awaited<T>> {
  return new Promise((resolve, reject) => {
    actor.enter(
      'event',
      undefined,
      () => {
        const result = (async () => run())();
        result.then(resolve as never, reject);
        return result;
      },
      reject,
    );
  });
}

describe('input gate', () => {
  test('reads and writes of one event are not interleaved with others', async () => {
    const { actor, ctx } = await start();
    const increment = async () => {
      const value = ((await ctx.storage.get('n')) ?? 0) + 1;
      await ctx.storage.put('n', value);
      return value;
    };
    const results = await Promise.all(Array.from({ length: 20 }, () => event(actor, increment)));
    expect(results).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test('other waits let events in', async () => {
    const { actor } = await start();
    const order: string[] = [];
    let open = () => {};
    const waiting = event(actor, async () => {
      order.push('first begins');
      await new Promise<void>((resolve) => {
        open = resolve;
      });
      order.push('first ends');
    });
    await event(actor, () => order.push('second'));
    open();
    await waiting;
    expect(order).toEqual(['first begins', 'second', 'first ends']);
  });

  test('a critical section keeps events out, and lets its own answers in', async () => {
    const { actor, ctx } = await start();
    const order: string[] = [];
    const blocked = event(actor, () =>
      ctx.blockConcurrencyWhile(async () => {
        const scope = actor.scope();
        await new Promise<void>((resolve) => {
          setTimeout(() => actor.enter('answer', scope, resolve, () => {}), 5);
        });
        order.push('section');
      }),
    );
    const other = event(actor, () => order.push('event'));
    await Promise.all([blocked, other]);
    expect(order).toEqual(['section', 'event']);
  });

  test('sections opened in the constructor come before every event', async () => {
    const order: string[] = [];
    const { actor, host } = await start((ctx) => {
      ctx.blockConcurrencyWhile(async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        order.push('ready');
      });
      return {};
    });
    expect(host.isActivated).toBe(false);
    await event(actor, () => order.push('event'));
    expect(order).toEqual(['ready', 'event']);
    expect(host.isActivated).toBe(true);
  });

  test('too many queued events are refused at once, the queued ones run', async () => {
    const { actor } = await start(undefined, { queueMax: 3 });
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, (_, index) => event(actor, () => index)),
    );
    expect(results.map(({ status }) => status)).toEqual([
      ...Array(3).fill('fulfilled'),
      ...Array(2).fill('rejected'),
    ]);
    expect((results[4] as PromiseRejectedResult).reason).toMatchObject({ overloaded: true });
    await expect(event(actor, () => 'later')).resolves.toBe('later');
  });

  test('a section that takes too long resets the object', async () => {
    const { actor, host, ctx } = await start();
    const blocked = event(actor, () => ctx.blockConcurrencyWhile(() => new Promise(() => {})));
    blocked.catch(() => {});
    const waiting = event(actor, () => 'never');
    await settle();
    host.time.advance(30_000);
    await expect(waiting).rejects.toMatchObject({ durableObjectReset: true });
    expect(host.ends).toMatchObject([{ cause: 'broken' }]);
  });
});

describe('output gate', () => {
  test('what is sent waits for what was written before, and keeps its order', async () => {
    const { actor, host, ctx } = await start();
    const sent: string[] = [];
    await event(actor, () => {
      actor.output(() => sent.push('before'));
      ctx.storage.put('a', 1);
      actor.output(() => sent.push('after'));
    });
    await settle();
    expect(sent).toEqual(['before']);
    // A later event that only reads reveals the unconfirmed write too.
    await event(actor, async () => {
      const value = await ctx.storage.get('a');
      actor.output(() => sent.push(`read ${value}`));
    });
    await settle();
    expect(sent).toEqual(['before']);
    host.confirm();
    expect(sent).toEqual(['before', 'after', 'read 1']);
  });

  test('an unconfirmed write holds nothing back, the next confirmed one does', async () => {
    const { actor, host, ctx } = await start();
    const sent: string[] = [];
    await event(actor, () => {
      ctx.storage.put('a', 1, { allowUnconfirmed: true });
      actor.output(() => sent.push('unconfirmed'));
    });
    await settle();
    expect(sent).toEqual(['unconfirmed']);
    await event(actor, () => {
      ctx.storage.put('b', 1);
      actor.output(() => sent.push('confirmed'));
    });
    await settle();
    expect(sent).toEqual(['unconfirmed']);
    host.confirm();
    expect(sent).toEqual(['unconfirmed', 'confirmed']);
  });

  test('sync resolves when all of it is durable', async () => {
    const { actor, host, ctx } = await start();
    let synced = false;
    const event1 = event(actor, async () => {
      ctx.storage.put('a', 1);
      await ctx.storage.sync();
      synced = true;
    });
    await settle();
    expect(synced).toBe(false);
    host.confirm();
    await event1;
    expect(synced).toBe(true);
  });

  test('nothing leaves after the object broke', async () => {
    const { actor, host, ctx } = await start();
    const sent: string[] = [];
    await event(actor, () => {
      ctx.storage.put('a', 1);
      actor.output(() => sent.push('never'));
    });
    await settle();
    actor.reset(new Error('the disk is gone'));
    host.confirm();
    expect(sent).toEqual([]);
    await expect(event(actor, () => 1)).rejects.toThrow('the disk is gone');
  });
});

describe('write groups', () => {
  test('writes with only storage between them are one group', async () => {
    const { actor, host, ctx } = await start();
    await event(actor, async () => {
      await ctx.storage.put('a', 1);
      await ctx.storage.get('b');
      ctx.storage.put({ c: 2, d: 3 });
      await ctx.storage.delete('a');
    });
    await settle();
    expect(host.groups.map((group) => group.length)).toEqual([3]);
  });

  test('a wait for anything else ends the group', async () => {
    const { actor, host, ctx } = await start();
    await event(actor, async () => {
      ctx.storage.put('a', 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      ctx.storage.put('b', 1);
    });
    await settle();
    expect(host.groups).toHaveLength(2);
  });

  test('events of one turn share a group, up to a size', async () => {
    const { actor, host, ctx } = await start(undefined, { groupBytes: 500 });
    const write = (key: string, length: number) =>
      event(actor, () => ctx.storage.put(key, 'x'.repeat(length)));
    await Promise.all([
      write('a', 1),
      write('a', 2),
      write('b', 1),
      write('c', 400),
      write('d', 1),
    ]);
    await settle();
    expect(host.groups.map((group) => group.length)).toEqual([3, 1]);
  });

  test('abort drops what is not flushed', async () => {
    const { actor, host, ctx } = await start();
    await expect(
      event(actor, () => {
        ctx.storage.put('a', 1);
        ctx.abort('enough');
      }),
    ).rejects.toMatchObject({ message: 'enough', durableObjectReset: true });
    await settle();
    expect(host.groups).toEqual([]);
  });

  test('a plain throw keeps what was written', async () => {
    const { actor, host, ctx } = await start();
    await event(actor, () => {
      ctx.storage.put('a', 1);
      throw new Error('oops');
    }).catch(() => {});
    await settle();
    expect(host.groups).toHaveLength(1);
  });

  test('too much unconfirmed makes storage wait, and events with it', async () => {
    const { actor, host, ctx } = await start(undefined, { unconfirmedBytesMax: 1000 });
    const order: string[] = [];
    const writing = event(actor, async () => {
      await ctx.storage.put('a', 'x'.repeat(2000));
      order.push('written');
    });
    const other = event(actor, () => order.push('event'));
    await settle();
    expect(order).toEqual([]);
    // The next record would have them folded in, and nobody writes one.
    expect(host.foldsNeeded).toEqual([1]);
    host.confirm();
    await Promise.all([writing, other]);
    expect(order).toEqual(['written', 'event']);
  });

  test('what follows a call that wrote nothing waits for nothing', async () => {
    const { actor, host, ctx } = await start(() => ({ alarm: () => {} }));
    host.goesAhead = true;
    const sent: string[] = [];
    for (const isBefore of [true, false]) {
      await event(actor, async () => {
        if (isBefore) await ctx.storage.deleteAlarm();
        actor.post(() => sent.push('an answer'));
        if (!isBefore) await ctx.storage.deleteAlarm();
      });
    }
    expect(host.groups).toEqual([]);
    expect(host.sentAhead).toEqual([]);
    expect(sent).toEqual(['an answer', 'an answer']);
  });
});

describe('alarms', () => {
  async function ring(handler: (info: Any, ctx: Any) => unknown) {
    const infos: Any[] = [];
    const bench: Bench = await start((ctx) => ({
      alarm: (info: Any) => {
        infos.push(info);
        return handler(info, ctx);
      },
    }));
    const { actor, host } = bench;
    await event(actor, () => bench.ctx.storage.setAlarm(host.time.wallMs() + 100));
    await settle();
    host.confirm();
    host.time.advance(100);
    const again = async () => {
      actor.alarm();
      await settle();
      host.confirm();
      await settle();
    };
    return { ...bench, ctx: bench.ctx, infos, again };
  }

  test('a handler that returns uses its alarm up', async () => {
    const { host, infos, again, ctx, actor } = await ring(() => {});
    await again();
    expect(infos).toEqual([{ retryCount: 0, isRetry: false, scheduledTime: 1_000_100 }]);
    expect(host.alarmOutcomes).toEqual(['done']);
    expect(await event(actor, () => ctx.storage.getAlarm())).toBe(null);
    await again();
    expect(host.alarmOutcomes).toEqual(['done', 'stale']);
  });

  test('a handler that throws is tried again six times, with doubling delays', async () => {
    const { host, infos, again } = await ring(() => {
      throw new Error('no');
    });
    for (let failures = 0; failures < 7; failures++) {
      await again();
      host.time.advance(2000 * 2 ** failures);
    }
    expect(infos.map(({ retryCount }) => retryCount)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(host.alarmOutcomes).toEqual([...Array(6).fill('retry'), 'gave-up']);
  });

  test('it is never early', async () => {
    const { host, again, ctx, actor } = await ring(() => {});
    await event(actor, () => ctx.storage.setAlarm(host.time.wallMs() + 1));
    await again();
    expect(host.alarmOutcomes).toEqual(['stale']);
  });

  test('one that the handler sets replaces the retry', async () => {
    const { host, again, actor, ctx } = await ring(async (_info, inside) => {
      expect(await inside.storage.getAlarm()).toBe(null);
      await inside.storage.setAlarm(2_000_000);
      throw new Error('after setting');
    });
    await again();
    expect(host.alarmOutcomes).toEqual(['retry']);
    expect(await event(actor, () => ctx.storage.getAlarm())).toBe(2_000_000);
  });

  test('deleteAlarm inside drops one set inside', async () => {
    const { host, again, actor, ctx } = await ring(async (_info, inside) => {
      await inside.storage.setAlarm(2_000_000);
      await inside.storage.deleteAlarm();
    });
    await again();
    expect(host.alarmOutcomes).toEqual(['done']);
    expect(await event(actor, () => ctx.storage.getAlarm())).toBe(null);
  });
});

describe('calls with a request id', () => {
  const call = { requestId: 'r1', elapsedMs: 0 };

  test('run once; the result is in the record of the call’s last writes', async () => {
    const { actor, host, ctx } = await start();
    let runs = 0;
    const run = async () => {
      runs++;
      await ctx.storage.put('n', runs);
      return new Uint8Array([runs]);
    };
    const first = await event(actor, () => actor.once(call, run));
    const second = await event(actor, () => actor.once(call, run));
    expect([first.replayed, second.replayed, runs]).toEqual([false, true, 1]);
    expect(second.result).toEqual(first.result);
    await settle();
    expect(host.groups).toHaveLength(1);
    expect(host.groups[0]).toHaveLength(2);
  });

  test('are bounded in number', async () => {
    const { actor, host } = await start(undefined, { requestResultsMax: 2 });
    for (const requestId of ['a', 'b', 'c']) {
      await event(actor, () =>
        actor.once({ requestId, elapsedMs: 0 }, async () => new Uint8Array(1)),
      );
      host.time.advance(1);
    }
    await settle();
    const deleted = host.groups.flat().filter(({ type }) => type === 'delete');
    expect(deleted).toHaveLength(1);
  });

  test('are refused once their result may be gone', async () => {
    const { actor } = await start();
    const late = { requestId: 'late', elapsedMs: actorLimits.requestResultAgeMs + 1 };
    await expect(
      event(actor, () => actor.once(late, async () => new Uint8Array(1))),
    ).rejects.toMatchObject({ code: 'deadline_exceeded' });
  });
});

describe('eviction', () => {
  test('only what is idle goes', async () => {
    const { actor, host, ctx } = await start();
    expect(host.isIdle).toBe(true);
    await event(actor, () => ctx.storage.put('a', 1));
    await settle();
    expect(host.isIdle).toBe(false);
    expect(actor.evict()).toBe(false);
    host.confirm();
    expect(host.isIdle).toBe(true);
    const release = actor.onEnd(() => {}, true);
    expect(actor.evict()).toBe(false);
    release();
    expect(actor.evict()).toBe(true);
    expect(host.ends).toMatchObject([{ cause: 'evicted' }]);
  });
});

describe('bad input', () => {
  test.each([
    ['a key that is too long', (storage: Any) => storage.put('k'.repeat(2049), 1), /2048 bytes/],
    ['a value that is too big', (storage: Any) => storage.put('k', 'x'.repeat(2 ** 21)), /2097152/],
    ['too many keys', (storage: Any) => storage.get(Array(129).fill('k')), /number of keys is 128/],
    [
      'too many pairs',
      (storage: Any) =>
        storage.put(Object.fromEntries(Array.from({ length: 129 }, (_, i) => [i, i]))),
      /number of pairs is 128/,
    ],
    ['a function', (storage: Any) => storage.put('k', () => 1), /could not be cloned/],
    ['undefined', (storage: Any) => storage.put('k', undefined), /undefined value/],
  ])('%s is refused and nothing is written', async (_what, run, expected) => {
    const { actor, host, ctx } = await start();
    await expect(event(actor, () => run(ctx.storage))).rejects.toThrow(expected);
    await settle();
    expect(host.groups).toEqual([]);
  });

  test('one bad value of many leaves none', async () => {
    const { actor, host, ctx } = await start();
    await expect(event(actor, () => ctx.storage.put({ a: 1, b: () => 1 }))).rejects.toMatchObject({
      name: 'DataCloneError',
    });
    await settle();
    expect(host.groups).toEqual([]);
  });

  test('a value that contains itself is kept as it is', async () => {
    const { actor, ctx } = await start();
    const cyclic: Any = { name: 'loop' };
    cyclic.self = cyclic;
    const read = await event(actor, async () => {
      await ctx.storage.put('cyclic', cyclic);
      return { value: await ctx.storage.get('cyclic') };
    });
    expect(read.value.self).toBe(read.value);
  });
});
