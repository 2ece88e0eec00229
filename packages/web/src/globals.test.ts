/** Timers, fetch and streams: what they do to the context they run in. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runInFrame } from '@homing/base';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FixedLengthStream,
  fetch,
  IdentityTransformStream,
  installGlobals,
  Response,
} from './index.ts';

class FakeContext {
  readonly label = 'test';
  broken = undefined;
  entered: unknown[] = [];
  held: (() => void)[] | undefined;
  /** Why nothing may leave, where that is so. */
  refusal: Error | undefined;
  ends = new Set<(reason: unknown) => void>();
  enter(kind: string, scope: unknown, run: () => unknown): void {
    this.entered.push([kind, scope]);
    setImmediate(() => this.run(run));
  }
  output(send: () => void): void {
    if (this.held === undefined) send();
    else this.held.push(send);
  }
  post(send: () => void): void {
    this.output(send);
  }

  outputOutside(send: () => void, refuse: (error: unknown) => void): void {
    if (this.refusal === undefined) this.output(send);
    else refuse(this.refusal);
  }
  scope(): object {
    return scopeOfStart;
  }
  waitUntil(): void {}
  onEnd(undo: (reason: unknown) => void): () => void {
    this.ends.add(undo);
    return () => this.ends.delete(undo);
  }
  run<T>(run: () => T): T {
    return runInFrame({ context: this, scope: undefined }, run);
  }
}

const scopeOfStart = { name: 'section' };
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let context: FakeContext;
let server: Server;
let origin: string;
let requests = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests += 1;
    if (request.url === '/hang') return;
    if (request.url === '/away') {
      response.writeHead(302, { location: '/' }).end();
      return;
    }
    response.writeHead(200, { 'x-method': request.method });
    request.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  context = new FakeContext();
});

/** The globals as an executor's code sees them, on an object of their own. */
const globals = Object.create(globalThis) as typeof globalThis & {
  scheduler: { wait(ms: number, options?: { signal: AbortSignal }): Promise<void> };
};
Object.defineProperty(globals, 'crypto', { value: { subtle: {} } });
Object.defineProperty(globals, 'AbortSignal', { value: {} });
installGlobals(globals);

describe('timers', () => {
  it('enter with the scope of their start, once', async () => {
    const got = await new Promise((resolve) => {
      context.run(() => globals.setTimeout((a: number) => resolve(a), 1, 5));
      expect(context.ends.size).toBe(1);
    });
    expect(got).toBe(5);
    expect(context.entered).toEqual([['answer', scopeOfStart]]);
    expect(context.ends.size).toBe(0);
  });

  it('do not fire when cleared, by handle or number, or when the context ended', async () => {
    let fired = 0;
    context.run(() => {
      globals.clearTimeout(globals.setTimeout(() => fired++, 1));
      globals.clearTimeout(Number(globals.setTimeout(() => fired++, 1)));
      globals.setInterval(() => fired++, 1);
    });
    for (const undo of [...context.ends]) undo(undefined);
    await wait(10);
    expect(fired).toBe(0);
  });

  it('are refused at module scope', () => {
    expect(() => globals.setTimeout(() => {}, 1)).toThrow(
      'Disallowed operation called within global',
    );
  });

  it('scheduler.wait ends with its signal', async () => {
    const controller = new AbortController();
    const waiting = context.run(() => globals.scheduler.wait(10_000, controller));
    controller.abort(new Error('mine'));
    await expect(waiting).rejects.toThrow('mine');
    expect(context.ends.size).toBe(0);
  });
});

describe('fetch', () => {
  it('starts after the output gate, and every part of the answer enters', async () => {
    const before = requests;
    context.held = [];
    const answer = context.run(() => fetch(origin, { method: 'POST', body: 'echo' }));
    await wait(20);
    expect(requests).toBe(before);
    for (const send of context.held) send();
    const response = await answer;
    expect(context.entered).toEqual([['answer', scopeOfStart]]);
    expect(response.headers.get('x-method')).toBe('POST');
    expect(await context.run(() => response.text())).toBe('echo');
    expect(context.entered.length).toBeGreaterThan(1);
    expect(context.ends.size).toBe(0);
  });

  it('keeps the timers of the connections that it shares out of its context', async () => {
    const set = globalThis.setTimeout;
    globalThis.setTimeout = globals.setTimeout;
    try {
      const response = await context.run(() => fetch(origin));
      await context.run(() => response.text());
      await new Promise((resolve) => setImmediate(resolve));
      expect(context.ends.size).toBe(0);
    } finally {
      globalThis.setTimeout = set;
    }
  });

  it('does not leave where the context may not act, nor does a part of its body', async () => {
    const before = requests;
    context.refusal = new Error('owner no more');
    await expect(context.run(() => fetch(origin))).rejects.toThrow('owner no more');
    expect(requests).toBe(before);
    context.refusal = undefined;
    const body = new ReadableStream({
      pull(controller) {
        context.refusal = new Error('owner no more');
        controller.enqueue(new TextEncoder().encode('stale'));
        controller.close();
      },
    });
    const sent = context.run(() => fetch(origin, { method: 'PUT', body }));
    await expect(sent).rejects.toThrow('Network connection lost.');
    expect(context.ends.size).toBe(0);
  });

  it('streams a body both ways', async () => {
    const body = new Response('streamed').body as ReadableStream;
    const response = await context.run(() => fetch(origin, { method: 'PUT', body }));
    expect(await context.run(() => response.text())).toBe('streamed');
  });

  it('does not follow where told so', async () => {
    const { status, headers } = await context.run(() =>
      fetch(`${origin}/away`, { redirect: 'manual' }),
    );
    expect([status, headers.get('location')]).toEqual([302, '/']);
    const followed = await context.run(() => fetch(`${origin}/away`));
    expect([followed.status, followed.redirected]).toEqual([200, true]);
  });

  it('rejects with the reason of its signal, and with the end of its context', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = context.run(() => fetch(`${origin}/hang`, { signal }));
    controller.abort(new Error('mine'));
    await expect(aborted).rejects.toThrow('mine');
    const ended = context.run(() => fetch(`${origin}/hang`));
    for (const undo of [...context.ends]) undo(new Error('reset'));
    await expect(ended).rejects.toThrow('reset');
  });

  const refused: [string, string, string][] = [
    ['relative', '/x', 'Invalid URL: /x'],
    ['scheme', 'ftp://x/', 'Fetch API cannot load: ftp://x/'],
    ['nobody there', 'http://127.0.0.1:1/', 'Network connection lost.'],
  ];
  it.each(refused)('%s', async (_, url, message) => {
    await expect(context.run(() => fetch(url))).rejects.toThrow(message);
  });
});

describe('byte streams', () => {
  async function through(stream: IdentityTransformStream, chunks: unknown[]): Promise<string> {
    const text = new Response(stream.readable).text();
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    const writes = chunks.map((chunk) => writer.write(chunk));
    const results = await Promise.allSettled([...writes, writer.close(), text]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return text;
  }

  it('pass text and bytes on', async () => {
    const stream = new IdentityTransformStream();
    expect(await through(stream, ['a', new Uint8Array([98]), new Uint8Array([99]).buffer])).toBe(
      'abc',
    );
    expect(await through(new FixedLengthStream(2), ['ab'])).toBe('ab');
  });

  it('refuse what does not fit', async () => {
    await expect(through(new FixedLengthStream(1), ['ab'])).rejects.toThrow(
      'Attempt to write too many bytes through a FixedLengthStream.',
    );
    await expect(through(new FixedLengthStream(3), ['ab'])).rejects.toThrow(
      'FixedLengthStream did not see all expected bytes before close().',
    );
    await expect(through(new IdentityTransformStream(), [5])).rejects.toThrow(
      'This TransformStream is being used as a byte stream',
    );
  });
});
