import { get, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { HomingError } from '@homing/base';
import { connectWebSocket, type Gateway, type GatewayOptions, startGateway } from '@homing/gateway';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { FakeWorker, Parts, quiet } from './fake-worker.ts';

let worker: FakeWorker;
let gateway: Gateway;
let base: string;

async function start(extra: Partial<GatewayOptions> = {}): Promise<void> {
  await gateway?.close(0);
  worker = new FakeWorker();
  const place = { colo: 'n1', region: 'eu', logger: quiet };
  gateway = await startGateway({
    host: '127.0.0.1',
    port: 0,
    dispatcher: worker,
    ...place,
    ...extra,
  });
  base = `127.0.0.1:${gateway.port}`;
}

beforeEach(() => start());
afterEach(() => gateway.close(0));

function respond(
  parts: (request: Parts) => readonly unknown[] | Promise<readonly unknown[]>,
): void {
  worker.methods['fetch'] = async (request: Parts) => new Parts('response', await parts(request));
}

async function ended(count: number): Promise<void> {
  while (worker.closed < count) await new Promise((resolve) => setImmediate(resolve));
}

test('a request reaches the worker whole, its response the client', async () => {
  let seen: readonly unknown[] = [];
  respond(({ parts }) => {
    seen = parts;
    return [
      201,
      '',
      ['x-a', '1', 'set-cookie', 'a=1', 'set-cookie', 'b=2'],
      Buffer.from('out'),
      null,
    ];
  });
  const headers = { 'x-in': 'y', 'cf-connecting-ip': '6.6.6.6', 'x-forwarded-for': '7.7.7.7' };
  const answer = await fetch(`http://${base}/p?q=1`, { method: 'POST', body: 'in', headers });
  expect(answer.status).toBe(201);
  expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  expect(await answer.text()).toBe('out');
  const [method, url, flat, body, cf] = seen as [string, string, string[], Uint8Array, string];
  expect([method, url, Buffer.from(body).toString()]).toEqual([
    'POST',
    `http://${base}/p?q=1`,
    'in',
  ]);
  expect(flat[flat.indexOf('cf-connecting-ip') + 1]).toBe('127.0.0.1');
  expect(flat).not.toContain('6.6.6.6');
  expect(JSON.parse(cf)).toMatchObject({ colo: 'n1', region: 'eu' });
  await ended(1);
});

test('large bodies stream both ways', async () => {
  respond(({ parts }) => [200, '', [], parts[3], null]);
  const sent = Buffer.alloc(3_000_000, 'abc');
  const answer = await fetch(`http://${base}/`, { method: 'POST', body: sent });
  expect(Buffer.from(await answer.arrayBuffer()).equals(sent)).toBe(true);
});

test('a client that leaves cancels the response and ends the session', async () => {
  let cancelled = () => {};
  const wasCancelled = new Promise<void>((resolve) => (cancelled = resolve));
  respond(() => [
    200,
    '',
    [],
    new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array([1])),
      cancel: () => cancelled(),
    }),
    null,
  ]);
  const abort = new AbortController();
  const answer = await fetch(`http://${base}/`, { signal: abort.signal });
  await answer.body?.getReader().read();
  abort.abort();
  await ended(1);
  await wasCancelled;
});

/** An answer as it is on the wire: Node's `fetch` would undo its encoding. */
function raw(path: string): Promise<{ headers: IncomingHttpHeaders; body: Buffer }> {
  return new Promise((resolve, reject) => {
    get(`http://${base}${path}`, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(chunks) }));
    }).on('error', reject);
  });
}

test('a plain body goes out in the encoding that its response names', async () => {
  const text = 'plain '.repeat(100);
  const stream = () => new Blob([text]).stream();
  for (const [encoding, decode] of [
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
  ] as const) {
    for (const body of [() => Buffer.from(text), stream]) {
      respond(() => [
        200,
        '',
        ['content-encoding', encoding, 'content-length', '600'],
        body(),
        null,
      ]);
      const answer = await raw('/');
      expect(answer.headers).toMatchObject({ 'content-encoding': encoding });
      expect(answer.headers).not.toHaveProperty('content-length');
      expect(decode(answer.body).toString()).toBe(text);
    }
  }
  const zipped = gzipSync(text);
  respond(() => [200, '', ['content-encoding', 'gzip'], zipped, null, null, true]);
  expect((await raw('/')).body.equals(zipped)).toBe(true);
});

test('each chunk of an encoded stream is sent when it is there', async () => {
  let next: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      next = controller;
    },
  });
  respond(() => [200, '', ['content-encoding', 'gzip'], body, null]);
  const answer = await fetch(`http://${base}/`);
  const reader = answer.body?.getReader();
  for (const word of ['one', 'two']) {
    next?.enqueue(Buffer.from(word));
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(word);
  }
  next?.close();
  expect((await reader?.read())?.done).toBe(true);
});

test('a stream of known length is sent with it', async () => {
  respond(() => [200, '', [], new Blob(['12345']).stream(), null, 5, false]);
  const answer = await raw('/');
  expect(answer.headers).toMatchObject({ 'content-length': '5' });
  expect(answer.body.toString()).toBe('12345');
});

test('HEAD, 204 and 304 have no body', async () => {
  respond(({ parts }) => [Number((parts[1] as string).slice(-3)), '', [], null, null]);
  for (const status of [204, 304])
    expect((await fetch(`http://${base}/${status}`)).status).toBe(status);
  const head = await fetch(`http://${base}/200`, { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
});

test('errors', async () => {
  worker.methods['fetch'] = () => {
    throw new Error('secret');
  };
  const threw = await fetch(`http://${base}/`);
  expect([threw.status, await threw.text()]).toEqual([500, 'Internal Server Error\n']);
  worker.refusal = new HomingError('unavailable', 'starting');
  const unavailable = await fetch(`http://${base}/`);
  expect([unavailable.status, unavailable.headers.get('retry-after')]).toEqual([503, '1']);
  worker.refusal = new HomingError('overloaded', 'too much');
  expect((await fetch(`http://${base}/`)).status).toBe(429);
  await start({ limits: { bodyBytesMax: 10 } });
  expect((await fetch(`http://${base}/`, { method: 'POST', body: 'x'.repeat(11) })).status).toBe(
    413,
  );
});

async function open(protocols: string[] = []) {
  const socket = worker.addSocket('s1');
  respond(() => [101, '', ['sec-websocket-protocol', 'b', 'x-a', '1'], null, 's1']);
  const client = new WebSocket(`ws://${base}/`, protocols);
  const headers = new Promise<string>((resolve) => {
    client.once('upgrade', (reply) => resolve(String(reply.headers['x-a'])));
  });
  await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
  const until = async (count: number) => {
    while (socket.events.length < count) {
      await new Promise<void>((resolve) => (socket.changed = resolve));
    }
  };
  return { socket, client, until, header: await headers };
}

test('a WebSocket: protocol, headers, messages and close codes', async () => {
  const { socket, client, until, header } = await open(['a', 'b']);
  expect([client.protocol, header]).toEqual(['b', '1']);
  const got = new Promise((resolve) => client.once('message', (data) => resolve(String(data))));
  client.send('hi');
  client.send(new Uint8Array([1, 2]));
  await until(2);
  socket.sink?.send('there');
  expect(await got).toBe('there');
  client.close(4001, 'bye');
  await until(3);
  expect(socket.events).toEqual(['hi', 'bytes 1 2', 'closed 4001 bye true']);
});

test('a WebSocket closed by the object, lost by the client, or too large', async () => {
  const first = await open(['b']);
  const closed = new Promise((resolve) => first.client.once('close', resolve));
  first.socket.sink?.close(4002, 'done');
  expect(await closed).toBe(4002);
  await first.until(1);
  expect(first.socket.events).toEqual(['closed 4002 done true']);

  const second = await open(['b']);
  second.client.terminate();
  await second.until(1);
  expect(second.socket.events).toEqual(['closed 1006  false']);

  await start({ limits: { messageBytesMax: 100 } });
  const third = await open(['b']);
  const tooLarge = new Promise((resolve) => third.client.once('close', resolve));
  third.client.send('x'.repeat(101));
  expect(await tooLarge).toBe(1009);
  await third.until(1);
  expect(third.socket.events).toHaveLength(1);
});

test('a reader that takes nothing is closed, not buffered for', async () => {
  await start({ limits: { sendBufferBytesMax: 1_000_000 } });
  const { socket, client, until } = await open(['b']);
  client.pause();
  const chunk = new Uint8Array(500_000);
  for (let sent = 0; sent < 200 && socket.events.length === 0; sent++) {
    socket.sink?.send(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(1);
  expect(socket.events).toEqual(['closed 1006  false']);
  client.terminate();
});

test('an upgrade that the worker refuses is an ordinary response', async () => {
  respond(() => [403, '', [], Buffer.from('no'), null]);
  const client = new WebSocket(`ws://${base}/`);
  const status = await new Promise((resolve) => {
    client.once('unexpected-response', (_request, reply) => resolve(reply.statusCode));
  });
  expect(status).toBe(403);
});

test('a malformed request is answered 400 and the server goes on', async () => {
  const text = await new Promise<string>((resolve) => {
    const socket = connect(gateway.port, '127.0.0.1', () => socket.write('nonsense\r\n\r\n'));
    socket.once('data', (data) => resolve(data.toString()));
  });
  expect(text).toContain('400 Bad Request');
  respond(() => [200, '', [], null, null]);
  expect((await fetch(`http://${base}/`)).status).toBe(200);
});

test('an outgoing WebSocket', async () => {
  const socket = worker.addSocket('s1');
  socket.onMessage = (data) => socket.sink?.send(data);
  respond(() => [101, '', ['sec-websocket-protocol', 'b'], null, 's1']);
  const seen: string[] = [];
  let changed = () => {};
  const events = {
    message: (data: string | Uint8Array) => {
      seen.push(String(data));
      changed();
    },
    closed: (code: number) => {
      seen.push(`closed ${code}`);
      changed();
    },
  };
  const headers = ['sec-websocket-protocol', 'a, b'];
  const out = await connectWebSocket()({ url: `http://${base}/`, headers }, events);
  expect(out.protocol).toBe('b');
  out.send('echo');
  while (seen.length < 1) await new Promise<void>((resolve) => (changed = resolve));
  out.close(1000, 'bye');
  while (seen.length < 2) await new Promise<void>((resolve) => (changed = resolve));
  expect(seen).toEqual(['echo', 'closed 1000']);
  respond(() => [404, '', [], null, null]);
  await expect(connectWebSocket()({ url: `http://${base}/`, headers: [] }, events)).rejects.toThrow(
    '404',
  );
});
