import type { ObjectIdHex, WallMs } from '@homing/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StateCache } from './state-cache.ts';
import { encodeKey, keyRange } from './storage-key.ts';
import { MemoryState } from './testing-host.ts';

const id = 'f'.repeat(64) as ObjectIdHex;
const keys = ['', 'a', 'ab', 'b', '\uFF5E', '\u{1F600}', 'z'];

type Step =
  | { readonly do: 'put'; readonly key: string; readonly value: number }
  | { readonly do: 'delete'; readonly key: string }
  | { readonly do: 'clear' | 'begin' | 'commit' | 'rollback' | 'flush' | 'confirm' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      key: fc.constantFrom(...keys),
      value: fc.nat(255),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom(...keys) }),
  },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(...(['clear', 'begin', 'commit', 'rollback', 'flush', 'confirm'] as const))
      .map((name) => ({ do: name })),
  },
);

const range = fc.record(
  {
    start: fc.constantFrom(...keys),
    end: fc.constantFrom(...keys),
    prefix: fc.constantFrom('', 'a', 'b'),
    reverse: fc.boolean(),
    limit: fc.integer({ min: 1, max: 5 }),
  },
  { requiredKeys: [] },
);

interface Options {
  readonly start?: string;
  readonly end?: string;
  readonly prefix?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** What the cache must show: a map, with a copy for each open transaction. */
function model(layers: Map<string, number>[], options: Options): [string, number][] {
  const { start, end, prefix = '', reverse, limit } = options;
  const bytes = (key: string) => Buffer.from(key);
  const found = [...(layers.at(-1) ?? [])]
    .filter(([key]) => key.startsWith(prefix))
    .filter(([key]) => start === undefined || Buffer.compare(bytes(key), bytes(start)) >= 0)
    .filter(([key]) => end === undefined || Buffer.compare(bytes(key), bytes(end)) < 0)
    .sort(([a], [b]) => Buffer.compare(bytes(a), bytes(b)) * (reverse ? -1 : 1));
  return found.slice(0, limit);
}

test('reads are those of a map, whatever is pending, in flight or rolled back', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.array(range, { maxLength: 4 }),
      (steps, ranges) => {
        const reader = new MemoryState();
        const cache = new StateCache({ reader, id, cleanBytesMax: 400, onGroupBegun: () => {} });
        const flying: Parameters<MemoryState['apply']>[0][] = [];
        let confirmed = 0;
        const layers = [new Map<string, number>()];
        for (const current of steps) {
          const top = layers.at(-1) as Map<string, number>;
          switch (current.do) {
            case 'put':
              cache.put(current.key, encodeKey(current.key), new Uint8Array([current.value]));
              top.set(current.key, current.value);
              break;
            case 'delete':
              cache.delete(current.key, encodeKey(current.key));
              top.delete(current.key);
              break;
            case 'clear':
              if (layers.length > 1) break;
              cache.clear();
              top.clear();
              break;
            case 'begin':
              cache.begin();
              layers.push(new Map(top));
              break;
            case 'commit':
            case 'rollback': {
              if (layers.length === 1) break;
              layers.pop();
              cache[current.do]();
              if (current.do === 'commit') layers[layers.length - 1] = top;
              break;
            }
            case 'flush': {
              const operations = cache.takeGroup();
              if (operations !== undefined) flying.push(operations);
              break;
            }
            case 'confirm': {
              const operations = flying.shift();
              if (operations === undefined) break;
              reader.apply(operations);
              cache.confirmed(++confirmed);
            }
          }
          const now = layers.at(-1) as Map<string, number>;
          for (const key of keys) expect(cache.get(key)?.[0]).toBe(now.get(key));
        }
        for (const options of ranges) {
          const bounds = keyRange(options as never);
          const listed = bounds === undefined ? [] : [...cache.list(bounds)];
          expect(listed.map(([key, value]) => [key, value[0]])).toEqual(model(layers, options));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('a group holds what was written, in one record', () => {
  const cache = new StateCache({
    reader: new MemoryState(),
    id,
    cleanBytesMax: 1000,
    onGroupBegun: () => {},
  });
  cache.put('a', encodeKey('a'), new Uint8Array([1]));
  cache.alarm = { scheduledMs: 5 as WallMs, dueMs: 5 as WallMs, retryCount: 0 };
  cache.begin();
  cache.put('never', encodeKey('never'), new Uint8Array([2]));
  cache.alarm = null;
  cache.rollback();
  cache.delete('b', encodeKey('b'));
  const kinds = cache.takeGroup()?.map((operation) => operation.type);
  expect(kinds).toEqual(['put', 'delete', 'put', 'alarm']);
  expect(cache.takeGroup()).toBeUndefined();
});
