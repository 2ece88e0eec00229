/**
 * What can be done to a cluster, and undone. A fault is made of the few things it touches, so that
 * it can be tried on any process or proxy.
 *
 * `heal` is idempotent and leaves what it did not break alone. Called by `nemesis.ts`, which chooses,
 * and by tests.
 */
import { rmSync } from 'node:fs';
import type { LinkRules, Rule } from './tcp-proxy.ts';

export const faultKinds = [
  'kill',
  'killall',
  'wipe',
  'pause',
  'etcd',
  'partition',
  'delay',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly kind: FaultKind;
  /** What it hits, and how, for the report. */
  readonly target: string;
  inject(): Promise<void>;
  heal(): Promise<void>;
}

/** A process as faults see it. */
export interface Victim {
  readonly name: string;
  /** Undefined while none runs. */
  readonly pid: number | undefined;
  signal(signal: NodeJS.Signals): boolean;
  kill(): Promise<void>;
  /** Resolves when it serves again. */
  start(): Promise<void>;
}

/** A node as partitions see it. */
export interface Linked {
  readonly node: string;
  /** Connections of other nodes to it; the source is the other node's name. */
  readonly peerLinks: Pick<LinkRules, 'set'>;
  /** Its connections to etcd. */
  readonly etcdLinks: Pick<LinkRules, 'set'>;
}

const startsMax = 30;
const startPauseMs = 500;
/** How often to look whether a cluster is whole. */
const wholeMax = 40;

/** SIGKILL for all of them at once, and a start when it is healed. */
export function killFault(kind: 'kill' | 'killall' | 'etcd', victims: readonly Victim[]): Fault {
  return {
    kind,
    target: victims.map(({ name }) => name).join(', '),
    inject: async () => {
      await Promise.all(victims.map((victim) => victim.kill()));
    },
    heal: async () => {
      const down = victims.filter(({ pid }) => pid === undefined);
      await Promise.all(down.map(startAgain));
    },
  };
}

/**
 * SIGKILL, and the loss of the disk: the node comes back with an empty one. Only once no copy is
 * missing, since of three copies two must stay: where that does not come about nothing is done.
 */
export function wipeFault(victim: Victim, data: string, isWhole: () => Promise<boolean>): Fault {
  let isWiped = false;
  return {
    kind: 'wipe',
    get target() {
      return isWiped ? victim.name : `${victim.name}: not wiped, copies are missing`;
    },
    inject: async () => {
      for (let attempt = 0; attempt < wholeMax && !isWiped; attempt++) {
        isWiped = await isWhole();
        if (!isWiped) await new Promise((resolve) => setTimeout(resolve, startPauseMs));
      }
      if (!isWiped) return;
      await victim.kill();
      rmSync(data, { recursive: true, force: true, maxRetries: 5 });
    },
    heal: async () => {
      if (victim.pid === undefined) await startAgain(victim);
    },
  };
}

/** As a supervisor does: a node that finds no etcd ends, and is started again. */
async function startAgain(victim: Victim): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await victim.start();
      return;
    } catch (error) {
      if (attempt === startsMax) throw error;
      await new Promise((resolve) => setTimeout(resolve, startPauseMs));
    }
  }
}

/** Stopped in mid-flight, as by a long collection or a suspended machine, and let go on. */
export function pauseFault(victim: Victim): Fault {
  return {
    kind: 'pause',
    target: victim.name,
    inject: async () => {
      victim.signal('SIGSTOP');
    },
    heal: async () => {
      victim.signal('SIGCONT');
    },
  };
}

const blackHole: Rule = { holdToTarget: true, holdToClient: true };
const none: Rule = {};

/** One node without etcd, its session going to end while it lives. */
export function etcdPartitionFault(node: Linked): Fault {
  return {
    kind: 'partition',
    target: `${node.node} from etcd`,
    inject: async () => node.etcdLinks.set(blackHole),
    heal: async () => node.etcdLinks.set(none),
  };
}

export type PartitionShape = 'both ways' | 'outgoing' | 'incoming' | 'reset';

/** Between a node and others. The rules for a connection are with whoever accepts it. */
export function partitionFault(
  node: Linked,
  others: readonly Linked[],
  shape: PartitionShape,
  withEtcd = false,
): Fault {
  const rules = partitionRules(shape);
  const names = others.map((other) => other.node);
  if (withEtcd) names.push('etcd');
  return {
    kind: 'partition',
    target: `${node.node} from ${names.join(', ')} (${shape})`,
    inject: async () => setLinks(node, others, rules, withEtcd ? rules.dialled : undefined),
    heal: async () => {
      setLinks(node, others, { dialled: none, accepted: none }, withEtcd ? none : undefined);
    },
  };
}

export function delayFault(node: Linked, others: readonly Linked[], delayMs: number): Fault {
  const rule: Rule = { delayMs };
  return {
    kind: 'delay',
    target: `${node.node} by ${delayMs} ms each way`,
    inject: async () => setLinks(node, others, { dialled: rule, accepted: rule }, rule),
    heal: async () => setLinks(node, others, { dialled: none, accepted: none }, none),
  };
}

/** For connections that the node itself made, and for those it accepted. */
interface RulesByRole {
  readonly dialled: Rule;
  readonly accepted: Rule;
}

function partitionRules(shape: PartitionShape): RulesByRole {
  switch (shape) {
    case 'both ways':
      return { dialled: blackHole, accepted: blackHole };
    case 'outgoing':
      return { dialled: { holdToTarget: true }, accepted: { holdToClient: true } };
    case 'incoming':
      return { dialled: { holdToClient: true }, accepted: { holdToTarget: true } };
    default:
      return { dialled: { cut: true }, accepted: { cut: true } };
  }
}

function setLinks(
  node: Linked,
  others: readonly Linked[],
  rules: RulesByRole,
  etcd: Rule | undefined,
): void {
  for (const other of others) {
    other.peerLinks.set(rules.dialled, node.node);
    node.peerLinks.set(rules.accepted, other.node);
  }
  if (etcd !== undefined) node.etcdLinks.set(etcd);
}
