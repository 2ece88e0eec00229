/** How objects move toward their callers, as a node's configuration says. */
import type { Coordinator } from '@homing/base';
import type { NodeConfig } from '@homing/config';
import type { EtcdCoordinatorExtras } from '@homing/coordinator';
import type { MigrationOptions } from '@homing/node';
import { type MigrationRules, mayLiveIn } from '@homing/protocol';
import { CommandError } from './usage-error.ts';
import type { Namespaces } from './worker-version.ts';

/** Throws `CommandError` for a namespace that the worker does not have. */
export function migrationOptions(
  { region, migration }: NodeConfig,
  namespaces: Namespaces,
  coordinator: Coordinator & EtcdCoordinatorExtras,
): MigrationOptions {
  const byKey = new Map<string, MigrationRules | undefined>();
  for (const { key } of namespaces.list()) byKey.set(key, rulesOf(migration, {}));
  for (const [name, rules] of Object.entries(migration.namespaces ?? {})) {
    const key = namespaces.keyOf(name);
    if (key === undefined) {
      const known = namespaces.list().map((namespace) => namespace.name);
      throw new CommandError(
        `migration.namespaces.${name} is not a namespace; there is ${known.join(', ') || 'none'}`,
      );
    }
    byKey.set(key, rulesOf(migration, rules));
  }
  return {
    region,
    windowMs: migration.windowMs,
    pingMs: migration.pingMs,
    rulesOf: (key) => byKey.get(key),
    movesMax: () => movesMax(migration.movesMax, coordinator),
    regionsOf: ({ id }) => {
      const list = coordinator.regions()?.list;
      const nodes = coordinator.nodes().filter(({ draining }) => draining !== true);
      const regions = [...new Set(nodes.map((node) => node.region))];
      return list === undefined ? [] : regions.filter((name) => mayLiveIn(id, name, list));
    },
  };
}

/** What the configuration allows, or less where an operator has said so. */
function movesMax(configured: number, coordinator: EtcdCoordinatorExtras): number {
  return Math.min(configured, coordinator.setting('migrations-max') ?? configured);
}

type Given = NonNullable<NodeConfig['migration']['namespaces']>[string];

function rulesOf(all: NodeConfig['migration'], one: Given): MigrationRules | undefined {
  if ((one.mode ?? all.mode) === 'off') return undefined;
  return {
    windowMs: all.windowMs,
    minimumStayMs: one.minimumStayMs ?? all.minimumStayMs,
    hysteresis: (one.hysteresisPercent ?? all.hysteresisPercent) / 100,
    tripsMin: one.tripsMin ?? all.tripsMin,
  };
}
