/** Headers, Request and Response by table; each row was read off workerd. */
import { describe, expect, it } from 'vitest';
import {
  Headers,
  Request,
  type RequestParts,
  Response,
  requestFromParts,
  requestParts,
  responseFromParts,
  responseParts,
} from './index.ts';

const loose = (value: unknown) => value as never;
const post = (body: string) => new Request('http://x', { method: 'POST', body });
const parts: RequestParts = ['GET', 'http://x/', ['A', '1'], null, '{"colo":"n1"}', 'manual', null];

const throws: [string, () => unknown, string][] = [
  ['header name', () => new Headers({ 'a b': '1' }), 'Invalid header name.'],
  ['header value', () => new Headers({ a: '1\n2' }), 'Invalid header value.'],
  [
    'headers of null',
    () => new Headers(loose(null)),
    "Failed to construct 'Headers': constructor parameter 1 is not of type 'Headers or Sequence or object'.",
  ],
  [
    'headers of odd pairs',
    () => new Headers([['a']]),
    'To initialize a Headers object from a sequence, each inner sequence must have exactly two elements.',
  ],
  [
    'getAll',
    () => new Headers().getAll('x'),
    'getAll() can only be used with the header name "Set-Cookie".',
  ],
  [
    'arrived headers',
    () => requestFromParts(parts).headers.set('a', 'b'),
    "Can't modify immutable headers.",
  ],
  ['relative URL', () => new Request('/x'), 'Invalid URL: /x'],
  ['method', () => new Request('http://x', { method: 'FOO' }), 'Invalid HTTP method string: FOO'],
  [
    'body of GET',
    () => new Request('http://x', { body: 'x' }),
    'Request with a GET or HEAD method cannot have a body.',
  ],
  ['redirect', () => new Request('http://x', { redirect: 'error' }), 'Invalid redirect value'],
  [
    'status 101',
    () => new Response(null, { status: 101 }),
    'Responses may only be constructed with status codes in the range 200 to 599, inclusive.',
  ],
  [
    'body of 204',
    () => new Response('x', { status: 204 }),
    'Response with null body status (101, 204, 205, or 304) cannot have a body.',
  ],
  ['redirect target', () => Response.redirect('/x'), 'Unable to parse URL: /x'],
  ['status text', () => new Response(null, { statusText: 'a\nb' }), 'Invalid statusText'],
];

describe('what constructors refuse', () => {
  it.each(throws)('%s', (_, misuse, message) => expect(misuse).toThrow(message));
});

describe('headers', () => {
  it('sort, join, and keep cookies apart', () => {
    const headers = new Headers([
      ['B', '1'],
      ['a', ' 2 '],
      ['b', '3'],
      ['Set-Cookie', 'x=1'],
      ['set-cookie', 'y=2'],
    ]);
    expect([...headers]).toEqual([
      ['a', '2'],
      ['b', '1, 3'],
      ['set-cookie', 'x=1'],
      ['set-cookie', 'y=2'],
    ]);
    expect(headers.getSetCookie()).toEqual(['x=1', 'y=2']);
    headers.set('B', 'only');
    headers.delete('SET-COOKIE');
    expect([...headers]).toEqual([
      ['a', '2'],
      ['b', 'only'],
    ]);
  });
});

const contentTypes: [string, () => Response, string | null][] = [
  ['text', () => new Response('x'), 'text/plain;charset=UTF-8'],
  ['bytes', () => new Response(new Uint8Array(1)), null],
  ['Blob', () => new Response(new Blob(['x'], { type: 'a/b' })), 'a/b'],
  [
    'URLSearchParams',
    () => new Response(new URLSearchParams('a=b')),
    'application/x-www-form-urlencoded;charset=UTF-8',
  ],
  ['json', () => Response.json({}), 'application/json'],
  ['own', () => Response.json({}, { headers: { 'Content-Type': 'x/y' } }), 'x/y'],
];

describe('bodies', () => {
  it.each(contentTypes)('content-type of %s', (_, make, type) => {
    expect(make().headers.get('content-type')).toBe(type);
  });

  it('are read once', async () => {
    const response = new Response('x');
    expect(await response.text()).toBe('x');
    expect(response.bodyUsed).toBe(true);
    await expect(response.text()).rejects.toThrow(
      'Body has already been used. It can only be used once. Use tee() first if you need to read it twice.',
    );
    expect(() => responseParts(response)).toThrow('Body has already been used.');
    expect(() => new Response(response.body)).toThrow('This ReadableStream is disturbed');
    const empty = new Response(null);
    await empty.text();
    expect(await empty.text()).toBe('');
  });

  it('are copied when made, and each reader gets its own', async () => {
    const bytes = new Uint8Array([1, 2]);
    const response = new Response(bytes);
    bytes[0] = 9;
    const copy = response.clone();
    const first = await response.bytes();
    first[1] = 9;
    expect(await copy.bytes()).toEqual(new Uint8Array([1, 2]));
  });

  it('are streams once asked for', async () => {
    const response = new Response('abc');
    expect(response.body).toBe(response.body);
    expect(response.bodyUsed).toBe(false);
    expect(await response.text()).toBe('abc');
    expect(response.bodyUsed).toBe(true);
  });

  it('refuse chunks that are no bytes', async () => {
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue('text');
        controller.close();
      },
    });
    const message = 'This ReadableStream did not return bytes.';
    await expect(new Response(stream).text()).rejects.toThrow(message);
  });

  it('come back from forms', async () => {
    const form = new FormData();
    form.set('a', 'b');
    form.set('f', new Blob(['content']), 'name.txt');
    const back = await new Response(form).formData();
    expect(back.get('a')).toBe('b');
    expect(await (back.get('f') as File).text()).toBe('content');
  });

  it('move to a request made of another one', async () => {
    const request = post('x');
    const next = new Request(request);
    expect([request.bodyUsed, await next.text()]).toEqual([true, 'x']);
    const message = 'Cannot reconstruct a Request with a used body.';
    expect(() => new Request(request)).toThrow(message);
    expect(() => requestParts(request)).toThrow(message);
  });
});

describe('the plain forms', () => {
  it('carry a request', async () => {
    const { signal } = new AbortController();
    const [method, url, headers, body, cf] = requestParts(
      new Request('http://x/y', {
        method: 'put',
        body: 'z',
        headers: { B: '1' },
        cf: { a: 1 },
        signal,
      }),
    );
    expect([method, url, cf]).toEqual(['PUT', 'http://x/y', '{"a":1}']);
    expect(headers).toEqual([
      'b',
      '1',
      'content-type',
      'text/plain;charset=UTF-8',
      'content-length',
      '1',
    ]);
    expect(body).toEqual(new TextEncoder().encode('z'));
    const arrived = requestFromParts(parts);
    expect(arrived.cf).toEqual({ colo: 'n1' });
    expect(arrived.headers.get('a')).toBe('1');
    expect(arrived.redirect).toBe('manual');
    expect(arrived.signal.aborted).toBe(false);
  });

  it('carry a response', async () => {
    const made = new Response('x', { status: 201, statusText: 'Made', headers: { a: 'b' } });
    const back = responseFromParts(responseParts(made));
    expect([back.status, back.statusText, back.headers.get('a')]).toEqual([201, 'Made', 'b']);
    expect(await back.text()).toBe('x');
    expect(() => back.headers.set('a', 'c')).toThrow("Can't modify immutable headers.");
    expect(new Response('y', back).status).toBe(201);
  });
});
