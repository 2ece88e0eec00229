/**
 * Settings of the whole cluster that an operator makes while it runs, or the controller's configuration. Every node follows them; a node
 * that etcd is away from goes on with what it last saw. They may be written by any node, again and
 * again, so that an unknown outcome is settled by writing once more.
 */
import type { EtcdClient } from './client.ts';
import type { Identity } from './identity.ts';
import { decodeSetting, encodeSetting, type Keys, noLease } from './keys.ts';
import type { Mirror } from './mirror.ts';
import { type RepeatContext, untilAnswered } from './pacer.ts';

export interface SettingsOptions extends RepeatContext {
  readonly client: EtcdClient;
  readonly identity: Identity;
  readonly mirror: Mirror;
  readonly keys: Keys;
}

export class Settings {
  readonly #options: SettingsOptions;

  constructor(options: SettingsOptions) {
    this.#options = options;
  }

  /** Undefined where it is not made, or its value is none. */
  get(name: string): number | string | undefined {
    const { mirror, keys } = this.#options;
    const kv = mirror.get(keys.setting(name));
    return kv && decodeSetting(kv);
  }

  async put(name: string, value: number | string | undefined): Promise<void> {
    const { client, identity, mirror, keys } = this.#options;
    const history = identity.checkTrusted();
    const key = keys.setting(name);
    const operation =
      value === undefined ? { delete: key } : { put: key, value: encodeSetting(value) };
    const answer = await untilAnswered(this.#options, async (timeoutMs) => {
      identity.checkTrusted(history);
      return await client.transact({ apply: [operation] }, timeoutMs);
    });
    identity.checkTrusted(history);
    if (value === undefined) return;
    mirror.learn({
      key,
      value: encodeSetting(value),
      lease: noLease,
      modRevision: answer.revision,
    });
  }
}
