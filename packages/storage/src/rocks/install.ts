/**
 * Installing another replica's state in place of one's own: pages are written under a generation
 * that no reader looks at, and one batch switches every space of the object to it. So whatever
 * happens before that batch changes nothing, and a half copy is garbage like any cleared generation.
 *
 * Invariants
 * 1. A generation number is used once: a new attempt takes a greater one, since the one before may
 *    still be in the course of being erased.
 * 2. The key of family `i` is on disk before, or with, the first entry staged under its generation.
 *
 * Called by the committer on the storage thread, within the batch it is making.
 */
import { OperationCursor, operationTypes } from '@homing/base';
import { takesSnapshot, unexpectedPage } from '../append-plan.ts';
import {
  afterPrefix,
  families,
  garbageKeyOf,
  generationKeyOf,
  installKeyOf,
  statePrefixOf,
} from './keys.ts';
import { type Batch, type Database, native, noOptions, readRange } from './native.ts';
import { type CachedObject, spaceNumbers } from './object-cache.ts';
import type { WireReader } from './wire.ts';

const empty = Buffer.alloc(0);
/** More half copies than this are not left behind by one run: transfers in flight are limited. */
const leftoversMax = 100_000;

export function generationValue(generation: number): Buffer {
  const value = Buffer.allocUnsafe(4);
  value.writeUInt32BE(generation);
  return value;
}

/** Gives up a snapshot that is being staged, for good; its number stays used by those of the spaces. */
export function discardStaged(batch: Batch, object: CachedObject): void {
  if (object.stagedGeneration === 0) return;
  discard(batch, object);
  native.batch_del(batch, installKeyOf(object.id), noOptions);
  object.stagedGeneration = 0;
  object.staged = undefined;
}

/** Marks what is staged under the object's generation as garbage. */
function discard(batch: Batch, object: CachedObject): void {
  for (const space of spaceNumbers) {
    native.batch_put(
      batch,
      garbageKeyOf(object.id, space, object.stagedGeneration),
      empty,
      noOptions,
    );
  }
}

function begin(batch: Batch, object: CachedObject, request: WireReader): void {
  if (object.stagedGeneration > 0) discard(batch, object);
  const used = Math.max(
    object.stagedGeneration,
    ...spaceNumbers.map((s) => object.generations[s] as number),
  );
  object.stagedGeneration = used + 1;
  object.staged = { name: request.committed, pages: 0 };
  native.batch_put(batch, installKeyOf(object.id), generationValue(used + 1), noOptions);
}

function stage(batch: Batch, object: CachedObject, request: WireReader): void {
  const cursor = new OperationCursor();
  cursor.open(request.buffer, request.bodies[0] as number, request.bodies[1] as number);
  while (cursor.next()) {
    if (cursor.type !== operationTypes.put) throw unexpectedPage();
    const prefix = statePrefixOf(object.id, cursor.space, object.stagedGeneration);
    const key = Buffer.concat([prefix, request.buffer.subarray(cursor.keyStart, cursor.keyEnd)]);
    const value = request.buffer.subarray(cursor.keyEnd, cursor.valueEnd);
    native.batch_put(batch, key, value, noOptions);
  }
}

/**
 * Puts one page into the batch. Returns true when it was the last one and the object's spaces point
 * at the staged generation: the caller then sets its log. Throws `invalid_argument` for a page that
 * is not the next one.
 */
export function installPage(batch: Batch, object: CachedObject, request: WireReader): boolean {
  if (request.page === 0) begin(batch, object, request);
  const { staged } = object;
  const { committed } = request;
  if (
    staged?.pages !== request.page ||
    staged.name.lsn !== committed.lsn ||
    staged.name.epoch !== committed.epoch
  ) {
    throw unexpectedPage();
  }
  const isTaken = request.isLast && takesSnapshot(object, committed);
  staged.pages += 1;
  stage(batch, object, request);
  if (!request.isLast) return false;
  object.staged = undefined;
  if (!isTaken) {
    // Its number stays used, by the key, until what was staged under it is surely erased.
    discard(batch, object);
    return false;
  }
  native.batch_del(batch, installKeyOf(object.id), noOptions);
  for (const space of spaceNumbers) {
    const old = object.generations[space] as number;
    native.batch_put(batch, garbageKeyOf(object.id, space, old), empty, noOptions);
    native.batch_put(
      batch,
      generationKeyOf(object.id, space),
      generationValue(object.stagedGeneration),
      noOptions,
    );
    object.generations[space] = object.stagedGeneration;
  }
  // It is the living one now, and nothing is staged.
  object.stagedGeneration = 0;
  return true;
}

/** Marks all half copies as garbage, as after a crash. */
export function discardLeftovers(database: Database): void {
  const family = Buffer.of(families.install);
  const rows = readRange(database, { gte: family, lt: afterPrefix(family) }, leftoversMax);
  const batch = native.batch_init();
  for (let index = 0; index < rows.length; index += 2) {
    const id = (rows[index] as Buffer).subarray(1);
    const generation = (rows[index + 1] as Buffer).readUInt32BE(0);
    for (const space of spaceNumbers) {
      native.batch_put(batch, garbageKeyOf(id, space, generation), empty, noOptions);
    }
  }
  native.batch_write(database, batch, { sync: false });
}
