/** What the parts of one node's network share. */
import type { LinkPurpose, Timers } from '@homing/base';
import type { Hello, PeerIdentity } from './handshake.ts';
import type { PeerLimits } from './limits.ts';
import type { SentCounts } from './link.ts';
import type { LinkTable } from './link-table.ts';
import type { OccasionalLog } from './occasional-log.ts';
import type { PeerTls } from './transport.ts';

export interface PeerContext {
  readonly identity: PeerIdentity;
  readonly tls: PeerTls;
  readonly limits: PeerLimits;
  readonly timers: Timers;
  readonly table: LinkTable;
  readonly counts: SentCounts;
  readonly troubles: OccasionalLog;
  /** One way, for links with the node. */
  readonly delayMsOf: (node: string) => number;
}

/** What this node tells `to`. */
export function ownHello(
  { identity, limits }: PeerContext,
  to: string,
  purpose: LinkPurpose,
  attempt: number,
): Hello {
  return { ...identity, purpose, to, attempt, keepaliveMs: limits.keepaliveMs };
}
