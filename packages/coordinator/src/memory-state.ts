/** What the nodes of a `memoryCluster` share: that which etcd would hold, and whom to tell of changes. */
import type { CoordinatorEvent, NodeInfo, VersionedRegions, VersionedShard } from '@homing/base';
import type { Past } from './grants.ts';

/** A process of the cluster, as its state sees it. */
export interface MemoryMember {
  /** Runs `what` as an event of this process, unless it is gone by then. */
  hear(what: () => void): void;
  tell(event: CoordinatorEvent): void;
  /** Finds out whether its session is still there. */
  noticeLoss(): void;
  /** Becomes the controller where there is none. */
  stand(): void;
}

export interface SharedSession {
  self: NodeInfo;
  readonly process: MemoryMember;
  renewals: number;
}

export interface SharedRecord extends Past {
  /** Undefined where nobody does: the record keeps a home that is not the default one. */
  readonly owner: { readonly node: string; readonly incarnation: string } | undefined;
  readonly home: string;
  readonly revision: bigint;
}

export class MemoryState {
  readonly ttlMs: number;
  readonly assignMax: number;
  readonly sessions = new Map<string, SharedSession>();
  readonly records = new Map<string, SharedRecord>();
  readonly processes = new Set<MemoryMember>();
  regions: VersionedRegions | undefined;
  shards: ReadonlyMap<string, VersionedShard> = new Map();
  controller: string | undefined;
  revision = 0n;
  away = false;
  /** Times that the cluster went away: nobody's silence from before counts after. */
  absences = 0;

  constructor(options: { readonly ttlMs: number; readonly assignMax: number }) {
    this.ttlMs = options.ttlMs;
    this.assignMax = options.assignMax;
  }

  /** The live session with this incarnation. */
  session(node: string, incarnation: string): SharedSession | undefined {
    const session = this.sessions.get(node);
    return session?.self.incarnation === incarnation ? session : undefined;
  }

  endSession(session: SharedSession): void {
    const { node, incarnation } = session.self;
    if (this.session(node, incarnation) !== session) return;
    this.sessions.delete(node);
    session.process.hear(() => session.process.noticeLoss());
    this.tell({ type: 'nodes' });
    if (this.controller !== incarnation) return;
    this.controller = undefined;
    for (const process of this.processes) process.hear(() => process.stand());
  }

  tell(event: CoordinatorEvent): void {
    for (const process of this.processes) process.hear(() => process.tell(event));
  }
}
