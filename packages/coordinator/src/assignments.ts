/** What both adapters of a cluster demand of `assign`. */
import { HomingError, type ShardAssignment, type VersionedShard } from '@homing/base';

/** The name of a shard in `Coordinator.shards()`. */
export function shardName({ region, shard }: ShardAssignment): string {
  return `${region}/${shard}`;
}

/** Throws where the changes cannot be one transaction. */
export function checkChanges(changes: readonly VersionedShard[], max: number): void {
  const different = new Set(changes.map(({ assignment }) => shardName(assignment))).size;
  if (different > 0 && different === changes.length && different <= max) return;
  throw new HomingError(
    'invalid_argument',
    `assign 1 to ${max} shards at once, each once; these are ${changes.length}, ${different} of them different`,
  );
}
