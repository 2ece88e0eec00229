import type { PeerRun, Timers } from '@homing/base';
import { expect, test } from 'vitest';
import { FrameWriter } from './frames.ts';
import type { Hello } from './handshake.ts';
import { peerLimits } from './limits.ts';
import { Link } from './link.ts';

const hello: Hello = {
  node: 'a',
  storeId: 's',
  run: 'r',
  cluster: 'c',
  version: '0.1.0',
  protocol: { min: 1, max: 1 },
  purpose: 'log',
  to: 'b',
  attempt: 1,
  keepaliveMs: 1000,
};

/** Timers that run when told to. */
class Hands implements Timers {
  readonly #due: { delayMs: number; callback: () => void }[] = [];

  after(delayMs: number, callback: () => void) {
    const entry = { delayMs, callback };
    this.#due.push(entry);
    const cancel = () => {
      const index = this.#due.indexOf(entry);
      if (index >= 0) this.#due.splice(index, 1);
    };
    return { cancel };
  }

  get waiting(): number {
    return this.#due.length;
  }

  /** Runs what waits for `delayMs`. */
  run(delayMs: number): void {
    for (const entry of this.#due.filter((each) => each.delayMs === delayMs)) {
      this.#due.splice(this.#due.indexOf(entry), 1);
      entry.callback();
    }
  }
}

function makeLink(delayMs = 0) {
  const timers = new Hands();
  const heard: string[] = [];
  const written: { frame: Buffer; taken: () => void }[] = [];
  const link = new Link({
    stream: { write: (frame, taken) => written.push({ frame, taken }) },
    hello,
    protocol: 1,
    handler: {
      up() {},
      down() {},
      message: (_peer: PeerRun, message) => void heard.push(Buffer.from(message).toString()),
    },
    limits: peerLimits({
      keepaliveMs: 600,
      keepaliveTimeoutMs: 1000,
      linkBufferBytesMax: 100,
      linkReserveBytes: 50,
    }),
    timers,
    counts: { messagesSent: 0, framesSent: 0, bytesSent: 0 },
    delayMs: () => delayMs,
    hangUp: (reason) => void heard.push(`hang up: ${reason}`),
  });
  link.start((reason) => heard.push(`end: ${reason}`));
  return { link, timers, heard, written };
}

function frame(text: string): Buffer {
  const writer = new FrameWriter(1024);
  writer.push(Buffer.from(text));
  return writer.next()!;
}

test('ends once, and neither takes nor delivers anything after that', () => {
  const { link, timers, heard } = makeLink();
  link.receive(frame('one'));
  link.end('enough');
  link.end('again');
  link.receive(frame('two'));
  expect(link.send(Buffer.from('three'))).toBe(false);
  expect(heard).toEqual(['one', 'hang up: enough', 'end: enough']);
  expect(timers.waiting).toBe(0);
});

test('silence is counted in turns, so that a pause of this process is not taken for one', () => {
  const { link, timers, heard } = makeLink();
  for (let turn = 0; turn < 10; turn++) {
    timers.run(500);
    timers.run(500);
    timers.run(500);
    link.receive(frame('here'));
  }
  expect(heard).toEqual(Array(10).fill('here'));
  for (let turn = 0; turn < 5; turn++) timers.run(500);
  expect(heard.at(-1)).toBe('end: nothing came from the peer for 2000 ms');
});

test('at most two frames are with the stream; the rest waits and goes together', async () => {
  const { link, timers, written } = makeLink();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  for (const text of ['one', 'two', 'three', 'four']) {
    link.send(Buffer.from(text));
    await turn();
  }
  expect(written.length).toBe(2);
  timers.run(600);
  expect(written.length).toBe(2);
  const { buffered } = link;
  written[0]!.taken();
  expect(link.buffered).toBe(buffered - written[0]!.frame.length);
  expect(written.length).toBe(3);
  expect(written[2]!.frame.length).toBe(1 + 4 + 'three'.length + 4 + 'four'.length);
  for (const { taken } of written.slice(1)) taken();
  expect(link.buffered).toBe(0);
  timers.run(600);
  expect(written.length).toBe(4);
});

test('a link with a delay hears everything later, in order, and nothing once it is over', () => {
  const { link, timers, heard } = makeLink(40);
  link.receive(frame('one'));
  link.receive(frame('two'));
  expect(heard).toEqual([]);
  timers.run(40);
  expect(heard).toEqual(['one', 'two']);
  link.receive(frame('three'));
  link.end('enough');
  timers.run(40);
  expect(heard).toEqual(['one', 'two', 'hang up: enough', 'end: enough']);
});

test('what must not be left out has a reserve, and ends the link past it', async () => {
  const { link, heard } = makeLink();
  expect(link.send(Buffer.alloc(90))).toBe(true);
  expect(link.send(Buffer.alloc(20))).toBe(false);
  link.sendOrEnd(Buffer.alloc(20));
  await Promise.resolve();
  expect(heard).toEqual([]);
  link.sendOrEnd(Buffer.alloc(90));
  // Nothing may follow what was left out, also where there is room for it.
  expect(link.send(Buffer.alloc(0))).toBe(false);
  await Promise.resolve();
  expect(heard).toEqual([
    'hang up: the peer does not take what it is sent',
    'end: the peer does not take what it is sent',
  ]);
});
