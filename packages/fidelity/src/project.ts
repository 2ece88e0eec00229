/**
 * A worker project as workerd needs it: its wrangler file read, its code bundled. Deliberately not
 * shared with the node's own configuration and bundler packages: an oracle that used the code under
 * test would agree with its mistakes. Reads only our own fixtures and examples, so it validates
 * nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { runInNewContext } from 'node:vm';

import { build, type Plugin } from 'esbuild';

/** The keys of a wrangler file that the projects here use. */
export interface Wrangler {
  readonly name: string;
  readonly main: string;
  readonly compatibility_date: string;
  readonly compatibility_flags?: readonly string[];
  readonly vars?: Readonly<Record<string, unknown>>;
  readonly durable_objects?: {
    readonly bindings: readonly { readonly name: string; readonly class_name: string }[];
  };
  readonly migrations?: readonly {
    readonly new_classes?: readonly string[];
    readonly new_sqlite_classes?: readonly string[];
  }[];
  readonly services?: readonly {
    readonly binding: string;
    readonly service: string;
    readonly entrypoint?: string;
  }[];
  readonly rules?: readonly ModuleRule[];
}

interface ModuleRule {
  readonly type: ModuleType;
  readonly globs: readonly string[];
}

type ModuleType = 'Text' | 'Data' | 'CompiledWasm';

/** A module beside the bundle: the name the bundle imports it by, and the file it holds. */
export interface ExtraModule {
  readonly name: string;
  readonly type: ModuleType;
  readonly path: string;
}

export interface Project {
  readonly wrangler: Wrangler;
  readonly code: string;
  readonly modules: readonly ExtraModule[];
}

const DEFAULT_RULES: readonly ModuleRule[] = [
  { type: 'Text', globs: ['**/*.txt', '**/*.html', '**/*.sql'] },
  { type: 'Data', globs: ['**/*.bin'] },
  { type: 'CompiledWasm', globs: ['**/*.wasm', '**/*.wasm?module'] },
];

/** Reads `wrangler.jsonc` or `wrangler.json`. JSON with comments is a JavaScript expression. */
export function readWrangler(projectDir: string): Wrangler {
  const path = ['wrangler.jsonc', 'wrangler.json']
    .map((name) => join(projectDir, name))
    .find(existsSync);
  if (path === undefined) throw new Error(`no wrangler.json or wrangler.jsonc in ${projectDir}`);
  return runInNewContext(`(${readFileSync(path, 'utf8')})`) as Wrangler;
}

/** Bundles the project. `cloudflare:*` and `node:*` stay imports; text, data and wasm too. */
export async function loadProject(projectDir: string): Promise<Project> {
  const wrangler = readWrangler(projectDir);
  const modules = new Map<string, ExtraModule>();
  const result = await build({
    absWorkingDir: projectDir,
    entryPoints: [wrangler.main],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser', 'import'],
    external: ['cloudflare:*', 'node:*'],
    keepNames: true,
    logLevel: 'silent',
    plugins: [extraModules([...(wrangler.rules ?? []), ...DEFAULT_RULES], modules, projectDir)],
  });
  const output = result.outputFiles[0];
  if (output === undefined) throw new Error(`esbuild wrote nothing for ${projectDir}`);
  return { wrangler, code: output.text, modules: [...modules.values()] };
}

function extraModules(
  rules: readonly ModuleRule[],
  found: Map<string, ExtraModule>,
  projectDir: string,
): Plugin {
  return {
    name: 'extra-modules',
    setup({ onResolve }) {
      onResolve({ filter: /./ }, (args) => {
        if (args.kind === 'entry-point') return undefined;
        const rule = rules.find(({ globs }) =>
          globs.some((glob) => globPattern(glob).test(args.path)),
        );
        if (rule === undefined) return undefined;
        const path = resolve(args.resolveDir, args.path);
        const name = `./${relative(projectDir, path).replaceAll(/[^\w.-]/g, '_')}`;
        found.set(name, { name: basename(name), type: rule.type, path });
        return { path: name, external: true };
      });
    },
  };
}

/** Enough of globs for our rules: two stars and a slash are any folders, a star is no slash. */
function globPattern(glob: string): RegExp {
  const source = glob
    .replaceAll(/[.+^${}()|[\]\\?]/g, '\\$&')
    .replaceAll('**/', '(?:.*/)?')
    .replaceAll(/(?<![.)])\*/g, '[^/]*');
  return new RegExp(`^${source}$`);
}
