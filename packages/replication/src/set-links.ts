/**
 * Which replica sets each link has been told of. Everything that is sent to a peer passes here, so
 * that a set adopted on this node leaves before any message that goes by it: a replica's promise, its
 * refusal of an older generation, an owner's append.
 *
 * Invariant: while a set could not be sent, for want of room, nothing else is either.
 *
 * Used by `Replication`.
 */
import type { ShardAssignment } from '@homing/base';
import type { AdoptedSets } from './adopted-sets.ts';
import type { LogMessage } from './messages.ts';

/** Sets in one message. */
const setsMax = 64;

/** As `Network` has them, for the `log` links. */
export interface SetLinkPort {
  send(node: string, message: LogMessage): boolean;
  sendOrEnd(node: string, message: LogMessage): void;
}

export class SetLinks {
  readonly #sets: AdoptedSets;
  readonly #link: SetLinkPort;
  /** Shards whose set the node has not been told of on the link that stands. */
  readonly #untold = new Map<string, Set<string>>();

  constructor(sets: AdoptedSets, link: SetLinkPort) {
    this.#sets = sets;
    this.#link = link;
  }

  /** A new link knows nothing. */
  up(node: string): void {
    this.#untold.set(node, new Set(this.#sets.all().keys()));
    this.#flush(node);
  }

  down(node: string): void {
    this.#untold.delete(node);
  }

  /** The node does not seem to know the shard's set. */
  tell(node: string, key: string): void {
    this.#untold.get(node)?.add(key);
  }

  /** The shard's set has changed. */
  tellAll(key: string): void {
    for (const [node, untold] of this.#untold) {
      untold.add(key);
      this.#flush(node);
    }
  }

  /** False when nothing was sent. */
  send(node: string, message: LogMessage): boolean {
    return this.#flush(node) && this.#link.send(node, message);
  }

  /** Sends what the peer waits for: the link takes it, or ends. */
  sendOrEnd(node: string, message: LogMessage): void {
    this.#flush(node, (sets) => {
      this.#link.sendOrEnd(node, sets);
      return true;
    });
    this.#link.sendOrEnd(node, message);
  }

  #flush(node: string, send = (sets: LogMessage) => this.#link.send(node, sets)): boolean {
    const untold = this.#untold.get(node);
    while (untold !== undefined && untold.size > 0) {
      const keys = [...untold].slice(0, setsMax);
      const sets = keys.flatMap((key): ShardAssignment[] => {
        const set = this.#sets.get(key);
        return set === undefined ? [] : [set];
      });
      if (!send({ type: 'sets', sets })) return false;
      for (const key of keys) untold.delete(key);
    }
    return true;
  }
}
