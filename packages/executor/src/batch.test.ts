import { Buffer } from 'node:buffer';
import type { FromExecutor, ObjectIdHex, ToExecutor, UnmarkedMessage, WallMs } from '@homing/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Batch, BatchWriter, readBatch } from './batch.ts';

type Message = ToExecutor | FromExecutor;

const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.uint8Array({ minLength: 4090, maxLength: 4100 }),
);
const text = fc.string({ unit: 'binary', maxLength: 40 });
const space = fc.constantFrom(1 as const, 2 as const);
const object = fc.record({
  namespace: text,
  id: fc.constant('ab'.repeat(32) as ObjectIdHex),
  name: fc.option(text, { nil: undefined }),
  locationHint: fc.option(text, { nil: undefined }),
});
const operation = fc.oneof(
  fc.record({ type: fc.constant('put' as const), space, key: bytes, value: bytes }),
  fc.record({ type: fc.constant('delete' as const), space, key: bytes }),
  fc.record({ type: fc.constant('clear' as const), space }),
  fc.record({
    type: fc.constant('alarm' as const),
    dueMs: fc.option(number as fc.Arbitrary<WallMs>),
  }),
);
const unmarked = fc.oneof(
  fc.record({ type: fc.constant('frame' as const), session: number, frame: bytes }),
  fc.record({
    type: fc.constant('closed' as const),
    session: number,
    error: fc.constantFrom(undefined, { name: 'Error', message: 'no', properties: {} }),
  }),
  fc.record({
    type: fc.constant('open' as const),
    session: number,
    to: fc.oneof(fc.record({ activation: number }), fc.record({ entrypoint: text })),
  }),
  fc.record({
    type: fc.constant('open' as const),
    session: number,
    target: fc.oneof(
      fc.record({ kind: fc.constant('object' as const), object }),
      fc.record({ kind: fc.constant('entrypoint' as const), entrypoint: text }),
    ),
    activation: fc.option(fc.integer({ min: 1 }), { nil: undefined }),
  }),
  fc.record({ type: fc.constantFrom('committed', 'appended'), activation: number, count: number }),
  fc.record({
    type: fc.constant('append' as const),
    activation: number,
    operations: fc.array(operation, { maxLength: 5 }),
  }),
  fc.record({ type: fc.constant('awaits' as const), activation: number, group: number }),
  fc.record({ type: fc.constantFrom('busy', 'evict', 'alarm'), activation: number }),
) as fc.Arbitrary<Message>;
const message: fc.Arbitrary<Message> = fc.oneof(
  unmarked,
  fc.record({
    type: fc.constant('after' as const),
    activation: number,
    group: number,
    message: unmarked as fc.Arbitrary<UnmarkedMessage>,
  }),
);

function crossed(batch: Batch): Message[] {
  const taken: Message[] = [];
  readBatch(structuredClone(batch), (one: Message) => taken.push(one));
  return taken;
}

test('every message arrives as it was posted, in order', () => {
  const writer = new BatchWriter();
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), (messages) => {
      for (const one of messages) writer.push(one);
      const taken = crossed(writer.take());
      expect(writer.isEmpty).toBe(true);
      // Views of the batch are Buffers, whose clones are plain.
      expect(structuredClone(taken)).toEqual(messages);
    }),
  );
});

test('a frame that is a view is written down when it is posted, and a long one crosses alone', () => {
  const pool = Buffer.alloc(20_000, 7);
  const writer = new BatchWriter();
  for (const length of [3, 5000]) {
    const view = pool.subarray(10, 10 + length);
    view.fill(7);
    writer.push({ type: 'frame', session: 1, frame: view });
    view.fill(8);
    const batch = writer.take();
    const [taken] = crossed(batch);
    const { frame } = taken as Extract<Message, { type: 'frame' }>;
    expect(frame).toEqual(length === 3 ? Buffer.alloc(3, 7) : new Uint8Array(length).fill(7));
    if (length > 3) expect(frame.buffer.byteLength).toBe(length);
  }
});

test('a message that cannot be written leaves the others whole', () => {
  const writer = new BatchWriter();
  const namespace = 'w/C';
  const id = 'ab'.repeat(32) as ObjectIdHex;
  const open = (locationHint: unknown) =>
    ({
      type: 'open',
      session: 1,
      target: { kind: 'object', object: { namespace, id, name: undefined, locationHint } },
      activation: undefined,
    }) as Message;
  writer.push(open('weur'));
  expect(() => writer.push(open(Symbol('weur')))).toThrow(TypeError);
  writer.push({ type: 'busy', activation: 2 });
  expect(crossed(writer.take())).toEqual([open('weur'), { type: 'busy', activation: 2 }]);
});
