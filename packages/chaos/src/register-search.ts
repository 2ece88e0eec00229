/**
 * The search for a legal order of one register's operations: Wing and Gong's, with Lowe's memory of
 * the states already tried.
 *
 * An operation may come next if no other that is still to come had been answered before it was sent.
 * Two things keep the search small, neither of which loses an order:
 * - What is legal now and changes nothing (a read of the value, a comparison that fails) is taken at
 *   once.
 * - An operation of unknown outcome is put in only where the next answered one needs it. Whatever it
 *   does besides can be left out: it may never have happened. Values are unique, so a needed value
 *   has one writer, and a compare-and-set needs one value before it: the operations to put in are a
 *   chain without choice, but for a failed comparison, which any change of the value explains.
 *
 * Assumes unique values; `register-check.ts`, the only caller, has looked.
 */
import type { CompareAndSet, RegisterOperation, Value, Write } from './history.ts';

export type Verdict = 'linearizable' | 'impossible' | 'undecided';

type Content = Value | null;
type Writer = Write | CompareAndSet;

/** Where a search stands; never changed once made. Indexes are into the sorted operations. */
interface State {
  /** All answered operations before this one are placed. */
  readonly first: number;
  /** Placed ones after `first`, ascending. */
  readonly placed: readonly number[];
  readonly content: Content;
  /** Unknown operations taken to have happened, ascending. */
  readonly used: readonly number[];
}

/** Tries orders until one is legal, none is left, or `statesMax` were looked at. */
export function searchOrder(operations: readonly RegisterOperation[], statesMax: number): Verdict {
  return new Search(operations).run(statesMax);
}

class Search {
  readonly #answered: readonly RegisterOperation[];
  readonly #unknown: readonly Writer[];
  /** Index of the unknown operation that writes a value. */
  readonly #producers = new Map<Value, number>();
  /** Values that some operation speaks of besides writing them. */
  readonly #named = new Set<Content>();

  constructor(operations: readonly RegisterOperation[]) {
    const byStart = operations.toSorted((a, b) => a.invokedNs - b.invokedNs);
    this.#answered = byStart.filter((operation) => operation.outcome === 'ok');
    this.#unknown = byStart.filter(
      (operation): operation is Writer => operation.outcome === 'info' && operation.kind !== 'read',
    );
    for (const [index, writer] of this.#unknown.entries()) {
      this.#producers.set(writer.input, index);
    }
    for (const operation of [...this.#answered, ...this.#unknown]) {
      if (operation.kind === 'read') this.#named.add(operation.output as Content);
      if (operation.kind === 'cas') this.#named.add(operation.expected);
    }
  }

  run(statesMax: number): Verdict {
    const tried = new Set<string>();
    const open: State[] = [this.#settle({ first: 0, placed: [], content: null, used: [] })];
    for (;;) {
      const state = open.pop();
      if (state === undefined) return 'impossible';
      if (state.first === this.#answered.length) return 'linearizable';
      const key = `${state.first};${state.placed.join()};${state.content};${state.used.join()}`;
      if (tried.has(key)) continue;
      if (tried.size >= statesMax) return 'undecided';
      tried.add(key);
      for (const next of this.#successors(state)) open.push(this.#settle(next));
    }
  }

  /** Places what is legal now and changes nothing. */
  #settle(from: State): State {
    let state = from;
    for (;;) {
      const { content } = state;
      const { indexes } = this.#candidates(state);
      const idle = indexes.find((index) => isIdle(this.#at(index), content));
      if (idle === undefined) return state;
      state = this.#place(state, idle, content);
    }
  }

  #successors(state: State): State[] {
    const { indexes, horizonNs } = this.#candidates(state);
    const next: State[] = [];
    // The stack is emptied from its end, and what was answered first most often came first.
    for (const index of indexes.reverse()) {
      const operation = this.#at(index);
      if (operation.kind === 'write') {
        next.push(this.#place(state, index, operation.input));
        continue;
      }
      for (const [content, used] of this.#preparations(state, operation, horizonNs)) {
        const after = operation.kind === 'cas' && operation.output ? operation.input : content;
        next.push(this.#place({ ...state, used }, index, after));
      }
    }
    return next;
  }

  /** Ways to make a read or comparison legal: the content then, and the unknown operations used. */
  #preparations(
    state: State,
    operation: RegisterOperation,
    horizonNs: number,
  ): [Content, readonly number[]][] {
    if (operation.kind === 'cas' && operation.output === false) {
      return this.#changes(state, horizonNs);
    }
    const wanted =
      operation.kind === 'cas' ? operation.expected : (operation as { output: Content }).output;
    const chain = this.#chain(state, wanted, horizonNs);
    return chain === undefined ? [] : [[wanted, merge(state.used, chain)]];
  }

  /** The unknown operations that lead from the content to another one, or undefined. */
  #chain(state: State, wanted: Content, horizonNs: number): number[] | undefined {
    const chain: number[] = [];
    let target = wanted;
    while (target !== state.content) {
      const index = target === null ? undefined : this.#producers.get(target);
      if (index === undefined || chain.includes(index)) return undefined;
      if (!this.#isAvailable(state, index, horizonNs)) return undefined;
      chain.push(index);
      const writer = this.#unknown[index] as Writer;
      if (writer.kind === 'write') break;
      target = writer.expected;
    }
    return chain;
  }

  /** Every unknown operation that changes the content; of those that leave no trace, one. */
  #changes(state: State, horizonNs: number): [Content, readonly number[]][] {
    const changes: [Content, readonly number[]][] = [];
    let hasTraceless = false;
    for (const [index, writer] of this.#unknown.entries()) {
      if (!this.#isAvailable(state, index, horizonNs)) continue;
      if (writer.kind === 'cas' && writer.expected !== state.content) continue;
      if (writer.kind === 'write' && !this.#named.has(writer.input)) {
        if (hasTraceless) continue;
        hasTraceless = true;
      }
      changes.push([writer.input, merge(state.used, [index])]);
    }
    return changes;
  }

  /** Not used yet, and sent before any answer that is still to be explained. */
  #isAvailable(state: State, index: number, horizonNs: number): boolean {
    const writer = this.#unknown[index] as Writer;
    return writer.invokedNs <= horizonNs && !state.used.includes(index);
  }

  /** Operations that may come next: those sent before the first answer of one not yet placed. */
  #candidates(state: State): { indexes: number[]; horizonNs: number } {
    const indexes: number[] = [];
    let horizonNs = Number.POSITIVE_INFINITY;
    let next = 0;
    for (let index = state.first; index < this.#answered.length; index++) {
      if (state.placed[next] === index) {
        next += 1;
        continue;
      }
      const operation = this.#at(index);
      if (operation.invokedNs > horizonNs) break;
      // In the order of starts: no later one can end before this one began.
      indexes.push(index);
      horizonNs = Math.min(horizonNs, operation.returnedNs);
    }
    return { indexes, horizonNs };
  }

  #place(state: State, index: number, content: Content): State {
    const { used } = state;
    const placed = merge(state.placed, [index]);
    let first = state.first;
    while (placed[0] === first) {
      placed.shift();
      first += 1;
    }
    return { first, placed, content, used };
  }

  #at(index: number): RegisterOperation {
    return this.#answered[index] as RegisterOperation;
  }
}

/** True for what may be placed at any time while the register holds `content`. */
function isIdle(operation: RegisterOperation, content: Content): boolean {
  if (operation.kind === 'read') return operation.output === content;
  return operation.kind === 'cas' && operation.output === false && operation.expected !== content;
}

function merge(a: readonly number[], b: readonly number[]): number[] {
  return [...a, ...b].sort((x, y) => x - y);
}
