import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Epoch } from './epoch.ts';
import { isHomingError } from './errors.ts';
import { type LogRecord, spaces, type WallMs } from './ports.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';

const bytes = fc.uint8Array({ maxLength: 300 });
const space = fc.constantFrom(...Object.values(spaces));
const operation: fc.Arbitrary<LogRecord['operations'][number]> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), space, key: bytes, value: bytes }),
  fc.record({ type: fc.constant('delete' as const), space, key: bytes }),
  fc.record({ type: fc.constant('clear' as const), space }),
  fc.record({
    type: fc.constant('alarm' as const),
    dueMs: fc.option(fc.nat().map((ms) => ms as WallMs)),
  }),
);
const record: fc.Arbitrary<LogRecord> = fc.record({
  name: fc.record({
    epoch: fc.bigInt(0n, 2n ** 64n - 1n).map((epoch) => epoch as Epoch),
    lsn: fc.integer({ min: 1 }),
  }),
  operations: fc.array(operation, { maxLength: 8 }),
});

test('a record survives its encoding', () => {
  fc.assert(
    fc.property(record, (original) => {
      expect(decodeRecord(encodeRecord(original))).toEqual(original);
    }),
  );
});

test('a damaged one is refused, whichever byte it is', () => {
  fc.assert(
    fc.property(record, fc.nat(), fc.integer({ min: 1, max: 255 }), (original, at, change) => {
      const encoded = encodeRecord(original);
      const position = at % encoded.length;
      encoded[position] = (encoded[position] as number) ^ change;
      expect(refusal(encoded)).toBe('corruption');
    }),
  );
});

test('one that is cut off, or goes on, is refused', () => {
  fc.assert(
    fc.property(record, fc.nat(), (original, at) => {
      const encoded = encodeRecord(original);
      expect(refusal(encoded.subarray(0, at % encoded.length))).toBe('corruption');
      expect(refusal(Buffer.concat([encoded, Buffer.of(0)]))).toBe('corruption');
    }),
  );
});

function refusal(encoded: Uint8Array): string | undefined {
  try {
    decodeRecord(encoded);
    return undefined;
  } catch (error) {
    return isHomingError(error) ? error.code : String(error);
  }
}
