import {
  type ClientDuplexStream,
  credentials,
  makeGenericClientConstructor,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { HomingError, namedObjectId } from '@homing/base';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FakeWorker, Parts, quiet } from '../test/fake-worker.ts';
import {
  type CallReply,
  type ClientFrame,
  type FetchReply,
  type LocateReply,
  ObjectsService,
  type ServerFrame,
} from './generated/homing/v1/objects.ts';
import { type RpcServer, startRpc } from './index.ts';

let worker = new FakeWorker();
let server: RpcServer;
// biome-ignore lint/suspicious/noExplicitAny: generic clients have the methods of their service
let client: any;

beforeAll(async () => {
  server = await startRpc({
    host: '127.0.0.1',
    port: 0,
    dispatcher: {
      open: (target, sink) => worker.open(target, sink),
      attach: (socket, sink) => worker.attach(socket, sink),
    },
    namespaces: (binding) => (binding === 'COUNTER' ? 'w/Counter' : undefined),
    locate: () => ({ node: 'n1', region: 'eu', epoch: 7n }),
    logger: quiet,
  });
  const address = `127.0.0.1:${server.port}`;
  client = new (makeGenericClientConstructor(ObjectsService, 'Objects'))(
    address,
    credentials.createInsecure(),
  );
});
beforeEach(() => {
  worker = new FakeWorker();
});
afterAll(async () => {
  client.close();
  await server.close(0);
});

const object = { namespace: 'COUNTER', id: { $case: 'name', value: 'a' }, locationHint: '' };

function ask<T>(method: string, request: object, options: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    client[method](request, options, (error: ServiceError | null, reply: T) =>
      error === null ? resolve(reply) : reject(error),
    );
  });
}

async function failure(request: object, options: object = {}): Promise<ServiceError> {
  const call = { object, method: 'm', args: [], requestId: '', ...request };
  return await ask('call', call, options).then(
    () => Promise.reject(new Error('expected a failure')),
    (error: ServiceError) => error,
  );
}

function detailsOf(error: ServiceError): string {
  return String(error.metadata.get('grpc-status-details-bin')[0]);
}

test('Call', async () => {
  worker.methods['add'] = (a: number, b: bigint) => ({ sum: BigInt(a) + b, at: new Date(0) });
  const args = [1, { $type: 'bigint', value: '2' }];
  const reply = await ask<CallReply>('call', { object, method: 'add', args, requestId: '' });
  expect(reply).toMatchObject({ ownerNode: 'n1', ownerRegion: 'eu', epoch: 7n, replayed: false });
  expect(reply.result).toEqual({
    sum: { $type: 'bigint', value: '3' },
    at: { $type: 'date', value: '1970-01-01T00:00:00.000Z' },
  });
  const id = namedObjectId('w/Counter', 'a');
  expect(worker.targets[0]).toMatchObject({ kind: 'object', object: { id, name: 'a' } });
  expect(worker.closed).toBe(1);
});

test('errors carry their code and whether the call ran', async () => {
  worker.methods['m'] = () => {
    throw new RangeError('too far');
  };
  const threw = await failure({});
  expect([threw.code, threw.details]).toEqual([status.UNKNOWN, 'too far']);
  for (const part of ['actor_threw', 'homing', 'RangeError', 'executed', 'yes']) {
    expect(detailsOf(threw)).toContain(part);
  }
  const cases: readonly [object, number][] = [
    [{ object: { ...object, namespace: 'NONE' } }, status.NOT_FOUND],
    [{ object: { ...object, id: { $case: 'hexId', value: 'xyz' } } }, status.INVALID_ARGUMENT],
    [
      { object: { ...object, id: { $case: 'hexId', value: namedObjectId('w/B', 'a') } } },
      status.INVALID_ARGUMENT,
    ],
    [{ object: { ...object, id: undefined } }, status.INVALID_ARGUMENT],
    [{ method: '' }, status.INVALID_ARGUMENT],
    [{ args: [{ $type: 'x' }] }, status.INVALID_ARGUMENT],
    [{ requestId: 'x'.repeat(300) }, status.INVALID_ARGUMENT],
  ];
  for (const [request, code] of cases) expect((await failure(request)).code).toBe(code);
  worker.refusal = new HomingError('overloaded', 'too much');
  const overloaded = await failure({});
  expect(overloaded.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(detailsOf(overloaded)).toContain('overloaded');
});

test('a deadline ends the session', async () => {
  worker.methods['m'] = () => new Promise(() => {});
  // On a busy machine it may be over before the call is there: then no session was begun.
  while (worker.closed === 0) {
    const late = await failure({}, { deadline: Date.now() + 50 });
    expect(late.code).toBe(status.DEADLINE_EXCEEDED);
  }
});

test('Fetch and Locate', async () => {
  worker.methods['fetch'] = ({ parts }: Parts) =>
    new Parts('response', [200, '', ['x-a', String(parts[1])], parts[3], null]);
  const headers = [{ name: 'X-In', value: '1' }];
  const body = Buffer.from('body');
  const reply = await ask<FetchReply>('fetch', {
    object,
    method: 'POST',
    url: '/p',
    headers,
    body,
  });
  expect(reply).toMatchObject({
    status: 200,
    headers: [{ name: 'x-a', value: 'http://object/p' }],
  });
  expect(String(reply.body)).toBe('body');
  const place = await ask<LocateReply>('locate', { object });
  expect(place).toEqual({
    node: 'n1',
    region: 'eu',
    epoch: 7n,
    hexId: namedObjectId('w/Counter', 'a'),
  });
});

test('Connect', async () => {
  const socket = worker.addSocket('s1');
  worker.methods['fetch'] = () => new Parts('response', [101, '', [], null, 's1']);
  socket.onMessage = (data) => {
    if (data === 'bye') socket.sink?.close(4000, 'done');
    else socket.sink?.send(data);
  };
  const stream: ClientDuplexStream<ClientFrame, ServerFrame> = client.connect();
  const frames: unknown[] = [];
  stream.on('data', ({ frame }: ServerFrame) => frames.push(frame?.$case, frame?.value));
  const ended = new Promise((resolve) => stream.on('end', resolve));
  const open = { object, url: '/', headers: [], protocols: [] };
  stream.write({ frame: { $case: 'open', value: open } } as unknown as ClientFrame);
  for (const value of ['hi', 'bye']) {
    stream.write({ frame: { $case: 'message', value: { data: { $case: 'text', value } } } });
  }
  await ended;
  expect(frames).toEqual([
    'opened',
    { protocol: '', headers: [] },
    'message',
    { data: { $case: 'text', value: 'hi' } },
    'close',
    { code: 4000, reason: 'done' },
  ]);
  expect(socket.events).toEqual(['hi', 'bye', 'closed 4000 done true']);
});

test('health', async () => {
  const address = `127.0.0.1:${server.port}`;
  const health = new (makeGenericClientConstructor(healthService, 'Health'))(
    address,
    credentials.createInsecure(),
  );
  for (const service of ['', 'homing.v1.Objects']) {
    const reply = await new Promise((resolve, reject) => {
      health['check']?.({ service }, (error: unknown, value: unknown) =>
        error ? reject(error) : resolve(value),
      );
    });
    expect(reply).toMatchObject({ status: 'SERVING' });
  }
  health.close();
});
