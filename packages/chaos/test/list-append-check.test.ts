import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Append, ListOperation, ListRead, Value } from '../src/history.ts';
import { checkListAppend } from '../src/list-append-check.ts';
import { bruteForceList } from './brute-force.ts';
import { plans, simulateList } from './simulation.ts';

const rulesOf = (history: readonly ListOperation[]) =>
  checkListAppend(history).map(({ rule }) => rule);

let nextId = 0;
type Times = readonly [number, number];

function append(input: Value, output: readonly Value[], [invokedNs, returnedNs]: Times): Append {
  const common = { id: nextId++, client: 0, object: 'o', node: 'n1', invokedNs, returnedNs };
  return { ...common, kind: 'append', input, output, outcome: 'ok' };
}

function read(output: readonly Value[], [invokedNs, returnedNs]: Times): ListRead {
  const common = { id: nextId++, client: 1, object: 'o', node: 'n1', invokedNs, returnedNs };
  return { ...common, kind: 'list', output, outcome: 'ok' };
}

const unanswered = (operation: Append, outcome: 'info' | 'fail'): Append => ({
  ...operation,
  outcome,
  output: undefined,
});

describe('by hand', () => {
  const first = append(1, [1], [0, 10]);
  const second = append(2, [1, 2], [20, 30]);

  test('one after the other', () => {
    expect(rulesOf([first, second, read([1, 2], [40, 50])])).toEqual([]);
  });

  test('a read beside an append may see it or not', () => {
    expect(rulesOf([first, second, read([1], [25, 50])])).toEqual([]);
    expect(rulesOf([first, second, read([1, 2], [21, 22])])).toEqual([]);
  });

  test('an unknown append may be there, be late, or never come', () => {
    const unknown = unanswered(append(2, [], [20, 30]), 'info');
    expect(rulesOf([first, unknown, read([1], [40, 50])])).toEqual([]);
    expect(rulesOf([first, unknown, read([1], [40, 50]), read([1, 2], [60, 70])])).toEqual([]);
  });

  test('an acknowledged append is gone', () => {
    expect(rulesOf([first, second, read([1], [40, 50])])).toEqual(['lost']);
  });

  test('a read is older than an answer before it', () => {
    expect(rulesOf([first, second, read([1], [40, 50]), read([1, 2], [60, 70])])).toEqual([
      'stale',
    ]);
  });

  test('what a read has seen is gone for a later one', () => {
    const unknown = unanswered(append(3, [], [20, 21]), 'info');
    const history = [first, unknown, read([1, 3], [30, 40]), read([1], [50, 60])];
    expect(rulesOf(history)).toEqual(['stale']);
  });

  test('two owners', () => {
    const other = append(3, [1, 3], [22, 28]);
    expect(rulesOf([first, second, other])).toEqual(['fork']);
    expect(rulesOf([first, second, other, read([1, 2], [40, 50])])).toEqual(['fork', 'lost']);
  });

  test('a value twice', () => {
    expect(rulesOf([first, second, read([1, 2, 2], [40, 50])])).toEqual(['duplicate']);
  });

  test('a failed append took effect', () => {
    const failed = unanswered(append(2, [], [20, 30]), 'fail');
    expect(rulesOf([first, failed, read([1, 2], [40, 50])])).toEqual(['failed applied']);
  });

  test('a value from nowhere, or before it was sent', () => {
    expect(rulesOf([first, read([1, 9], [40, 50])])).toEqual(['phantom']);
    const unknown = unanswered(append(2, [], [60, 70]), 'info');
    expect(rulesOf([first, unknown, read([1, 2], [40, 50])])).toEqual(['reordered']);
  });

  test('an append that comes after another one, put before it', () => {
    const early = append(2, [2], [20, 30]);
    const history = [append(1, [2, 1], [0, 10]), early];
    expect(rulesOf([...history, read([2, 1], [40, 50])])).toEqual(['reordered']);
  });

  test('an append that answers with something else', () => {
    expect(rulesOf([append(1, [], [0, 10])])).toEqual(['wrong answer']);
  });

  test('half of an atomic write', () => {
    expect(rulesOf([{ ...read([], [0, 1]), anomaly: 'half' }])).toEqual(['anomaly']);
  });

  test('values that are not unique are the mistake of the caller', () => {
    expect(() => rulesOf([first, append(1, [1, 1], [20, 30])])).toThrow(TypeError);
  });
});

const observed = (operation: ListOperation) => operation.outcome === 'ok';
const outputOf = (operation: ListOperation) => operation.output ?? [];

/** A copy of the history with the output of some operations changed. */
function changed(
  history: readonly ListOperation[],
  change: (output: readonly Value[], operation: ListOperation) => readonly Value[],
): ListOperation[] {
  return history.map((operation) =>
    observed(operation)
      ? { ...operation, output: change(outputOf(operation), operation) }
      : operation,
  );
}

function longestOf(history: readonly ListOperation[]): readonly Value[] {
  return history
    .filter(observed)
    .reduce<readonly Value[]>(
      (best, operation) => (outputOf(operation).length > best.length ? outputOf(operation) : best),
      [],
    );
}

/** After everything else. */
function finalRead(history: readonly ListOperation[], output: readonly Value[]): ListRead {
  const endNs = Math.max(...history.map(({ returnedNs, invokedNs }) => returnedNs + invokedNs));
  return read(output, [endNs + 1, endNs + 2]);
}

const acked = (history: readonly ListOperation[]) =>
  history.filter(
    (operation): operation is Append => observed(operation) && operation.kind === 'append',
  );

describe('histories of a list that behaves', () => {
  test('pass', () => {
    fc.assert(
      fc.property(plans(60), (list) => {
        expect(checkListAppend(simulateList(list))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  /** Each makes of a good history one that no list can have made; undefined where there is no place. */
  type Mutation = (history: ListOperation[], choice: number) => ListOperation[] | undefined;
  const mutations: Record<string, Mutation> = {
    'loses an acknowledged append': (history, choice) => {
      const victim = acked(history).at(choice % Math.max(acked(history).length, 1));
      if (victim === undefined) return undefined;
      const left = longestOf(history).filter((value) => value !== victim.input);
      return [...history, finalRead(history, left)];
    },
    'forgets an acknowledged append for everybody else': (history, choice) => {
      const victim = acked(history).at(choice % Math.max(acked(history).length, 1));
      if (victim === undefined) return undefined;
      const without = changed(history, (output, operation) =>
        operation === victim ? output : output.filter((value) => value !== victim.input),
      );
      return [
        ...without,
        finalRead(
          without,
          longestOf(without).filter((v) => v !== victim.input),
        ),
      ];
    },
    'applies an append twice': (history, choice) => {
      const values = longestOf(history);
      if (values.length === 0) return undefined;
      const again = values[choice % values.length] as Value;
      return [...history, finalRead(history, [...values, again])];
    },
    'reads what was': (history, choice) => {
      const values = longestOf(history);
      if (values.length === 0) return undefined;
      const whole = finalRead(history, values);
      const stale = finalRead([...history, whole], values.slice(0, choice % values.length));
      return [...history, whole, stale];
    },
    forks: (history, choice) => {
      const values = longestOf(history);
      if (values.length === 0) return undefined;
      const fork = append(-1, [...values.slice(0, choice % values.length), -1], [0, 10_000]);
      return [...history, fork];
    },
    'swaps two values': (history, choice) => {
      const values = longestOf(history);
      if (values.length < 2) return undefined;
      const at = choice % (values.length - 1);
      const swapped = values.with(at, values[at + 1] as Value).with(at + 1, values[at] as Value);
      return [...history, finalRead(history, values), finalRead(history, swapped)];
    },
    'applies what failed': (history) => {
      const failed = history.find(
        (operation): operation is Append =>
          operation.kind === 'append' && operation.outcome === 'fail',
      );
      if (failed === undefined) return undefined;
      return [...history, finalRead(history, [...longestOf(history), failed.input])];
    },
  };

  for (const [name, mutate] of Object.entries(mutations)) {
    test(`a list that ${name} is caught`, () => {
      let applied = 0;
      fc.assert(
        fc.property(plans(40), fc.nat(), (list, choice) => {
          const history = mutate(simulateList(list), choice);
          if (history === undefined) return;
          applied += 1;
          expect(checkListAppend(history)).not.toEqual([]);
        }),
        { numRuns: 200 },
      );
      expect(applied).toBeGreaterThan(50);
    });
  }
});

test('agrees with the definition on every small history', () => {
  const verdicts = { yes: 0, no: 0 };
  const small = fc.array(
    fc.record({
      isAppend: fc.boolean(),
      invokedNs: fc.nat(12),
      lasts: fc.nat(8),
      outcome: fc.constantFrom('ok', 'ok', 'ok', 'info', 'fail'),
      seen: fc.subarray([0, 1, 2, 3, 4]),
      rotate: fc.nat(4),
    }),
    { minLength: 1, maxLength: 5 },
  );
  const check = (history: ListOperation[]) => {
    const expected = bruteForceList(history);
    verdicts[expected ? 'yes' : 'no'] += 1;
    expect(checkListAppend(history).length === 0).toBe(expected);
  };
  fc.assert(
    fc.property(small, (items) => {
      check(
        items.map(({ isAppend, invokedNs, lasts, outcome, seen, rotate }, id): ListOperation => {
          const times = [invokedNs, invokedNs + lasts] as const;
          const list = [...seen.slice(rotate), ...seen.slice(0, rotate)].filter((v) => v !== id);
          const operation = isAppend ? append(id, [...list, id], times) : read(list, times);
          return outcome === 'ok'
            ? operation
            : { ...operation, outcome: outcome as 'info', output: undefined };
        }),
      );
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(plans(6), fc.array(fc.nat(), { maxLength: 3 }), (list, moves) => {
      const history = simulateList(list);
      // Moved in time, answers stay: some are still legal and some are not.
      check(
        history.map((operation, index) => {
          const by = moves[index] === undefined ? 0 : moves[index] % 60;
          const { invokedNs, returnedNs } = operation;
          return { ...operation, invokedNs: invokedNs + by, returnedNs: returnedNs + by };
        }),
      );
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(200);
});
