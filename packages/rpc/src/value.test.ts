import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Value } from './generated/google/protobuf/struct.ts';
import { fromJson, toJson } from './value.ts';

const leaf = fc.oneof(
  fc.string(),
  fc.double(),
  fc.boolean(),
  fc.bigInt(),
  fc.constant(null),
  fc.constant(undefined),
  fc.date(),
  fc.uint8Array(),
);
const key = fc.oneof(fc.string(), fc.constant('$type')).filter((name) => name !== '__proto__');
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('tree')),
    fc.dictionary(key, tie('tree'), {
      noNullPrototype: true,
    }),
    fc.array(tie('tree')).map((items) => new Set(items)),
    fc.array(fc.tuple(tie('tree'), tie('tree'))).map((pairs) => new Map(pairs)),
  ),
}));

test('every value survives the way there and back', () => {
  fc.assert(
    fc.property(tree, (value) => {
      const bytes = Value.encode(Value.wrap(toJson(value, 100))).finish();
      expect(fromJson(Value.unwrap(Value.decode(bytes)), 100)).toEqual(value);
    }),
  );
});

test('what cannot travel is refused', () => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  expect(() => toJson(cycle, 100)).toThrow(/nested too deeply/);
  expect(() => toJson(JSON.parse('{"__proto__": 1}'), 100)).toThrow('"__proto__" cannot travel');
  expect(() => toJson(() => 1, 100)).toThrow(/function cannot travel/);
  expect(() => fromJson({ $type: 'nonsense' }, 100)).toThrow('unknown $type "nonsense"');
  expect(() => fromJson({ $type: 'bigint', value: 'x' }, 100)).toThrow('malformed');
});
