/**
 * Whether an object of this node may be handed over: while the coordinator is away it would have no owner,
 * frozen and lost for nothing. Asked before each hand-over, of a mover and of a move between regions.
 */
import type { Coordinator, ObjectIdHex } from '@homing/base';
import type { ObjectTable } from './object-table.ts';

export interface AnswerOptions {
  readonly coordinator: Coordinator;
  readonly objects: ObjectTable;
}

/** Resolves with whether the object is here. Rejects while the coordinator does not answer. */
export async function coordinatorAnswers(
  { coordinator, objects }: AnswerOptions,
  id: ObjectIdHex,
): Promise<boolean> {
  const object = objects.status(id)?.object;
  if (object === undefined) return false;
  await coordinator.locate(object);
  return true;
}
