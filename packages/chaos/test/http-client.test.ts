import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../src/free-ports.ts';
import { classify, HttpClient } from '../src/http-client.ts';

describe('what is known after an answer', () => {
  test.each([
    [200, undefined, '{"a":1}', 'ok'],
    [200, undefined, 'half of', 'info'],
    [503, 'no', 'starting\n', 'fail'],
    [503, 'maybe', 'fenced\n', 'info'],
    [503, undefined, '{"error":"moved","retryable":true}', 'info'],
    [429, undefined, '{"error":"too many","overloaded":true}', 'fail'],
    [429, undefined, 'too many', 'info'],
    [500, undefined, '{"error":"thrown"}', 'info'],
    [404, undefined, 'no such route', 'info'],
  ])('%i, executed %s, %s: %s', (status, executed, text, outcome) => {
    expect(classify(status, executed, text).outcome).toBe(outcome);
  });

  test('causes that differ in a name are one', () => {
    const of = (id: string) => classify(503, undefined, `object ${id} moved to 17`).error;
    expect(of('0123456789abcdef')).toBe(of('fedcba9876543210'));
    expect(of('0123456789abcdef')).toMatch(/^503 /);
  });
});

describe('over a connection', () => {
  let server: Server;
  let url: string;
  const http = new HttpClient();
  let answer: (response: ServerResponse) => void;

  beforeAll(async () => {
    server = createServer((_request, response) => answer(response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => {
    http.close();
    server.close();
    server.closeAllConnections();
  });

  const send = (to = url) =>
    http.send({ url: to, method: 'POST', path: '/', body: 1, timeoutMs: 200 });

  test('an answer', async () => {
    answer = (response) => response.end('[1]');
    expect(await send()).toEqual({ outcome: 'ok', body: [1] });
  });

  test('none in time, or a broken one, leaves it open', async () => {
    answer = () => {};
    expect(await send()).toMatchObject({ outcome: 'info', error: 'timeout' });
    answer = (response) => response.destroy();
    expect(await send()).toMatchObject({ outcome: 'info' });
    answer = (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{', () => response.destroy());
    };
    expect(await send()).toMatchObject({ outcome: 'info' });
  });

  test('a refused connection carried nothing', async () => {
    const [port] = await freePorts(1);
    expect(await send(`http://127.0.0.1:${port}`)).toMatchObject({ outcome: 'fail' });
  });
});
