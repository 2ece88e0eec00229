/** Linearizability by its definition: every choice of unknown operations, in every order. */
import type { ListOperation, Operation, RegisterOperation, Value } from '../src/history.ts';

/** The state after, or undefined where the operation cannot have been answered so. */
type Step<S, O> = (state: S, operation: O) => S | undefined;

function isLinearizable<S, O extends Operation>(
  operations: readonly O[],
  initial: S,
  step: Step<S, O>,
): boolean {
  const live = operations.filter((operation) => operation.outcome !== 'fail');
  const endOf = (operation: O) =>
    operation.outcome === 'ok' ? operation.returnedNs : Number.POSITIVE_INFINITY;
  const search = (state: S, left: readonly O[]): boolean => {
    if (left.every((operation) => operation.outcome === 'info')) return true;
    const horizon = Math.min(...left.map(endOf));
    return left.some((operation) => {
      if (operation.invokedNs > horizon) return false;
      const next = step(state, operation);
      return (
        next !== undefined &&
        search(
          next,
          left.filter((other) => other !== operation),
        )
      );
    });
  };
  return search(initial, live);
}

export function bruteForceList(operations: readonly ListOperation[]): boolean {
  return isLinearizable<readonly Value[], ListOperation>(operations, [], (state, operation) => {
    const next = operation.kind === 'append' ? [...state, operation.input] : state;
    if (operation.outcome !== 'ok') return next;
    return String(operation.output) === String(next) ? next : undefined;
  });
}

export function bruteForceRegister(operations: readonly RegisterOperation[]): boolean {
  return isLinearizable<{ content: Value | null }, RegisterOperation>(
    operations,
    { content: null },
    (state, operation) => {
      const answered = operation.outcome === 'ok';
      if (operation.kind === 'write') return { content: operation.input };
      if (operation.kind === 'read') {
        return !answered || operation.output === state.content ? state : undefined;
      }
      const isSet = operation.expected === state.content;
      if (answered && operation.output !== isSet) return undefined;
      return isSet ? { content: operation.input } : state;
    },
  );
}
