/** What `homing describe` says of an object's callers: only the node that owns it knows. */
import type { Coordinator, ObjectIdHex } from '@homing/base';
import type { CallersView, HomingNode } from '@homing/node';
import type { NamespaceInfo } from './admin.ts';

export interface CallersAnswer {
  /** By region, the greatest first; counts of the last window, older ones for less. */
  readonly callers: readonly {
    readonly region: string;
    /** Percent of the round trips. */
    readonly share: number;
    readonly calls: number;
    readonly frames: number;
    readonly bytes: number;
  }[];
  /** How long the object has been in its region, as far as its owners know. */
  readonly staySeconds: number;
  /** Why it stays, as of the last look. */
  readonly stays: string;
}

const reasons: Readonly<Record<NonNullable<CallersView['why']>, string>> = {
  best: 'no other region would be better',
  few: 'it is hardly called',
  near: 'no other region would be better by enough',
  unsettled: 'another region would be better, but not for long yet',
  soon: 'another region would be better, but it moved lately',
  distance: 'not all distances are measured yet',
};

/** How long the owner may take to say it. */
const askTimeoutMs = 1000;

export function callersAnswer(node: HomingNode, id: ObjectIdHex): CallersAnswer | undefined {
  const view = node.callersOf(id);
  if (view === undefined) return undefined;
  const trips = view.shares.reduce((sum, share) => sum + share.trips, 0);
  const callers = [...view.shares]
    .sort((a, b) => b.trips - a.trips)
    .map(({ region, trips: own, calls, frames, bytes }) => ({
      region,
      share: Math.round((100 * own) / trips),
      calls: Math.round(calls),
      frames: Math.round(frames),
      bytes: Math.round(bytes),
    }));
  return {
    callers,
    staySeconds: Math.round(view.stayedMs / 1000),
    stays:
      view.why === undefined ? 'it has not been looked at yet, or is moving' : reasons[view.why],
  };
}

/** Asks the owner. Undefined where it does not answer, or knows nothing. */
export async function askCallers(
  coordinator: Coordinator,
  owner: string,
  namespace: NamespaceInfo,
  id: ObjectIdHex,
): Promise<CallersAnswer | undefined> {
  const admin = coordinator.nodes().find((info) => info.node === owner)?.addresses.admin;
  if (admin === undefined) return undefined;
  const query = new URLSearchParams({ namespace: namespace.name, id });
  try {
    const response = await fetch(`http://${admin}/api/callers?${query}`, {
      signal: AbortSignal.timeout(askTimeoutMs),
    });
    return response.ok ? ((await response.json()) as CallersAnswer) : undefined;
  } catch {
    return undefined;
  }
}
