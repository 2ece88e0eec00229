/** Sockets with a context and a transport that a test can look into. */
import type { SocketEvent } from '@homing/base';
import { runInFrame } from '@homing/base';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  acceptHibernatable,
  type CloseEvent,
  hibernatableSocketId,
  installSocketTransport,
  Response,
  type ResponseParts,
  responseFromParts,
  responseParts,
  restoredSocket,
  setCompatibility,
  socketClosed,
  socketClosing,
  type WebSocket,
  WebSocketPair,
} from './index.ts';

const newest = {
  websocket_standard_binary_type: true,
  web_socket_auto_reply_to_close: true,
  websocket_close_reason_byte_limit: true,
};

class FakeContext {
  readonly label = 'test';
  broken = undefined;
  entered: string[] = [];
  /** Undefined: the output gate is open. */
  held: (() => void)[] | undefined;
  ends = new Set<(reason: unknown) => void>();
  enter(kind: string, _scope: unknown, run: () => unknown): void {
    this.entered.push(kind);
    setImmediate(() => this.run(run));
  }
  output(send: () => void): void {
    if (this.held === undefined) send();
    else this.held.push(send);
  }
  post(send: () => void): void {
    this.output(send);
  }

  outputOutside(send: () => void): void {
    this.output(send);
  }
  scope(): undefined {
    return undefined;
  }
  waitUntil(): void {}
  onEnd(undo: (reason: unknown) => void): () => void {
    this.ends.add(undo);
    return () => this.ends.delete(undo);
  }
  run<T>(run: () => T): T {
    return runInFrame({ context: this, scope: undefined }, run);
  }
  end(): void {
    for (const undo of [...this.ends]) undo(new Error('ended'));
  }
}

let context: FakeContext;
let log: unknown[];
let listeners: Map<string, (event: SocketEvent) => void>;

/** Until all that follows from what was done has happened: each step is an immediate of its own. */
async function turn(): Promise<void> {
  for (let step = 0; step < 10; step++) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => {
  setCompatibility(newest);
  context = new FakeContext();
  log = [];
  listeners = new Map();
  let ids = 0;
  installSocketTransport({
    newSocketId: () => `s${++ids}`,
    exported: (id) => log.push(['exported', id]),
    attach: (id) => log.push(['attach', id]),
    send: (id, side, data) => log.push(['send', id, side, data]),
    close: (id, side, code, reason) => log.push(['close', id, side, code, reason]),
    attachment: (id, bytes) => log.push(['attachment', id, bytes !== undefined]),
    listen: (id, side, listener) => {
      listeners.set(`${id} ${side}`, listener);
      return { stop: () => listeners.delete(`${id} ${side}`) };
    },
    connect: async () => ({ socket: 'c1', protocol: 'p' }),
  });
});

function pair(): [WebSocket, WebSocket] {
  const both = new WebSocketPair();
  return [both[0], both[1]];
}

function leave(socket: WebSocket): ResponseParts {
  return responseParts(new Response(null, { status: 101, webSocket: socket }));
}

function collect(socket: WebSocket): unknown[] {
  const got: unknown[] = [];
  socket.addEventListener('message', (event) => got.push((event as MessageEvent).data));
  socket.addEventListener('close', (event) => {
    const { code, reason, wasClean } = event as CloseEvent;
    got.push([code, reason, wasClean, socket.readyState]);
  });
  return got;
}

describe('a pair in memory', () => {
  it('delivers each message as an event of its own, and answers the close', async () => {
    await context.run(async () => {
      const [a, b] = pair();
      a.accept();
      b.accept();
      const [atA, atB] = [collect(a), collect(b)];
      a.send('one');
      a.send(new Uint8Array([1, 2]));
      a.close(3000, 'bye');
      expect(a.readyState).toBe(2);
      await turn();
      expect(atB[0]).toBe('one');
      expect(atB[1]).toBeInstanceOf(Blob);
      expect(atB[2]).toEqual([3000, 'bye', true, 3]);
      expect(atA).toEqual([[3000, 'bye', true, 3]]);
      expect(context.entered).toEqual(['event', 'event', 'event', 'event']);
      expect(context.ends.size).toBe(0);
    });
  });

  it('keeps what is sent before the other end is accepted, up to a limit', async () => {
    await context.run(async () => {
      const [a, b] = pair();
      a.accept();
      a.send('early');
      const got = collect(b);
      b.accept();
      await turn();
      expect(got).toEqual(['early']);

      const [c, d] = pair();
      c.accept();
      for (let i = 0; i < 11; i++) c.send('x'.repeat(100_000));
      const atD = collect(d);
      d.accept();
      await turn();
      expect(atD).toEqual([[1009, 'too much sent', false, 3]]);
    });
  });

  it('ends the turn of the caller first, where nothing gates the context', async () => {
    context.enter = (_kind, _scope, run) => void context.run(run);
    await context.run(async () => {
      const [a, b] = pair();
      a.accept();
      a.send('early');
      b.accept();
      const got = collect(b);
      a.send('late');
      expect(got).toEqual([]);
      await turn();
      expect(got).toEqual(['early', 'late']);
    });
  });

  it('copies binary messages when they are sent', async () => {
    await context.run(async () => {
      const [a, b] = pair();
      a.accept();
      b.accept();
      b.binaryType = 'arraybuffer';
      const got = collect(b);
      const bytes = new Uint8Array([7]);
      a.send(bytes);
      bytes[0] = 9;
      await turn();
      expect(new Uint8Array(got[0] as ArrayBuffer)).toEqual(new Uint8Array([7]));
    });
  });

  it('leaves half open what asks for it', async () => {
    await context.run(async () => {
      const [a, b] = pair();
      a.accept({ allowHalfOpen: true });
      b.accept({ allowHalfOpen: true });
      const [atA, atB] = [collect(a), collect(b)];
      a.close(1001, 'x');
      await turn();
      expect(atB).toEqual([[1001, 'x', true, 2]]);
      b.send('still');
      b.close();
      await turn();
      expect(atA).toEqual(['still', [1005, '', true, 3]]);
      expect([a.readyState, b.readyState]).toEqual([3, 3]);
    });
  });

  it('does not answer a close before the compatibility date', async () => {
    setCompatibility({});
    await context.run(async () => {
      const [a, b] = pair();
      a.accept();
      b.accept();
      const atB = collect(b);
      a.close(1000);
      await turn();
      expect(atB).toEqual([[1000, '', true, 2]]);
      expect(a.readyState).toBe(2);
    });
  });
});

describe('an end that leaves in a response', () => {
  it('binds its peer, which hands over what it sent before', async () => {
    await context.run(async () => {
      const [client, server] = pair();
      server.accept();
      server.send('hello');
      expect(leave(client)[4]).toBe('s1');
      server.send('again');
      expect(log).toEqual([
        ['exported', 's1'],
        ['send', 's1', 'object', 'hello'],
        ['send', 's1', 'object', 'again'],
      ]);
      const got = collect(server);
      listeners.get('s1 object')?.({ type: 'message', data: 'in' });
      listeners.get('s1 object')?.({ type: 'close', code: 1000, reason: 'r', wasClean: true });
      await turn();
      expect(got).toEqual(['in', [1000, 'r', true, 3]]);
      expect(log.at(-1)).toEqual(['close', 's1', 'object', 1000, 'r']);
      expect(listeners.size).toBe(0);
    });
  });

  it('sends in order what the output gate held while it left', () => {
    context.run(() => {
      const [client, server] = pair();
      server.accept();
      context.held = [];
      server.send('held');
      leave(client);
      server.send('after');
      for (const send of context.held) send();
      expect(log.slice(1).map((entry) => (entry as unknown[])[3])).toEqual(['held', 'after']);
    });
  });

  it('closes when its context ends', () => {
    context.run(() => {
      const [client, server] = pair();
      server.accept();
      leave(client);
    });
    context.end();
    expect(log.at(-1)).toEqual(['close', 's1', 'object', 1011, '']);
  });

  it('passes its id on, or is attached when accepted', async () => {
    await context.run(async () => {
      const parts: ResponseParts = [101, '', [], null, 'x9'];
      expect(responseParts(responseFromParts(parts))[4]).toBe('x9');

      const { webSocket } = responseFromParts(parts);
      webSocket?.accept();
      expect(log).toEqual([['attach', 'x9']]);
      const got = collect(webSocket as WebSocket);
      listeners.get('x9 client')?.({ type: 'message', data: 'm' });
      webSocket?.send('out');
      await turn();
      expect(got).toEqual(['m']);
      expect(log.at(-1)).toEqual(['send', 'x9', 'client', 'out']);
    });
  });
});

describe('a hibernatable end', () => {
  it('keeps attachment, id and state in the transport', async () => {
    await context.run(async () => {
      const [client, server] = pair();
      server.serializeAttachment({ n: 1 });
      const id = acceptHibernatable(server, context);
      log.push('announced');
      await turn();
      expect(log).toEqual(['announced', ['attachment', id, true]]);
      expect(hibernatableSocketId(server)).toBe(id);
      expect(hibernatableSocketId(client)).toBe(undefined);
      expect(leave(client)[4]).toBe(id);
      server.send('x');
      expect(log.at(-1)).toEqual(['send', id, 'object', 'x']);
      const first = server.deserializeAttachment();
      expect(first).toEqual({ n: 1 });
      expect(server.deserializeAttachment()).not.toBe(first);
    });
  });

  it('answers a close where the date says so, else leaves it to the handler', () => {
    context.run(() => {
      const answered = restoredSocket('h1', undefined, context);
      socketClosing(answered);
      expect(answered.readyState).toBe(2);
      answered.send('last');
      expect(log).toEqual([['send', 'h1', 'object', 'last']]);
      log.length = 0;
      socketClosed(answered, 1005, '');
      expect(answered.readyState).toBe(3);
      expect(log).toEqual([['close', 'h1', 'object', undefined, '']]);

      setCompatibility({});
      const open = restoredSocket('h2', undefined, context);
      socketClosing(open);
      socketClosed(open, 1000, 'r');
      expect(open.readyState).toBe(2);
      open.close(1000, 'r');
      expect(open.readyState).toBe(3);
      expect(log.at(-1)).toEqual(['close', 'h2', 'object', 1000, 'r']);
    });
  });

  it('does not answer a lost connection', () => {
    context.run(() => {
      const socket = restoredSocket('h1', undefined, context);
      socketClosing(socket);
      expect(socket.readyState).toBe(2);
      socketClosed(socket, 1006, '');
      expect(socket.readyState).toBe(3);
      expect(log).toEqual([]);
    });
  });
});

describe('misuse', () => {
  const first =
    'You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.';
  const accepted = (use: (socket: WebSocket, peer: WebSocket) => unknown) => () => {
    const [socket, peer] = pair();
    socket.accept();
    return use(socket, peer);
  };
  const cases: [string, () => unknown, string][] = [
    ['send first', () => pair()[0].send('x'), first],
    ['close first', () => pair()[0].close(), first],
    [
      'send after close',
      accepted((s) => {
        s.close();
        s.send('x');
      }),
      "Can't call WebSocket send() after close().",
    ],
    ['close 999', accepted((s) => s.close(999)), 'Invalid WebSocket close code: 999.'],
    ['close 1006', accepted((s) => s.close(1006)), 'Invalid WebSocket close code: 1006.'],
    [
      'long reason',
      accepted((s) => s.close(1000, 'é'.repeat(62))),
      'WebSocket close reason must not be longer than 123 bytes when UTF-8 encoded.',
    ],
    [
      'leave after accept',
      accepted((s) => leave(s)),
      "Can't return WebSocket in a Response after calling accept().",
    ],
    [
      'hibernate after accept',
      accepted((s) => acceptHibernatable(s, context)),
      'Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`',
    ],
    [
      'hibernate after the peer was accepted',
      accepted((_, peer) => acceptHibernatable(peer, context)),
      'Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a Response.',
    ],
    [
      'accept after hibernation',
      () => {
        const [socket] = pair();
        acceptHibernatable(socket, context);
        socket.accept();
      },
      "Can't accept() WebSocket after enabling hibernation.",
    ],
    [
      'leave twice',
      () => {
        const [socket] = pair();
        leave(socket);
        leave(socket);
      },
      "Can't return WebSocket that was already used in a response.",
    ],
    [
      'accept after leaving',
      () => {
        const [socket] = pair();
        leave(socket);
        socket.accept();
      },
      "Can't accept() WebSocket that was already used in a response.",
    ],
    [
      'a large attachment',
      () => pair()[0].serializeAttachment('x'.repeat(20_000)),
      "A WebSocket 'attachment' cannot be larger than 16384 bytes.'attachment' was 20006 bytes.",
    ],
    [
      'an attachment that cannot be cloned',
      () => pair()[0].serializeAttachment(() => 1),
      '() => 1 could not be cloned.',
    ],
    [
      'another context',
      accepted((s) => new FakeContext().run(() => s.send('x'))),
      'Cannot perform I/O on behalf of a different Durable Object.',
    ],
  ];
  it.each(cases)('%s', (_, misuse, message) => {
    expect(() => context.run(misuse)).toThrow(message);
  });
});
