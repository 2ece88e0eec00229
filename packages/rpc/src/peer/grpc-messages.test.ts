import { WireError } from '@homing/base';
import { expect, test } from 'vitest';
import { headBytes, MessageReader, writeHead } from './grpc-messages.ts';

const bytesMax = 1000;

function message(length: number): Buffer {
  const bytes = Buffer.alloc(headBytes + length, length);
  writeHead(bytes, length);
  return bytes;
}

test('messages come whole and in order, wherever the stream is cut', () => {
  const lengths = [0, 1, 7, 0, bytesMax, 3];
  const stream = Buffer.concat(lengths.map(message));
  for (let size = 1; size <= stream.length; size = size < 20 ? size + 1 : size * 2 + 1) {
    const reader = new MessageReader(bytesMax);
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) {
      reader.read(stream.subarray(at, at + size), (bytes) => got.push(Buffer.from(bytes)));
    }
    expect(got).toEqual(lengths.map((length) => message(length).subarray(headBytes)));
  }
});

test('a message that is too long, or compressed, is none', () => {
  const read = (bytes: Buffer) => () => new MessageReader(bytesMax).read(bytes, () => {});
  expect(read(message(bytesMax + 1))).toThrow(WireError);
  const compressed = message(3);
  compressed[0] = 1;
  expect(read(compressed)).toThrow(WireError);
});
