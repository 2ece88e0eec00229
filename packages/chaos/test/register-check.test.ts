import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CompareAndSet, Read, RegisterOperation, Value, Write } from '../src/history.ts';
import { checkRegister } from '../src/register-check.ts';
import { bruteForceRegister } from './brute-force.ts';
import { plans, simulateRegister } from './simulation.ts';

const rulesOf = (history: readonly RegisterOperation[]) =>
  checkRegister(history).map(({ rule }) => rule);

let nextId = 0;
type Times = readonly [number, number];
const common = ([invokedNs, returnedNs]: Times) => ({
  id: nextId++,
  client: 0,
  object: 'o',
  node: 'n1',
  invokedNs,
  returnedNs,
  outcome: 'ok' as const,
});

const read = (output: Value | null, times: Times): Read => ({
  ...common(times),
  kind: 'read',
  output,
});
const write = (input: Value, times: Times): Write => ({ ...common(times), kind: 'write', input });
const cas = (
  expected: Value | null,
  input: Value,
  output: boolean,
  times: Times,
): CompareAndSet => ({
  ...common(times),
  kind: 'cas',
  expected,
  input,
  output,
});
const unknown = (operation: Write | CompareAndSet): RegisterOperation =>
  operation.kind === 'write'
    ? { ...operation, outcome: 'info' }
    : { ...operation, outcome: 'info', output: undefined };

describe('by hand', () => {
  test('one after the other', () => {
    const history = [
      read(null, [0, 1]),
      write(1, [2, 3]),
      read(1, [4, 5]),
      cas(1, 2, true, [6, 7]),
    ];
    expect(rulesOf([...history, cas(1, 3, false, [8, 9]), read(2, [10, 11])])).toEqual([]);
  });

  test('operations side by side in whatever order explains them', () => {
    const history = [write(1, [0, 100]), write(2, [0, 100]), read(2, [10, 20]), read(1, [30, 40])];
    expect(rulesOf(history)).toEqual([]);
    expect(rulesOf([...history, read(2, [50, 60])])).toEqual(['not linearizable']);
  });

  test('a stale read', () => {
    const stale = read(1, [8, 9]);
    const history = [write(1, [0, 1]), write(2, [2, 3]), read(2, [4, 5]), stale];
    const [violation] = checkRegister(history);
    expect(violation?.rule).toBe('not linearizable');
    expect(violation?.operations[0]).toBe(stale);
  });

  test('a lost write', () => {
    expect(rulesOf([write(1, [0, 1]), read(null, [2, 3])])).toEqual(['not linearizable']);
  });

  test('two that both set the same value', () => {
    const history = [write(1, [0, 1]), cas(1, 2, true, [2, 9]), cas(1, 3, true, [2, 9])];
    expect(rulesOf(history)).toEqual(['not linearizable']);
  });

  test('an unknown write may come late, once', () => {
    const late = unknown(write(1, [0, 1]));
    const history = [late, write(2, [2, 3]), read(2, [4, 5]), read(1, [6, 7])];
    expect(rulesOf(history)).toEqual([]);
    expect(rulesOf([...history, write(3, [8, 9]), read(1, [10, 11])])).toEqual([
      'not linearizable',
    ]);
    expect(rulesOf([read(1, [0, 1]), unknown(write(1, [2, 3]))])).toEqual(['not linearizable']);
  });

  test('a chain of unknown operations explains a read', () => {
    const chain = [
      unknown(write(1, [0, 1])),
      unknown(cas(1, 2, true, [0, 1])),
      unknown(cas(2, 3, true, [0, 1])),
    ];
    expect(rulesOf([...chain, read(null, [2, 3]), read(3, [4, 5])])).toEqual([]);
    expect(rulesOf([...chain, read(3, [2, 3]), read(1, [4, 5])])).toEqual(['not linearizable']);
  });

  test('an unknown write explains a comparison that failed', () => {
    const history = [write(1, [0, 1]), cas(1, 2, false, [2, 3])];
    expect(rulesOf(history)).toEqual(['not linearizable']);
    expect(rulesOf([...history, unknown(write(9, [0, 1]))])).toEqual([]);
    expect(rulesOf([...history, unknown(write(9, [4, 5]))])).toEqual(['not linearizable']);
  });

  test('of two unknown writes that explain it, the one that is not needed later', () => {
    const unknowns = [unknown(write(8, [0, 1])), unknown(write(9, [0, 1]))];
    const history = [...unknowns, write(1, [0, 1]), cas(1, 2, false, [2, 3]), write(5, [4, 5])];
    expect(rulesOf([...history, read(8, [6, 7])])).toEqual([]);
    expect(rulesOf([...history, read(9, [6, 7])])).toEqual([]);
    const cannotBeBoth = [...history, read(8, [6, 7]), read(9, [8, 9])];
    expect(rulesOf(cannotBeBoth)).toEqual(['not linearizable']);
    expect(bruteForceRegister(cannotBeBoth)).toBe(false);
  });

  test('values that nobody wrote', () => {
    expect(rulesOf([read(7, [0, 1])])).toEqual(['phantom']);
    const failed: Write = { ...write(7, [0, 1]), outcome: 'fail' };
    expect(rulesOf([failed, read(7, [2, 3])])).toEqual(['failed applied']);
    expect(rulesOf([cas(5, 7, false, [0, 1]), read(7, [2, 3])])).toEqual(['failed applied']);
  });

  test('a search without end says so', () => {
    const history = Array.from({ length: 12 }, (_, index) => write(index, [0, 100]));
    expect(rulesOf([...history, read(null, [200, 201])])).toEqual(['not linearizable']);
    const verdict = checkRegister([...history, read(null, [200, 201])], { statesMax: 100 });
    expect(verdict.map(({ rule }) => rule)).toEqual(['undecided']);
  });
});

test('histories of a register that behaves pass', () => {
  fc.assert(
    fc.property(plans(80), (list) => {
      expect(checkRegister(simulateRegister(list))).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('a read of something older, after everything else, is caught', () => {
  let applied = 0;
  fc.assert(
    fc.property(plans(40), fc.nat(), (list, choice) => {
      const history = simulateRegister(list).filter(({ outcome }) => outcome === 'ok');
      const written = history.filter((operation): operation is Write => operation.kind === 'write');
      if (written.length < 2) return;
      const endNs = Math.max(...history.map(({ returnedNs }) => returnedNs));
      const content = { ...write(10_000, [endNs + 1, endNs + 2]) };
      const stale = written[choice % written.length] as Write;
      const all = [...history, content, read(stale.input, [endNs + 3, endNs + 4])];
      applied += 1;
      expect(checkRegister(all)).not.toEqual([]);
    }),
    { numRuns: 200 },
  );
  expect(applied).toBeGreaterThan(50);
});

test('agrees with the definition on every small history', () => {
  const verdicts = { yes: 0, no: 0 };
  const content = fc.option(fc.nat(5));
  const small = fc.array(
    fc.record({
      kind: fc.nat(2),
      invokedNs: fc.nat(14),
      lasts: fc.nat(8),
      outcome: fc.constantFrom('ok', 'ok', 'ok', 'info', 'fail'),
      content,
      isSet: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(small, (items) => {
      const history = items.map((item, id): RegisterOperation => {
        const times = [item.invokedNs, item.invokedNs + item.lasts] as const;
        const operation =
          item.kind === 0
            ? read(item.content, times)
            : item.kind === 1
              ? write(id, times)
              : cas(item.content, id, item.isSet, times);
        if (item.outcome === 'ok') return operation;
        return { ...operation, outcome: item.outcome as 'info' };
      });
      const expected = bruteForceRegister(history);
      verdicts[expected ? 'yes' : 'no'] += 1;
      expect(checkRegister(history).length === 0).toBe(expected);
    }),
    { numRuns: 20_000 },
  );
  expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(500);
});

test('agrees with the definition on good histories with one answer changed', () => {
  const verdicts = { yes: 0, no: 0 };
  fc.assert(
    fc.property(plans(9), fc.nat(), fc.option(fc.nat(9)), (list, choice, other) => {
      const history = simulateRegister(list);
      if (history.length === 0) return;
      const at = choice % history.length;
      const operation = history[at] as RegisterOperation;
      if (operation.outcome !== 'ok') return;
      if (operation.kind === 'read') history[at] = { ...operation, output: other };
      if (operation.kind === 'cas') history[at] = { ...operation, output: !operation.output };
      const expected = bruteForceRegister(history);
      verdicts[expected ? 'yes' : 'no'] += 1;
      expect(checkRegister(history).length === 0).toBe(expected);
    }),
    { numRuns: 3000 },
  );
  expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(200);
});
