import { describe, expect, test } from 'vitest';
import type { SessionHost } from './host.ts';
import { makePromise, RpcTarget, Session } from './index.ts';
import type { MainTarget } from './target.ts';
import { invokePath } from './target.ts';

interface Ends {
  readonly client: Session;
  readonly server: Session;
}

/** Two ends joined by queues, every frame and entry in a macrotask of its own. */
function connect(target: object, overrides: Partial<SessionHost> = {}): Ends {
  const ends: { client?: Session; server?: Session } = {};
  const host = (other: 'client' | 'server'): SessionHost => ({
    send: (frame) => void setImmediate(() => ends[other]?.receive(frame)),
    scope: () => undefined,
    enter: (_kind, _scope, run) => void setImmediate(run),
    disassemble: () => undefined,
    assemble: () => {
      throw new Error('no host values here');
    },
    ...overrides,
  });
  const main: MainTarget = {
    call: (name, args) => invokePath(target, [name], args),
    get: (name) => invokePath(target, [name], undefined),
  };
  ends.client = new Session({ host: host('server') });
  ends.server = new Session({ host: host('client'), main });
  return ends as Ends;
}

// biome-ignore lint/suspicious/noExplicitAny: a remote value has whatever shape its owner gave it
type Remote = any;

function call(ends: Ends, name: string, ...args: unknown[]): Remote {
  return makePromise(ends.client.call([name], args));
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

/** For what is still on its way to get there. */
async function turns(): Promise<void> {
  for (let count = 0; count < 20; count++) await turn();
}

class Counter extends RpcTarget {
  disposed = 0;
  #value = 0;
  readonly hidden = 'own properties are not reachable';

  increment(by = 1): number {
    this.#value += by;
    return this.#value;
  }

  get value(): number {
    return this.#value;
  }

  nested(): Counter {
    return this;
  }

  [Symbol.dispose](): void {
    this.disposed++;
  }
}

class Target extends RpcTarget {
  readonly counter = new Counter();
  kept: Remote;

  echo(value: unknown): unknown {
    return value;
  }

  add(a: number, b: number): number {
    return a + b;
  }

  async callBack(callback: (value: number) => Promise<number>): Promise<number> {
    return (await callback(20)) + 1;
  }

  keep(callback: Remote): void {
    this.kept = callback.dup();
  }

  useKept(): unknown {
    return this.kept('kept');
  }

  makeCounter(): Counter {
    return this.counter;
  }

  wrapped(): object {
    return { counter: this.counter, label: 'c' };
  }

  fail(): never {
    throw new RangeError('too far');
  }

  bytes(): ReadableStream {
    let left = 300;
    return new ReadableStream({
      pull(controller) {
        if (left-- === 0) controller.close();
        else controller.enqueue(new Uint8Array(10_000).fill(left % 251));
      },
    });
  }

  async length(stream: ReadableStream<Uint8Array>): Promise<number> {
    let total = 0;
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) total += chunk.length;
    return total;
  }

  sink(into: number[]): WritableStream {
    void into;
    const seen: number[] = [];
    this.kept = seen;
    return new WritableStream({
      write(chunk: Uint8Array) {
        seen.push(chunk.length);
      },
    });
  }

  seen(): unknown {
    return this.kept;
  }

  async aborted(signal: AbortSignal): Promise<unknown> {
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    }
    return String(signal.reason);
  }
}

describe('calls', () => {
  test('carry values both ways', async () => {
    const ends = connect(new Target());
    const shared = { a: 1 };
    const value = {
      text: 'ä\u{1F600}\uD800',
      date: new Date(5),
      map: new Map<unknown, unknown>([['k', new Set([1n])]]),
      bytes: new Uint8Array([1, 2, 3]),
      floats: new Float64Array([0.5]),
      nothing: undefined,
      holes: Object.assign([], { 0: 1, 2: 3 }),
      both: [shared, shared],
      error: new TypeError('inside'),
      minus: -0,
    };
    const result = await call(ends, 'echo', value);
    expect(result).toEqual(value);
    expect(result.both[0]).toBe(result.both[1]);
    expect(1 in result.holes).toBe(false);
    expect(await call(ends, 'add', 2, 3)).toBe(5);
  });

  test('keep their order', async () => {
    const ends = connect(new Counter());
    const results = Array.from({ length: 50 }, () => call(ends, 'increment'));
    expect(await Promise.all(results)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(ends.client.isIdle && ends.server.isIdle).toBe(true);
  });

  test('reject with the class, name and message of what was thrown', async () => {
    const ends = connect(new Target());
    const error = await call(ends, 'fail').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: 'too far', remote: true });
  });

  test('reach only what a class declares', async () => {
    const ends = connect(new Counter());
    const missing = /does not implement the method/;
    await expect(call(ends, 'hidden')).rejects.toThrow(missing);
    await expect(call(ends, 'nope')).rejects.toThrow(missing);
    await expect(call(ends, 'hasOwnProperty')).rejects.toThrow(missing);
    await expect(call(ends, 'constructor')).rejects.toThrow(missing);
    for (const value of [5, 'five', true, null, undefined]) {
      const given = connect({ given: () => ({ value }) });
      await expect(call(given, 'given').value.nope()).rejects.toThrow(TypeError);
      await expect(call(given, 'given').value.nope()).rejects.not.toThrow('#value');
    }
    await expect(makePromise(ends.client.read(['value']))).resolves.toBe(0);
  });

  test('refuse what cannot be cloned, and go on', async () => {
    const ends = connect(new Target());
    class Custom {}
    await expect(call(ends, 'echo', new Custom())).rejects.toMatchObject({
      name: 'DataCloneError',
    });
    await expect(call(ends, 'echo', 'fine')).resolves.toBe('fine');
    expect(ends.client.isIdle).toBe(true);
  });
});

describe('references', () => {
  test('a function among the arguments can be called during the call', async () => {
    const ends = connect(new Target());
    expect(await call(ends, 'callBack', (value: number) => value * 2)).toBe(41);
    await until(() => ends.client.isIdle);
  });

  test('a duplicate of an argument outlives the call', async () => {
    const target = new Target();
    const ends = connect(target);
    await call(ends, 'keep', (value: string) => `${value}!`);
    expect(await call(ends, 'useKept')).toBe('kept!');
    target.kept[Symbol.dispose]();
    await until(() => ends.client.isIdle);
  });

  test('calls on a result do not wait for it', async () => {
    const ends = connect(new Target());
    const counter = call(ends, 'makeCounter');
    const chain = [counter.increment(5), counter.nested().nested().increment(), counter.value];
    expect(await Promise.all(chain)).toEqual([5, 6, 5]);
    expect(await call(ends, 'wrapped').counter.increment()).toBe(7);
  });

  test('a result is disposed with what it holds, its target once', async () => {
    const target = new Target();
    const ends = connect(target);
    const wrapped = await call(ends, 'wrapped');
    expect(await wrapped.counter.increment()).toBe(1);
    wrapped[Symbol.dispose]();
    wrapped[Symbol.dispose]();
    await until(() => target.counter.disposed > 0);
    await turns();
    expect(target.counter.disposed).toBe(1);
    expect(() => wrapped.counter.dup()).toThrow('disposed');
  });

  test('a reference passed back is what it was', async () => {
    const target = new Target();
    const ends = connect(target);
    const counter = await call(ends, 'makeCounter');
    const back = await call(ends, 'echo', counter);
    await back.increment(3);
    expect(target.counter.value).toBe(3);
  });

  test('the end of the session rejects calls and disposes targets', async () => {
    const target = new Target();
    const ends = connect(target);
    await call(ends, 'makeCounter');
    const hanging = call(ends, 'aborted', new AbortController().signal).catch(String);
    ends.client.close(new Error('gone'));
    ends.server.close(new Error('gone'));
    expect(await hanging).toBe('Error: gone');
    await until(() => target.counter.disposed > 0);
    await turns();
    expect(target.counter.disposed).toBe(1);
  });
});

describe('streams', () => {
  test('of results, more than a window', async () => {
    const ends = connect(new Target());
    const stream = (await call(ends, 'bytes')) as ReadableStream<Uint8Array>;
    let total = 0;
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) total += chunk.length;
    expect(total).toBe(3_000_000);
    expect(ends.client.isBusy || ends.server.isBusy).toBe(false);
  });

  test('of arguments', async () => {
    const ends = connect(new Target());
    expect(await call(ends, 'length', new Target().bytes())).toBe(3_000_000);
  });

  test('cancelled by the reader', async () => {
    const ends = connect(new Target());
    const stream = (await call(ends, 'bytes')) as ReadableStream<Uint8Array>;
    await stream.cancel('enough');
    await until(() => !ends.server.isBusy);
  });

  test('written to', async () => {
    const ends = connect(new Target());
    const stream = (await call(ends, 'sink', [])) as WritableStream<Uint8Array>;
    const writer = stream.getWriter();
    for (let index = 0; index < 40; index++) await writer.write(new Uint8Array(20_000));
    await writer.close();
    expect(await call(ends, 'seen')).toEqual(Array(40).fill(20_000));
    expect(ends.client.isBusy || ends.server.isBusy).toBe(false);
  });

  test('a signal is aborted at the other end', async () => {
    const ends = connect(new Target());
    const controller = new AbortController();
    const result = call(ends, 'aborted', controller.signal);
    setTimeout(() => controller.abort('stop'), 5);
    expect(await result).toBe('stop');
  });
});

test('frames that are not of the protocol close the session', async () => {
  const ends = connect(new Target());
  let seed = 1;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed;
  };
  for (let round = 0; round < 3000; round++) {
    const { server } = connect(new Target(), { enter: (_kind, _scope, run) => void run() });
    const frame = Uint8Array.from({ length: random() % 40 }, () => random() % 256);
    if (frame.length > 0) frame[0] = (frame[0] as number) % 12;
    server.receive(frame);
  }
  ends.server.receive(new Uint8Array([99]));
  await expect(makePromise(ends.server.call(['x'], []))).rejects.toThrow('bad frame');
});
