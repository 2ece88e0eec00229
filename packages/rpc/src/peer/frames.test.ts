import { WireError } from '@homing/base';
import { expect, test } from 'vitest';
import { FrameReader, FrameWriter, signOfLife } from './frames.ts';

const frameBytesMax = 1024;

function filled(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);
}

function readAll(reader: FrameReader, frames: readonly Buffer[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (const frame of frames) {
    reader.read(frame, (message) => {
      messages.push(message);
      return true;
    });
  }
  return messages;
}

function takeAll(writer: FrameWriter): Buffer[] {
  const frames: Buffer[] = [];
  for (let frame = writer.next(); frame !== undefined; frame = writer.next()) frames.push(frame);
  return frames;
}

test('every length around every boundary arrives whole, in order, in frames within the limit', () => {
  const lengths = [0, 1, 3, 23, 24, 25, 255, 256, 1014, 1015, 1018, 1019, 1020, 1023, 1024, 1025];
  lengths.push(2041, 2042, 2043, 2047, 2048, 5000, 70_000);
  const writer = new FrameWriter(frameBytesMax);
  const reader = new FrameReader(100_000);
  const sent: Uint8Array[] = [];
  const got: Uint8Array[] = [];
  for (const [round, first] of lengths.entries()) {
    for (const second of lengths) {
      for (const length of [first, second, 2]) {
        const message = filled(length, round + second);
        sent.push(message);
        writer.push(message);
      }
      const frames = takeAll(writer);
      expect(Math.max(...frames.map((frame) => frame.length))).toBeLessThanOrEqual(frameBytesMax);
      expect(writer.bytes).toBe(0);
      got.push(...readAll(reader, frames));
    }
  }
  expect(got.length).toBe(sent.length);
  expect(got.every((message, index) => Buffer.compare(message, sent[index]!) === 0)).toBe(true);
});

test('counts what it holds until it is taken', () => {
  const writer = new FrameWriter(frameBytesMax);
  writer.push(filled(10, 0));
  expect(writer.bytes).toBe(15);
  writer.push(filled(5000, 0));
  writer.push(filled(10, 0));
  expect(writer.bytes).toBe(15 + 5000 + 15);
  writer.next();
  expect(writer.bytes).toBe(5000 + 15);
  writer.next();
  expect(writer.bytes).toBe(5000 - (frameBytesMax - 5) + 15);
});

test('a message does not change with the bytes that the sender goes on to use', () => {
  const writer = new FrameWriter(frameBytesMax);
  const message = filled(100, 1);
  writer.push(message);
  message.fill(0);
  const [got] = readAll(new FrameReader(1000), takeAll(writer));
  expect(got).toEqual(filled(100, 1));
});

test('a sign of life carries nothing', () => {
  expect(readAll(new FrameReader(1000), [signOfLife()])).toEqual([]);
});

test('stops in a batch when told to', () => {
  const writer = new FrameWriter(frameBytesMax);
  for (let index = 0; index < 3; index++) writer.push(filled(4, index));
  let delivered = 0;
  new FrameReader(1000).read(writer.next()!, () => ++delivered < 2);
  expect(delivered).toBe(2);
});

const broken: Record<string, readonly (readonly number[])[]> = {
  'an empty frame': [[]],
  'a kind that is none': [[3, 0]],
  'a length cut short': [[0, 1, 0]],
  'a message cut short': [[0, 5, 0, 0, 0, 1, 2]],
  'a huge message in a batch': [[0, 0xff, 0xff, 0xff, 0xff, 1]],
  'a long message without its length': [[1, 5, 0]],
  'a long message without bytes': [[1, 5, 0, 0, 0]],
  'a long message beyond the limit': [[1, 0xe9, 3, 0, 0, 1]],
  'a first part that is too long': [[1, 1, 0, 0, 0, 1, 2]],
  'a later part that is too long': [
    [1, 2, 0, 0, 0, 1],
    [2, 1, 2],
  ],
  'a part without bytes': [[1, 2, 0, 0, 0, 1], [2]],
  'more of nothing': [[2, 1]],
  'a batch within a long message': [
    [1, 2, 0, 0, 0, 1],
    [0, 1, 0, 0, 0, 7],
  ],
  'a long message within a long message': [
    [1, 2, 0, 0, 0, 1],
    [1, 2, 0, 0, 0, 1],
  ],
};
test.each(Object.entries(broken))('refuses %s', (_name, frames) => {
  const reader = new FrameReader(1000);
  expect(() =>
    readAll(
      reader,
      frames.map((frame) => Buffer.from(frame)),
    ),
  ).toThrow(WireError);
});
