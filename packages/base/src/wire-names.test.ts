import { expect, test } from 'vitest';
import type { Epoch } from './epoch.ts';
import { type ObjectIdHex, objectIdBytes } from './object-id.ts';
import { frameOf, pooledFrameOf, WireReader } from './wire.ts';
import { putEpoch, putObjectId, takeEpoch, takeObjectId } from './wire-names.ts';

const id = '00ff7fa5'.repeat(8) as ObjectIdHex;

test('an epoch is eight bytes in two halves, the high one first, however large it is', () => {
  const bytes = (epoch: bigint) =>
    Buffer.from(frameOf((writer) => putEpoch(writer, epoch as Epoch))).toString('hex');
  expect(bytes(0x0102030405060708n)).toBe('0403020108070605');
  expect(bytes(0x000a0b0c0d0e0fn)).toBe('0b0a00000f0e0d0c');
  const large = [2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
  for (const epoch of [0n, 1n, ...large, ...large.map((each) => each - 1n), 2n ** 53n + 1n]) {
    const frame = frameOf((writer) => putEpoch(writer, epoch as Epoch));
    expect(takeEpoch(new WireReader(frame))).toBe(epoch);
  }
});

test('an id is its bytes; what is no id is not written', () => {
  const frame = frameOf((writer) => putObjectId(writer, id));
  expect(Buffer.from(frame).toString('hex')).toBe(id);
  expect(takeObjectId(new WireReader(frame))).toBe(id);
  for (const wrong of [id.slice(2), `${id}00`, `${id.slice(2)}xy`, '']) {
    expect(() => frameOf((writer) => putObjectId(writer, wrong as ObjectIdHex))).toThrow('hex');
  }
});

test('frames in the pool stay what they are while others are made', () => {
  const frames = Array.from({ length: 1000 }, (_, index) =>
    pooledFrameOf((writer) => {
      putObjectId(writer, id);
      putEpoch(writer, BigInt(index) as Epoch);
    }),
  );
  for (const [index, frame] of frames.entries()) {
    const reader = new WireReader(frame, objectIdBytes);
    expect(takeEpoch(reader)).toBe(BigInt(index));
    reader.finish();
  }
});
