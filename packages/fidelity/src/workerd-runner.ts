/**
 * Serves a project with the real workerd from npm: bundles it, writes a capnp configuration with a
 * Durable Object namespace for each class, on-disk storage in a temporary directory, and starts the
 * binary on a free port. Drives no tests itself; see `runner.ts` for the contract.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startChild } from './child.ts';
import { loadProject, type Project, type Wrangler } from './project.ts';
import type { Runner } from './runner.ts';

/** The path of the workerd binary: what the npm package `workerd` exports. */
function workerdBinary(): string {
  return (createRequire(import.meta.url)('workerd') as { default: string }).default;
}

export const workerdRunner: Runner = {
  name: 'workerd',
  async start(projectDir) {
    const project = await loadProject(projectDir);
    const dir = mkdtempSync(join(tmpdir(), 'fidelity-workerd-'));
    mkdirSync(join(dir, 'storage'));
    writeFileSync(join(dir, 'main.js'), project.code);
    for (const module of project.modules) copyFileSync(module.path, join(dir, module.name));
    const configPath = join(dir, 'config.capnp');
    writeFileSync(configPath, capnpConfig(project, join(dir, 'storage')));
    const remove = () => rmSync(dir, { recursive: true, force: true });
    try {
      const child = await startChild({
        command: workerdBinary(),
        args: ['serve', configPath, '--control-fd=3', '--socket-addr=http=127.0.0.1:0'],
        readyFd: 3,
        portOf: listenPort,
      });
      return {
        url: `http://127.0.0.1:${child.port}`,
        log: () => child.log(),
        stop: async () => {
          await child.kill();
          remove();
        },
      };
    } catch (error) {
      remove();
      throw error;
    }
  },
};

/** workerd writes one JSON object a line to its control descriptor. */
function listenPort(line: string): number | null {
  const event = JSON.parse(line) as { event: string; socket?: string; port?: number };
  return event.event === 'listen' && event.socket === 'http' ? (event.port ?? null) : null;
}

const CAPNP_MODULE_FIELD = { Text: 'text', Data: 'data', CompiledWasm: 'wasm' } as const;

function capnpConfig({ wrangler, modules }: Project, storagePath: string): string {
  const extra = modules.map(
    ({ name, type }) =>
      `(name = ${text(name)}, ${CAPNP_MODULE_FIELD[type]} = embed ${text(name)}),`,
  );
  const flags = (wrangler.compatibility_flags ?? []).map(text).join(', ');
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "disk", disk = (path = ${text(storagePath)}, writable = true)),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "main.js", esModule = embed "main.js"), ${extra.join(' ')}],
  compatibilityDate = ${text(wrangler.compatibility_date)},
  compatibilityFlags = [${flags}],
  bindings = [${capnpBindings(wrangler).join(', ')}],
  durableObjectNamespaces = [${capnpNamespaces(wrangler).join(', ')}],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}

function capnpBindings(wrangler: Wrangler): string[] {
  const objects = (wrangler.durable_objects?.bindings ?? []).map(
    ({ name, class_name }) =>
      `(name = ${text(name)}, durableObjectNamespace = (className = ${text(class_name)}))`,
  );
  const vars = Object.entries(wrangler.vars ?? {}).map(([name, value]) =>
    typeof value === 'string'
      ? `(name = ${text(name)}, text = ${text(value)})`
      : `(name = ${text(name)}, json = ${text(JSON.stringify(value))})`,
  );
  const services = (wrangler.services ?? []).map(({ binding, entrypoint }) => {
    const target =
      entrypoint === undefined ? '"main"' : `(name = "main", entrypoint = ${text(entrypoint)})`;
    return `(name = ${text(binding)}, service = ${target})`;
  });
  return [...objects, ...vars, ...services];
}

function capnpNamespaces(wrangler: Wrangler): string[] {
  const namespace = (className: string, sqlite: boolean) =>
    `(className = ${text(className)}, uniqueKey = ${text(`${wrangler.name}-${className}`)}, ` +
    `enableSql = ${sqlite})`;
  return (wrangler.migrations ?? []).flatMap((migration) => [
    ...(migration.new_classes ?? []).map((name) => namespace(name, false)),
    ...(migration.new_sqlite_classes ?? []).map((name) => namespace(name, true)),
  ]);
}

/** A capnp text literal. JSON's escapes are a subset of capnp's save \uXXXX, which fixtures avoid. */
function text(value: string): string {
  return JSON.stringify(value);
}
