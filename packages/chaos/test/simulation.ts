/** Histories that are linearizable because they were made so: each operation has its instant. */
import fc from 'fast-check';
import type { ListOperation, Outcome, RegisterOperation, Value } from '../src/history.ts';

const fates = ['ok', 'ok', 'ok', 'ok', 'info', 'info late', 'info never', 'fail'] as const;

interface Plan {
  readonly client: number;
  readonly kind: number;
  readonly pauseNs: number;
  readonly beforeNs: number;
  readonly afterNs: number;
  readonly fate: (typeof fates)[number];
  readonly choice: number;
}

export const plans = (maxLength: number): fc.Arbitrary<Plan[]> =>
  fc.array(
    fc.record({
      client: fc.nat(3),
      kind: fc.nat(5),
      pauseNs: fc.nat(10),
      beforeNs: fc.nat(20),
      afterNs: fc.nat(20),
      fate: fc.constantFrom(...fates),
      choice: fc.nat(),
    }),
    { maxLength, size: 'max' },
  );

interface Timed extends Plan {
  readonly id: number;
  readonly invokedNs: number;
  readonly returnedNs: number;
  readonly instantNs: number;
  readonly outcome: Outcome;
}

/** In the order of the instants at which they take effect. */
function timed(list: readonly Plan[]): Timed[] {
  const clocks = new Map<number, number>();
  return list
    .map((plan, id): Timed => {
      const invokedNs = (clocks.get(plan.client) ?? 0) + plan.pauseNs;
      const returnedNs = invokedNs + plan.beforeNs + plan.afterNs;
      clocks.set(plan.client, returnedNs + 1);
      const delay = plan.fate === 'info late' ? 40 * plan.beforeNs : plan.beforeNs;
      const outcome = plan.fate.startsWith('info') ? 'info' : (plan.fate as Outcome);
      return { ...plan, id, invokedNs, returnedNs, instantNs: invokedNs + delay, outcome };
    })
    .sort((a, b) => a.instantNs - b.instantNs);
}

function common({ id, client, invokedNs, returnedNs, outcome }: Timed) {
  return { id, client, object: 'o', node: 'n1', invokedNs, returnedNs, outcome };
}

const happens = ({ fate }: Plan) => fate !== 'info never' && fate !== 'fail';

export function simulateList(list: readonly Plan[]): ListOperation[] {
  const values: Value[] = [];
  return timed(list).map((plan): ListOperation => {
    const isAppend = plan.kind < 4;
    if (isAppend && happens(plan)) values.push(plan.id);
    const output = plan.outcome === 'ok' ? [...values] : undefined;
    return isAppend
      ? { ...common(plan), kind: 'append', input: plan.id, output }
      : { ...common(plan), kind: 'list', output };
  });
}

export function simulateRegister(list: readonly Plan[]): RegisterOperation[] {
  let content: Value | null = null;
  const written: (Value | null)[] = [null];
  return timed(list).map((plan): RegisterOperation => {
    const base = common(plan);
    const answered = plan.outcome === 'ok';
    if (plan.kind < 2) {
      return { ...base, kind: 'read', output: answered ? content : undefined };
    }
    if (plan.kind < 4) {
      written.push(plan.id);
      if (happens(plan)) content = plan.id;
      return { ...base, kind: 'write', input: plan.id };
    }
    const guess: Value | null =
      plan.choice % 2 === 0 ? content : (written.at(plan.choice % written.length) ?? null);
    const isSet = happens(plan) && guess === content;
    written.push(plan.id);
    if (isSet) content = plan.id;
    const output = answered ? isSet : undefined;
    return { ...base, kind: 'cas', expected: guess, input: plan.id, output };
  });
}
