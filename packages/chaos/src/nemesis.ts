/**
 * Breaks a cluster again and again, by choices that a seed repeats, and writes down when. One fault
 * at a time, and now and then a second one of another kind while the first holds. After each round
 * everything is whole for a while, so that the cluster has to get well, too.
 */
import type { Cluster, ClusterNode } from './cluster.ts';
import {
  delayFault,
  etcdPartitionFault,
  type Fault,
  type FaultKind,
  killFault,
  partitionFault,
  pauseFault,
  wipeFault,
} from './faults.ts';
import type { SeededRandom } from './random.ts';

/** One fault as it was, in the time of the history. */
export interface FaultWindow {
  readonly kind: FaultKind;
  readonly target: string;
  readonly injectedNs: number;
  /** When healing was done: a killed process serves again. */
  readonly healedNs: number;
}

export interface NemesisOptions {
  readonly cluster: Cluster;
  readonly kinds: readonly FaultKind[];
  readonly random: SeededRandom;
  /** The history's clock. */
  readonly now: () => number;
  /** Rounds begin as long as this has not passed. */
  readonly durationMs: number;
  /** Between rounds. Default one and a half session TTL. */
  readonly quietMs?: number;
  /** How often a second fault joins the first, 0 to 1. Default 0.25. */
  readonly secondFaultChance?: number;
  readonly onWindow?: (window: FaultWindow) => void;
}

/** Resolves with all faults, healed, in the order of injection. */
export async function runNemesis(options: NemesisOptions): Promise<FaultWindow[]> {
  const { cluster, kinds, random, now, durationMs, secondFaultChance = 0.25 } = options;
  const { quietMs = 1.5 * cluster.sessionTtlMs } = options;
  const endMs = performance.now() + durationMs;
  const windows: FaultWindow[] = [];
  const run = async (kind: FaultKind, holdMs: number) => {
    const fault = chooseFault(kind, cluster, random);
    const injectedNs = now();
    await fault.inject();
    await pause(holdMs);
    await fault.heal();
    const window = { kind, target: fault.target, injectedNs, healedNs: now() };
    windows.push(window);
    options.onWindow?.(window);
  };
  if (kinds.length === 0) {
    await pause(durationMs);
    return windows;
  }
  while (performance.now() < endMs) {
    await pause(quietMs * random.between(0.5, 1.5));
    const kind = random.pick(kinds);
    const holdMs = chooseHoldMs(kind, cluster.sessionTtlMs, random);
    const others = kinds.filter((other) => !conflict(kind, other));
    const second =
      others.length > 0 && random.number() < secondFaultChance ? random.pick(others) : undefined;
    const secondMs = chooseHoldMs(second ?? kind, cluster.sessionTtlMs, random);
    await Promise.all([
      run(kind, holdMs),
      second === undefined ? undefined : pause(holdMs / 2).then(() => run(second, secondMs)),
    ]);
    // Whatever ended by itself was counted by its process; the run goes on with all nodes.
    await cluster.heal();
  }
  return windows.sort((a, b) => a.injectedNs - b.injectedNs);
}

/** Both start and end the same processes, or set the same rules. */
function conflict(one: FaultKind, other: FaultKind): boolean {
  const groups: Readonly<Record<FaultKind, string>> = {
    kill: 'nodes',
    killall: 'nodes',
    wipe: 'nodes',
    pause: 'nodes',
    etcd: 'etcd',
    partition: 'links',
    delay: 'links',
  };
  return groups[one] === groups[other];
}

/** Around the session TTL: some faults are over before anybody else takes over, some long after. */
function chooseHoldMs(kind: FaultKind, ttlMs: number, random: SeededRandom): number {
  switch (kind) {
    case 'kill':
    case 'wipe':
      return ttlMs * random.between(0, 2.5);
    case 'killall':
      return ttlMs * random.between(0, 1.5);
    case 'pause':
      return ttlMs * random.between(0.5, 2.5);
    default:
      return ttlMs * random.between(0.5, 3);
  }
}

function chooseFault(kind: FaultKind, cluster: Cluster, random: SeededRandom): Fault {
  const { nodes } = cluster;
  const node = random.pick(nodes);
  const others = nodes.filter((other) => other !== node);
  switch (kind) {
    case 'kill':
      return killFault(kind, [node.process]);
    case 'killall':
      return killFault(
        kind,
        nodes.map(({ process }) => process),
      );
    case 'wipe':
      return wipeFault(node.process, node.data, () => cluster.isWhole());
    case 'pause':
      return pauseFault(node.process);
    case 'etcd':
      return killFault(kind, [cluster.etcd]);
    case 'delay':
      return delayFault(node, others, Math.round(random.between(10, 500)));
    default:
      return choosePartition(node, others, random);
  }
}

function choosePartition(
  node: ClusterNode,
  others: readonly ClusterNode[],
  random: SeededRandom,
): Fault {
  const shape = random.pick(['both ways', 'both ways', 'outgoing', 'incoming', 'reset'] as const);
  if (others.length === 0) return etcdPartitionFault(node);
  switch (random.below(4)) {
    case 0:
      return etcdPartitionFault(node);
    case 1:
      return partitionFault(node, [random.pick(others)], shape);
    case 2:
      return partitionFault(node, others, shape, true);
    default:
      return partitionFault(node, others, shape);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
