/** Which objects have a copy in a second region, as a node's configuration says. */
import type { RegionList } from '@homing/base';
import type { NodeConfig } from '@homing/config';
import { mayLiveIn } from '@homing/protocol';
import type { ReplicationOptions } from '@homing/replication';
import { CommandError } from './usage-error.ts';
import type { Namespaces } from './worker-version.ts';

/**
 * The first region of a namespace's list that is not the object's home and that it may live in. Throws
 * `CommandError` for a namespace that the worker does not have.
 */
export function remoteOf(
  { replication }: NodeConfig,
  namespaces: Namespaces,
  list: () => RegionList | undefined,
): NonNullable<ReplicationOptions['remoteOf']> {
  const byKey = new Map<string, readonly string[]>();
  for (const [name, regions] of Object.entries(replication.remote ?? {})) {
    const key = namespaces.keyOf(name);
    if (key === undefined) {
      const known = namespaces.list().map((namespace) => namespace.name);
      throw new CommandError(
        `replication.remote.${name} is not a namespace; there is ${known.join(', ') || 'none'}`,
      );
    }
    byKey.set(key, regions);
  }
  return ({ namespace, id }, home) => {
    const known = list();
    if (known === undefined) return undefined;
    return byKey.get(namespace)?.find((region) => region !== home && mayLiveIn(id, region, known));
  };
}
