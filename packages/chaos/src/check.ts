/** Checks a whole history: each object by itself, which for linearizability is no less than together. */
import {
  isListOperation,
  type ListOperation,
  type Operation,
  type RegisterOperation,
  type Violation,
} from './history.ts';
import { checkListAppend } from './list-append-check.ts';
import { checkRegister } from './register-check.ts';

export function checkHistory(operations: readonly Operation[]): Violation[] {
  const lists = new Map<string, ListOperation[]>();
  const registers = new Map<string, RegisterOperation[]>();
  for (const operation of operations) {
    if (isListOperation(operation)) add(lists, operation);
    else add(registers, operation);
  }
  return [
    ...[...lists.values()].flatMap((history) => checkListAppend(history)),
    ...[...registers.values()].flatMap((history) => checkRegister(history)),
  ];
}

function add<T extends Operation>(histories: Map<string, T[]>, operation: T): void {
  const history = histories.get(operation.object);
  if (history === undefined) histories.set(operation.object, [operation]);
  else history.push(operation);
}
