/**
 * The controller: the node whose lease holds the key `controller`. Every node tries to write it when it
 * is missing; etcd lets one. Being it is a hint for who should act; what a controller writes is on
 * condition that it still holds the key.
 */
import type { Logger, Timer, Timers } from '@homing/base';
import type { EtcdClient } from './client.ts';
import type { Identity } from './identity.ts';
import { encodeController, type Keys } from './keys.ts';
import type { EtcdLimits } from './limits.ts';
import type { Mirror } from './mirror.ts';
import { backOff } from './pacer.ts';
import type { Session } from './session.ts';
import { type Condition, foundAt } from './transaction.ts';

export interface ElectionOptions {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly mirror: Mirror;
  readonly session: Session;
  readonly keys: Keys;
  readonly limits: EtcdLimits;
  readonly timers: Timers;
  readonly logger: Logger;
}

export class Election {
  readonly #options: ElectionOptions;
  #trying = false;
  #failures = 0;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  get won(): boolean {
    const { mirror, session, keys } = this.#options;
    const lease = session.lease;
    return lease !== undefined && mirror.get(keys.controller)?.lease === lease;
  }

  /** That the session with this lease is the controller's. */
  held(lease: string): Condition {
    return { key: this.#options.keys.controller, lease };
  }

  /** To be called when there is a session, and when the key changes. */
  consider(): void {
    const { identity, mirror, session, keys } = this.#options;
    if (this.#trying || this.#stopped || identity.refused || !mirror.loaded) return;
    if (session.self === undefined || mirror.get(keys.controller) !== undefined) return;
    this.#trying = true;
    this.#retry?.cancel();
    void this.#try(session.self);
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
  }

  /** Never rejects. */
  async #try({ node, incarnation: lease }: { node: string; incarnation: string }): Promise<void> {
    const { client, mirror, session, keys, limits, timers, logger } = this.#options;
    const key = keys.controller;
    const value = encodeController(node);
    try {
      const answer = await client.transact({
        when: [{ key, modRevision: 0n }, session.holds(lease)],
        apply: [{ put: key, value, lease }],
        otherwise: [{ get: key }],
      });
      this.#failures = 0;
      const found = foundAt(answer, 0);
      if (answer.succeeded) mirror.learn({ key, value, lease, modRevision: answer.revision });
      else if (found !== undefined) mirror.learn(found);
    } catch (cause) {
      if (this.#failures === 0) logger.warn('the election of a controller failed', { cause });
      this.#failures += 1;
    }
    this.#trying = false;
    if (this.#stopped) return;
    // Nobody has the key and this attempt did not get it, or it was lost again already.
    const pauseMs = backOff(limits, this.#failures);
    this.#retry = timers.after(pauseMs, () => this.consider());
  }
}
