/**
 * Which stores hold which shard: what the controller decides. Shards are spread by rendezvous hashing,
 * so that a node that comes or goes concerns few of them, over as many zones as there are.
 *
 * Pure; called by the elected controller when nodes, assignments or time have changed.
 */
import type { NodeInfo, ShardAssignment, VersionedShard } from '@homing/base';

export interface AssignmentInput {
  /** Live nodes. */
  readonly nodes: readonly NodeInfo[];
  /** By `<region>/<shard>`. */
  readonly shards: ReadonlyMap<string, VersionedShard>;
  readonly region: string;
  readonly shardCount: number;
  readonly factor: number;
  /** Assignments made earlier, of which the coordinator may have lost its record. */
  readonly remembered?: readonly ShardAssignment[] | undefined;
}

export function shardKey(region: string, shard: number): string {
  return `${region}/${shard}`;
}

/**
 * The assignments to be written now, each on condition that its record is as given. A shard is not
 * assigned before there are `factor` stores for it: a set once made does not grow by itself.
 */
export function planAssignments(input: AssignmentInput): readonly VersionedShard[] {
  const { nodes, shards, region, shardCount, factor } = input;
  const remembered = new Map(
    input.remembered?.map((assignment) => [
      shardKey(assignment.region, assignment.shard),
      assignment,
    ]),
  );
  const candidates = nodes.filter(({ draining }) => draining !== true);
  const changes: VersionedShard[] = [];
  for (let shard = 0; shard < shardCount; shard++) {
    const key = shardKey(region, shard);
    const present = shards.get(key);
    const earlier = remembered.get(key);
    if (earlier !== undefined && earlier.generation > (present?.assignment.generation ?? 0)) {
      changes.push({ assignment: earlier, revision: present?.revision ?? 0n });
      continue;
    }
    if (present !== undefined) continue;
    if (candidates.length < factor) continue;
    const members = chooseStores(candidates, factor, key);
    const assignment: ShardAssignment = { region, shard, generation: 1, members };
    changes.push({ assignment, revision: 0n });
  }
  return changes;
}

/** The first is the one that others leave due alarms to first. */
function chooseStores(nodes: readonly NodeInfo[], factor: number, key: string): string[] {
  const ranked = nodes
    .map((node) => ({ node, weight: weightOf(`${key}/${node.storeId}`) }))
    .sort((a, b) => a.weight - b.weight || (a.node.storeId < b.node.storeId ? -1 : 1));
  const chosen: NodeInfo[] = [];
  const zones = new Set<string>();
  // One of each zone first, then whoever is left.
  for (const isSpread of [true, false]) {
    for (const { node } of ranked) {
      if (chosen.length === factor) break;
      if (chosen.includes(node) || (isSpread && zones.has(node.zone))) continue;
      chosen.push(node);
      zones.add(node.zone);
    }
  }
  return chosen.map(({ storeId }) => storeId);
}

/** FNV-1a with a final mix: any hash will do that is the same everywhere. */
function weightOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return (hash ^ (hash >>> 15)) >>> 0;
}
