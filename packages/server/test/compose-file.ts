/** docker-compose.yml as data: what the tests use of it, with short forms taken apart. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

export interface ComposeVolume {
  /** The name of a volume, or a path that begins with a dot. */
  readonly source: string;
  readonly target: string;
  readonly isReadOnly: boolean;
}

export interface ComposeService {
  readonly image: string;
  readonly isBuilt: boolean;
  /** The entrypoint, where one is given, and the command. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly volumes: readonly ComposeVolume[];
  /** By service: until when to wait. */
  readonly dependsOn: Readonly<Record<string, string>>;
  /** What is run to see whether the service is up. */
  readonly healthcheck: readonly string[] | undefined;
  readonly stopGracePeriod: string | undefined;
}

interface WrittenService {
  readonly image: string;
  readonly build?: object;
  readonly entrypoint?: readonly string[];
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}

export function readCompose(): Record<string, ComposeService> {
  const text = readFileSync(join(repository, 'docker-compose.yml'), 'utf8');
  const written = parse(text, { merge: true }) as {
    services: Record<string, WrittenService>;
    volumes: Record<string, null>;
  };
  const services: Record<string, ComposeService> = {};
  for (const [name, service] of Object.entries(written.services)) {
    const volumes = (service.volumes ?? []).map((volume) => parseVolume(volume));
    for (const { source } of volumes) {
      if (!source.startsWith('.') && !Object.hasOwn(written.volumes, source)) {
        throw new Error(`${name} uses a volume ${source} that is not declared`);
      }
    }
    services[name] = {
      image: service.image,
      isBuilt: service.build !== undefined,
      command: [...(service.entrypoint ?? []), ...service.command],
      environment: texts(service.environment ?? {}),
      ports: service.ports ?? [],
      volumes,
      dependsOn: Object.fromEntries(
        Object.entries(service.depends_on ?? {}).map(([other, { condition }]) => [
          other,
          condition,
        ]),
      ),
      healthcheck: command(service.healthcheck?.test),
      stopGracePeriod: service.stop_grace_period,
    };
  }
  return services;
}

function parseVolume(text: string): ComposeVolume {
  const [source = '', target = '', mode] = text.split(':');
  return { source, target, isReadOnly: mode === 'ro' };
}

function texts(values: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
}

function command(test: readonly string[] | undefined): readonly string[] | undefined {
  if (test === undefined) return undefined;
  const [kind, ...words] = test;
  if (kind !== 'CMD') throw new Error(`a healthcheck of kind ${kind}: expected CMD`);
  return words;
}
